"""A worker's end of the pipe to the supervisor: asks all workers to do something, and does what is asked."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

log = logging.getLogger("modelserver.supervisor")

#: What is done with a question (its verb, its argument) in this process.
Do = Callable[[str, str], Awaitable[Any]]


class Siblings:
    """All workers of a server, seen from one of them."""

    def __init__(self, pipe: Connection, announce: Callable[[], None], orphaned: Callable[[], None]) -> None:
        self._pipe = pipe
        self._announce = announce
        self._orphaned = orphaned
        self._do: Do | None = None
        self._asked: dict[int, asyncio.Future[list[Any]]] = {}
        self._tokens = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._all_loaded = asyncio.Event()

    def listen(self, do: Do) -> None:
        """Begin to answer questions, on the running loop."""
        self._do = do
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._readable)

    async def loaded(self) -> None:
        """This worker has finished loading; returns when all of them have, and have done what was asked meanwhile."""
        self._pipe.send(("loaded", -1, None))
        await self._all_loaded.wait()
        await asyncio.gather(*self._tasks)

    def ready(self) -> None:
        """Tell the supervisor that this worker has loaded everything."""
        self._pipe.send(("ready", -1, None))

    async def ask(self, verb: str, argument: str = "") -> list[Any]:
        """The answers of all living workers, this one included, in no order."""
        token = next(self._tokens)
        future = self._asked[token] = asyncio.get_running_loop().create_future()
        self._pipe.send(("ask", token, (verb, argument)))
        try:
            answers: list[Any] = await future
            return answers
        finally:
            del self._asked[token]

    def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            kind, token, content = self._pipe.recv()
        except (EOFError, OSError):
            loop.remove_reader(self._pipe.fileno())
            log.error("the supervisor is gone: this worker stops")
            self._orphaned()
            return
        if kind == "answers":
            if token in self._asked and not self._asked[token].done():
                self._asked[token].set_result(content)
        elif kind == "all loaded":
            self._all_loaded.set()
        elif kind == "announce":
            self._announce()
        elif kind == "do":
            task = loop.create_task(self._perform(token, *content))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _perform(self, token: int, verb: str, argument: str) -> None:
        assert self._do is not None
        answer = await self._do(verb, argument)
        if token >= 0:
            self._pipe.send(("answer", token, answer))
