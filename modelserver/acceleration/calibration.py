"""Which of the proved engines serves which batch sizes: measured, in a fraction of a second."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelserver.acceleration.proof import Engine

#: Rows of the batches that are timed. Each stands for the sizes that are nearer to it than to the next, as ratios.
SIZES = (1, 8, 64, 512)
#: Seconds that all timing may take; what is not timed by then is the framework's.
BUDGET = 0.25
REPEATS = 7
#: An engine must need no more than this share of the framework's time: anything less is not worth a surprise.
SHARE = 0.8
FRAMEWORK = "framework"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine of batches of ``first`` to ``last`` rows (``None``: and more), with the times that say why."""

    first: int
    last: int | None
    engine: str
    #: Seconds that one batch of the timed size took, by engine; empty where nothing was timed.
    seconds: Mapping[str, float]
    timed_rows: int = 0

    def by_framework(self) -> Choice:
        """The same sizes, given to the framework."""
        return Choice(self.first, self.last, FRAMEWORK, {})

    @property
    def range(self) -> str:
        """The sizes in words: ``1-22``, or ``23+``."""
        return f"{self.first}+" if self.last is None else f"{self.first}-{self.last}"


def calibrate(engines: Mapping[str, Engine], rows: np.ndarray, budget: float = BUDGET) -> list[Choice]:
    """One choice for each of ``SIZES``. ``engines`` has the framework under its name; all answer ``rows`` alike."""
    end = time.perf_counter() + budget
    chosen = []
    for position, size in enumerate(SIZES):
        first, last = _bounds(position)
        batch = np.ascontiguousarray(np.resize(rows, (size, rows.shape[1])))
        left = end - time.perf_counter()
        seconds = _timed(engines, batch, left / (len(SIZES) - position)) if left > 0 else {}
        chosen.append(Choice(first, last, _fastest(seconds), seconds, size))
    return chosen


def merged(choices: Sequence[Choice]) -> list[Choice]:
    """Neighbours of the same engine as one, with the times of the smaller size."""
    found: list[Choice] = []
    for choice in choices:
        if found and found[-1].engine == choice.engine:
            before = found.pop()
            choice = Choice(before.first, choice.last, before.engine, before.seconds, before.timed_rows)  # noqa: PLW2901
        found.append(choice)
    return found


def _bounds(position: int) -> tuple[int, int | None]:
    first = 1 if position == 0 else math.isqrt(SIZES[position - 1] * SIZES[position]) + 1
    last = math.isqrt(SIZES[position] * SIZES[position + 1]) if position + 1 < len(SIZES) else None
    return first, last


def _timed(engines: Mapping[str, Engine], batch: np.ndarray, budget: float) -> dict[str, float]:
    """The least seconds of each; they take turns, so that what else the machine does meets all."""
    best = dict.fromkeys(engines, math.inf)
    end = time.perf_counter() + budget
    for _ in range(REPEATS):
        for name, run in engines.items():
            start = time.perf_counter()
            run(batch)
            best[name] = min(best[name], time.perf_counter() - start)
        if time.perf_counter() > end:
            break
    return best


def _fastest(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return FRAMEWORK
    best = min(seconds, key=seconds.__getitem__)
    return best if seconds[best] <= SHARE * seconds[FRAMEWORK] else FRAMEWORK
