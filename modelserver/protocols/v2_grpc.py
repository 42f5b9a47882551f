"""The v2 gRPC codec: serialised ``ModelInferRequest`` and ``ModelInferResponse`` <-> messages.

The other calls of the service are in ``v2_grpc_metadata``. Source: Open Inference Protocol, "GRPC"; its field
numbers are in ``protos/inference.proto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from google.protobuf.message import DecodeError

from modelserver.errors import InvalidInput
from modelserver.messages import Context, InferRequest, InferResponse, RequestedOutput
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest, ModelInferResponse
from modelserver.protocols.v2_grpc_contents import (
    BINARY_DATA_SIZE,
    decode_parameters,
    decode_tensors,
    encode_parameters,
    encode_raw,
    encode_typed,
    must_be_raw,
)
from modelserver.tensor import Parameters

_Message = TypeVar("_Message", ModelInferRequest, ModelInferResponse)
# Longer names may come from the client by way of an echo; they would fill the cache with megabytes.
_LONGEST_KEPT = 100
# Field 7 of the request and field 6 of the response, both length-delimited.
_RAW_INPUT_TAG = b"\x3a"
_RAW_OUTPUT_TAG = b"\x32"


def decode_request(wire: bytes, context: Context | None = None) -> InferRequest:
    """A request out of a serialised ``ModelInferRequest``; raw contents become read-only views, not copies.

    ``binary_outputs`` is set when the outputs should be raw: as the parameter ``binary_data_output`` says, else as
    the inputs came. ``InvalidInput`` names the field that is wrong.
    """
    message = _parsed(ModelInferRequest, wire)
    inputs = message.inputs
    if not inputs:
        raise InvalidInput("inputs: got none, expected at least one tensor")
    raw = message.raw_input_contents
    request = InferRequest(
        message.model_name,
        decode_tensors(inputs, raw, "inputs", "raw_input_contents"),
        model_version=message.model_version or None,
        id=message.id,
        context=context,
    )
    request.binary_outputs = bool(raw)
    given = message.parameters
    if given:
        parameters = decode_parameters(given, "parameters")
        wanted = _flag(parameters.pop("binary_data_output", None), "parameters.binary_data_output")
        if wanted is not None:
            request.binary_outputs = wanted
        request.parameters = parameters
    if message.outputs:
        request.outputs = _requested(message)
    return request


def encode_response(request: InferRequest, response: InferResponse) -> bytes:
    """A serialised ``ModelInferResponse``.

    Its contents are raw for all outputs or typed for all: raw when one output is asked for in binary, or when one
    has no typed form (FP16, BF16). ``TypeError`` when a parameter cannot be sent.
    """
    outputs = response.outputs
    message = ModelInferResponse(model_name=response.model_name or request.model_name, id=response.id or request.id)
    if request.model_version:
        message.model_version = request.model_version
    if response.parameters:
        encode_parameters(response.parameters, message.parameters)
    if _wants_raw(request) or must_be_raw(outputs):
        return b"".join((message.SerializeToString(), *encode_raw(outputs, _described_output, _RAW_OUTPUT_TAG)))
    encode_typed(outputs, message.outputs)
    return message.SerializeToString()


def encode_request(request: InferRequest, raw: bool = True) -> bytes:
    """The client's side: a serialised ``ModelInferRequest``, with raw contents or, where possible, typed ones."""
    message = ModelInferRequest(model_name=request.model_name, model_version=request.model_version or "", id=request.id)
    if request.parameters:
        encode_parameters(request.parameters, message.parameters)
    inputs = request.inputs
    raw = raw or must_be_raw(inputs)
    if request.binary_outputs and not raw:
        message.parameters["binary_data_output"].bool_param = True
    for output in request.outputs or ():
        added = message.outputs.add(name=output.name)
        encode_parameters(output.parameters, added.parameters)
        if output.binary is not None:
            added.parameters["binary_data"].bool_param = output.binary
    if raw:
        return b"".join((message.SerializeToString(), *encode_raw(inputs, _described_input, _RAW_INPUT_TAG)))
    encode_typed(inputs, message.inputs)
    return message.SerializeToString()


def decode_response(wire: bytes) -> InferResponse:
    """The client's side: an answer out of a serialised ``ModelInferResponse``."""
    message = _parsed(ModelInferResponse, wire)
    return InferResponse(
        decode_tensors(message.outputs, message.raw_output_contents, "outputs", "raw_output_contents"),
        parameters=decode_parameters(message.parameters, "parameters") if message.parameters else None,
        model_name=message.model_name,
        model_version=message.model_version or None,
        id=message.id,
    )


def model_of(wire: bytes) -> tuple[str, str, str]:
    """Model, version and id of a request that cannot be decoded; empty where it is not even a message."""
    try:
        message = ModelInferRequest.FromString(wire)
    except DecodeError:
        return "", "", ""
    return message.model_name, message.model_version, message.id


def _parsed(kind: type[_Message], wire: bytes) -> _Message:
    try:
        return kind.FromString(wire)
    except DecodeError as exc:
        raise InvalidInput(f"message: {len(wire)} bytes are no inference.{kind.__name__}") from exc


def _requested(message: ModelInferRequest) -> list[RequestedOutput]:
    outputs = []
    for index, output in enumerate(message.outputs):
        field = f"outputs[{index}].parameters"
        parameters = decode_parameters(output.parameters, field) if output.parameters else {}
        binary = _flag(parameters.pop("binary_data", None), f"{field}.binary_data")
        outputs.append(RequestedOutput(output.name, parameters, binary))
    return outputs


def _flag(value: object, field: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise InvalidInput(f"{field}: got {value!r:.40}, expected a bool")


def _wants_raw(request: InferRequest) -> bool:
    if not request.outputs:
        return request.binary_outputs
    return any(request.binary_outputs if output.binary is None else output.binary for output in request.outputs)


def _described_input(name: str, datatype: str, shape: Sequence[int], _: int, parameters: Parameters) -> bytes:
    message = ModelInferRequest()
    encode_parameters(parameters, message.inputs.add(name=name, datatype=datatype, shape=shape).parameters)
    return message.SerializeToString()


def _described_output(name: str, datatype: str, shape: Sequence[int], size: int, parameters: Parameters) -> bytes:
    if not parameters and len(name) <= _LONGEST_KEPT:
        return _plain_output(name, datatype, tuple(shape), size)
    message = ModelInferResponse()
    output = message.outputs.add(name=name, datatype=datatype, shape=shape)
    encode_parameters({**parameters, BINARY_DATA_SIZE: size}, output.parameters)  # KServe sends it
    return message.SerializeToString()


@lru_cache(maxsize=1024)
def _plain_output(name: str, datatype: str, shape: tuple[int, ...], size: int) -> bytes:
    # A model describes its outputs in the same words again and again, and this is a third of the encoding.
    message = ModelInferResponse()
    output = message.outputs.add(name=name, datatype=datatype, shape=shape)
    output.parameters[BINARY_DATA_SIZE].int64_param = size
    return message.SerializeToString()
