"""``DataPlane``: all that a door may call, the same for every protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol, TypeAlias

from modelserver.engine.repository import ModelRepository
from modelserver.engine.runner import READY
from modelserver.errors import ModelNotReady, ServerNotReady
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import IndexEntry, ModelMetadata, ModelStatistics, ServerMetadata

#: One response, or a stream of them.
Answer: TypeAlias = InferResponse | AsyncIterator[InferResponse]


class Everywhere(Protocol):
    """What concerns every process of the server at once."""

    async def load(self, name: str) -> None:
        """Load a model in all of them."""

    async def unload(self, name: str) -> None:
        """Unload a model in all of them."""

    async def statistics(self, keys: Sequence[tuple[str, str]]) -> list[ModelStatistics]:
        """Of each (model, version), added up."""


class DataPlane:
    """Protocol-neutral verbs over the repository. Every method runs on the event loop."""

    def __init__(
        self,
        repository: ModelRepository,
        metadata: ServerMetadata,
        everywhere: Everywhere,
        *,
        allow_no_models: bool = False,
    ) -> None:
        self._repository = repository
        self._metadata = metadata
        self._everywhere = everywhere
        self._allow_no_models = allow_no_models
        self._started = False
        self.stopping = False
        #: When the newest request came, in the seconds of ``time.monotonic()``.
        self.last_arrival = 0.0

    async def start(self, others: Awaitable[None] | None = None) -> None:
        """Load what is expected, then wait for ``others`` to have done so; before this has returned it is not ready."""
        await self._repository.load_all()
        if others is not None:
            await others
        self._started = True

    async def stop(self, grace: float | None = None) -> None:
        """Unload everything."""
        await self._repository.unload_all(grace)

    def live(self) -> bool:
        """The process is up."""
        return True

    def ready(self) -> bool:
        """Every expected model can serve, there is at least one (unless asked otherwise), and nothing is stopping."""
        return not self.why_not_ready()

    def why_not_ready(self) -> str:
        """The reason in words; empty when the server is ready."""
        if self.stopping:
            return "It is stopping."
        unready = self._repository.unready()
        if unready:
            return "; ".join(f"model {r.name} version {r.version}: {r.reason}" for r in unready)
        if not self._started:
            return "It is starting."
        if not self._repository.expected and not self._allow_no_models:
            return "It has no models."
        return ""

    def all_loaded(self) -> bool:
        """Whether no expected model failed to load."""
        return not self._repository.unready()

    def require_ready(self) -> None:
        """Raise ``ServerNotReady`` with the reason unless ``ready()``."""
        reason = self.why_not_ready()
        if reason:
            raise ServerNotReady(reason)

    def server_metadata(self) -> ServerMetadata:
        """Name, version, extensions."""
        return self._metadata

    def models(self) -> list[str]:
        """The names of all models, whatever their state, in the order they were given."""
        return self._repository.names()

    def model_ready(self, name: str, version: str | None = None) -> bool:
        """Whether this model can serve, and the server goes on serving; ``ModelNotFound``."""
        return self._repository.get(name, version).state == READY and not self.stopping

    def why_model_not_ready(self, name: str, version: str | None = None) -> str:
        """The reason in words; empty when it is ready; ``ModelNotFound``."""
        return self._repository.get(name, version).reason or ("The server is stopping." if self.stopping else "")

    def require_model(self, name: str, version: str | None = None) -> None:
        """Raise ``ModelNotFound`` or ``ModelNotReady`` before any work is done for a request."""
        runner = self._repository.get(name, version)
        if runner.state != READY:
            raise ModelNotReady(name, runner.reason)

    def model_metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """Versions, platform, inputs and outputs of a model; ``ModelNotFound``."""
        return self._repository.get(name, version).metadata(self._repository.versions(name))

    async def model_statistics(self, name: str | None = None, version: str | None = None) -> list[ModelStatistics]:
        """Of one version, of all versions of a model, or of everything; ``ModelNotFound``."""
        if name and version:
            runners = [self._repository.get(name, version)]
        elif name:
            self._repository.get(name)
            runners = [self._repository.get(name, each) for each in self._repository.versions(name)]
        else:
            runners = self._repository.runners()
        return await self._everywhere.statistics([(runner.name, runner.version) for runner in runners])

    def index(self, ready: bool = False) -> list[IndexEntry]:
        """Every version of every model with its state."""
        return self._repository.index(ready)

    async def load(self, name: str) -> None:
        """Load a model or load it anew; ``ModelNotFound``, ``ModelNotReady`` with the reason."""
        await self._everywhere.load(name)

    async def unload(self, name: str) -> None:
        """Unload a model; ``ModelNotFound``."""
        await self._everywhere.unload(name)

    def infer(self, request: InferRequest) -> Awaitable[Answer]:
        """Answer a request by its model's ``predict``."""
        self.last_arrival = time.monotonic()
        return self._repository.get(request.model_name, request.model_version).infer(request)

    def explain(self, request: InferRequest) -> Awaitable[Answer]:
        """Answer a request by its model's ``explain``."""
        request.context.verb = "explain"
        self.last_arrival = time.monotonic()
        return self._repository.get(request.model_name, request.model_version).explain(request)
