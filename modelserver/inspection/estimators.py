"""What a pickled estimator says of itself: scikit-learn's, and those that follow its conventions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from modelserver.inspection.boosters import booster_findings
from modelserver.inspection.findings import Findings, Unreadable
from modelserver.inspection.nodes import Global, Made, Node, Pickle, dtype_code, elements_of
from modelserver.inspection.pickles import read_pickle
from modelserver.metadata import TensorMetadata

#: Top-level module -> the distribution it comes from, for the frameworks whose models come as pickles.
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "torch",
    "statsmodels": "statsmodels",
    "keras": "keras",
    "tensorflow": "tensorflow",
    "transformers": "transformers",
}
# The standard library's modules that models refer to; what is left is named as an import.
_STANDARD = frozenset(
    {"builtins", "__builtin__", "copyreg", "copy_reg", "collections", "functools", "_codecs", "datetime"}
)
_DEPTH = 12
_DATATYPES = {
    "b1": "BOOL",
    "i1": "INT8",
    "i2": "INT16",
    "i4": "INT32",
    "i8": "INT64",
    "u1": "UINT8",
    "u2": "UINT16",
    "u4": "UINT32",
    "u8": "UINT64",
    "f4": "FP32",
    "f8": "FP64",
}
# The parts of a meta-estimator that see the inputs first.
_FIRST = ("best_estimator_", "estimator", "estimator_", "base_estimator", "transformer")


def pickle_findings(file: BinaryIO, format: str) -> Findings:
    """What the pickle at the beginning of ``file`` describes; its ``format`` gets the protocol."""
    found = read_pickle(file)
    return tree_findings(found, f"{format}, pickle protocol {found.protocol}".removeprefix(", "))


def tree_findings(found: Pickle, format: str) -> Findings:
    """What a tree of described objects says, whoever read it."""
    findings = Findings(format, imports=_imports(found), damage=found.error)
    findings.framework = _framework(found)
    saved = {}
    if found.sklearn_version:
        saved["scikit-learn"] = found.sklearn_version
    if numpy := _numpy(found):
        saved["numpy"] = numpy
    findings.saved_with = saved
    if isinstance(found.root, Made):
        _describe(found.root, findings)
    elif found.finished:
        findings.damage = f"it holds a {type(found.root).__name__} and not a model"
    return findings


def class_of(node: Node) -> Global | None:
    """The class of a described object; ``None`` for what is none."""
    if not isinstance(node, Made) or not isinstance(node.what, Global):
        return None
    # Protocols below 2 name the class as an argument of a function that makes it.
    if node.what.name in ("_reconstructor", "__newobj__") and isinstance(node.arguments, tuple) and node.arguments:
        return node.arguments[0] if isinstance(node.arguments[0], Global) else node.what
    return node.what


def state_of(node: Node) -> dict[Node, Node]:
    """The attributes of a described object."""
    state = node.state if isinstance(node, Made) else None
    if isinstance(state, tuple) and state:  # (attributes, slots)
        state = state[0]
    return state if isinstance(state, dict) else {}


def _describe(root: Made, findings: Findings) -> None:
    cls = class_of(root)
    if cls is None:
        return
    findings.model = str(cls)
    module = cls.module.partition(".")[0]
    booster = next((each for each in _walk(root) if str(class_of(each)) == "xgboost.core.Booster"), None)
    if booster is not None and module == "xgboost":
        _describe_booster(booster, findings)
    elif module in ("numpy", "joblib", "collections", "pandas") or module in _STANDARD:
        what = "an array" if cls.name in ("_reconstruct", "_frombuffer", "NumpyArrayWrapper") else f"a {cls}"
        findings.damage = findings.damage or f"it holds {what} and not a model"
        return
    details = dict(findings.details)
    if steps := _steps(root):
        details["steps"] = " -> ".join(steps)
    findings.details = details
    if not findings.inputs:
        findings.inputs = _inputs(root)
    findings.outputs = _outputs(root)
    own = sorted({name.partition(".")[0] for name in findings.imports} & {"__main__"})
    if own:
        findings.notes = [*findings.notes, "it needs classes of the program that saved it (__main__)"]


def _describe_booster(booster: Made, findings: Findings) -> None:
    """An XGBoost wrapper holds its model as the bytes of UBJSON."""
    handle = state_of(booster).get("handle")
    if isinstance(handle, Made) and isinstance(handle.arguments, tuple) and handle.arguments:
        handle = handle.arguments[0]
    if not isinstance(handle, (bytes, bytearray)):
        return
    try:
        inner = booster_findings(bytes(handle), "")
    except Unreadable as exc:
        findings.notes = [*findings.notes, f"the booster in it cannot be read: {exc}"]
        return
    findings.inputs, findings.details = inner.inputs, inner.details
    findings.saved_with = {**findings.saved_with, **inner.saved_with}


def _walk(root: Node) -> Iterator[Made]:
    """Described objects inside ``root``, itself first, each once, no deeper than models are made."""
    seen: set[int] = set()
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop(0)
        if id(node) in seen or depth > _DEPTH:
            continue
        seen.add(id(node))
        inside: list[Node] = []
        if isinstance(node, Made):
            yield node
            inside = [node.arguments, node.state, node.mapping]
        elif isinstance(node, dict):
            inside = list(node.values())
        elif isinstance(node, (list, tuple)):
            inside = list(node[:1000])
        waiting += [(each, depth + 1) for each in inside if isinstance(each, (Made, dict, list, tuple)) and each]


def _steps(root: Made) -> list[str]:
    steps = state_of(root).get("steps")
    if not isinstance(steps, list):
        best = state_of(root).get("best_estimator_")
        return _steps(best) if isinstance(best, Made) else []
    classes = [class_of(step[1]) for step in steps if isinstance(step, tuple) and len(step) == 2]
    return [cls.name if cls else "passthrough" for cls in classes]


def _inputs(node: Node, depth: int = 0) -> list[TensorMetadata]:
    """Columns by name, or ``input-0`` of so many features, or of text; as the scikit-learn runtime declares them."""
    state = state_of(node)
    cls = class_of(node)
    if depth > _DEPTH or not state or cls is None:
        return []
    plain = not any("Encoder" in str(class_of(each)) or "Transformer" in str(class_of(each)) for each in _walk(node))
    if names := [name for name in elements_of(state.get("feature_names_in_")) if isinstance(name, str)]:
        return [TensorMetadata(name, "FP64" if plain else "", [-1]) for name in names]
    count = _integer(state.get("n_features_in_"))
    if count is not None:
        return [TensorMetadata("input-0", "FP64" if plain else "", [-1, count])]
    if cls.name.endswith("Vectorizer") and cls.name != "DictVectorizer":
        return [TensorMetadata("input-0", "BYTES", [-1])]
    steps = state.get("steps")
    if isinstance(steps, list) and steps and isinstance(steps[0], tuple):
        return _inputs(steps[0][-1], depth + 1)
    return next((found for name in _FIRST if (found := _inputs(state.get(name), depth + 1))), [])


def _outputs(node: Node, depth: int = 0) -> list[TensorMetadata]:
    """The labels of a classifier; what others give is known only when they are run."""
    state = state_of(node)
    if depth > _DEPTH or not state:
        return []
    classes = state.get("classes_")
    if isinstance(classes, Made) and not isinstance(classes.state, list):
        code = _array_dtype(classes)
        datatype = _DATATYPES.get(code.lstrip("<>=|"), "BYTES" if code[:1] in ("U", "S", "O") else "")
        return [TensorMetadata("output-0", datatype, [-1])] if datatype else []
    steps = state.get("steps")
    if isinstance(steps, list) and steps and isinstance(steps[-1], tuple):
        return _outputs(steps[-1][-1], depth + 1)
    return _outputs(state.get("best_estimator_"), depth + 1)


def _array_dtype(array: Made) -> str:
    if isinstance(array.state, dict):  # joblib's wrapper
        return dtype_code(array.state.get("dtype"))
    if isinstance(array.state, tuple) and len(array.state) == 5:  # numpy's own: version, shape, dtype, order, elements
        return dtype_code(array.state[2])
    if isinstance(array.arguments, tuple) and len(array.arguments) > 1:  # numpy's in protocol 5: buffer, dtype, ...
        return dtype_code(array.arguments[1])
    return ""


def _integer(node: Node) -> int | None:
    """A number, also a numpy scalar: called with its dtype and its bytes."""
    if isinstance(node, int) and not isinstance(node, bool):
        return node
    if isinstance(node, Made) and isinstance(node.arguments, tuple) and len(node.arguments) == 2:
        raw = node.arguments[1]
        if isinstance(raw, bytes) and dtype_code(node.arguments[0])[:1] in ("i", "u"):
            return int.from_bytes(raw, "little", signed=True)
    return None


def _imports(found: Pickle) -> list[str]:
    modules = dict.fromkeys(name.rpartition(".")[0] for name in found.globals)
    return [module for module in modules if module.partition(".")[0] not in _STANDARD]


def _framework(found: Pickle) -> str:
    cls = class_of(found.root)
    modules = [cls.module] if cls else []
    modules += list(found.globals)
    tops = [module.partition(".")[0] for module in modules]
    return next((DISTRIBUTIONS[top] for top in tops if top in DISTRIBUTIONS), "")


def _numpy(found: Pickle) -> str:
    """numpy's major version: version 2 renamed the module that its pickles refer to."""
    if any(name.startswith("numpy._core.") for name in found.globals):
        return "2"
    return "1" if any(name.startswith("numpy.core.") for name in found.globals) else ""
