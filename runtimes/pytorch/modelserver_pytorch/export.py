"""Exported programs: ``.pt2`` files of ``torch.export.save``."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from modelserver_pytorch.flat import Flat, FlatModel
from modelserver_pytorch.layout import faster
from modelserver_pytorch.mutation import written_inputs
from modelserver_pytorch.options import PyTorchSettings
from modelserver_pytorch.served import Served
from modelserver_pytorch.signature import read_signature, user_inputs


def open_program(file: Path, device: torch.device, options: PyTorchSettings) -> Served:
    """Load an exported program; what it takes and gives is the program's own knowledge."""
    model = model_of(read_program(file), device)
    signature = model.signature
    return Served(
        model.answer,
        inputs=[value.metadata for value in signature.inputs],
        outputs=[value.metadata for value in signature.outputs],
        batching=signature.batching(),
        warm_up=model.warm_up,
    )


def read_program(file: Path) -> ExportedProgram:
    """The program in a ``.pt2`` file; what torch raises when there is none."""
    logger = logging.getLogger("torch.export")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it logs the stack trace of what it raises
    try:
        with file.open("rb") as stream:
            return torch.export.load(stream)
    finally:
        logger.setLevel(level)


def model_of(program: ExportedProgram, device: torch.device) -> FlatModel:
    """What calls a program on ``device``.

    The program's own module checks its arguments anew on every call, which can cost more than its arithmetic. Only
    shapes that were not seen before go through it; those that passed go straight to the program's graph.
    """
    if any(tensor.device != device for tensor in program.state_dict.values()):
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    module = program.module()
    spec = program.call_spec.in_spec

    def checked(*arguments: Any) -> Sequence[Any]:
        args, kwargs = pytree.tree_unflatten(arguments, spec)
        return pytree.tree_leaves(module(*args, **kwargs))

    users, written = user_inputs(program), written_placeholders(program)
    examples = () if program.example_inputs is None else pytree.tree_leaves(program.example_inputs)
    state = _state(program)
    signature = read_signature(program)

    def model(flat: Flat) -> FlatModel:
        return FlatModel(
            signature,
            flat,
            device,
            checked=checked,
            written={users.index(name) for name in written & set(users)},
            stateful=bool(written - set(users)),
            examples=examples,
        )

    if state is None:
        return model(checked)
    return model(faster(functools.partial(program.graph_module.forward, *state), state, model, program.graph))


def written_placeholders(program: ExportedProgram) -> frozenset[str]:
    """The placeholders that the program writes to: arguments, and tensors of its own."""
    placeholders = [node.name for node in program.graph.nodes if node.op == "placeholder"]
    signature = program.graph_signature
    written = written_inputs(program.graph_module, placeholders)
    return written.union(signature.user_inputs_to_mutate.values(), signature.buffers_to_mutate.values())


def _state(program: ExportedProgram) -> list[Any] | None:
    """The weights and constants that the program's graph takes before its arguments, to be bound once.

    (A module looks each of them up by its path on every call.) ``None`` for a functionalised program, of whose
    results some must be put back, and for one with effects: these go through their module.
    """
    signature = program.graph_signature
    if any(each.kind.name != "USER_OUTPUT" for each in signature.output_specs):
        return None
    state: list[Any] = []
    for each in signature.input_specs[: len(signature.input_specs) - len(user_inputs(program))]:
        if each.kind.name in ("PARAMETER", "BUFFER") and each.target in program.state_dict:
            state.append(program.state_dict[each.target])
        elif each.kind.name != "USER_INPUT" and each.target in program.constants:
            state.append(program.constants[each.target])
        else:
            return None
    return state
