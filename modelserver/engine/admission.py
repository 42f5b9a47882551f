"""What a model must pass around its load before it is ready, and the words for why it did not.

The artifact's digest before it is opened, declared inputs and outputs after it is loaded, then warm-up and golden rows
through the model's own stages. When a load fails, the artifact is read without executing it, to say what is wrong with
it (cut short, of another framework, of another version) instead of what the framework stumbled over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from modelserver.errors import InvalidInput, ModelServerError
from modelserver.golden import GoldenRow, read_rows
from modelserver.inspection import Findings, inspect, saved_with, sha256_of
from modelserver.inspection.skew import Skew, skews
from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.model import Model
from modelserver.model_settings import GOLDEN_NAME, ArtifactSettings
from modelserver.sample import sample_inputs

log = logging.getLogger("modelserver.engine")

#: Asks the loaded model, through its own stages.
Ask: TypeAlias = Callable[[InferRequest], Awaitable[InferResponse | AsyncIterator[InferResponse]]]

# Runtime -> the distribution whose models it loads, to name the right one for a model that lies in the wrong place.
_FRAMEWORKS = {"sklearn": "scikit-learn", "xgboost": "xgboost", "pytorch": "torch"}
_RUNTIMES = {distribution: runtime for runtime, distribution in _FRAMEWORKS.items()}


class Admission:
    """One load of one version of a model. ``artifact`` is its file; ``runtime`` the name of what reads it."""

    def __init__(self, artifact: Path, settings: ArtifactSettings, runtime: str = "") -> None:
        self._artifact = artifact
        self._settings = settings
        self._runtime = runtime
        self._skews: Sequence[Skew] = ()

    def check_artifact(self) -> None:
        """Before anything opens it: ``ModelServerError`` for an empty file, or one with another digest."""
        path, expected = self._artifact, self._settings.sha256
        if path.is_file() and path.stat().st_size == 0:
            raise ModelServerError(f"{path.name}: it is empty")
        if expected is not None and (got := sha256_of(path)) != expected:
            raise ModelServerError(f"{path.name}: sha256: got {got[:12]}, expected {expected[:12]}")
        if self._runtime and path.is_file():
            self._skews = skews(saved_with(path))

    def declare(self, model: Model) -> None:
        """What the settings declare in place of what the runtime detected; inputs are then checked exactly."""
        settings = self._settings
        if settings.inputs is not None:
            model.inputs = settings.inputs
            model.input_check = "exact"
        if settings.outputs is not None:
            model.outputs = settings.outputs

    async def check(self, model: Model, ask: Ask) -> None:
        """Warm-up and golden rows; ``ModelServerError`` names the row and the first difference."""
        for skew in self._skews:
            log.warning("model %s: %s", model.name, skew)
        await self._warm_up(model, ask)
        rows = await asyncio.to_thread(self._golden_rows)
        for row in rows:
            difference = row.difference(await _answer(row, model, ask))
            if difference:
                raise ModelServerError(f"{row.where}: {difference}")
        if rows:
            log.info("model %s: %d golden rows are answered as they say", model.name, len(rows))

    def reason(self, exc: Exception, first_line: str) -> str:
        """Why the load failed: ``first_line`` is what the exception says, and the artifact may say more."""
        name = self._artifact.name
        if isinstance(exc, ModelServerError) or not self._runtime:
            return first_line
        if name in first_line:  # the runtime's own words for people
            return first_line.removeprefix(f"{type(exc).__name__}: ")
        try:
            found = inspect(self._artifact)
        except OSError:
            return first_line
        if found.damage:
            return f"{name}: {found.damage} ({first_line})"
        if self._is_for_another_runtime(found):
            belongs = f"; the runtime {_RUNTIMES[found.framework]} loads it" if found.framework in _RUNTIMES else ""
            return f"{name}: {found.format} of {found.framework}, not for the runtime {self._runtime}{belongs}"
        if differing := skews(found.saved_with):
            return f"{'; '.join(map(str, differing))} ({first_line})"
        if isinstance(exc, ModuleNotFoundError) and exc.name:
            package = exc.name.partition(".")[0]
            if find_spec(package) is None:
                return f"{name}: it needs the package {package}, which is not installed ({first_line})"
        if "__main__" in found.imports:
            return f"{name}: it needs classes of the program that saved it, which is not here ({first_line})"
        return first_line

    def _is_for_another_runtime(self, found: Findings) -> bool:
        ours = _FRAMEWORKS.get(self._runtime)
        return bool(ours and found.framework and found.framework != ours)

    def _golden_rows(self) -> Sequence[GoldenRow]:
        golden = self._settings.golden
        if isinstance(golden, tuple):
            return golden
        directory = self._artifact if self._artifact.is_dir() else self._artifact.parent
        path = directory / (golden if isinstance(golden, str) else GOLDEN_NAME)
        if golden is False or (golden is True and not path.is_file()):
            return ()
        try:
            return read_rows(path)
        except OSError as exc:
            raise ModelServerError(f"{path.name}: cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise ModelServerError(str(exc)) from exc

    async def _warm_up(self, model: Model, ask: Ask) -> None:
        warmup = self._settings.warmup
        if isinstance(warmup, tuple):
            for row in warmup:
                await _answer(row, model, ask, "warmup ")
        elif warmup and model.inputs:
            request = InferRequest(model.name, sample_inputs(model.inputs), context=Context(protocol="v2"))
            try:
                await ask(request)
            except Exception as exc:  # noqa: BLE001 - a model may refuse made-up values in any way it likes
                log.info("model %s: warm-up with made-up inputs was refused: %s", model.name, exc)
        elif warmup:
            log.info("model %s: no warm-up, for its inputs are not known", model.name)


async def _answer(row: GoldenRow, model: Model, ask: Ask, what: str = "") -> InferResponse:
    """The model's answer to a row; ``ModelServerError`` that names the row when it has none."""
    try:
        response = await ask(row.request(model.name, model.inputs))
    except ModelServerError as exc:
        raise ModelServerError(f"{what}{row.where}: {exc.message}") from exc
    if not isinstance(response, InferResponse):
        raise InvalidInput(f"{what}{row.where}: the model streams, which rows cannot be checked against")
    return response
