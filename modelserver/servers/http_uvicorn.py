"""uvicorn under the REST door: the one place that knows it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from modelserver.ports import bind


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
                http="httptools",
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
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        """Close the port and finish what is in flight, within the grace time."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


class _Server(uvicorn.Server):
    """Without uvicorn's signal handlers: ``ModelServer`` decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
