"""The v1 REST codec: JSON with ``instances`` in and ``predictions`` out, or any JSON, or any bytes.

A body has no tensors of its own: ``request.json`` is what was sent, and ``Instances`` makes tensors of it when
somebody asks for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelserver.datatypes import BFLOAT16
from modelserver.errors import InvalidInput
from modelserver.messages import Context, InferRequest, InferResponse, Json
from modelserver.protocols.codec import Wire
from modelserver.protocols.instances import Instances
from modelserver.protocols.jsonlib import dumps, dumps_message, loads, text_of
from modelserver.tensor import Tensor

JSON = "application/json"
OCTETS = "application/octet-stream"
#: Sent by clients that did not think about it (the second is curl's own): JSON when it parses, bytes otherwise.
_UNDECIDED = frozenset({OCTETS, "application/x-www-form-urlencoded"})


def is_json(content_type: str) -> bool:
    """Whether a ``Content-Type`` is one of JSON's (RFC 6839: ``+json`` too), whatever its parameters."""
    media = content_type.partition(";")[0].strip().lower()
    return media in (JSON, "text/json") or media.endswith("+json")


def may_be_json(content_type: str | None) -> bool:
    """Whether a body of this type is read as JSON when it is some."""
    return not content_type or is_json(content_type) or content_type.partition(";")[0].strip().lower() in _UNDECIDED


def decode_request(
    body: bytes, content_type: str | None, model_name: str, context: Context | None = None
) -> InferRequest:
    """A request out of its body: ``json`` and ``lazy_inputs``, or ``body`` when it is no JSON by its content type.

    ``InvalidInput`` when it should be JSON and is not, or when ``instances`` is there and no list.

    >>> decode_request(b'{"instances": [[1.5]]}', "application/json; charset=utf-8", "m").array().tolist()
    [[1.5]]
    """
    if not content_type or content_type == JSON or is_json(content_type):
        return request_of(loads(body), model_name, context)
    if content_type.partition(";")[0].strip().lower() in _UNDECIDED:
        try:
            value = loads(body)
        except InvalidInput:
            return InferRequest(model_name, body=body, context=context)
        return request_of(value, model_name, context)
    return InferRequest(model_name, body=body, context=context)


def request_of(value: Json, model_name: str, context: Context | None = None) -> InferRequest:
    """A request out of a parsed body; what is neither instances nor inputs is left to the model."""
    if type(value) is dict and "instances" in value and type(value["instances"]) is not list:
        raise InvalidInput('Expected "instances" to be a list')
    return InferRequest(model_name, json=value, lazy_inputs=Instances(value), context=context)


def encode_response(request: InferRequest, response: InferResponse) -> tuple[bytes, str]:
    """The body and its content type.

    One output is ``{"predictions": ...}`` (``explanations`` for the verb explain). Several are a list of row objects
    when they have their rows in common, else one object of arrays. A JSON answer is sent as it is, bytes as they are.
    """
    if response.json_is_set:
        value = response.json
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value), OCTETS
        return dumps(value), JSON
    outputs = response.outputs
    if len(outputs) == 1:
        key = "explanations" if request.context.verb == "explain" else "predictions"
        return dumps_message({key: _nested(outputs[0])}), JSON
    if request.context.verb != "explain" and _share_rows(outputs):
        return dumps({"predictions": _row_objects(outputs)}), JSON
    return dumps({tensor.name: _nested(tensor) for tensor in outputs}), JSON


def encode_chunk(request: InferRequest, response: InferResponse) -> bytes:
    """One response of a stream: a JSON document on a line of its own; text and bytes as they are."""
    if response.json_is_set:
        value = response.json
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
    return encode_response(request, response)[0] + b"\n"


def encode_error(message: str) -> bytes:
    """The body of every REST error."""
    return dumps({"error": message})


def encode_request(request: InferRequest) -> Wire:
    """The client's side: ``json`` or ``body`` as they are, else the tensors as instances or as columns.

    Several inputs with one value a row each go as KServe's servers read them, ``{"instances": [{"x": [1]}, ...]}``;
    others as ``{"inputs": {"x": ...}}``. Datatypes are not sent, and NaN and the infinities become null.
    """
    if request.body is not None:
        return Wire(request.body, {"content-type": OCTETS})
    if request.json is not None or request.lazy_inputs is not None:
        return Wire(dumps(request.json), {"content-type": JSON})
    inputs = request.inputs
    message: dict[str, Any]
    if len(inputs) == 1:
        message = {"instances": _nested(inputs[0])}
    elif inputs and _share_rows(inputs) and all(t.data.ndim == 1 and t.data.size for t in inputs):
        message = {"instances": [{name: [cell] for name, cell in row.items()} for row in _row_objects(inputs)]}
    else:
        message = {"inputs": {tensor.name: _nested(tensor) for tensor in inputs}}
    return Wire(dumps(message), {"content-type": JSON})


def decode_response(body: bytes) -> InferResponse:
    """The client's side: the JSON answer, and its tensors too where ``predictions`` or ``explanations`` are some.

    A single tensor gets its key's name; row objects become one tensor a key.
    """
    value = loads(body)
    response = InferResponse.from_json(value)
    if type(value) is not dict:
        return response
    key = next((key for key in ("predictions", "explanations") if key in value), None)
    # An object with other keys beside that one is several outputs by name.
    lone = key is not None and len(value) == 1
    instances = Instances({"inputs": value[key] if lone else value})
    try:
        response.outputs = instances.tensors(())
    except InvalidInput:  # JSON that is no tensor: the caller has it in ``json``
        return response
    if key is not None and not instances.named and len(response.outputs) == 1:
        response.outputs[0].name = key
    return response


def _nested(tensor: Tensor) -> Any:
    """What JSON writes as lists nested in the tensor's shape."""
    if tensor.datatype != "BYTES":
        return tensor.data
    texts = [None if element is None else text_of(element) for element in tensor.data.ravel().tolist()]
    if tensor.data.ndim == 1:
        return texts
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(tensor.data.shape).tolist()


def _share_rows(tensors: Sequence[Tensor]) -> bool:
    if any(tensor.data.ndim == 0 or tensor.name == "predictions" for tensor in tensors):
        return False
    return len({tensor.data.shape[0] for tensor in tensors}) <= 1


def _row_objects(tensors: Sequence[Tensor]) -> list[dict[str, Any]]:
    names = [tensor.name for tensor in tensors]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*map(_cells, tensors), strict=True)]


def _cells(tensor: Tensor) -> list[Any]:
    """The tensor's rows one by one, each as JSON writes it."""
    if tensor.datatype == "BYTES":
        return list(_nested(tensor))
    array = tensor.data.astype(np.float32) if tensor.data.dtype == BFLOAT16 else tensor.data
    if array.ndim == 1 and array.dtype.itemsize == 8:
        return list(array.tolist())
    return list(np.ascontiguousarray(array))  # numpy's own scalars are written with the digits of their width
