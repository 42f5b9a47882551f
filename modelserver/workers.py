"""What concerns all worker processes at once: load and unload, statistics, the metrics page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelserver.engine.repository import ModelRepository
from modelserver.errors import ModelServerError
from modelserver.metadata import ModelStatistics
from modelserver.siblings import Siblings
from modelserver.telemetry.metrics import Metrics, Page, merge
from modelserver.telemetry.snapshot import Snapshot
from modelserver.telemetry.statistics import statistics_of


class AllWorkers:
    """The verbs that mean every worker of the server; ``siblings`` is ``None`` where this process is alone."""

    def __init__(self, repository: ModelRepository, metrics: Metrics, siblings: Siblings | None) -> None:
        self._repository = repository
        self._metrics = metrics
        self._siblings = siblings

    async def load(self, name: str) -> None:
        """Load in every worker; the first failure is raised once all have tried."""
        await self._change("load", name)

    async def unload(self, name: str) -> None:
        """Unload in every worker."""
        await self._change("unload", name)

    async def statistics(self, keys: Sequence[tuple[str, str]]) -> list[ModelStatistics]:
        """Of each (model, version), added up over the workers."""
        snapshots = await self._snapshots()
        return [statistics_of(snapshots, model, version) for model, version in keys]

    async def metrics_page(self, accept: str | None) -> Page:
        """The Prometheus page, added up over the workers."""
        if self._siblings is None:
            return self._metrics.render(accept)
        return merge(await self._snapshots(), accept)

    async def do(self, verb: str, argument: str) -> Any:
        """What a sibling (or this process) asked all workers to do, done in this one."""
        if verb == "snapshot":
            return self._metrics.snapshot()
        try:
            await (self._repository.load(argument) if verb == "load" else self._repository.unload(argument))
        except ModelServerError as exc:
            return exc.code, exc.message
        return True

    async def _snapshots(self) -> list[Snapshot]:
        return [self._metrics.snapshot()] if self._siblings is None else await self._siblings.ask("snapshot")

    async def _change(self, verb: str, name: str) -> None:
        if self._siblings is None:
            await (self._repository.load(name) if verb == "load" else self._repository.unload(name))
            return
        for answer in await self._siblings.ask(verb, name):
            if answer is not True:
                code, message = answer
                raise ModelServerError(message, code=code)
