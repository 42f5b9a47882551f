"""The gRPC door: ``grpc_calls`` on a port, by grpc.aio with handlers over raw bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeAlias, cast

import grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelServerError
from modelserver.ports import bind
from modelserver.protocols._pb.pool import POOL
from modelserver.protocols.v2_grpc_metadata import parsed
from modelserver.servers.grpc_calls import HEALTH, MODEL_INFER, SERVICE, GrpcCalls, Reply
from modelserver.servers.grpc_metadata import Metadata, status_text
from modelserver.telemetry.observer import Observer

#: Every ``Code`` in gRPC's words.
STATUS: dict[Code, grpc.StatusCode] = {
    Code.CANCELLED: grpc.StatusCode.CANCELLED,
    Code.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    Code.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Code.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Code.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Code.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Code.ABORTED: grpc.StatusCode.ABORTED,
    Code.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Code.PAYLOAD_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.METHOD_NOT_ALLOWED: grpc.StatusCode.UNIMPLEMENTED,
    Code.OVERLOADED: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

# The same messages under two names: clients ask for v1 first and fall back.
_REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
# Clients may ping an idle connection this often (milliseconds); grpc's own limit of five minutes cuts off those that
# keep a connection open through a load balancer.
_MIN_PING_INTERVAL = 10_000

_Context: TypeAlias = grpc.aio.ServicerContext[bytes, bytes]
_Unary: TypeAlias = Callable[[bytes, Metadata, float | None], Awaitable[Reply]]


class GrpcDoor:
    """Serves a data plane over gRPC: inference, health, reflection.

    ``port`` 0 takes any free one. Workers share one (``share_port``: SO_REUSEPORT); a server that is alone does not,
    or a second one on the same port would take half of its calls. Lengths are limits in bytes, -1 for none.
    ``request_timeout`` in seconds is the deadline of an inference whose client names none; 0 for none.
    ``calls`` answers the same calls without a port.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        observers: Sequence[Observer],
        *,
        host: str,
        port: int,
        max_receive_message_length: int,
        max_send_message_length: int,
        share_port: bool = False,
        request_timeout: float = 0.0,
    ) -> None:
        self.calls = GrpcCalls(
            dataplane,
            observers,
            max_receive_message_length=max_receive_message_length,
            max_send_message_length=max_send_message_length,
            request_timeout=request_timeout,
        )
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._probe = None if share_port or not port else (host, port)
        self._options = [
            ("grpc.so_reuseport", int(share_port)),
            ("grpc.max_receive_message_length", max_receive_message_length),
            ("grpc.max_send_message_length", max_send_message_length),
            ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._reflection = reflection.aio.ReflectionServicer((SERVICE, HEALTH), pool=POOL)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Open the port; returns its number. ``OSError`` when it cannot be bound."""
        if self._probe is not None:
            bind(*self._probe).close()  # says that a port is taken in one line, where grpc writes its own beside it
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers(self._handlers())
        try:
            port = server.add_insecure_port(self._address)
        except RuntimeError as exc:
            raise OSError(f"cannot listen on {self._address}: the port is taken, or the address is not ours") from exc
        await server.start()
        self._server = server
        return port

    async def stop(self, grace: float) -> None:
        """Close the port, end what only waits, let calls in flight finish for ``grace`` seconds, cancel the rest."""
        self.calls.stopping.set()
        if self._server is not None:
            await self._server.stop(grace)
            self._server = None

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        calls = self.calls
        services: dict[str, dict[str, Any]] = {name: {} for name in (SERVICE, HEALTH, *_REFLECTION)}
        for path in calls.unary_methods:
            _, service, method = path.split("/")
            function = calls.infer if path == MODEL_INFER else partial(calls.call, path)
            services[service][method] = grpc.unary_unary_rpc_method_handler(_unary(function))
        services[SERVICE]["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream_infer)
        services[HEALTH]["Watch"] = grpc.unary_stream_rpc_method_handler(self._watch)
        for name in _REFLECTION:
            services[name]["ServerReflectionInfo"] = grpc.stream_stream_rpc_method_handler(self._reflect)
        return [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]

    async def _stream_infer(self, _: object, context: _Context) -> None:
        replies = self.calls.stream_infer(self._incoming(context), _metadata(context), _deadline(context))
        async with aclosing(replies):
            async for reply in replies:
                await context.write(reply)

    async def _watch(self, message: bytes, context: _Context) -> None:
        try:
            async with aclosing(self.calls.watch(message)) as statuses:
                async for status in statuses:
                    await context.write(status)
        except ModelServerError as exc:
            await context.abort(STATUS[exc.code], status_text(exc.message))
        await context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")

    async def _reflect(self, _: object, context: _Context) -> None:
        async for message in self._incoming(context):
            try:
                request = parsed(reflection_pb2.ServerReflectionRequest, message)
            except ModelServerError as exc:
                await context.abort(STATUS[exc.code], exc.message)
            async for response in self._reflection.ServerReflectionInfo(_known(request), context):
                response.original_request.CopyFrom(request)
                await context.write(response.SerializeToString())

    async def _incoming(self, context: _Context) -> AsyncIterator[bytes]:
        """The messages of a stream to its end; a stream that is idle when the server stops is ended then."""
        stopping = asyncio.ensure_future(self.calls.stopping.wait())
        try:
            while True:
                reading = asyncio.ensure_future(context.read())
                try:
                    await asyncio.wait((reading, stopping), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not reading.done():
                        reading.cancel()
                if not reading.done():
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "The server is stopping.")
                message: object = reading.result()
                if not isinstance(message, bytes):  # grpc.aio.EOF
                    return
                yield message
        finally:
            stopping.cancel()


async def _known(
    request: reflection_pb2.ServerReflectionRequest,
) -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
    """The request, asking for the service where it asks for a method: the pool does not find files by methods."""
    symbol = request.file_containing_symbol
    parent = symbol.rpartition(".")[0]
    asked = reflection_pb2.ServerReflectionRequest()
    asked.CopyFrom(request)
    if parent in (SERVICE, HEALTH):
        asked.file_containing_symbol = parent
    yield asked


def _unary(function: _Unary) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def answer(message: bytes, context: _Context) -> bytes:
        reply = await function(message, _metadata(context), _deadline(context))
        if reply.code is not None:
            await context.abort(STATUS[reply.code], reply.message, reply.trailing)
        context.set_trailing_metadata(reply.trailing)
        return reply.body

    return answer


def _metadata(context: _Context) -> Metadata:
    return cast("Metadata", context.invocation_metadata())


def _deadline(context: _Context) -> float | None:
    left = cast("float | None", context.time_remaining())
    return None if left is None else time.monotonic() + left
