"""How a failure is brought about on three protocols: short ways to write requests that are wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grpc import StatusCode

from modelserver import Code, InferRequest, Tensor
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest
from modelserver.protocols.v2_grpc import encode_request

OK_X = [[1, 2, 3, 4]]
HTTP = {
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}
GRPC = {
    Code.PAYLOAD_TOO_LARGE: StatusCode.RESOURCE_EXHAUSTED,
    **{code: StatusCode[code.name] for code in HTTP if code.name in StatusCode.__members__},
}


@dataclass(frozen=True)
class Rest:
    """A POST."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rpc:
    """A ModelInfer."""

    message: bytes
    timeout: float | None = None


@dataclass(frozen=True)
class Failure:
    """``says``: fragments that the message has on every protocol; ``also`` more of them by protocol.

    ``http`` is the status where an author chose it.
    """

    name: str
    code: Code
    says: tuple[str, ...]
    calls: Mapping[str, Rest | Rpc]
    also: Mapping[str, str] = field(default_factory=dict)
    http: int | None = None

    @property
    def status(self) -> int:
        return self.http or HTTP[self.code]

    @property
    def grpc_status(self) -> StatusCode:
        return GRPC[self.code]


def v1(body: Any, model: str = "sum", verb: str = "predict", **headers: str) -> Rest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Rest(f"/v1/models/{model}:{verb}", content, headers)


def v2(body: Any, model: str = "sum", length: str | None = None, tail: bytes = b"") -> Rest:
    """``length``: the Inference-Header-Content-Length; "auto" is the right one."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if length is None else {"Inference-Header-Content-Length": length.replace("auto", str(len(content)))}
    return Rest(f"/v2/models/{model}/infer", content + tail, headers)


def tensor(**changes: Any) -> dict[str, Any]:
    """The input that ``sum`` takes, with changes; ``...`` leaves a field out."""
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4], **changes}
    return {name: value for name, value in entry.items() if value is not ...}


def inputs(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": list(entries), **more}


def binary(size: object, **changes: Any) -> dict[str, Any]:
    return tensor(data=..., parameters={"binary_data_size": size}, **changes)


def rpc(*tensors: Tensor, model: str = "sum", raw: bool = False, **options: Any) -> Rpc:
    given = list(tensors) or [Tensor("x", OK_X, "FP32")]
    return Rpc(encode_request(InferRequest(model, given, **options), raw=raw))


def proto(raw: list[bytes] | None = None, model: str = "sum", **changes: Any) -> Rpc:
    """A ModelInferRequest for ``sum`` by hand, with changes of its input's fields."""
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 4], "contents": {"fp32_contents": [1, 2, 3, 4]}, **changes}
    entry = {name: value for name, value in entry.items() if value is not ...}
    return Rpc(ModelInferRequest(model_name=model, inputs=[entry], raw_input_contents=raw).SerializeToString())


def everywhere(model: str, verb: str = "predict", **options: Any) -> dict[str, Rest | Rpc]:
    """A request that ``sum`` would take, to ``model``, over every protocol."""
    return {
        "v1": v1({"instances": OK_X}, model, verb),
        "v2": v2(inputs(tensor()), model),
        "grpc": rpc(model=model, **options),
    }


X = Tensor("x", OK_X, "FP32")
