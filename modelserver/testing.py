"""For tests of your own models: a server without ports, and a check that any ``Model`` behaves on every wire.

::

    async with InMemoryServer([Sum("sum")]) as server:
        response = await server.infer("v2-json", InferRequest("sum", [Tensor("x", [[1.0, 2.0]])]))
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

import numpy as np

from modelserver.composition import Composition, compose
from modelserver.engine.loader import NoCatalog, sources_of_models, sources_of_path
from modelserver.errors import ModelServerError, code_of_status
from modelserver.messages import InferRequest, InferResponse
from modelserver.model import Model
from modelserver.protocols import v1, v2_grpc, v2_rest
from modelserver.settings import ServerSettings
from modelserver.tensor import Tensor

#: Every way a tensor can travel.
WIRES = ("v1", "v2-json", "v2-binary", "grpc", "grpc-raw")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: The body as it was sent: more than one part when it was streamed.
    chunks: Sequence[bytes] = ()

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class InMemoryServer:
    """Both doors of a server over the given models (or a path), called without a socket."""

    def __init__(self, what: Sequence[Model] | str | os.PathLike[str], **settings: object) -> None:
        self.settings = ServerSettings.resolve({"access_log": False, **settings}, {})
        self._what = what
        self._composition: Composition | None = None

    async def __aenter__(self) -> Self:
        if isinstance(self._what, (str, os.PathLike)):
            sources, catalog = sources_of_path(os.fspath(self._what))
        else:
            sources, catalog = sources_of_models(self._what), NoCatalog()
        self._composition = compose(self.settings, sources, catalog)
        await self._composition.dataplane.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.composition.dataplane.stop(0)
        self.composition.close()

    @property
    def composition(self) -> Composition:
        """The server's objects."""
        if self._composition is None:
            raise RuntimeError("use it as a context: async with InMemoryServer(...) as server")
        return self._composition

    async def request(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One HTTP request; a body that is not ``bytes`` is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await _call_asgi(self.composition.rest, method, path, content, dict(headers or {}))

    async def grpc(self, method: str, message: bytes, metadata: Mapping[str, str] | None = None) -> bytes:
        """One unary gRPC call of ``GRPCInferenceService``; ``ModelServerError`` with the status's code."""
        door = self.composition.grpc
        if door is None:
            raise RuntimeError("gRPC is turned off")
        reply = await door.calls.call(
            f"/inference.GRPCInferenceService/{method}", message, tuple((metadata or {}).items()), None
        )
        if reply.code is not None:
            raise ModelServerError(reply.message, code=reply.code)
        return reply.body

    async def infer(self, wire: str, request: InferRequest) -> InferResponse:
        """Send a request over one of ``WIRES``; ``ModelServerError`` for an error answer.

        v1 knows neither names nor datatypes: its outputs are those of ``v1.decode_response``.
        """
        name, version = request.model_name, request.model_version
        if wire in ("grpc", "grpc-raw"):
            message = v2_grpc.encode_request(request, raw=wire == "grpc-raw")
            return v2_grpc.decode_response(await self.grpc("ModelInfer", message))
        if wire == "v1":
            sent = v1.encode_request(request)
            reply = await self.request("POST", f"/v1/models/{name}:predict", sent.body, sent.headers)
            return v1.decode_response(_checked(reply).body)
        sent = v2_rest.encode_request(request, binary=wire == "v2-binary")
        path = f"/v2/models/{name}" + (f"/versions/{version}" if version else "") + "/infer"
        reply = _checked(await self.request("POST", path, sent.body, sent.headers))
        return v2_rest.decode_response(
            reply.body, v2_rest.parse_header_length(reply.headers.get(v2_rest.HEADER_LENGTH))
        )


async def check_model(model: Model, inputs: Sequence[Tensor], *, rtol: float = 0.0) -> None:
    """Assert that a model behaves as every model must; ``inputs`` are an example that it can predict.

    It loads; the four v2 wires give equal answers, bit for bit unless ``rtol`` allows a relative difference, and
    v1 the same values; outputs agree with what it declares; wrong inputs are the client's mistake (never a 5xx);
    it unloads, is then not ready, and loads again. Raises ``AssertionError`` saying what does not hold.
    """
    async with InMemoryServer([model]) as server:
        dataplane = server.composition.dataplane
        assert dataplane.ready(), f"{model.name} is not ready: {dataplane.why_not_ready()}"
        answers = {wire: await server.infer(wire, InferRequest(model.name, list(inputs))) for wire in WIRES}
        first = answers["grpc-raw"]
        for wire in WIRES[1:]:
            _assert_same(wire, first, answers[wire], rtol)
        _assert_same_values(answers["v1"], first, rtol)
        _assert_declared(model, first)
        for wire in WIRES[1:]:
            for what, wrong in _wrong(inputs, bool(model.inputs)):
                await _assert_refused(server, wire, model.name, what, wrong)
        await dataplane.unload(model.name)
        assert not dataplane.model_ready(model.name), "it is ready after unload"
        await dataplane.load(model.name)
        again = await server.infer("grpc-raw", InferRequest(model.name, list(inputs)))
        _assert_same("grpc-raw after reload", first, again, rtol)


def _checked(reply: Reply) -> Reply:
    if reply.status >= 400:
        raise ModelServerError(reply.json()["error"], status=reply.status)
    return reply


def _assert_same(wire: str, expected: InferResponse, actual: InferResponse, rtol: float) -> None:
    names = [tensor.name for tensor in expected.outputs]
    assert names == [tensor.name for tensor in actual.outputs], f"{wire}: outputs {actual.outputs}, expected {names}"
    for one, other in zip(expected.outputs, actual.outputs, strict=True):
        assert one.datatype == other.datatype, f"{wire}: {one.name} is {other.datatype}, expected {one.datatype}"
        assert one.shape == other.shape, f"{wire}: {one.name} is {other.shape}, expected {one.shape}"
        assert _equal(one.data, other.data, rtol), f"{wire}: {one.name} differs: {other.data} != {one.data}"


def _equal(one: np.ndarray, other: np.ndarray, rtol: float) -> bool:
    if one.dtype.kind in "OUSb":
        return bool((one == other).all())
    return bool(np.allclose(one.astype(float), other.astype(float), rtol=rtol, atol=0, equal_nan=True))


def _assert_same_values(v1_answer: InferResponse, expected: InferResponse, rtol: float) -> None:
    if v1_answer.json_is_set or len(v1_answer.outputs) != 1 or len(expected.outputs) != 1:
        return  # rows of several outputs, or JSON of the model's own
    one, other = expected.outputs[0].data, v1_answer.outputs[0].data
    assert one.shape == other.shape, f"v1: shape {other.shape}, expected {one.shape}"
    assert _equal(one, other.astype(one.dtype), rtol), f"v1: {other} != {one}"


def _assert_declared(model: Model, response: InferResponse) -> None:
    declared = {metadata.name: metadata for metadata in model.outputs}
    for tensor in response.outputs:
        metadata = declared.get(tensor.name)
        if metadata is None:
            assert not declared, f"output {tensor.name!r} is not declared: {', '.join(declared)}"
            continue
        assert tensor.datatype == metadata.datatype, f"{tensor.name} is {tensor.datatype}, not {metadata.datatype}"
        fits = len(tensor.shape) == len(metadata.shape) and all(
            wanted in (-1, size) for size, wanted in zip(tensor.shape, metadata.shape, strict=True)
        )
        assert fits, f"{tensor.name} has shape {tensor.shape}, declared is {list(metadata.shape)}"


def _wrong(inputs: Sequence[Tensor], declares: bool) -> list[tuple[str, list[Tensor]]]:
    first = inputs[0]
    if not declares:
        return []
    deeper = Tensor(first.name, first.data[np.newaxis, np.newaxis], first.datatype)
    return [
        ("an input too deep by two axes", [deeper, *inputs[1:]]),
        ("an input that is not the model's", [*inputs, Tensor("nobody-knows-me", np.zeros((1, 1, 1, 1)))]),
    ]


async def _assert_refused(server: InMemoryServer, wire: str, name: str, what: str, inputs: list[Tensor]) -> None:
    try:
        await server.infer(wire, InferRequest(name, inputs))
    except ModelServerError as error:
        code = error.code
    else:
        raise AssertionError(f"{wire}: {what} was answered")
    assert code is code_of_status(400), f"{wire}: {what} is {code}"


async def _call_asgi(app: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
    path, _, query = path.partition("?")
    headers.setdefault("content-length", str(len(body)))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    chunks = [message.get("body", b"") for message in sent[1:]]
    received = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], received, b"".join(chunks), [chunk for chunk in chunks if chunk])
