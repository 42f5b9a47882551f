"""Which rows an engine has been proved for: their datatypes, and whether values may be missing."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from modelserver.acceleration.equality import difference

#: Rows [n, features] of numbers -> the framework's answer: an array, or a list of arrays.
Engine: TypeAlias = Callable[[np.ndarray], Any]

#: What clients send numbers as; rows of other datatypes are the framework's.
DATATYPES = (np.dtype(np.float64), np.dtype(np.float32), np.dtype(np.int64))
#: Share of the values that are left out of the rows that ask about missing values.
MISSING = 0.15
FEW = 8
#: Seconds that the framework may be asked for; beyond it less is proved, and where one answer takes as long, nothing.
SECONDS = 0.5
_LARGEST_INTEGER = 2.0**62


@dataclass(frozen=True, slots=True)
class Proved:
    """An engine, and for each datatype it was proved with whether it may meet NaN."""

    name: str
    run: Engine
    takes: dict[np.dtype[Any], bool]


class Refused(Exception):
    """Why an engine cannot be used, in a few words."""


class Proof:
    """The framework's answers to the probe rows, asked once, and held against those of any number of engines.

    ``seconds`` is the time there is for it. ``Refused`` when the framework does not answer the rows, or when its
    arithmetic for them takes longer: then it is not its calls that cost, and there is nothing to win.
    """

    def __init__(self, framework: Engine, rows: np.ndarray, seconds: float = SECONDS, exact: bool = False) -> None:
        self.rows = rows
        self._exact = exact
        self._end = time.perf_counter() + seconds
        slow = _arithmetic(framework, rows, seconds)
        if slow > seconds:
            raise Refused(f"takes {slow:.1f} s for {len(rows)} probe rows: its calls are not what costs")
        random = np.random.default_rng(21)
        gaps = random.random(rows.shape) < MISSING
        # One row and a few as well: libraries have code of its own for them.
        self._first = [(part, _answer(framework, part)) for part in (rows, rows[-FEW:], rows[-1:])]
        self._others: list[tuple[np.dtype[Any], bool, np.ndarray, Any]] = []
        for datatype in DATATYPES:
            converted = _converted(rows, datatype)
            if datatype != rows.dtype:
                self._remember(framework, datatype, False, converted)
            if datatype.kind == "f":
                self._remember(framework, datatype, True, np.where(gaps, datatype.type(np.nan), converted))

    def prove(self, name: str, make: Callable[[], Engine]) -> Proved:
        """Build an engine and compare. ``Refused`` when it cannot be built or its answers differ."""
        try:
            run = make()
        except Refused:
            raise
        except Exception as exc:  # whatever another library says of a model it does not know
            raise Refused(f"cannot be built: {_line(exc)}") from exc
        for rows, expected in self._first:
            if found := difference(expected, _answer(run, rows), self._exact):
                raise Refused(f"answers differ from the framework's for {len(rows)} probe rows: {found}")
        takes = {self.rows.dtype: False}
        for datatype, missing, rows, expected in self._others:
            if missing and datatype not in takes:
                continue
            try:
                if not difference(expected, _answer(run, rows), self._exact):
                    takes[datatype] = missing
            except Refused:  # these rows stay the framework's
                continue
        return Proved(name, run, takes)

    def _remember(self, framework: Engine, datatype: np.dtype[Any], missing: bool, rows: np.ndarray) -> None:
        if time.perf_counter() > self._end:
            return
        try:
            self._others.append((datatype, missing, rows, _answer(framework, rows)))
        except Refused:  # so does the framework when a client sends them
            return


def _arithmetic(framework: Engine, rows: np.ndarray, seconds: float) -> float:
    """Seconds that the rows take besides the call, from a few rows against one; measured again while it looks slow."""
    best = {FEW: math.inf, 1: math.inf}
    needed = math.inf
    for _ in range(3):
        for count in (1, FEW):
            start = time.perf_counter()
            _answer(framework, rows[-count:])
            best[count] = min(best[count], time.perf_counter() - start)
        needed = (best[FEW] - best[1]) / (FEW - 1) * len(rows)
        if needed <= seconds:
            break
    return needed


def _answer(engine: Engine, rows: np.ndarray) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):
            return engine(rows)
    except Exception as exc:  # probe rows are made up
        raise Refused(f"refuses probe rows: {_line(exc)}") from exc


def _converted(rows: np.ndarray, datatype: np.dtype[Any]) -> np.ndarray:
    if datatype.kind == "i":
        rows = np.rint(np.clip(rows, -_LARGEST_INTEGER, _LARGEST_INTEGER))
    converted: np.ndarray = rows.astype(datatype)
    return converted


def _line(exc: Exception) -> str:
    text = str(exc).strip().partition("\n")[0]
    return text if isinstance(exc, Refused) else f"{type(exc).__name__}: {text}" if text else type(exc).__name__
