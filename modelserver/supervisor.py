"""N worker processes on shared ports: started, watched, replaced when they die, stopped together.

The parent opens the ports and serves nothing. Workers are forked before any event loop, thread or gRPC core exists,
so models made in code need no pickling. Each has a pipe to the parent; over it a worker asks all workers to do
something ("load m"), and the parent passes the question on and the answers back.
"""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Any

log = logging.getLogger("modelserver.supervisor")

#: A worker that lived shorter than this (seconds) is replaced only after as long a pause, so that a crash at start
#: does not become a loop that eats the machine.
SHORT_LIFE = 2.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: Beyond lame duck and grace, for unloading and leaving.
EXTRA_SECONDS = 10.0

#: The body of a worker: its number, its end of the pipe, whether others serve already; returns the exit code.
Worker = Callable[[int, Connection, bool], int]


@dataclass(slots=True)
class _Child:
    number: int
    process: ForkProcess
    pipe: Connection
    started: float
    loaded: bool = False
    ready: bool = False


@dataclass(slots=True)
class _Question:
    """A question of one worker to all of them, until the last has answered or died."""

    asker: int
    token: int
    waiting: set[int]
    answers: list[Any] = field(default_factory=list)


class Supervisor:
    """Runs ``worker`` in ``workers`` processes until SIGTERM or SIGINT.

    ``patience`` in seconds is how long stopping may take; ``on_stop`` is called when it begins.
    """

    def __init__(self, worker: Worker, workers: int, patience: float, on_stop: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._worker = worker
        self._workers = workers
        self._patience = patience + EXTRA_SECONDS
        self._context = multiprocessing.get_context("fork")
        self._children: dict[int, _Child] = {}
        self._questions: dict[int, _Question] = {}
        self._tokens = itertools.count()
        self._changes: dict[str, str] = {}
        self._replace_at: dict[int, float] = {}
        self._stopping = False
        self._announced = False
        self._wake, self._woken = self._context.Pipe(duplex=False)

    def run(self) -> int:
        """Returns when every worker has left: 0 when all of them stopped cleanly."""
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._signalled)
        for number in range(self._workers):
            self._spawn(number)
        deadline = None
        code = 0
        while self._children or (self._replace_at and not self._stopping):
            if self._stopping and deadline is None:
                deadline = self._stop()
            code = max(code, self._watch(deadline))
            if deadline is not None and time.monotonic() > deadline:
                for child in self._children.values():
                    log.error("worker %d did not stop in time and is killed", child.number)
                    child.process.kill()
                deadline = time.monotonic() + EXTRA_SECONDS
                code = 1
        return code

    def _watch(self, deadline: float | None) -> int:
        """Wait for messages, deaths and signals; the exit code of a worker that failed while stopping."""
        now = time.monotonic()
        moments = [*self._replace_at.values(), *([deadline] if deadline else [])]
        timeout = max(0.0, min(moments) - now) if moments else None
        pipes = {child.pipe: child for child in self._children.values()}
        deaths = {child.process.sentinel: child for child in self._children.values()}
        code = 0
        for event in wait([*pipes, *deaths, self._wake], timeout):
            if event is self._wake:
                self._wake.recv_bytes()
            elif isinstance(event, Connection):
                self._hear(pipes[event])
            elif isinstance(event, int):
                code = max(code, self._bury(deaths[event]))
        for number, moment in list(self._replace_at.items()):
            if time.monotonic() >= moment and not self._stopping:
                del self._replace_at[number]
                self._spawn(number)
        return code

    def _spawn(self, number: int) -> None:
        ours, theirs = self._context.Pipe()
        late = any(child.loaded for child in self._children.values())
        process = self._context.Process(target=self._body, args=(number, theirs, ours, late), name=f"worker-{number}")
        # Held back across the fork, so that a worker told to stop before it listens is not killed by it: it unblocks
        # them when its handlers are in place.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        theirs.close()
        self._children[number] = _Child(number, process, ours, time.monotonic())
        # A replacement is told what its brothers were told since the start.
        for name, verb in self._changes.items():
            self._send(number, ("do", -1, (verb, name)))

    def _body(self, number: int, pipe: Connection, parents_end: Connection, late: bool) -> None:
        # A worker that held the parent's ends open would never learn that the parent is gone.
        parents_end.close()
        for child in self._children.values():
            child.pipe.close()
        for signum in STOP_SIGNALS:
            signal.signal(signum, signal.SIG_DFL)
        raise SystemExit(self._worker(number, pipe, late))

    def _hear(self, child: _Child) -> None:
        try:
            kind, token, content = child.pipe.recv()
        except (EOFError, OSError):
            return  # it is dying: its sentinel says so next
        if kind == "loaded":
            child.loaded = True
            if all(each.loaded for each in self._children.values()):
                for number in self._children:
                    self._send(number, ("all loaded", -1, None))
        elif kind == "ready":
            child.ready = True
            if not self._announced and all(each.ready for each in self._children.values()):
                self._announced = True
                self._send(child.number, ("announce", -1, None))
        elif kind == "ask":
            self._ask(child.number, token, content)
        elif kind == "answer":
            self._answer(token, child.number, content)

    def _ask(self, asker: int, token: int, question: tuple[str, str]) -> None:
        verb, name = question
        if verb in ("load", "unload"):
            self._changes[name] = verb
        key = next(self._tokens)
        self._questions[key] = _Question(asker, token, set(self._children))
        for number in list(self._children):
            self._send(number, ("do", key, question))

    def _answer(self, key: int, number: int, content: Any) -> None:
        question = self._questions.get(key)
        if question is None:
            return
        question.waiting.discard(number)
        if content is not None:
            question.answers.append(content)
        if not question.waiting:
            del self._questions[key]
            self._send(question.asker, ("answers", question.token, question.answers))

    def _bury(self, child: _Child) -> int:
        child.process.join()
        child.pipe.close()
        del self._children[child.number]
        for key in list(self._questions):
            self._answer(key, child.number, None)
        code = child.process.exitcode or 0
        if self._stopping:
            return abs(code)
        log.error("worker %d (pid %s) ended with %s and is replaced", child.number, child.process.pid, code)
        now = time.monotonic()
        self._replace_at[child.number] = now + (SHORT_LIFE if now - child.started < SHORT_LIFE else 0.0)
        return 0

    def _send(self, number: int, message: tuple[str, int, Any]) -> None:
        child = self._children.get(number)
        try:
            if child is not None:
                child.pipe.send(message)
        except OSError:
            log.debug("worker %d is gone", number)

    def _stop(self) -> float:
        self._on_stop()
        for child in self._children.values():
            child.process.terminate()
        return time.monotonic() + self._patience

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            for child in self._children.values():
                child.process.kill()
        self._stopping = True
        self._woken.send_bytes(b"!")
