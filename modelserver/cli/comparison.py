"""Whether two answers are the same, bit for bit, and where they first differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelserver.golden import TOLERANCES
from modelserver.messages import InferResponse
from modelserver.tensor import Tensor

#: What is said of two answers without a difference.
EQUAL = "bit-equal"


def difference(expected: Sequence[Tensor], got: Sequence[Tensor]) -> str:
    """The first difference of names, datatypes, shapes or bits; empty when there is none. Any NaN is a NaN."""
    names = [tensor.name for tensor in expected]
    if names != [tensor.name for tensor in got]:
        return f"outputs {_listed(got)}, expected {_listed(expected)}"
    for one, other in zip(expected, got, strict=True):
        if one.datatype != other.datatype:
            return f"{one.name} is {other.datatype}, expected {one.datatype}"
        if found := _first(one, other):
            return found
    return ""


def v1_difference(expected: Sequence[Tensor], got: InferResponse) -> str:
    """The same for an answer over v1, which has values alone: no datatypes, and no name for a lone output."""
    outputs = got.outputs
    if len(expected) == len(outputs) == 1:
        outputs = [Tensor(expected[0].name, outputs[0].data)]
    by_name = {tensor.name: tensor for tensor in outputs}
    if sorted(by_name) != sorted(tensor.name for tensor in expected):
        return f"outputs {_listed(outputs)}, expected {_listed(expected)}"
    for one in expected:
        other = by_name[one.name].data
        if one.datatype != "BYTES" and other.dtype.kind in "biuf":
            with np.errstate(over="ignore"):
                other = other.astype(one.data.dtype)
        if other.shape != one.shape and other.size == one.data.size:  # one value a row may stand bare
            other = other.reshape(one.shape)
        if found := _first(one, Tensor(one.name, other)):
            return found
    return ""


def spread(expected: Sequence[Tensor], got: Sequence[Tensor]) -> tuple[float, str]:
    """How far ``got`` is from ``expected``: the largest relative difference, and the first one over the tolerance.

    For the same rows in another batch, which frameworks may well add up in another order.
    """
    largest = 0.0
    for one, other in zip(expected, got, strict=True):
        if one.shape != other.shape or one.datatype not in TOLERANCES:
            if found := _first(one, other):
                return largest, found
            continue
        a, b = one.data.astype(np.float64), other.data.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = np.abs(a - b) / np.maximum(np.abs(a), np.finfo(np.float32).tiny)
        relative = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, relative)
        worst = float(relative.max(initial=0.0))
        largest = max(largest, worst)
        if worst > TOLERANCES[one.datatype] or worst != worst:
            return largest, _first(one, other)
    return largest, ""


def stacked(answers: Sequence[Sequence[Tensor]]) -> list[Tensor] | None:
    """The outputs of several answers as those of one call; ``None`` when they have no rows to put together."""
    first = answers[0]
    for answer in answers:
        if [t.name for t in answer] != [t.name for t in first] or any(t.data.ndim == 0 for t in answer):
            return None
    try:
        return [
            Tensor(tensor.name, np.concatenate([answer[index].data for answer in answers]), tensor.datatype)
            for index, tensor in enumerate(first)
        ]
    except ValueError:  # shapes that do not go together
        return None


def _first(expected: Tensor, got: Tensor) -> str:
    a, b = expected.data, got.data
    if a.shape != b.shape:
        return f"{expected.name} has shape {list(b.shape)}, expected {list(a.shape)}"
    differs = np.flatnonzero(_differing(a, b))
    if not differs.size:
        return ""
    place = np.unravel_index(int(differs[0]), a.shape) if a.ndim else ()
    where = "".join(f"[{int(index)}]" for index in place)
    return f"{expected.name}{where}: got {b[place]!s}, expected {a[place]!s}"


def _differing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which elements differ, flat: floats by their bits."""
    one, other = (np.ascontiguousarray(each).reshape(-1) for each in (a, b))
    if one.dtype.kind in "OUSbiu" or one.dtype != other.dtype:
        return np.asarray(one != other)
    bits = f"u{one.dtype.itemsize}"
    return np.asarray((one.view(bits) != other.view(bits)) & ~(np.isnan(one) & np.isnan(other)))


def _listed(tensors: Sequence[Tensor]) -> str:
    return ", ".join(tensor.name for tensor in tensors) or "none"
