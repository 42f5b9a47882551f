"""What a server's process does around its event loop: which loop, which signals, and how it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

log = logging.getLogger("modelserver")


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop called ``name``: asyncio's or uvloop's; ``auto`` takes uvloop where it is there."""
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise
        return asyncio.new_event_loop
    return uvloop.new_event_loop


@contextlib.contextmanager
def stop_signals(handler: Callable[[int], None], *, worker: bool) -> Iterator[None]:
    """SIGTERM and SIGINT stop the server; only the main thread can ask for signals.

    Ctrl-C reaches a supervisor and its workers alike, and the supervisor tells them: workers leave it alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, handler, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, *((_nothing, 0) if worker else (handler, signal.SIGINT)))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))  # a supervisor holds them back
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _nothing(_: int) -> None:
    """For a signal that is somebody else's."""


def leave_stuck_threads_behind(code: int) -> None:
    """A predict that outlived the grace period must not keep the process: Python would wait for its thread."""
    pools = [thread for thread in threading.enumerate() if thread.name.startswith("model-")]
    for thread in pools:
        thread.join(0.1)  # an idle one ends by itself, now that its pool is shut
    stuck = sum(thread.is_alive() for thread in pools)
    if stuck:
        log.warning("leaving %d predicts behind that did not end within the grace period", stuck)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
