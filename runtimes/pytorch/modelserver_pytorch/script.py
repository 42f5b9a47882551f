"""TorchScript: what ``torch.jit.script`` and ``torch.jit.trace`` saved."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from modelserver_pytorch.binding import Caller, Numbers, Parameter, Parameters, kind_of
from modelserver_pytorch.mutation import script_writes
from modelserver_pytorch.options import PyTorchSettings
from modelserver_pytorch.served import Served
from modelserver_pytorch.tensors import private_tensor_of, tensor_of

log = logging.getLogger("modelserver.pytorch")

#: Modules that take whole numbers.
EMBEDDINGS = frozenset({"Embedding", "EmbeddingBag"})


def open_script(file: Path, device: torch.device, options: PyTorchSettings) -> Served:
    """Load a TorchScript module; its schema has the inputs' names, nothing has their shapes."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        module = torch.jit.load(str(file), map_location=device).eval()  # type: ignore[no-untyped-call]
        numbers = numbers_of(module)
        parameters = _parameters(module.forward.schema)
        function, graph = _frozen(module)
    writes = script_writes(graph)
    caller = Caller(function, parameters, private_tensor_of if writes else tensor_of, device, numbers)
    return Served(caller.answer)


def numbers_of(module: torch.nn.Module) -> Numbers:
    """The floating-point type that a module computes with, and whether it looks things up by whole numbers."""
    floats = {p.dtype for p in [*module.parameters(), *module.buffers()] if p.dtype.is_floating_point}
    kinds = {getattr(part, "original_name", type(part).__name__) for part in module.modules()}
    return Numbers(floats.pop() if len(floats) == 1 else None, bool(kinds & EMBEDDINGS))


def _frozen(module: Any) -> tuple[Any, torch.Graph]:
    """The module with its weights as constants of its graph, and the graph, inlined.

    Numerics stay what they are: folding batch normalisation into convolutions would change the last bits. What
    writes to its own attributes cannot be frozen, and serves as it is.
    """
    try:
        frozen = torch.jit.freeze(module, optimize_numerics=False)
        return frozen.forward, frozen.inlined_graph
    except RuntimeError as exc:
        log.debug("not frozen: %s", exc)
        return module.forward, module.inlined_graph


def _parameters(schema: torch.FunctionSchema) -> Parameters:
    return Parameters(
        [
            Parameter(each.name, not each.has_default_value(), kind_of(str(each.type)))
            for each in list(schema.arguments)[1:]  # the first is the module
        ]
    )
