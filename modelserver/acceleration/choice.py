"""``Accelerated``: one callable that gives each batch to the engine that was chosen for its size."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelserver.acceleration.calibration import FRAMEWORK, Choice, calibrate, merged
from modelserver.acceleration.proof import SECONDS, Engine, Proof, Proved, Refused

AUTO, OFF = "auto", "off"
#: Beyond it FP32, which forests compute in, has no number: frameworks refuse such rows in words of their own.
_LARGEST = float(np.finfo(np.float32).max)

log = logging.getLogger("modelserver.acceleration")


class Accelerated:
    """Answers rows as ``framework`` does, by way of the engines in ``choices``. Threads may call it at once.

    Rows that are no 2-D array of a proved datatype with ``features`` columns, rows with infinities, and rows with NaN
    where the engine was not proved for them, go to the framework.
    """

    def __init__(
        self,
        framework: Engine,
        features: int,
        choices: Sequence[Choice],
        proved: Mapping[str, Proved],
        reasons: Mapping[str, str],
        asked: str = AUTO,
    ) -> None:
        self._framework = framework
        self._features = features
        self.choices = tuple(choices)
        #: Why an engine is not used, by name.
        self.reasons = dict(reasons)
        self.asked = asked
        engines = [proved.get(choice.engine) for choice in self.choices]
        self._engines = engines
        self._lasts = [choice.last for choice in self.choices if choice.last is not None]
        self.active = any(engine is not None for engine in engines)

    def __call__(self, rows: Any) -> Any:
        """The framework's answer, whichever engine gives it."""
        engine = self.engine_for(rows)
        return self._framework(rows) if engine is None else engine.run(rows)

    def engine_for(self, rows: Any) -> Proved | None:
        """The engine that answers ``rows``; ``None`` for the framework."""
        if not self.active or type(rows) is not np.ndarray or rows.ndim != 2:
            return None
        count, features = rows.shape
        if count == 0 or features != self._features:
            return None
        place = 0
        for last in self._lasts:
            if count <= last:
                break
            place += 1
        engine = self._engines[place]
        if engine is None:
            return None
        missing = engine.takes.get(rows.dtype)
        if missing is None:
            return None
        # NaN passes through minimum and is skipped by fmin; a comparison with NaN is false.
        low, high = (np.fmin, np.fmax) if missing else (np.minimum, np.maximum)
        if low.reduce(rows, axis=None) >= -_LARGEST and high.reduce(rows, axis=None) <= _LARGEST:
            return engine
        return None

    @property
    def properties(self) -> dict[str, str]:
        """What the metadata says: ``engines`` (which serves how many rows) and ``engines_reason``."""
        engines = "; ".join(f"{choice.engine}: {choice.range} rows" for choice in self.choices)
        times = [text for choice in self.choices if (text := _times(choice))]
        reasons = [f"{name} {reason}" for name, reason in self.reasons.items()]
        return {"accelerate": self.asked, "engines": engines, "engines_reason": "; ".join([*times, *reasons])}


def accelerated(
    name: str,
    framework: Engine,
    makers: Mapping[str, Callable[[], Engine]],
    probes: Callable[[], np.ndarray],
    asked: str = AUTO,
    like: Accelerated | None = None,
    exact: bool = False,
) -> Accelerated:
    """Build, prove and time the engines of the model called ``name``; log what was found.

    ``framework`` is the framework's own call. ``makers`` build the other engines, by name. ``probes`` gives FP64 rows
    [n, features] to compare on, such as ``probe_rows``. ``asked`` is ``auto``, ``off``, or the name of the one engine
    to use for every size once it is proved. ``like`` is another method of the same model, whose choices of sizes are
    taken over instead of timing this one. ``exact`` allows no bit of a float to differ. Nothing is raised: what fails
    leaves the framework.
    """
    every = Choice(1, None, FRAMEWORK, {})
    if asked in (OFF, FRAMEWORK):
        return Accelerated(framework, 0, [every], {}, {}, asked)
    wanted = dict(makers) if asked == AUTO else {asked: makers[asked]} if asked in makers else {}
    proved: dict[str, Proved] = {}
    reasons: dict[str, str] = {}
    if asked != AUTO and not wanted:
        reasons[asked] = "is no engine of this model" + (f", which has {', '.join(makers)}" if makers else "")
    rows = np.empty((0, 0))
    choices = [every]
    try:
        if wanted:
            rows = probes()
            _prove(Proof(framework, rows, SECONDS if asked == AUTO else math.inf, exact), wanted, proved, reasons)
    except Refused as exc:
        reasons[FRAMEWORK] = str(exc)
    except Exception as exc:  # noqa: BLE001 - probes are made from a model's insides, which differ by version
        reasons[FRAMEWORK] = f"no probe rows: {type(exc).__name__}: {exc}"
    if proved and asked != AUTO:
        choices = [Choice(1, None, asked, {})]
    elif proved and like is not None:
        choices = merged([choice if choice.engine in proved else choice.by_framework() for choice in like.choices])
    elif proved:
        engines = {FRAMEWORK: framework} | {each.name: each.run for each in proved.values()}
        choices = merged(calibrate(engines, rows))
    result = Accelerated(framework, rows.shape[1], choices, proved, reasons, asked)
    _log(name, result)
    return result


def _prove(
    proof: Proof, makers: Mapping[str, Callable[[], Engine]], proved: dict[str, Proved], reasons: dict[str, str]
) -> None:
    for engine, make in makers.items():
        try:
            proved[engine] = proof.prove(engine, make)
        except Refused as exc:
            reasons[engine] = str(exc)


def _log(name: str, result: Accelerated) -> None:
    said = result.properties
    log.info("model %s: %s (%s)", name, said["engines"], said["engines_reason"] or "no other engine knows it")
    if result.asked in result.reasons:
        log.warning("model %s: the engine %s is not used: it %s", name, result.asked, result.reasons[result.asked])


def _times(choice: Choice) -> str:
    if not choice.seconds:
        return ""
    times = ", ".join(f"{name} {seconds * 1e6:,.0f} us" for name, seconds in choice.seconds.items())
    return f"{choice.timed_rows} row{'s' if choice.timed_rows != 1 else ''}: {times}"
