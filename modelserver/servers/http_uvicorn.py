"""uvicorn under the REST door: the one place that knows it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelserver.ports import bind
from modelserver.protocols.v2_rest import encode_error

#: Connections that may wait to be accepted, as uvicorn has it.
BACKLOG = 2048


class UvicornListener:
    """Serves an ASGI application on one port, or on a ``listener`` that is open already.

    Times in seconds; port 0 takes any free one.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str,
        port: int,
        keep_alive: int,
        grace: float,
        listener: socket.socket | None = None,
    ) -> None:
        self._listener = listener
        self._host = host
        self._port = port
        self._server = _Server(
            uvicorn.Config(
                app,
                loop="none",
                http=_Protocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                log_level="warning",
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=keep_alive,
                # uvicorn takes whole seconds, and None for no limit.
                timeout_graceful_shutdown=max(1, round(grace)),
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; the bound port. ``OSError`` in one line when the port is taken."""
        listener = self._listener or bind(self._host, self._port)
        # uvicorn does so in its own time; until then a client that knows the port already would be refused.
        listener.listen(BACKLOG)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close the port and finish what is in flight, within the grace time."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


class _Protocol(HttpToolsProtocol):
    """uvicorn's, with the parts of an answer sent as one, and our error for what is not HTTP."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(_Corked(transport))  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        body = encode_error(msg)
        lines = (
            b"HTTP/1.1 400 Bad Request",
            b"content-type: application/json",
            b"content-length: %d" % len(body),
            b"connection: close",
            b"",
            body,
        )
        self.transport.write(b"\r\n".join(lines))
        self.transport.close()


class _Corked:
    """A transport that gathers what is written in one turn of the loop: head and body cost one system call, not two."""

    __slots__ = ("_loop", "_parts", "_transport")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send ``data`` at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what is gathered, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts:
            self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Server(uvicorn.Server):
    """Without uvicorn's signal handlers: ``ModelServer`` decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
