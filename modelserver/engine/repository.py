"""Which models there are: name -> version -> runner; load, unload, reload: the new in place before the old goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from modelserver.engine.admission import Admission
from modelserver.engine.runner import LOADING, READY, UNAVAILABLE, ModelRunner, reason_of
from modelserver.errors import ModelNotFound, ModelNotReady
from modelserver.metadata import IndexEntry
from modelserver.model import Model

log = logging.getLogger("modelserver.engine")

#: The version of a model that was given without one.
FIRST_VERSION = "1"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where one version of a model comes from: ``make`` gives a model that is not loaded yet, or raises why not.

    ``admit`` gives what that model must pass before it is ready; it is asked right after ``make``.
    """

    name: str
    version: str
    make: Callable[[], Model]
    admit: Callable[[], Admission | None] = lambda: None


class Catalog(Protocol):
    """The models that a repository could load: what is there now, asked anew each time."""

    def names(self) -> Sequence[str]:
        """The children of the repository."""

    def sources(self, name: str) -> Sequence[ModelSource]:
        """The versions of one child; empty when there is no such child."""


class ModelRepository:
    """All models of one server. Used on the event loop only, so it needs no lock but one per name for loading."""

    def __init__(self, sources: Sequence[ModelSource], catalog: Catalog, threads: int) -> None:
        self._catalog = catalog
        self._threads = threads
        self._versions: dict[str, dict[str, ModelRunner]] = {}
        self._latest: dict[str, ModelRunner] = {}
        self._expected: dict[str, None] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._sources: dict[str, list[ModelSource]] = {}
        for source in sources:
            self._sources.setdefault(source.name, []).append(source)
            self._expected[source.name] = None
            self._place(_failed(source, LOADING, "waiting to be loaded"))

    def get(self, name: str, version: str | None = None) -> ModelRunner:
        """The runner of a version; without a version the latest one that is ready. ``ModelNotFound``."""
        if not version:
            runner = self._latest.get(name)
            if runner is not None:
                return runner
            raise ModelNotFound(name)
        versions = self._versions.get(name)
        if versions is None:
            raise ModelNotFound(name)
        runner = versions.get(version)
        if runner is None:
            raise ModelNotFound(name, version)
        return runner

    def names(self) -> list[str]:
        """Every model known, in the order they came, whatever their state."""
        return list(self._versions)

    def versions(self, name: str) -> list[str]:
        """The versions of a model in numerical order."""
        return sorted(self._versions[name], key=_numeric)

    def runners(self) -> list[ModelRunner]:
        """Every version of every model."""
        return [runner for versions in self._versions.values() for runner in versions.values()]

    def unready(self) -> list[ModelRunner]:
        """The versions that were expected and cannot serve."""
        return [r for name in self._expected for r in self._versions.get(name, {}).values() if r.state != READY]

    @property
    def expected(self) -> int:
        """How many models should be serving."""
        return len(self._expected)

    def index(self, ready: bool = False) -> list[IndexEntry]:
        """Every version with its state and reason; children of the repository that were never loaded too."""
        entries = [self._versions[name][version].entry() for name in self._versions for version in self.versions(name)]
        entries += [
            IndexEntry(name, "", UNAVAILABLE, "not loaded")
            for name in self._catalog.names()
            if name not in self._versions
        ]
        return [entry for entry in entries if entry.state == READY] if ready else entries

    async def load_all(self) -> None:
        """Load every expected model, one after the other; a failure is that model's own."""
        for name in list(self._expected):
            try:
                await self.load(name)
            except ModelNotReady as exc:
                log.debug("%s", exc)

    async def load(self, name: str) -> None:
        """Load a model, or load it anew. The versions that serve go on until the new ones are ready.

        ``ModelNotFound`` for a name that is no child of the repository; ``ModelNotReady`` with the reason.
        """
        async with self._lock(name):
            # A directory is asked again, since its versions may have changed; a model made in code stays itself.
            sources = await asyncio.to_thread(self._catalog.sources, name) or self._sources.get(name, ())
            if not sources:
                raise ModelNotFound(name)
            self._expected[name] = None
            failures = [failure for source in sources if (failure := await self._load_version(source)) is not None]
            for version in set(self._versions[name]) - {source.version for source in sources}:
                await self._remove(name, version)
            if failures:
                raise failures[0]

    async def unload(self, name: str, grace: float | None = None) -> None:
        """Unload all versions of a model; it stays in the index. ``ModelNotFound``."""
        if name not in self._versions:
            raise ModelNotFound(name)
        async with self._lock(name):
            self._expected.pop(name, None)
            await asyncio.gather(*(runner.unload(grace) for runner in self._versions[name].values()))
            self._choose_latest(name)

    async def unload_all(self, grace: float | None = None) -> None:
        """Unload everything, at the end."""
        for name in self.names():
            await self.unload(name, grace)

    async def _load_version(self, source: ModelSource) -> ModelNotReady | None:
        old = self._versions.get(source.name, {}).get(source.version)
        serving = old is not None and old.state == READY
        if not serving:
            self._place(_failed(source, LOADING, "loading"))
        try:
            model = await asyncio.to_thread(source.make)
        except Exception as exc:
            return self._not_made(source, exc, serving)
        new = ModelRunner(model, source.name, source.version, self._threads)
        if not serving:
            self._place(new)
        try:
            await new.load(source.admit())
        except ModelNotReady as exc:
            return exc
        finally:
            self._choose_latest(source.name)
        if serving and old is not None:
            self._place(new)
            if old.model is not model:
                await old.unload()
        log.info("model %s version %s is ready", source.name, source.version)
        return None

    def _not_made(self, source: ModelSource, exc: Exception, serving: bool) -> ModelNotReady:
        reason = reason_of(exc)
        log.error("model %s version %s cannot be loaded: %s", source.name, source.version, reason)
        if not serving:
            self._place(_failed(source, UNAVAILABLE, reason))
        return ModelNotReady(source.name, reason)

    async def _remove(self, name: str, version: str) -> None:
        gone = self._versions[name].pop(version)
        self._choose_latest(name)
        await gone.unload()

    def _place(self, runner: ModelRunner) -> None:
        self._versions.setdefault(runner.name, {})[runner.version] = runner
        self._choose_latest(runner.name)

    def _choose_latest(self, name: str) -> None:
        versions = [self._versions[name][version] for version in self.versions(name)]
        ready = [runner for runner in versions if runner.state == READY]
        self._latest[name] = (ready or versions)[-1]

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _failed(source: ModelSource, state: str, reason: str) -> ModelRunner:
    """A place in the index for a version that has no model (yet)."""
    runner = ModelRunner(Model(source.name), source.name, source.version, threads=1)
    runner.state, runner.reason = state, reason
    return runner


def _numeric(version: str) -> tuple[int, str]:
    return (int(version), version) if version.isdecimal() else (-1, version)
