"""One way to call a server, whether it has ports or not: raw HTTP and raw gRPC messages in, answers out."""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc

from modelserver import Model, ModelServer
from modelserver.messages import InferRequest, InferResponse
from modelserver.protocols import v1, v2_grpc, v2_rest
from modelserver.servers.grpc import STATUS
from modelserver.testing import InMemoryServer, Reply

SERVICE = "/inference.GRPCInferenceService/"
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True)
class Call:
    """A gRPC answer: OK with a body, or a status with its message."""

    status: grpc.StatusCode
    body: bytes = b""
    message: str = ""
    trailing: Mapping[str, str] = field(default_factory=dict)


class Peer:
    """A server with these models, called over ``rest`` and ``grpc``."""

    async def rest(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> Reply:
        raise NotImplementedError

    async def grpc(
        self, method: str, message: bytes = b"", metadata: Mapping[str, str] = NO_HEADERS, timeout: float | None = None
    ) -> Call:
        raise NotImplementedError

    async def stream(self, messages: Sequence[bytes]) -> list[bytes]:
        """The answers of a ModelStreamInfer."""
        raise NotImplementedError

    async def answer(self, wire: str, request: InferRequest) -> tuple[Any, InferResponse]:
        """A request over one of the five wires: the raw answer, and what a client reads in it."""
        name = request.model_name
        if wire.startswith("grpc"):
            call = await self.grpc("ModelInfer", v2_grpc.encode_request(request, raw=wire == "grpc-raw"))
            assert call.status is grpc.StatusCode.OK, call.message
            return call, v2_grpc.decode_response(call.body)
        if wire == "v1":
            sent = v1.encode_request(request)
            reply = await self.rest("POST", f"/v1/models/{name}:predict", sent.body, sent.headers)
            assert reply.status == 200, reply.body
            return reply, v1.decode_response(reply.body)
        sent = v2_rest.encode_request(request, binary=wire == "v2-binary")
        reply = await self.rest("POST", f"/v2/models/{name}/infer", sent.body, sent.headers)
        assert reply.status == 200, reply.body
        length = v2_rest.parse_header_length(reply.headers.get(v2_rest.HEADER_LENGTH))
        return reply, v2_rest.decode_response(reply.body, length)


class MemoryPeer(Peer):
    """``InMemoryServer``: the doors without their ports."""

    def __init__(self, models: Sequence[Model] | str, **settings: object) -> None:
        self.server = InMemoryServer(models, **settings)

    async def __aenter__(self) -> Self:
        await self.server.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.__aexit__(kind, error, trace)

    async def rest(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> Reply:
        return await self.server.request(method, path, body, headers)

    async def grpc(
        self, method: str, message: bytes = b"", metadata: Mapping[str, str] = NO_HEADERS, timeout: float | None = None
    ) -> Call:
        door = self.server.composition.grpc
        assert door is not None
        deadline = None if timeout is None else time.monotonic() + timeout
        reply = await door.calls.call(SERVICE + method, message, tuple(metadata.items()), deadline)
        status = grpc.StatusCode.OK if reply.code is None else STATUS[reply.code]
        return Call(status, reply.body, reply.message, _texts(reply.trailing))

    async def stream(self, messages: Sequence[bytes]) -> list[bytes]:
        door = self.server.composition.grpc
        assert door is not None

        async def incoming() -> Any:
            for message in messages:
                yield message

        return [answer async for answer in door.calls.stream_infer(incoming())]


class SocketPeer(Peer):
    """A ``ModelServer`` on free ports of this machine, called by http.client and grpc.aio."""

    def __init__(self, models: Sequence[Model] | str, **settings: object) -> None:
        quiet = {"http_port": 0, "grpc_port": 0, "host": "127.0.0.1", "access_log": False, "lame_duck": 0}
        self.server = ModelServer(**{**quiet, **settings})
        self._models = models

    async def __aenter__(self) -> Self:
        await self.server.start(self._models)
        await self.server.loaded()
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.server.grpc_port}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()
        await self.server.stop()

    async def rest(
        self, method: str, path: str, body: bytes | object = b"", headers: Mapping[str, str] = NO_HEADERS
    ) -> Reply:
        return await asyncio.to_thread(self._request, method, path, _content(body), dict(headers))

    async def grpc(
        self, method: str, message: bytes = b"", metadata: Mapping[str, str] = NO_HEADERS, timeout: float | None = None
    ) -> Call:
        call: Any = self._channel.unary_unary(SERVICE + method)(
            message, metadata=tuple(metadata.items()), timeout=timeout
        )
        try:
            body = await call
        except grpc.aio.AioRpcError as error:
            return Call(error.code(), b"", error.details() or "", _texts(error.trailing_metadata() or ()))
        return Call(grpc.StatusCode.OK, body, "", _texts(await call.trailing_metadata()))

    async def stream(self, messages: Sequence[bytes]) -> list[bytes]:
        call: Any = self._channel.stream_stream(SERVICE + "ModelStreamInfer")()
        for message in messages:
            await call.write(message)
        await call.done_writing()
        return [answer async for answer in call]

    def _request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.http_port, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            received = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, received, response.read())
        finally:
            connection.close()


def _content(body: bytes | object) -> bytes:
    import json

    return body if isinstance(body, bytes) else json.dumps(body).encode()


def _texts(metadata: Any) -> dict[str, str]:
    return {name: value for name, value in metadata if isinstance(value, str)}


PEERS: dict[str, type[MemoryPeer] | type[SocketPeer]] = {"memory": MemoryPeer, "sockets": SocketPeer}
