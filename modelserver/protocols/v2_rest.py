"""The v2 REST codec: JSON with an optional tail of binary tensors (Triton's binary tensor data extension).

Body: a JSON head of ``Inference-Header-Content-Length`` bytes, then the raw tensors in the order of the inputs
that have a ``binary_data_size``. Length 0 means that the whole body is the one input of the model, raw.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from modelserver.errors import InvalidInput
from modelserver.messages import Context, InferRequest, InferResponse, RequestedOutput
from modelserver.protocols import jsonlib
from modelserver.protocols.arrays import NotText, json_data
from modelserver.protocols.codec import Wire
from modelserver.protocols.raw_input import RawInput
from modelserver.protocols.v2_fields import kind_of, name_field, parameters_field, text_field
from modelserver.protocols.v2_tensors import read_tensors
from modelserver.tensor import Tensor

HEADER_LENGTH = "inference-header-content-length"


def decode_request(
    body: bytes, header_length: int | None, model_name: str, context: Context | None = None
) -> InferRequest:
    """A request out of its body; ``InvalidInput`` names the field that is wrong."""
    if header_length == 0:
        return InferRequest(model_name, lazy_inputs=RawInput(body), context=context)
    head, tail = _split(body, header_length)
    message = jsonlib.loads(head)
    if type(message) is not dict:
        raise InvalidInput(f"body: got {kind_of(message)}, expected an object with inputs")
    entries = message.get("inputs")
    if type(entries) is not list:
        raise InvalidInput(f"inputs: got {kind_of(entries)}, expected a list of tensors")
    if not entries:
        raise InvalidInput("inputs: got an empty list, expected at least one tensor")
    inputs = read_tensors(entries, tail, "inputs")
    request = InferRequest(model_name, inputs, id=text_field(message.get("id"), "id"), context=context)
    parameters = message.get("parameters")
    if parameters:
        request.parameters = parameters = parameters_field(parameters, "parameters")
        if "binary_data_output" in parameters:
            wanted = parameters.pop("binary_data_output")
            if type(wanted) is not bool:
                raise InvalidInput(f"parameters.binary_data_output: got {kind_of(wanted)}, expected a boolean")
            request.binary_outputs = wanted
    outputs = message.get("outputs")
    if outputs:
        request.outputs = _requested(outputs)
    return request


def encode_response(request: InferRequest, response: InferResponse) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON head when binary tensors follow it (else ``None``)."""
    if request.binary_outputs or request.outputs:
        binary = _binary_names(request, response)
        if binary:
            return _encode_binary(response, binary)
    return jsonlib.dumps_message(
        {
            "model_name": response.model_name,
            "model_version": response.model_version,
            "id": response.id,
            "parameters": response.parameters or None,
            "outputs": [_json_tensor(tensor) for tensor in response.outputs],
        }
    ), None


def encode_error(message: str) -> bytes:
    """The body of every REST error."""
    return jsonlib.dumps({"error": message})


def encode_request(request: InferRequest, binary: bool = False) -> Wire:
    """The client's side: a JSON body, or a JSON head with binary tensors behind it."""
    message: dict[str, Any] = {}
    if request.id:
        message["id"] = request.id
    parameters = dict(request.parameters)
    if binary and not request.outputs:
        parameters["binary_data_output"] = True
    if parameters:
        message["parameters"] = parameters
    if request.outputs:
        message["outputs"] = [
            {"name": output.name, "parameters": {**output.parameters, "binary_data": binary}}
            for output in request.outputs
        ]
    buffers: list[bytes | memoryview] = []
    message["inputs"] = [
        _binary_tensor(tensor, buffers) if binary else _json_tensor(tensor, nulls=False) for tensor in request.inputs
    ]
    head = jsonlib.dumps(message)
    if not binary:
        return Wire(head, {"content-type": "application/json"})
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Wire(b"".join((head, *buffers)), headers)


def decode_response(body: bytes, header_length: int | None = None) -> InferResponse:
    """The client's side: an answer out of its body."""
    head, tail = _split(body, header_length)
    message = jsonlib.loads(head)
    if type(message) is not dict or type(message.get("outputs")) is not list:
        raise InvalidInput("body: expected an object with outputs")
    return InferResponse(
        read_tensors(message["outputs"], tail, "outputs"),
        parameters=parameters_field(message.get("parameters") or {}, "parameters"),
        model_name=text_field(message.get("model_name"), "model_name"),
        model_version=message.get("model_version"),
        id=text_field(message.get("id"), "id"),
    )


def parse_header_length(value: str | bytes | None) -> int | None:
    """The header's number; ``InvalidInput`` when it is none."""
    if value is None:
        return None
    try:
        if not value.strip().isdigit():
            raise ValueError
        return int(value)
    except ValueError:
        shown = value.decode("latin-1") if isinstance(value, bytes) else value
        raise InvalidInput(
            f"Inference-Header-Content-Length: got {shown[:40]!r}, expected the length of the JSON head in bytes"
        ) from None


def _split(body: bytes, header_length: int | None) -> tuple[bytes | memoryview, memoryview | None]:
    if header_length is None:
        return body, None
    if header_length > len(body):
        raise InvalidInput(f"Inference-Header-Content-Length: got {header_length}, the body has only {len(body)} bytes")
    view = memoryview(body)
    return view[:header_length], view[header_length:]


def _requested(given: Any) -> list[RequestedOutput]:
    if type(given) is not list:
        raise InvalidInput(f"outputs: got {kind_of(given)}, expected a list")
    requested = []
    for index, entry in enumerate(given):
        if type(entry) is not dict:
            raise InvalidInput(f"outputs[{index}]: got {kind_of(entry)}, expected an object with a name")
        parameters = parameters_field(entry.get("parameters") or {}, f"outputs[{index}].parameters")
        binary = parameters.pop("binary_data", None)
        if binary is not None and type(binary) is not bool:
            raise InvalidInput(f"outputs[{index}].parameters.binary_data: got {kind_of(binary)}, expected a boolean")
        requested.append(RequestedOutput(name_field(entry.get("name"), f"outputs[{index}]"), parameters, binary))
    return requested


def _binary_names(request: InferRequest, response: InferResponse) -> set[str]:
    """Outputs to send in binary: their own ``binary_data`` wins over the request's ``binary_data_output``."""
    own = {output.name: output.binary for output in request.outputs or () if output.binary is not None}
    return {t.name for t in response.outputs if own.get(t.name, request.binary_outputs)}


def _encode_binary(response: InferResponse, binary: set[str]) -> tuple[bytes, int]:
    buffers: list[bytes | memoryview] = []
    message: dict[str, Any] = {
        "id": response.id,
        "model_name": response.model_name,
        "model_version": response.model_version,
    }
    if response.parameters:
        message["parameters"] = response.parameters
    message["outputs"] = [
        _binary_tensor(tensor, buffers) if tensor.name in binary else _json_tensor(tensor)
        for tensor in response.outputs
    ]
    head = jsonlib.dumps(message)
    return b"".join((head, *buffers)), len(head)


def _binary_tensor(tensor: Tensor, buffers: list[bytes | memoryview]) -> dict[str, Any]:
    buffer = tensor.to_buffer()
    buffers.append(buffer)
    return {
        "name": tensor.name,
        "shape": tensor.data.shape,
        "datatype": tensor.datatype,
        "parameters": {**tensor.parameters, "binary_data_size": len(buffer)},
    }


def _json_tensor(tensor: Tensor, nulls: bool = True) -> dict[str, Any]:
    parameters: Mapping[str, Any] = tensor.parameters
    try:
        data = json_data(tensor.data, tensor.datatype)
    except NotText:  # bytes that are no text travel as base64, and say so
        data = [base64.b64encode(element).decode() for element in tensor.data.flat]
        parameters = {**parameters, "content_type": "base64"}
    entry: dict[str, Any] = {"name": tensor.name, "shape": tensor.data.shape, "datatype": tensor.datatype}
    if parameters or nulls:
        entry["parameters"] = parameters or None
    entry["data"] = data
    return entry
