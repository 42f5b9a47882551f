"""Zip archives that are models: PyTorch's (five kinds), TorchServe's ``.mar``, and skops."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

from modelserver.inspection import exports
from modelserver.inspection.estimators import tree_findings
from modelserver.inspection.findings import Findings, Unreadable
from modelserver.inspection.nodes import Global, Made, Node, Pickle
from modelserver.inspection.pickles import read_pickle
from modelserver.metadata import TensorMetadata

#: A member that describes a model is never larger; a hostile one is not unpacked.
LARGEST_MEMBER = 512 * 1024 * 1024
_MANIFEST = "MAR-INF/MANIFEST.json"

# The dtype in the header of an .npy file.
_NPY_DTYPE = re.compile(rb"'descr': '[<>|=]?(\w+)'")

#: Reads what is inside an archive of archives: a file and its name.
Read = Callable[[BinaryIO, str], Findings]


def archive_findings(file: BinaryIO, read: Read) -> Findings:
    """What the members say; ``Unreadable`` for an archive that is cut short or holds no model."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _findings(_Members(archive), read)
    except Unreadable:
        raise
    except RecursionError as exc:
        raise Unreadable("a zip archive with a description that is nested too deeply") from exc
    except zipfile.BadZipFile as exc:
        text = "cut short, for its table of contents is missing" if "not a zip file" in str(exc) else f"damaged: {exc}"
        raise Unreadable(f"a zip archive that is {text}") from exc
    except (zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as exc:
        raise Unreadable(f"a zip archive that is damaged: {str(exc) or type(exc).__name__}") from exc


class _Members:
    """The members of an archive; PyTorch puts all of its own into one directory, called as it likes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = archive.namelist()
        tops = {name.partition("/")[0] for name in self.names if "/" in name}
        self.top = f"{tops.pop()}/" if len(tops) == 1 else ""

    def __contains__(self, name: str) -> bool:
        return name in self.names or self.top + name in self.names

    def under(self, directory: str) -> list[str]:
        """The names below a directory, relative to it."""
        prefix = self.top + directory + "/"
        return [name.removeprefix(prefix) for name in self.names if name.startswith(prefix) and name != prefix]

    def read(self, name: str) -> bytes:
        found = name if name in self.names else self.top + name
        if self._archive.getinfo(found).file_size > LARGEST_MEMBER:
            raise Unreadable(f"{name} in it is larger than {LARGEST_MEMBER >> 20} MiB")
        return self._archive.read(found)

    def text(self, name: str) -> str:
        return self.read(name).decode(errors="replace").strip() if name in self else ""

    def json(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads(self.read(name))
        except (ValueError, KeyError) as exc:
            raise Unreadable(f"{name} in it is not JSON") from exc
        if not isinstance(value, dict):
            raise Unreadable(f"{name} in it is not an object")
        return value


def _findings(members: _Members, read: Read) -> Findings:
    if _MANIFEST in members:
        return _mar(members, read)
    if "schema.json" in members:
        return _skops(members)
    if members.under("data/aotinductor"):
        return _aotinductor(members)
    if models := [name for name in members.under("models") if name.endswith(".json")]:
        return exports.export_findings(members.json(f"models/{models[0]}"), f"torch.export (.pt2), {_archive(members)}")
    if "serialized_exported_program.json" in members:  # before torch 2.8
        return exports.export_findings(members.json("serialized_exported_program.json"), "torch.export (.pt2)")
    if "constants.pkl" in members or members.under("code"):
        return _torchscript(members)
    if "data.pkl" in members:
        return _saved(members)
    raise Unreadable(f"a zip archive without a model: it has {', '.join(members.names[:5]) or 'no files'}")


def _archive(members: _Members) -> str:
    return f"archive version {members.text('archive_version') or 'unknown'}"


def _aotinductor(members: _Members) -> Findings:
    metadata = [name for name in members.under("data/aotinductor") if name.endswith("metadata.json")]
    said = members.json(f"data/aotinductor/{metadata[0]}") if metadata else {}
    built = {"device": "AOTI_DEVICE_KEY", "machine": "AOTI_MACHINE", "instructions": "AOTI_CPU_ISA"}
    return Findings(
        f"AOTInductor package (.pt2), {_archive(members)}",
        framework="torch",
        model="compiled library",
        details={name: str(said[key]) for name, key in built.items() if said.get(key)},
        imports=["torch"],
        notes=[
            "it runs compiled code, for the machine that it was built for",
            "inputs, outputs and version are not in it",
        ],
    )


def _torchscript(members: _Members) -> Findings:
    files = [name for name in members.under("code") if name.endswith(".py")]
    found = read_pickle(io.BytesIO(members.read("data.pkl"))) if "data.pkl" in members else Pickle()
    cls = found.root.what if isinstance(found.root, Made) and isinstance(found.root.what, Global) else None
    findings = Findings("TorchScript", framework="torch", imports=["torch"], damage=found.error)
    findings.notes = ["TorchScript does not say shapes, datatypes or the version it was saved with"]
    if cls is not None:
        findings.model = str(cls).removeprefix("__torch__.")
        # The class lies in the file of its module.
        source = "/".join(cls.module.split(".")) + ".py"
        if source in files:
            names = exports.script_inputs(members.text(f"code/{source}"), cls.name)
            findings.inputs = [TensorMetadata(name, "", ()) for name in names]
    return findings


def _saved(members: _Members) -> Findings:
    """``torch.save``: a state dict, or a pickled module."""
    found = read_pickle(io.BytesIO(members.read("data.pkl")))
    return exports.saved_findings(found, "torch.save (zip)")


def _mar(members: _Members, read: Read) -> Findings:
    manifest = members.json(_MANIFEST)
    model = manifest.get("model")
    said: dict[str, Any] = model if isinstance(model, dict) else {}
    keys = ("modelName", "modelVersion", "handler", "serializedFile", "modelFile", "requirementsFile")
    details = {key: str(said[key]) for key in keys if said.get(key)}
    details |= {key: str(manifest[key]) for key in ("runtime", "archiverVersion") if manifest.get(key)}
    findings = Findings(
        "TorchServe archive (.mar)", framework="torch", model=details.get("modelName", ""), details=details
    )
    findings.imports = ["torch"]
    findings.notes = ["its handler is code, which loading it runs"]
    name = details.get("serializedFile", "")
    if name and name in members:
        inner = read(io.BytesIO(members.read(name)), name)
        findings.saved_with, findings.inputs, findings.outputs = inner.saved_with, inner.inputs, inner.outputs
        details["serialized"] = inner.format
        if inner.damage:
            findings.damage = f"{name} in it: {inner.damage}"
    elif name:
        findings.damage = f"its manifest names {name}, which is not in it"
    return findings


# skops: the same tree as a pickle's, in JSON.


def _skops(members: _Members) -> Findings:
    schema = members.json("schema.json")
    found = Pickle(finished=True)
    found.root = _skops_node(schema, found, members)
    findings = tree_findings(found, f"skops {schema.get('_skops_version', '')}".strip())
    findings.details = {**findings.details, "safe": "loading it imports classes by name, and runs no pickle"}
    return findings


def _skops_node(node: object, found: Pickle, members: _Members) -> Node:
    if not isinstance(node, dict):
        return node
    loader, content = str(node.get("__loader__", "")), node.get("content")
    if node.get("is_json"):
        try:
            return json.loads(str(content))
        except ValueError as exc:
            raise Unreadable("schema.json in it holds a value that is not JSON") from exc
    if loader == "DictNode" and isinstance(content, dict):
        values = {key: _skops_node(value, found, members) for key, value in content.items()}
        version = values.get("_sklearn_version")
        found.sklearn_version = found.sklearn_version or (version if isinstance(version, str) else "")
        return values
    if loader in ("ListNode", "TupleNode") and isinstance(content, list):
        items = [_skops_node(each, found, members) for each in content]
        return tuple(items) if loader == "TupleNode" else items
    cls = Global(str(node.get("__module__", "")), str(node.get("__class__", "")))
    found.globals[str(cls)] = None
    if str(node.get("file", "")).endswith(".npy"):
        described = _NPY_DTYPE.search(members.read(str(node["file"]))[:256])
        dtype = Made(Global("numpy", "dtype"), (described[1].decode() if described else "",))
        return Made(cls, (None, dtype))
    if isinstance(content, list):
        return Made(cls, items=[_skops_node(each, found, members) for each in content])
    return Made(cls, state=_skops_node(content, found, members))
