"""Channels-last weights for convolutions, where they are faster and give the same bits."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from modelserver import InferRequest, ModelServerError, Tensor

if TYPE_CHECKING:
    from modelserver_pytorch.flat import Flat, FlatModel

log = logging.getLogger("modelserver.pytorch")

# A candidate must save this much of the time, for a measurement is never exact.
_GAIN = 0.9
_RUNS = 5
_PATIENCE = 2.0  # seconds for all runs of one candidate


def faster(
    flat: functools.partial[Sequence[Any]],
    state: Sequence[Any],
    model: Callable[[Flat], FlatModel],
    graph: torch.fx.Graph,
) -> Flat:
    """``flat``, or the same function with its convolutions' weights in channels-last order.

    Chosen by running both on made-up rows, in batches of one and two: only equal bits and less time will do. Not
    tried for programs whose image sizes are free, of which a few sizes prove nothing.
    """
    weights = _convolution_weights(graph)
    plain = model(flat)
    values = plain.signature.inputs
    free = any(not isinstance(size, int) for value in values for size in value.sizes[1:])
    if not weights or free:
        return flat
    placeholders = [node.name for node in graph.nodes if node.op == "placeholder"]
    changed = [
        tensor.to(memory_format=torch.channels_last) if name in weights else tensor
        for name, tensor in zip(placeholders, state, strict=False)
    ]
    candidate: Flat = functools.partial(flat.func, *changed)
    try:
        gains = [_gain(plain, model(candidate), batch) for batch in (1, 2)]
    except ModelServerError as exc:
        log.debug("channels-last was not tried: %s", exc)
        return flat
    except RuntimeError as exc:  # a view that only the other layout allows
        log.debug("channels-last does not work: %s", exc)
        return flat
    if all(gain < _GAIN for gain in gains):
        log.info("channels-last weights take %.0f %% of the time and give the same bits: used", 100 * max(gains))
        return candidate
    return flat


def _convolution_weights(graph: torch.fx.Graph) -> set[str]:
    """The placeholders that are weights of two-dimensional convolutions."""
    found = set()
    for node in graph.nodes:
        if node.op == "call_function" and getattr(node.target, "name", str)() in ("aten::conv2d", "aten::convolution"):
            weight = node.args[1]
            if isinstance(weight, torch.fx.Node) and weight.op == "placeholder" and weight.meta["val"].dim() == 4:
                found.add(weight.name)
    return found


def _gain(plain: FlatModel, candidate: FlatModel, batch: int) -> float:
    """The candidate's time over the plain model's; infinite when their answers differ."""
    shapes = plain.example_shapes(batch)
    random = np.random.default_rng(0)
    inputs = [
        Tensor(value.metadata.name, random.random(shape), value.metadata.datatype)
        for value, shape in zip(plain.signature.inputs, shapes, strict=True)
    ]
    request = InferRequest(inputs=inputs)
    expected, seconds = _timed(plain, request)
    answer, candidate_seconds = _timed(candidate, request)
    same = all(expected[name].tobytes() == answer[name].tobytes() for name in expected)
    return candidate_seconds / seconds if same else float("inf")


def _timed(model: FlatModel, request: InferRequest) -> tuple[dict[str, np.ndarray], float]:
    model.answer(request)  # checked
    times: list[float] = []
    answer = model.answer(request)
    while len(times) < _RUNS and sum(times) < _PATIENCE:
        start = time.perf_counter()
        answer = model.answer(request)
        times.append(time.perf_counter() - start)
    return answer, min(times)
