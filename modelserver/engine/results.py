"""What ``predict`` returned -> an ``InferResponse``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelserver.errors import InvalidInput, ModelServerError
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import TensorMetadata
from modelserver.tensor import Tensor, as_array

#: KServe's name of an output that nobody named.
DEFAULT_OUTPUT = "output-0"


def to_response(
    result: Any, request: InferRequest, declared: Sequence[TensorMetadata], requested: bool = True
) -> InferResponse:
    """The model's result as tensors, or on v1 as any JSON; cut down to the requested outputs.

    Datatypes of declared outputs are applied. ``ModelServerError`` when the result cannot be sent on this
    protocol: that is the model's mistake, not the client's.
    """
    if type(result) is np.ndarray:
        name = declared[0].name if len(declared) == 1 else DEFAULT_OUTPUT
        response = InferResponse([Tensor(name, result, declared[0].datatype if len(declared) == 1 else None)])
    elif isinstance(result, InferResponse):
        # A copy: the model may give the same object to every request, and names and id are this one's.
        response = InferResponse(
            result.outputs,
            parameters=result.parameters,
            model_name=result.model_name,
            model_version=result.model_version,
            id=result.id,
        )
        response.json, response.json_is_set = result.json, result.json_is_set
    elif type(result) is dict and result and all(type(value) is np.ndarray for value in result.values()):
        datatypes = {metadata.name: metadata.datatype for metadata in declared}
        response = InferResponse([Tensor(name, value, datatypes.get(name)) for name, value in result.items()])
    else:
        response = _other(result, request, declared)
    response.model_name = response.model_name or request.model_name
    response.model_version = response.model_version or request.model_version
    response.id = response.id or request.id or request.context.id
    if requested and request.outputs and not response.json_is_set:
        _select(request, response)
    return response


def _other(result: Any, request: InferRequest, declared: Sequence[TensorMetadata]) -> InferResponse:
    v1 = request.context.protocol == "v1"
    if hasattr(result, "columns") and hasattr(result, "to_numpy"):  # a DataFrame, without importing pandas
        if v1:
            key = "explanations" if request.context.verb == "explain" else "predictions"
            return InferResponse.from_json({key: result.to_dict(orient="records")})
        from modelserver.frames import tensors_of

        return InferResponse(tensors_of(result))
    if isinstance(result, Tensor):
        return InferResponse([result])
    if type(result) is not dict and hasattr(result, "__array__") and getattr(result, "ndim", False):
        return to_response(np.asarray(result), request, declared, requested=False)
    if v1:
        return InferResponse.from_json(result)
    if result is None:
        raise ModelServerError(f"Model {request.model_name} returned nothing.")
    try:
        if isinstance(result, dict):
            return to_response(
                {str(name): _array(value) for name, value in result.items()}, request, declared, requested=False
            )
        return to_response(_array(result), request, declared, requested=False)
    except (TypeError, ValueError) as exc:
        raise ModelServerError(
            f"Model {request.model_name} returned {type(result).__name__}, which this protocol cannot carry as tensors."
        ) from exc


def _array(value: Any) -> np.ndarray:
    array = as_array(value)
    return array.reshape(1) if array.ndim == 0 else array


def _select(request: InferRequest, response: InferResponse) -> None:
    by_name = {tensor.name: tensor for tensor in response.outputs}
    chosen = []
    for index, output in enumerate(request.outputs or ()):
        tensor = by_name.get(output.name)
        if tensor is None:
            names = ", ".join(repr(name) for name in by_name)
            raise InvalidInput(f"outputs[{index}].name: got {output.name!r}, model {request.model_name} has {names}")
        chosen.append(tensor)
    response.outputs = chosen
