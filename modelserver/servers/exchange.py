"""One inference request over REST and its answer, from the first byte read to the last one sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelServerError, ServerNotReady, Unimplemented
from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.protocols import v1, v2_rest
from modelserver.protocols.cloudevents import CloudEventSettings
from modelserver.protocols.headers import request_id
from modelserver.servers import v1_rest
from modelserver.servers.answers import (
    JSON,
    OCTETS,
    Headers,
    Send,
    send_error,
    standard_headers,
    with_model_headers,
)
from modelserver.servers.bodies import Receive, accepted_encoding, compress, decompress, read_body
from modelserver.telemetry.observer import Observer

log = logging.getLogger("modelserver.rest")

Scope: TypeAlias = MutableMapping[str, Any]
#: What an inference path says: protocol, verb, model, version.
Route: TypeAlias = tuple[str, str, str, str | None]

#: Bodies larger than this are compressed and decompressed in a thread.
OFF_LOOP_BYTES = 256 * 1024


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


class Exchange:
    """One inference request and its answer."""

    __slots__ = (
        "context",
        "dataplane",
        "failed",
        "headers",
        "observers",
        "options",
        "receive",
        "scope",
        "send",
        "size",
        "start",
        "streaming",
    )

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
        self.streaming = False
        #: Why a stream ended early, when its status was out already.
        self.failed: Code | None = None

    async def answer(self, route: Route) -> None:
        """Read the request, have it answered, send the answer or the error, tell the observers."""
        context = self.context
        context.protocol, context.verb, name, version = route
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
            sent = await send_error(self.send, exc, standard_headers(context, self.dataplane))
        except asyncio.CancelledError:
            code = Code.CANCELLED
            if self.streaming or not self.dataplane.stopping:
                raise
            # The grace period is over, and this task with it: what uvicorn would answer is no JSON.
            error: ModelServerError = ServerNotReady("It stopped before this request was answered.")
            sent = await send_error(self.send, error, standard_headers(context, self.dataplane))
        except Exception as exc:
            error = self._crashed(exc)
            code = error.code
            sent = await send_error(self.send, error, standard_headers(context, self.dataplane))
        finally:
            code = code or self.failed
            seconds = time.perf_counter() - self.start
            for observer in self.observers:
                observer.finished(context, name, context.model_version, code, seconds, self.size, sent)

    def _crashed(self, exc: Exception) -> ModelServerError:
        """Log what nobody foresaw; what the client is told of it."""
        log.error("request id %s failed", self.context.id, exc_info=exc)
        return ModelServerError(f"internal error; the server's log has it under request id {self.context.id}")

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
            return await self._respond(content, [JSON])
        return await self._respond(content, [OCTETS, (b"inference-header-content-length", str(head).encode("latin-1"))])

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

    async def _respond(self, body: bytes, headers: Headers) -> int:
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
        headers += standard_headers(self.context, self.dataplane)
        if self.context.response_headers:
            headers = with_model_headers(headers, self.context.response_headers)
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
        return len(body)

    async def _stream(self, request: InferRequest, responses: AsyncIterator[InferResponse]) -> int:
        """One chunk a response. The status is out before an error of a later one: that is its own last line."""
        headers = [v1_rest.STREAM, *standard_headers(self.context, self.dataplane)]
        headers = with_model_headers(headers, self.context.response_headers)
        self.streaming = True
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        sent = 0
        try:
            async for response in responses:
                chunk = v1.encode_chunk(request, response)
                sent += len(chunk)
                await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Exception as exc:
            error = exc if isinstance(exc, ModelServerError) else self._crashed(exc)
            self.failed = error.code
            chunk = v2_rest.encode_error(error.message) + b"\n"
            sent += len(chunk)
            await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            await responses.aclose()  # type: ignore[attr-defined]
        await self.send({"type": "http.response.body", "body": b""})
        return sent


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
