"""Every call of the gRPC service as a function from bytes to bytes: no socket, and no grpc.

The door in ``grpc.py`` moves the bytes over a port, ``testing.InMemoryServer`` without one; both answer the same.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelNotFound, ModelServerError, NotFound, Unimplemented
from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols.headers import request_id
from modelserver.protocols.v2_grpc import decode_request, encode_response, model_of
from modelserver.servers.grpc_metadata import Metadata, error_headers, metadata_of, status_text, trailing
from modelserver.telemetry.observer import Observer

log = logging.getLogger("modelserver.servers.grpc")

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"
MODEL_INFER = f"/{SERVICE}/ModelInfer"

#: How often (seconds) a health watch looks whether its status has changed.
WATCH_INTERVAL = 0.25
# The engine and grpc see the same deadline by clocks of their own.
_DEADLINE_TOLERANCE = 0.01


class Reply(NamedTuple):
    """The answer to a unary call: ``code`` is ``None`` for a success, else ``message`` says why."""

    body: bytes
    trailing: Metadata = ()
    code: Code | None = None
    message: str = ""


class GrpcCalls:
    """The unary calls by name in ``call``, and the streams ``stream_infer`` and ``watch``.

    Lengths are limits in bytes, -1 for none; ``request_timeout`` in seconds is the deadline of an inference whose
    client names none, 0 for none. ``stopping`` ends what only waits: watches and idle streams.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        observers: Sequence[Observer] = (),
        *,
        max_receive_message_length: int = -1,
        max_send_message_length: int = -1,
        request_timeout: float = 0.0,
    ) -> None:
        self.stopping = asyncio.Event()
        self._dataplane = dataplane
        self._observers = tuple(observers)
        self._max_receive = max_receive_message_length
        self._max_send = max_send_message_length
        self._request_timeout = request_timeout
        service, health = f"/{SERVICE}", f"/{HEALTH}"
        self._calls: dict[str, Callable[[bytes], bytes | Awaitable[bytes]]] = {
            f"{service}/ServerLive": lambda _: wire.encode_live(dataplane.live()),
            f"{service}/ServerReady": lambda _: wire.encode_ready(dataplane.ready()),
            f"{service}/ServerMetadata": lambda _: wire.encode_server_metadata(dataplane.server_metadata()),
            f"{service}/ModelReady": lambda body: wire.encode_ready(dataplane.model_ready(*wire.decode_model(body))),
            f"{service}/ModelMetadata": lambda body: wire.encode_model_metadata(
                dataplane.model_metadata(*wire.decode_model(body))
            ),
            f"{service}/ModelConfig": lambda body: wire.encode_model_config(
                dataplane.model_metadata(*wire.decode_model(body))
            ),
            f"{service}/ModelStatistics": self._statistics,
            f"{service}/RepositoryIndex": lambda body: wire.encode_index(
                dataplane.index(wire.decode_index_request(body))
            ),
            f"{service}/RepositoryModelLoad": self._load,
            f"{service}/RepositoryModelUnload": self._unload,
            f"{health}/Check": self._check,
        }

    @property
    def unary_methods(self) -> list[str]:
        """The full names of all unary calls, ``/package.Service/Method``."""
        return [MODEL_INFER, *self._calls]

    async def call(self, method: str, message: bytes, metadata: Metadata = (), deadline: float | None = None) -> Reply:
        """Answer one unary call. ``deadline`` is in the seconds of ``time.monotonic()``. Never raises but to cancel."""
        if -1 < self._max_receive < len(message):  # over a port grpc itself refuses these, in the same words
            text = f"Received message larger than max ({len(message)} vs. {self._max_receive})"
            return Reply(b"", (), Code.PAYLOAD_TOO_LARGE, text)
        if method == MODEL_INFER:
            return await self.infer(message, metadata, deadline)
        function = self._calls.get(method)
        if function is None:
            return Reply(b"", (), Code.UNIMPLEMENTED, f"Method {method} does not exist.")
        try:
            answer = function(message)
            body = answer if type(answer) is bytes else await answer  # type: ignore[misc]
            self._limit(body)
            return Reply(body)
        except ModelServerError as exc:
            return Reply(b"", metadata_of(error_headers(exc)), exc.code, status_text(exc.message))
        except Exception:
            log.exception("%s failed", method)
            return Reply(b"", (), Code.INTERNAL, "The call failed; the server's log says why.")

    async def infer(self, message: bytes, metadata: Metadata = (), deadline: float | None = None) -> Reply:
        """Answer one ModelInfer."""
        observed = self._observed(message, metadata, deadline)
        context = observed.context
        try:
            request = observed.decoded(decode_request(message, context))
            response = await self._dataplane.infer(request)
            if type(response) is not InferResponse:
                response = await _only(response, request)  # type: ignore[arg-type]
            encoding = time.perf_counter()
            body = encode_response(request, response)
            context.encode = time.perf_counter() - encoding
            self._limit(body)
        except ModelServerError as exc:
            observed.finished(exc.code, 0)
            headers = {**context.response_headers, **error_headers(exc)}
            return Reply(b"", trailing(context, headers), exc.code, status_text(exc.message))
        except asyncio.CancelledError:
            observed.cancelled()
            raise
        except Exception as exc:
            return Reply(b"", trailing(context, {}), Code.INTERNAL, observed.crashed(exc))
        observed.finished(None, len(body))
        return Reply(body, trailing(context, context.response_headers))

    async def stream_infer(
        self, messages: AsyncIterator[bytes], metadata: Metadata = (), deadline: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Answer a ModelStreamInfer: every request in its turn, the failure of one as an ``error_message``."""
        async for message in messages:
            observed = self._observed(message, metadata, deadline)
            sent = 0
            try:
                request = observed.decoded(decode_request(message, observed.context))
                response = await self._dataplane.infer(request)
                responses = _one(response) if type(response) is InferResponse else response
                async with aclosing(responses):  # type: ignore[type-var]
                    async for each in responses:  # type: ignore[union-attr]
                        body = wire.encode_stream_response(encode_response(request, each))
                        self._limit(body)
                        sent += len(body)
                        yield body
            except ModelServerError as exc:
                observed.finished(exc.code, sent)
                yield wire.encode_stream_error(exc.message or exc.code.value, observed.model, observed.id)
            except (asyncio.CancelledError, GeneratorExit):
                observed.cancelled()
                raise
            except Exception as exc:
                yield wire.encode_stream_error(observed.crashed(exc), observed.model, observed.id)
            else:
                observed.finished(None, sent)

    async def watch(self, message: bytes) -> AsyncGenerator[bytes, None]:
        """Answer a health Watch: the status now and whenever it has changed, until the server stops."""
        service = wire.decode_health_request(message)
        last: bytes | None = None
        while True:
            try:
                status = wire.encode_health(self._serving(service))
            except ModelNotFound:
                status = wire.encode_health(None)
            if status != last:
                last = status
                yield status
            if self.stopping.is_set():
                return
            try:
                await asyncio.wait_for(self.stopping.wait(), WATCH_INTERVAL)
            except TimeoutError:
                continue

    def _serving(self, service: str) -> bool:
        if service in ("", SERVICE):
            return not self.stopping.is_set() and self._dataplane.ready()
        return self._dataplane.model_ready(service)

    def _check(self, message: bytes) -> bytes:
        service = wire.decode_health_request(message)
        try:
            return wire.encode_health(self._serving(service))
        except ModelNotFound as exc:
            raise NotFound(f"service: {service!r} is neither the server's service nor a model") from exc

    async def _statistics(self, message: bytes) -> bytes:
        name, version = wire.decode_model(message)
        return wire.encode_statistics(await self._dataplane.model_statistics(name or None, version))

    async def _load(self, message: bytes) -> bytes:
        name = wire.decode_repository_request(message)
        await self._dataplane.load(name)
        return wire.encode_loaded(name)

    async def _unload(self, message: bytes) -> bytes:
        name = wire.decode_repository_request(message)
        await self._dataplane.unload(name)
        return wire.encode_loaded(name)

    def _observed(self, message: bytes, metadata: Metadata, deadline: float | None) -> _Observed:
        if deadline is None and self._request_timeout:
            deadline = time.monotonic() + self._request_timeout
        return _Observed(self._observers, message, metadata, deadline)

    def _limit(self, body: bytes) -> None:
        if -1 < self._max_send < len(body):
            raise ModelServerError(
                f"the response of {len(body)} bytes is larger than grpc_max_send_message_length, {self._max_send}",
                code=Code.PAYLOAD_TOO_LARGE,
            )


class _Observed:
    """One inference from its first byte to its last: its context, its times, and who is told."""

    __slots__ = ("_message", "_observers", "_start", "_told", "context", "id", "model", "version")

    def __init__(
        self, observers: tuple[Observer, ...], message: bytes, metadata: Metadata, deadline: float | None
    ) -> None:
        self._start = time.perf_counter()
        self._observers = observers
        self._message = message
        headers = {name: value for name, value in metadata if type(value) is str}
        self.context = Context(headers, request_id(headers.get("x-request-id")), deadline, "grpc")
        self.model = self.version = self.id = ""
        self._told = False

    def decoded(self, request: InferRequest) -> InferRequest:
        """Tell the observers that the request is in flight."""
        self.context.decode = time.perf_counter() - self._start
        self._started(request.model_name, request.model_version or "", request.id)
        return request

    def finished(self, code: Code | None, response_bytes: int) -> None:
        """Tell the observers the outcome."""
        if not self._told:  # it could not be decoded
            self._started(*model_of(self._message))
        seconds = time.perf_counter() - self._start
        version = self.context.model_version or self.version  # the one that answered, also where none was named
        for observer in self._observers:
            observer.finished(self.context, self.model, version, code, seconds, len(self._message), response_bytes)

    def cancelled(self) -> None:
        """Tell them that the client went away or its deadline passed."""
        deadline = self.context.deadline
        late = deadline is not None and time.monotonic() > deadline - _DEADLINE_TOLERANCE
        self.finished(Code.DEADLINE_EXCEEDED if late else Code.CANCELLED, 0)

    def crashed(self, exc: Exception) -> str:
        """Log what nobody foresaw; returns what the client is told of it."""
        log.error("model %s: the answer failed, request id %s", self.model, self.context.id, exc_info=exc)
        self.finished(Code.INTERNAL, 0)
        return f"The answer could not be sent; the server's log has it under request id {self.context.id}"

    def _started(self, model: str, version: str, id: str) -> None:
        self._told = True
        self.model, self.version, self.id = model, version, id
        for observer in self._observers:
            observer.started(model)


async def _one(response: InferResponse) -> AsyncIterator[InferResponse]:
    yield response


async def _only(responses: AsyncIterator[InferResponse], request: InferRequest) -> InferResponse:
    """The response of a stream that has exactly one."""
    found: InferResponse | None = None
    async with aclosing(responses):  # type: ignore[type-var]
        async for response in responses:
            if found is not None:
                found = None
                break
            found = response
    if found is None:
        raise Unimplemented(
            f"Model {request.model_name} streams its answer, and ModelInfer has exactly one response;"
            " call ModelStreamInfer."
        )
    return found
