"""Stacking requests into one and splitting its answer again. Pure: no clock, no queue."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.tensor import Tensor


class NotRowWise(Exception):
    """The answer has not one row for each row that was asked, so nobody can tell whose is which."""


def rows_of(request: InferRequest) -> int:
    """How many rows a request has; 0 when its inputs do not share their first dimension."""
    rows = 0
    for tensor in request.inputs:
        shape = tensor.data.shape
        if not shape or (rows and shape[0] != rows):
            return 0
        rows = shape[0]
    return rows


def signature_of(request: InferRequest) -> Hashable:
    """What requests must have in common to go as one: names, datatypes and row shapes, parameters, outputs."""
    inputs = tuple(
        (tensor.name, tensor.datatype, tensor.data.shape[1:], _parameters(tensor.parameters))
        for tensor in request.inputs
    )
    outputs = None if not request.outputs else tuple((o.name, _parameters(o.parameters)) for o in request.outputs)
    return inputs, outputs, _parameters(request.parameters)


def stack(requests: Sequence[InferRequest]) -> InferRequest:
    """One request with the rows of all, in their order; they have one signature."""
    first = requests[0]
    inputs = [
        _stacked(tensor, [request.inputs[index].data for request in requests])
        for index, tensor in enumerate(first.inputs)
    ]
    # The answer to many is nobody's protocol: tensors, which each request's own codec then writes.
    context = Context(protocol="batch")
    context.model_version = first.context.model_version
    stacked = InferRequest(
        first.model_name,
        inputs,
        model_version=first.model_version,
        parameters=first.parameters,
        outputs=first.outputs,
        context=context,
    )
    stacked.declared = first.declared
    return stacked


def split(response: InferResponse, requests: Sequence[InferRequest], rows: Sequence[int]) -> list[InferResponse]:
    """Each request's share of the answer: views of its arrays. ``NotRowWise`` when it does not have their rows."""
    total = sum(rows)
    for tensor in response.outputs:
        if not tensor.data.ndim or tensor.data.shape[0] != total:
            raise NotRowWise(f"output {tensor.name!r} of shape {list(tensor.data.shape)} for {total} rows")
    responses = []
    start = 0
    for request, count in zip(requests, rows, strict=True):
        stop = start + count
        responses.append(
            InferResponse(
                [Tensor(t.name, t.data[start:stop], t.datatype, t.parameters) for t in response.outputs],
                parameters=response.parameters,
                model_name=request.model_name,
                model_version=request.model_version,
                id=request.id or request.context.id,
            )
        )
        start = stop
    return responses


def _stacked(tensor: Tensor, arrays: list[np.ndarray]) -> Tensor:
    stacked = Tensor(tensor.name, tensor.data[:0], tensor.datatype, tensor.parameters)
    stacked.data = np.concatenate(arrays)  # not given to Tensor, which would make "" of v1's nulls among BYTES
    return stacked


def _parameters(parameters: object) -> Hashable:
    return tuple(sorted(parameters.items())) if parameters else None  # type: ignore[attr-defined]
