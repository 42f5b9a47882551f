"""A client of the v2 gRPC protocol, over grpc.aio and the same codec as the server's."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Self, TypeAlias, cast

import grpc

from modelserver.errors import Code, DeadlineExceeded, ModelServerError
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import ModelMetadata, ServerMetadata
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols.v2_grpc import decode_response, encode_request

_Call: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"
_Stream: TypeAlias = "grpc.aio.StreamStreamMultiCallable[bytes, bytes]"
_SERVICE = "/inference.GRPCInferenceService"
# What the server's words are to us; the statuses without a word of ours say that something went wrong inside.
_CODES: dict[grpc.StatusCode, Code] = {
    status: Code(status.name) for status in grpc.StatusCode if status.name in Code.__members__
} | {grpc.StatusCode.OUT_OF_RANGE: Code.INVALID_ARGUMENT}
# A client takes whatever its server is allowed to send.
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class GrpcClient:
    """Calls a server at ``target`` (``host:port``); use it as an async context manager or ``close`` it.

    ``timeout`` in seconds bounds every call but ``stream``; a request's own deadline bounds it further. Every
    failure is a ``ModelServerError`` with the server's code.

    ``raw`` sends tensors as bytes; else typed, where their datatypes have a typed form. ``credentials`` make the
    connection TLS.

    >>> async def call(request):
    ...     async with GrpcClient("localhost:8081") as client:
    ...         return await client.infer(request)
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float | None = 60.0,
        raw: bool = True,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._channel = (
            grpc.aio.insecure_channel(target, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        )
        self._timeout = timeout
        self._raw = raw
        self._infer: _Call = self._channel.unary_unary(f"{_SERVICE}/ModelInfer")
        self._stream: _Stream = self._channel.stream_stream(f"{_SERVICE}/ModelStreamInfer")

    async def infer(self, request: InferRequest, headers: Mapping[str, str] | None = None) -> InferResponse:
        """Answer one request. ``headers`` are sent as metadata; what the server sends is put on its context."""
        call: Any = self._infer(
            encode_request(request, self._raw), timeout=self._left(request), metadata=_metadata(headers)
        )
        try:
            body = await call
            request.context.response_headers.update(_headers(await call.trailing_metadata()))
        except grpc.aio.AioRpcError as exc:
            raise _error(exc) from exc
        return decode_response(cast("bytes", body))

    async def stream(
        self, request: InferRequest, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[InferResponse, None]:
        """Answer one request by as many responses as the model gives."""
        deadline = request.context.deadline
        call: Any = self._stream(timeout=None if deadline is None else _until(deadline), metadata=_metadata(headers))
        try:
            await call.write(encode_request(request, self._raw))
            await call.done_writing()
            async for message in call:
                error, body = wire.decode_stream(message)
                if error:
                    raise ModelServerError(error)
                yield decode_response(body)
        except grpc.aio.AioRpcError as exc:
            raise _error(exc) from exc
        finally:
            call.cancel()

    async def live(self) -> bool:
        """Whether the server is up; unreachable is an ``UNAVAILABLE`` error."""
        return wire.decode_ready(await self._call("ServerLive"))

    async def ready(self) -> bool:
        """Whether every expected model can serve."""
        return wire.decode_ready(await self._call("ServerReady"))

    async def model_ready(self, name: str, version: str | None = None) -> bool:
        """Whether one model can serve; ``NOT_FOUND`` when there is none."""
        return wire.decode_ready(await self._call("ModelReady", wire.encode_model(name, version)))

    async def model_metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """Versions, platform, inputs and outputs of a model."""
        return wire.decode_model_metadata(await self._call("ModelMetadata", wire.encode_model(name, version)))

    async def server_metadata(self) -> ServerMetadata:
        """Name, version and extensions of the server."""
        return wire.decode_server_metadata(await self._call("ServerMetadata"))

    async def close(self) -> None:
        """Close the connection; calls in flight are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, method: str, message: bytes = b"") -> bytes:
        call: Any = self._channel.unary_unary(f"{_SERVICE}/{method}")
        try:
            return cast("bytes", await call(message, timeout=self._timeout))
        except grpc.aio.AioRpcError as exc:
            raise _error(exc) from exc

    def _left(self, request: InferRequest) -> float | None:
        deadline = request.context.deadline
        if deadline is None:
            return self._timeout
        left = _until(deadline)
        return left if self._timeout is None else min(left, self._timeout)


def _until(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the deadline passed before the request was sent")
    return left


def _metadata(headers: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple((name.lower(), value) for name, value in headers.items()) if headers else ()


def _headers(metadata: Any) -> dict[str, str]:
    return {name: value for name, value in metadata or () if isinstance(value, str)}


def _error(error: grpc.aio.AioRpcError) -> ModelServerError:
    headers = _headers(error.trailing_metadata())
    try:
        retry_after = float(headers["retry-after"])
    except (KeyError, ValueError):
        retry_after = None
    return ModelServerError(
        error.details() or error.code().name, code=_CODES.get(error.code(), Code.INTERNAL), retry_after=retry_after
    )
