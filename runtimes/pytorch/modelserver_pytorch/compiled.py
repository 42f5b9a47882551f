"""AOTInductor packages: ``.pt2`` files with machine code; no compiler is needed to serve them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.export.pt2_archive._package import load_pt2
from torch.utils import _pytree as pytree

from modelserver import TensorMetadata
from modelserver_pytorch.binding import Caller, Numbers, Parameter, Parameters
from modelserver_pytorch.export import written_placeholders
from modelserver_pytorch.flat import Flat, FlatModel
from modelserver_pytorch.options import PyTorchSettings
from modelserver_pytorch.served import Served
from modelserver_pytorch.signature import Signature, Value, leaves, read_signature, user_inputs
from modelserver_pytorch.tensors import array_of, datatype_of, named, private_tensor_of
from modelserver_pytorch.wrapper import read_inputs

log = logging.getLogger("modelserver.pytorch")

#: Makes compiled code check its arguments' datatypes and sizes.
_CHECK_INPUTS = "AOTI_RUNTIME_CHECK_INPUTS"
# Two sizes that are free, tried to see which sizes of the results follow from them.
_TRIED = (5, 6)


def open_package(file: Path, device: torch.device, options: PyTorchSettings) -> Served:
    """Load a package's machine code.

    What it takes is told by the exported program that it was compiled from, when that is in the package too; else by
    the C++ source in it. Where there is neither, torch's own checks are turned on.
    """
    # What torch._inductor.aoti_load_package calls; it leaves out the program that may be in the package.
    contents = load_pt2(str(file), device_index=device.index if device.type == "cuda" else -1)
    model = _only(contents.aoti_runners, file)
    made_for = model.get_metadata().get("AOTI_DEVICE_KEY", device.type)
    if made_for != device.type:
        raise ValueError(f"{file.name} was compiled for {made_for}, the device is {device}")
    boxed = model.loader.boxed_run

    def flat(*arguments: Any) -> Sequence[Any]:
        results: list[torch.Tensor] = boxed([each for each in arguments if isinstance(each, torch.Tensor)])
        return results

    if contents.exported_programs:
        return _served(_with_program(_only(contents.exported_programs, file), flat, device))
    taken, given = (pytree.treespec_loads(spec) for spec in model.loader.get_call_spec())
    args, kwargs = taken.children()
    names = [f"input-{index}" for index in range(args.num_leaves)] + list(kwargs.context or ())
    told = read_inputs(file, names)
    if told is not None:
        inputs, ranges = told
        outputs = [(name, leaf.index) for name, leaf in named(leaves(given))]
        signature = Signature(inputs, _outputs(flat, inputs, ranges, outputs), {}, ranges)
        everything = range(len(inputs))  # whether the code writes to its arguments, the package does not tell
        return _served(FlatModel(signature, flat, device, written=everything))
    log.warning(
        "%s does not say what it takes: torch checks it, and refuses batches of one if sizes are free", file.name
    )
    os.environ[_CHECK_INPUTS] = "1"

    def structured(*args: Any, **kwargs: Any) -> Any:
        arguments = [*args, *(kwargs[name] for name in names[len(args) :] if name in kwargs)]
        return pytree.tree_unflatten(flat(*arguments), given)

    parameters = Parameters([Parameter(name) for name in names])
    caller = Caller(structured, parameters, private_tensor_of, device, Numbers(torch.float32, integers=True))
    return Served(caller.answer)


def _served(model: FlatModel) -> Served:
    signature = model.signature
    return Served(
        model.answer,
        inputs=[value.metadata for value in signature.inputs],
        outputs=[value.metadata for value in signature.outputs],
        batching=signature.batching(),
        warm_up=model.warm_up,
    )


def _with_program(program: ExportedProgram, flat: Flat, device: torch.device) -> FlatModel:
    users = user_inputs(program)
    written = written_placeholders(program)
    return FlatModel(
        read_signature(program),
        flat,
        device,
        written={users.index(name) for name in written & set(users)},
        stateful=bool(written - set(users)),
        examples=() if program.example_inputs is None else pytree.tree_leaves(program.example_inputs),
    )


def _only(models: Mapping[str, Any], file: Path) -> Any:
    if len(models) != 1:
        raise ValueError(f"{file.name} holds several models, expected one: {', '.join(models)}")
    return next(iter(models.values()))


def _outputs(
    flat: Flat, inputs: Sequence[Value], ranges: Mapping[str, tuple[int, int | None]], names: Sequence[tuple[str, int]]
) -> list[Value]:
    """The results' datatypes and shapes, from two calls with zeros: a size that differs follows from a free one."""
    first, second = (flat(*(_zeros(value, ranges, size) for value in inputs)) for size in _TRIED)
    outputs = []
    for name, index in names:
        one, other = array_of(first[index]), array_of(second[index])
        free = next((size for value in inputs for size in value.sizes if isinstance(size, str)), "")
        sizes = tuple(a if a == b else free for a, b in zip(one.shape, other.shape, strict=True))
        shape = [size if isinstance(size, int) else -1 for size in sizes]
        outputs.append(Value(index, TensorMetadata(name, datatype_of(first[index].dtype, name), shape), None, sizes))
    return outputs


def _zeros(value: Value, ranges: Mapping[str, tuple[int, int | None]], size: int) -> torch.Tensor:
    shape = []
    for expected in value.sizes:
        low, high = ranges.get(expected, (0, None))
        shape.append(expected if isinstance(expected, int) else max(low, size if high is None else min(size, high)))
    return torch.zeros(shape, dtype=value.dtype)
