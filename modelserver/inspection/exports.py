"""What PyTorch's own formats say of a model: exported programs, TorchScript's code, ``torch.save`` and safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, BinaryIO

from modelserver.inspection.estimators import class_of, tree_findings
from modelserver.inspection.findings import Findings, Unreadable
from modelserver.inspection.nodes import Made, Node, Pickle
from modelserver.inspection.pickles import read_pickle
from modelserver.metadata import TensorMetadata

#: ``torch.save`` before zip archives: the number that its first pickle holds.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# The numbers of torch's exported scalar types (torch/_export/serde/schema.py).
_DATATYPES = {
    1: "UINT8",
    2: "INT8",
    3: "INT16",
    4: "INT32",
    5: "INT64",
    6: "FP16",
    7: "FP32",
    8: "FP64",
    12: "BOOL",
    13: "BF16",
    28: "UINT16",
}
_LARGEST_HEADER = 100 * 1024 * 1024


def export_findings(program: Mapping[str, Any], format: str) -> Findings:
    """An exported program: the only one of PyTorch's formats that says all of inputs, outputs and version."""
    try:
        module = program["graph_module"]
        signature, values = module["signature"], module["graph"]["tensor_values"]
        inputs = [spec["user_input"]["arg"] for spec in signature["input_specs"] if "user_input" in spec]
        outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
        findings = Findings(
            format,
            framework="torch",
            model="exported program",
            inputs=[_tensor(arg, values) for arg in inputs],
            outputs=[_tensor(arg, values) for arg in outputs],
            imports=["torch"],
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise Unreadable(f"an exported program without {exc}") from exc
    version = str(program.get("torch_version", ""))
    findings.saved_with = {"torch": version.partition("+")[0]} if version else {}
    return findings


def _tensor(argument: Mapping[str, Any], values: Mapping[str, Any]) -> TensorMetadata:
    tensor = argument.get("as_tensor")
    if not isinstance(tensor, dict):  # a number or a flag that was baked in
        return TensorMetadata(str(next(iter(argument), "")).removeprefix("as_"), "", ())
    meta = values[tensor["name"]]
    sizes = [int(size["as_int"]) if "as_int" in size else -1 for size in meta["sizes"]]
    return TensorMetadata(str(tensor["name"]), _DATATYPES.get(meta["dtype"], ""), sizes)


def script_inputs(code: str, cls: str) -> list[str]:
    """The parameters of a TorchScript class's ``forward``, by its code."""
    _, _, body = code.partition(f"class {cls}(Module):")
    found = re.search(r"def forward\((.*?)\)\s*->", body, re.DOTALL)
    if found is None:
        return []
    names = [part.partition(":")[0].strip() for part in re.split(r",\s*(?=\w+\s*:)", found[1])]
    return [name for name in names[1:] if name.isidentifier()]  # the first one is the module itself


def saved_findings(found: Pickle, format: str) -> Findings:
    """What ``torch.save`` wrote: tensors by name (a state dict), or a module, which needs its class to load."""
    cls = class_of(found.root)
    if cls is None or cls.module == "collections":
        tensors = _tensors(found.root)
        findings = Findings(format, framework="torch", model="state dict", imports=["torch"], damage=found.error)
        findings.details = {"tensors": str(len(tensors))}
        findings.notes = ["a state dict is weights alone: serving it needs the class of the model (model.py beside it)"]
        if found.finished and not tensors:
            findings.damage = "it holds no tensors"
        return findings
    findings = tree_findings(found, format)
    findings.framework = "torch"
    findings.notes = [*findings.notes, "a pickled module: loading it runs code, and needs the classes it names"]
    return findings


def _tensors(root: Node) -> list[str]:
    mapping = root.mapping if isinstance(root, Made) else root
    if not isinstance(mapping, dict):
        return []
    if not any(isinstance(value, Made) for value in mapping.values()):
        nested = mapping.get("state_dict")
        return _tensors(nested) if nested is not None else []
    return [str(name) for name, value in mapping.items() if isinstance(value, Made)]


def legacy_findings(file: BinaryIO) -> Findings:
    """``torch.save`` before torch 1.6: five pickles one after the other, of which the fourth is the object."""
    for _ in range(3):
        read_pickle(file)
    return saved_findings(read_pickle(file), "torch.save (before torch 1.6)")


def safetensors_findings(file: BinaryIO) -> Findings:
    """The header of a ``.safetensors`` file: a length in eight bytes, then JSON."""
    length = int.from_bytes(file.read(8), "little")
    if length > _LARGEST_HEADER:
        raise Unreadable(f"safetensors with a header of {length} bytes")
    head = file.read(length)
    if len(head) < length:
        raise Unreadable(f"safetensors cut short: {length} bytes of header, {len(head)} are there")
    try:
        header = json.loads(head)
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
        count = sum(_product(entry["shape"]) for entry in tensors.values())
        metadata = {f"metadata {key}": str(value) for key, value in (header.get("__metadata__") or {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as exc:
        raise Unreadable("safetensors with a header that makes no sense") from exc
    left = file.seek(0, 2) - 8 - length
    findings = Findings("safetensors", framework="torch", model="weights", imports=["safetensors"])
    findings.details = {"tensors": str(len(tensors)), "parameters": str(count), **metadata}
    findings.notes = ["weights alone: serving them needs the class of the model (model.py beside them)"]
    if left < max(ends, default=0):
        findings.damage = f"cut short: {max(ends)} bytes of tensors, {left} are there"
    return findings


def _product(shape: list[int]) -> int:
    product = 1
    for size in shape:
        product *= int(size)
    return product
