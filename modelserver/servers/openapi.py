"""The OpenAPI document: FastAPI's own part, and inference for every model with an example filled from its inputs."""

from __future__ import annotations

from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import ModelServerError
from modelserver.metadata import ModelMetadata, TensorMetadata

Object: TypeAlias = dict[str, Any]

_NUMBER: Object = {"type": "number"}
_PARAMETERS: Object = {
    "type": "object",
    "nullable": True,
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
}
_ERROR: Object = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
_DATATYPES = [
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip
_TENSOR: Object = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "datatype": {"type": "string", "enum": _DATATYPES},
        "parameters": _PARAMETERS,
        "data": {"type": "array", "items": {}},
    },
}
_V2_REQUEST: Object = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": _PARAMETERS,
        "inputs": {"type": "array", "minItems": 1, "items": _TENSOR},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string", "minLength": 1}, "parameters": _PARAMETERS},
            },
        },
    },
}
_V1_REQUEST: Object = {"type": "object", "properties": {"instances": {"type": "array", "items": {}}}}


def openapi_document(app: FastAPI, dataplane: DataPlane) -> Object:
    """The whole document, made anew each time since models come and go."""
    document: Object = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for path in document["paths"].values():
        for operation in path.values():
            _add_errors(operation)
    for name in dataplane.models():
        try:
            metadata = dataplane.model_metadata(name)
        except ModelServerError:
            continue
        document["paths"][f"/v2/models/{name}/infer"] = {"post": _operation(metadata, "v2")}
        document["paths"][f"/v1/models/{name}:predict"] = {"post": _operation(metadata, "v1")}
    return document


def example_value(datatype: str) -> object:
    """A value that any input of this datatype takes."""
    return "text" if datatype == "BYTES" else True if datatype == "BOOL" else 1 if "INT" in datatype else 0.5


def _operation(metadata: ModelMetadata, protocol: str) -> Object:
    schema, example = (_V1_REQUEST, _v1_example) if protocol == "v1" else (_V2_REQUEST, _v2_example)
    content: Object = {"schema": schema}
    if metadata.inputs:
        content["example"] = example(metadata)
    operation: Object = {
        "tags": ["inference"],
        "operationId": f"infer_{protocol}_{metadata.name}",
        "summary": f"Infer with {metadata.name} ({protocol})",
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {"200": {"description": "The answer", "content": {"application/json": {"schema": {}}}}},
    }
    _add_errors(operation)
    return operation


def _add_errors(operation: Object) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)  # this server answers 400
    for status, meaning in (("4XX", "The request is wrong"), ("5XX", "It cannot be answered now")):
        responses[status] = {"description": meaning, "content": {"application/json": {"schema": _ERROR}}}


def _filled(metadata: TensorMetadata) -> tuple[list[int], Any]:
    shape = [1 if size < 0 else size for size in metadata.shape]
    data: Any = example_value(metadata.datatype)
    for size in reversed(shape):
        data = [data] * size
    return shape, data


def _v1_example(metadata: ModelMetadata) -> Object:
    inputs = _required(metadata)
    if len(inputs) == 1:
        return {"instances": _filled(inputs[0])[1]}
    return {"instances": [{tensor.name: _filled(tensor)[1][0] for tensor in inputs if tensor.shape}]}


def _v2_example(metadata: ModelMetadata) -> Object:
    inputs = []
    for tensor in _required(metadata):
        shape, data = _filled(tensor)
        inputs.append({"name": tensor.name, "shape": shape, "datatype": tensor.datatype, "data": data})
    return {"inputs": inputs}


def _required(metadata: ModelMetadata) -> list[TensorMetadata]:
    return [tensor for tensor in metadata.inputs if not tensor.optional]
