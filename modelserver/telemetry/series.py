"""The numbers of one label set. A request appends one row; rows are folded into histograms and sums by the hundred.

Appending costs a tenth of what seven histograms would, and numpy folds a full table in a fraction of a millisecond.
All of it belongs to the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TypeAlias, TypedDict

import numpy as np

from modelserver.errors import Code
from modelserver.messages import Context
from modelserver.telemetry.labels import INFERENCE_VERBS

#: Upper bounds in seconds; they contain Prometheus' default ones, which KServe's histograms have.
SECONDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075),
    *(0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0),
)
#: Upper bounds in bytes: from 64 to 1 GiB, times four each.
BYTES = tuple(float(2**power) for power in range(6, 31, 2))

#: The histograms of a series and their bounds.
HISTOGRAMS = {
    "duration": SECONDS,
    "request_bytes": BYTES,
    "response_bytes": BYTES,
    "queue": SECONDS,
    "preprocess": SECONDS,
    "predict": SECONDS,
    "postprocess": SECONDS,
}
#: The sums that the statistics routes need, over successes unless they say otherwise; in seconds.
SUMS = ("successes", "success", "failures", "fail", "inferences", "queue", "input", "infer", "output")

# A row: these columns, one number each.
_COLUMNS = (*HISTOGRAMS, "decode", "encode", "rows", "succeeded")
_PLACES = {name: place for place, name in enumerate(_COLUMNS)}
_SUCCEEDED = _PLACES["succeeded"]
_BOUNDS = {name: np.array(bounds) for name, bounds in HISTOGRAMS.items()}
_FULL = 512 * len(_COLUMNS)

#: Counts for each slot (not cumulative; the last is over every bound), and the sum of what was observed.
HistogramState: TypeAlias = tuple[list[int], float]


class SeriesState(TypedDict):
    """A series as picklable data; ``last`` is the time of the last success, in seconds since the epoch."""

    answers: dict[str, int]
    histograms: dict[str, HistogramState]
    sums: dict[str, float]
    last: float


class Series:
    """Everything counted for one (model, version, protocol, verb)."""

    __slots__ = ("_failures", "_histograms", "_inference", "_last", "_rows", "_sums")

    def __init__(self, verb: str) -> None:
        self._inference = verb in INFERENCE_VERBS
        self._rows: list[float] = []
        self._failures: dict[str, int] = {}
        self._histograms = {name: (np.zeros(len(bounds) + 1, np.int64), 0.0) for name, bounds in HISTOGRAMS.items()}
        self._sums = dict.fromkeys(SUMS, 0.0)
        self._last = 0.0

    def observe(
        self, context: Context, code: Code | None, seconds: float, request_bytes: int, response_bytes: int
    ) -> None:
        """Take note of one answered request."""
        if code is None:
            self._last = time.time()
        else:
            self._failures[code.value] = self._failures.get(code.value, 0) + 1
        rows = self._rows
        rows += (
            seconds,
            request_bytes,
            response_bytes,
            context.queue,
            context.preprocess,
            context.predict,
            context.postprocess,
            context.decode,
            context.encode,
            context.batch_size or 1,
            code is None,
        )
        if len(rows) >= _FULL:
            self._fold()

    def _fold(self) -> None:
        table = np.array(self._rows, np.float64).reshape(-1, len(_COLUMNS)).T.copy()
        self._rows.clear()
        succeeded = table[_SUCCEEDED] > 0
        good = table if succeeded.all() else table[:, succeeded]
        sums = self._sums
        sums["successes"] += good.shape[1]
        sums["failures"] += table.shape[1] - good.shape[1]
        for name in ("duration", "request_bytes", "response_bytes"):
            self._add(name, table[_PLACES[name]])
        if self._inference:
            self._add_stages(table, good, succeeded)

    def _add_stages(self, table: np.ndarray, good: np.ndarray, succeeded: np.ndarray) -> None:
        reached, queued = good, good
        if good is not table:  # what was refused before the model has no stage to show, but for its time in the queue
            ran = succeeded | (table[_PLACES["predict"]] > 0)
            reached, queued = table[:, ran], table[:, ran | (table[_PLACES["queue"]] > 0)]
        self._add("queue", queued[_PLACES["queue"]])
        for name in ("preprocess", "predict", "postprocess"):
            self._add(name, reached[_PLACES[name]])
        of = dict(zip(_COLUMNS, good.sum(axis=1).tolist(), strict=True))
        sums = self._sums
        sums["success"] += of["duration"]
        sums["fail"] += float(table[_PLACES["duration"]].sum()) - of["duration"]
        sums["inferences"] += of["rows"]
        sums["queue"] += of["queue"]
        sums["input"] += of["decode"] + of["preprocess"]
        sums["infer"] += of["predict"]
        sums["output"] += of["postprocess"] + of["encode"]

    def _add(self, name: str, values: np.ndarray) -> None:
        counts, total = self._histograms[name]
        bounds = _BOUNDS[name]
        counts += np.bincount(bounds.searchsorted(values), minlength=len(counts))
        self._histograms[name] = counts, total + float(values.sum())

    def state(self) -> SeriesState:
        """A copy as picklable data."""
        if self._rows:
            self._fold()
        answers = dict(self._failures)
        if self._sums["successes"]:
            answers["OK"] = int(self._sums["successes"])
        return {
            "answers": answers,
            "histograms": {name: (counts.tolist(), total) for name, (counts, total) in self._histograms.items()},
            "sums": dict(self._sums),
            "last": self._last,
        }


def add_histograms(states: Iterable[HistogramState]) -> HistogramState:
    """The histogram that observed everything these did (at least one, of the same bounds)."""
    several = list(states)
    return [sum(column) for column in zip(*(counts for counts, _ in several), strict=True)], sum(t for _, t in several)


def add_states(states: Iterable[SeriesState]) -> SeriesState:
    """The state of one series that saw everything these did (at least one)."""
    several = list(states)
    answers: dict[str, int] = {}
    for state in several:
        for code, count in state["answers"].items():
            answers[code] = answers.get(code, 0) + count
    return {
        "answers": answers,
        "histograms": {name: add_histograms(state["histograms"][name] for state in several) for name in HISTOGRAMS},
        "sums": {name: sum(state["sums"][name] for state in several) for name in SUMS},
        "last": max(state["last"] for state in several),
    }
