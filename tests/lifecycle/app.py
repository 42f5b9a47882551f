"""A server of its own process for the life-cycle tests: ``python app.py '{"models": [...], "settings": {...}}'``.

Models wait for files in the directory GATE, and say with files that they have begun: tests know, and never guess.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from modelserver import InferRequest, Model, ModelServer

GATE = Path(os.environ.get("GATE", "."))
_numbers = itertools.count()


def wait_for(name: str) -> None:
    while not (GATE / name).exists():
        time.sleep(0.005)


class Pid(Model):
    """Answers the process that it runs in."""

    def predict(self, request: InferRequest) -> np.ndarray:
        return np.array([os.getpid()])


class SlowLoad(Pid):
    def load(self) -> None:
        wait_for("load")


class Broken(Pid):
    def load(self) -> None:
        raise RuntimeError("the weights are missing")


class Held(Pid):
    """A sync predict that ends when the file ``go`` is there."""

    execution = "thread"

    def predict(self, request: InferRequest) -> np.ndarray:
        (GATE / f"entered-{os.getpid()}-{next(_numbers)}").touch()
        wait_for("go")
        return super().predict(request)


class HeldAsync(Pid):
    """The same as a coroutine: any number of them at once."""

    def load(self) -> None:
        self._watching: asyncio.Task[None] | None = None

    async def predict(self, request: InferRequest) -> np.ndarray:  # type: ignore[override]
        if self._watching is None:
            self._watching = asyncio.create_task(asyncio.to_thread(wait_for, "go"))
        await asyncio.shield(self._watching)
        return super().predict(request)


class Endless(Pid):
    """A sync predict that nothing ends."""

    def predict(self, request: InferRequest) -> np.ndarray:
        (GATE / f"entered-{os.getpid()}-{next(_numbers)}").touch()
        threading.Event().wait()
        raise AssertionError


class EndlessAsync(Pid):
    async def predict(self, request: InferRequest) -> np.ndarray:  # type: ignore[override]
        (GATE / f"entered-{os.getpid()}-{next(_numbers)}").touch()
        await asyncio.Event().wait()
        raise AssertionError


class Unloads(Pid):
    def unload(self) -> None:
        (GATE / f"unloaded-{os.getpid()}").touch()


MODELS: dict[str, type[Model]] = {
    "pid": Pid,
    "slow-load": SlowLoad,
    "broken": Broken,
    "held": Held,
    "held-async": HeldAsync,
    "endless": Endless,
    "endless-async": EndlessAsync,
    "unloads": Unloads,
}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    ModelServer(**given["settings"]).serve([MODELS[name](name) for name in given["models"]])
