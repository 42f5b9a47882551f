"""The REST door: an ASGI application that answers inference itself and hands everything else to FastAPI.

Matching a path and calling an async function is what FastAPI's routing costs most of; see
``docs/architecture``. User middleware wraps this whole application, so nothing goes round it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelServerError, Unimplemented
from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.protocols import v1, v2_rest
from modelserver.protocols.cloudevents import CloudEventSettings
from modelserver.protocols.headers import request_id, server_timing
from modelserver.servers import v1_rest
from modelserver.servers.bodies import Receive, accepted_encoding, compress, decompress, read_body
from modelserver.telemetry.observer import Observer

log = logging.getLogger("modelserver.rest")

Scope: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The one table from a failure's code to an HTTP status.
STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.FAILED_PRECONDITION: 412,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.DEADLINE_EXCEEDED: 504,
}

_INFERENCE = re.compile(
    r"/(?:v1/models/(?P<v1>[^/:]+):(?P<verb>predict|explain)"
    r"|v2/models/(?P<v2>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer)/?"
)
_PROBES = ("/v2/health/", "/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class RestOptions:
    """What of the settings concerns this door; sizes in bytes, times in seconds."""

    max_body_bytes: int = 64 * 1024 * 1024
    compression_min_bytes: int = 1024
    request_timeout: float = 0.0
    cloudevents: CloudEventSettings = field(default_factory=CloudEventSettings)


class RequestHeaders(Mapping[str, str]):
    """A request's headers by lower-case name, decoded only when somebody looks."""

    __slots__ = ("_decoded", "_raw")

    def __init__(self, raw: Sequence[tuple[bytes, bytes]]) -> None:
        self._raw = raw
        self._decoded: dict[str, str] | None = None

    def _headers(self) -> dict[str, str]:
        if self._decoded is None:
            self._decoded = {key.decode("latin-1"): value.decode("latin-1") for key, value in self._raw}
        return self._decoded

    def __getitem__(self, name: str) -> str:
        return self._headers()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers())

    def __len__(self) -> int:
        return len(self._headers())


class RestDoor:
    """The ASGI application of one server."""

    def __init__(self, dataplane: DataPlane, rest: Asgi, observers: Sequence[Observer], options: RestOptions) -> None:
        self._dataplane = dataplane
        self._rest = rest
        self._observers = observers
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry: http only; lifespan and websockets are not ours."""
        if scope["type"] != "http":
            return
        match = _INFERENCE.fullmatch(scope["path"]) if scope["method"] == "POST" else None
        if match is None:
            await self._other(scope, receive, send)
        else:
            await _Exchange(self._dataplane, self._observers, self._options, scope, receive, send).answer(match)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything that is not inference: FastAPI answers; id, timing and the record are added here."""
        start = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        context = Context(id=request_id(given.decode("latin-1") if given else None), protocol="rest")
        context.verb = "other"
        # Whatever FastAPI parses is bounded by the same limit as inference.
        announced = headers.get(b"content-length", b"0")
        code: Code | None = None
        size = 0

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal code, size
            if message["type"] == "http.response.start":
                code = _CODES.get(message["status"]) if message["status"] >= 400 else None
                context.predict = time.perf_counter() - start
                message["headers"] = [*message["headers"], *_standard_headers(context, self._dataplane)]
            else:
                size += len(message.get("body", b""))
            await send(message)

        if announced.isdigit() and int(announced) > MANAGEMENT_BODY_BYTES:
            text = f"body: got {int(announced)} bytes, this route takes {MANAGEMENT_BODY_BYTES}"
            await _send_error(sending, ModelServerError(text, code=Code.PAYLOAD_TOO_LARGE), [])
        else:
            await self._rest(scope, receive, sending)
        path = scope["path"]
        if not path.startswith(_PROBES) and path != "/":
            context.verb = scope.get("modelserver.verb", f"{scope['method']} {path}"[:200])
            for observer in self._observers:
                observer.started("")
                observer.finished(context, "", "", code, time.perf_counter() - start, int(announced or 0), size)


#: Bodies of load, unload and index are a few parameters.
MANAGEMENT_BODY_BYTES = 1024 * 1024
_CODES = {status: code for code, status in reversed(STATUS.items())}


class _Exchange:
    """One inference request and its answer."""

    __slots__ = ("context", "dataplane", "headers", "observers", "options", "receive", "scope", "send", "size", "start")

    def __init__(
        self,
        dataplane: DataPlane,
        observers: Sequence[Observer],
        options: RestOptions,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self.start = time.perf_counter()
        self.dataplane = dataplane
        self.observers = observers
        self.options = options
        self.scope = scope
        self.receive = receive
        self.send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.context = Context(RequestHeaders(scope["headers"]), request_id(given.decode("latin-1") if given else None))
        self.size = 0

    async def answer(self, match: re.Match[str]) -> None:
        name, verb, v2_name, version = match.groups()
        context = self.context
        context.protocol, context.verb = ("v1", verb) if name else ("v2", "predict")
        name = name or v2_name
        code: Code | None = None
        sent = 0
        for observer in self.observers:
            observer.started(name)
        try:
            # Readiness is the first question: a body for a model that is not there is not parsed.
            self.dataplane.require_model(name, version)
            body = await self._body()
            sent = await (self._v1(name, body) if context.protocol == "v1" else self._v2(name, version, body))
        except ModelServerError as exc:
            code = exc.code
            sent = await _send_error(self.send, exc, _standard_headers(context, self.dataplane))
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        except Exception as exc:
            code = Code.INTERNAL
            log.error("request id %s failed", context.id, exc_info=exc)
            error = ModelServerError(f"internal error; the server's log has it under request id {context.id}")
            sent = await _send_error(self.send, error, _standard_headers(context, self.dataplane))
        finally:
            seconds = time.perf_counter() - self.start
            for observer in self.observers:
                observer.finished(context, name, context.model_version, code, seconds, self.size, sent)

    async def _body(self) -> bytes:
        limit = self.options.max_body_bytes
        body = await read_body(self.receive, limit, self.headers.get(b"content-length"))
        encoding = self.headers.get(b"content-encoding")
        if encoding is not None:
            if len(body) > OFF_LOOP_BYTES:
                body = await asyncio.to_thread(decompress, body, encoding.decode("latin-1"), limit)
            else:
                body = decompress(body, encoding.decode("latin-1"), limit)
        self.size = len(body)
        return body

    async def _v2(self, name: str, version: str | None, body: bytes) -> int:
        context = self.context
        started = time.perf_counter()
        length = self.headers.get(b"inference-header-content-length")
        head_length = None if length is None else v2_rest.parse_header_length(length)
        request = v2_rest.decode_request(body, head_length, name, context)
        request.model_version = version
        self._prepare(request, started)
        response = await self.dataplane.infer(request)
        if not isinstance(response, InferResponse):
            response = await only_response(response, "POST /v1/models/{name}:predict or gRPC ModelStreamInfer")
        started = time.perf_counter()
        content, head = v2_rest.encode_response(request, response)
        context.encode = time.perf_counter() - started
        if head is None:
            return await self._respond(content, [_JSON])
        return await self._respond(
            content, [_OCTETS, (b"inference-header-content-length", str(head).encode("latin-1"))]
        )

    async def _v1(self, name: str, body: bytes) -> int:
        started = time.perf_counter()
        request, event = v1_rest.decode(body, self.headers, self.context, name)
        self._prepare(request, started)
        if self.context.verb == "explain":
            response = await self.dataplane.explain(request)
        else:
            response = await self.dataplane.infer(request)
        if not isinstance(response, InferResponse):
            return await self._stream(request, response)
        started = time.perf_counter()
        content, headers = v1_rest.encode(request, response, event, self.options.cloudevents)
        self.context.encode = time.perf_counter() - started
        return await self._respond(content, headers)

    def _prepare(self, request: InferRequest, started: float) -> None:
        context = self.context
        context.decode = time.perf_counter() - started
        context.parameters = request.parameters
        timeout = self.options.request_timeout
        if request.parameters and "timeout" in request.parameters:
            given = request.parameters["timeout"]  # Triton's clients send it in microseconds
            if type(given) is int and given > 0:
                timeout = given / 1e6
        if timeout:
            context.deadline = time.monotonic() + timeout - (time.perf_counter() - self.start)

    async def _respond(self, body: bytes, headers: list[tuple[bytes, bytes]]) -> int:
        if len(body) >= self.options.compression_min_bytes:
            accept = self.headers.get(b"accept-encoding")
            encoding = accepted_encoding(accept) if accept else None
            if encoding:
                # zlib lets go of the GIL, so a large body is compressed beside the loop.
                large = len(body) > OFF_LOOP_BYTES
                body = await asyncio.to_thread(compress, body, encoding) if large else compress(body, encoding)
                headers.append((b"content-encoding", encoding.encode()))
                headers.append((b"vary", b"accept-encoding"))
        headers.append((b"content-length", b"%d" % len(body)))
        headers += _standard_headers(self.context, self.dataplane)
        if self.context.response_headers:
            headers = _with_model_headers(headers, self.context.response_headers)
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
        return len(body)

    async def _stream(self, request: InferRequest, responses: AsyncIterator[InferResponse]) -> int:
        """One chunk a response. The status is out before an error of a later one: that is its own last line."""
        headers = [v1_rest.STREAM, *_standard_headers(self.context, self.dataplane)]
        headers = _with_model_headers(headers, self.context.response_headers)
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        sent = 0
        try:
            async for response in responses:
                chunk = v1.encode_chunk(request, response)
                sent += len(chunk)
                await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except ModelServerError as exc:
            chunk = v2_rest.encode_error(exc.message) + b"\n"
            sent += len(chunk)
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await responses.aclose()  # type: ignore[attr-defined]
        await self.send({"type": "http.response.body", "body": b""})
        return sent


#: Bodies larger than this are compressed and decompressed in a thread.
OFF_LOOP_BYTES = 256 * 1024

_JSON = (b"content-type", b"application/json")
_OCTETS = (b"content-type", b"application/octet-stream")
_NOT_THE_MODELS = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding", "server-timing"})


async def only_response(responses: AsyncIterator[InferResponse], instead: str) -> InferResponse:
    """The one response of a stream; ``Unimplemented`` for more, since this route cannot stream."""
    try:
        async for response in responses:
            async for _ in responses:
                raise Unimplemented(f"this model streams several responses; use {instead}")
            return response
        raise ModelServerError("the model streamed no response")
    finally:
        await responses.aclose()  # type: ignore[attr-defined]


def status_of(error: ModelServerError) -> int:
    """The HTTP status of an error: the author's own choice, or its code's."""
    return error.status or STATUS[error.code]


def _standard_headers(context: Context, dataplane: DataPlane) -> list[tuple[bytes, bytes]]:
    headers = [
        (b"x-request-id", context.id.encode("latin-1")),
        (b"server-timing", server_timing(context).encode("latin-1")),
    ]
    if dataplane.stopping:
        # A client that keeps its connection would send its next request into a closing one.
        headers.append((b"connection", b"close"))
    return headers


def _with_model_headers(headers: list[tuple[bytes, bytes]], given: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """The model's headers over ours, but for those that frame the message; no line breaks."""
    extra = {}
    for name, value in given.items():
        if name.lower() not in _NOT_THE_MODELS:
            text = str(value).replace("\r", " ").replace("\n", " ")
            extra[name.lower().encode("latin-1", "replace")] = text.encode("latin-1", "replace")
    return [header for header in headers if header[0] not in extra] + list(extra.items())


async def _send_error(send: Send, error: ModelServerError, extra: list[tuple[bytes, bytes]]) -> int:
    body = v2_rest.encode_error(error.message)
    headers = [_JSON, (b"content-length", str(len(body)).encode()), *extra]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
    headers = _with_model_headers(headers, error.headers)
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return len(body)
