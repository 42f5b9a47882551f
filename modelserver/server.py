"""``ModelServer``: starts what ``composition`` built, drains it and stops it; in one process or in several."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from modelserver.cpus import WORKERS_VARIABLE
from modelserver.engine.dataplane import DataPlane
from modelserver.engine.loader import NoCatalog, sources_of_models, sources_of_path
from modelserver.engine.repository import Catalog, ModelSource
from modelserver.model import Model
from modelserver.process import leave_stuck_threads_behind, loop_factory, stop_signals
from modelserver.settings import ServerSettings
from modelserver.telemetry.observer import Observer

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from modelserver.composition import Composition, SharedPorts
    from modelserver.siblings import Siblings

log = logging.getLogger("modelserver")

#: A stopping server closes its ports when no request has come for so long (seconds) ...
QUIET = 0.2
#: ... or after so many times the lame-duck time, when a client never stops.
MOST_LAME_DUCKS = 10

#: What to serve: models, or a path that holds some.
Servable: TypeAlias = Sequence[Model] | str | os.PathLike[str]


class ModelServer:
    """Serves models over v1 REST, v2 REST and v2 gRPC.

    ``settings`` come from the environment and the defaults when not given; keywords override single ones:
    ``ModelServer(http_port=8080, grpc_port=8081)``. ``on_ready`` is called once, when everything expected is
    loaded. ``observers`` are told of every request. ``middleware`` are functions from an ASGI application to the
    one around it; the last is the outermost, and every REST request passes it.

    >>> ModelServer(http_port=0).settings.http_port
    0
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        *,
        on_ready: Callable[[DataPlane], None] | None = None,
        observers: Sequence[Observer] = (),
        middleware: Sequence[Callable[[Any], Any]] = (),
        **overrides: object,
    ) -> None:
        if settings is None:
            settings = ServerSettings.resolve(overrides)
        elif overrides:
            raise TypeError(f"expected settings or keywords, got both: {', '.join(overrides)}")
        self.settings = settings
        #: The ports that are open; they differ from the settings where those say 0.
        self.http_port = settings.http_port
        self.grpc_port = settings.grpc_port
        self.dataplane: DataPlane | None = None
        self._on_ready = on_ready
        self._observers = list(observers)
        self._middleware = list(middleware)
        self._composition: Composition | None = None
        self._loading: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._interrupted = False
        self._worker = False

    def serve(
        self,
        what: Servable,
        *,
        model_name: str | None = None,
        runtime: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """Serve until SIGTERM or SIGINT; ``what`` is a list of models or a path (see ``modelserver serve``).

        ``options`` are settings of the runtime that loads a path, such as ``{"nthread": 1}``.
        Returns after a clean stop. ``ValueError`` when there is nothing to serve at the path; ``OSError`` when a
        port is taken; ``SystemExit`` with 1 when a model fails to load and the settings say to exit then.
        """
        sources, catalog = _resolve(what, model_name, runtime, options)
        self._configure_logging()
        os.environ[WORKERS_VARIABLE] = str(self.settings.workers)  # runtimes divide the CPUs by it
        several = self.settings.workers > 1
        code = self._supervise(sources, catalog) if several else self._run(sources, catalog, None)
        leave_stuck_threads_behind(code)
        if code:
            raise SystemExit(code)

    async def start(
        self,
        what: Servable,
        *,
        model_name: str | None = None,
        runtime: str | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        """Open the ports and begin to load; for a program that has an event loop of its own. See ``stop``.

        One process, whatever ``workers`` says.
        """
        await self._start(*_resolve(what, model_name, runtime, options), None)

    async def loaded(self) -> None:
        """Wait until every expected model is loaded, or has failed to."""
        if self._loading is not None:
            await asyncio.shield(self._loading)

    async def stop(self) -> None:
        """Not ready at once; serve on for the lame-duck time; close the ports; finish what is in flight; unload."""
        settings = self.settings
        if self.dataplane is None or self._composition is None:
            return
        self.dataplane.stopping = True
        if not self._interrupted:
            log.info("stopping: not ready, serving for %s s more", settings.lame_duck)
            await self._serve_on(self.dataplane)
        deadline = time.monotonic() + settings.grace_period
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        grpc = self._composition.grpc
        await asyncio.gather(self._composition.http.stop(), *([grpc.stop(settings.grace_period)] if grpc else []))
        await self.dataplane.stop(max(0.0, deadline - time.monotonic()))
        self._composition.close()
        log.info("stopped")

    async def _serve_on(self, dataplane: DataPlane) -> None:
        """The lame-duck time, and longer while requests still come: a port that closes under them loses some."""
        lame_duck = self.settings.lame_duck
        await asyncio.sleep(lame_duck)
        end = time.monotonic() + MOST_LAME_DUCKS * lame_duck
        while (left := min(end, dataplane.last_arrival + QUIET) - time.monotonic()) > 0:  # noqa: ASYNC110 - no event
            await asyncio.sleep(left)

    def request_stop(self) -> None:
        """Make ``serve`` stop as SIGTERM does; call it on the event loop."""
        self._stop.set()

    def _supervise(self, sources: list[ModelSource], catalog: Catalog) -> int:
        """The parent of the workers: holds the ports open and serves nothing."""
        from modelserver.ports import reserve
        from modelserver.supervisor import Supervisor

        settings = self.settings
        rest, grpc = reserve(settings.host, settings.http_port, settings.grpc_port)

        def worker(number: int, pipe: Connection, late: bool) -> int:
            from modelserver.composition import SharedPorts
            from modelserver.siblings import Siblings

            siblings = Siblings(pipe, self._announce, self.request_stop)
            code = self._run(sources, catalog, SharedPorts(rest, grpc.getsockname()[1], siblings, late))
            leave_stuck_threads_behind(code)
            return code

        def on_stop() -> None:
            rest.close()  # else the kernel would go on queueing connections that nobody accepts
            grpc.close()

        patience = settings.lame_duck + settings.grace_period
        log.info("supervising %d workers", settings.workers)
        return Supervisor(worker, settings.workers, patience, on_stop).run()

    def _run(self, sources: list[ModelSource], catalog: Catalog, shared: SharedPorts | None) -> int:
        runner = asyncio.Runner(loop_factory=loop_factory(self.settings.event_loop))
        with runner:
            return runner.run(self._live(sources, catalog, shared))

    async def _live(self, sources: list[ModelSource], catalog: Catalog, shared: SharedPorts | None) -> int:
        """The whole life of one process; 1 when it ended because a model failed to load."""
        self._worker = shared is not None
        with stop_signals(self._signalled, worker=shared is not None):
            await self._start(sources, catalog, shared)
            stopping = asyncio.create_task(self._stop.wait())
            failed = False
            if self.settings.exit_on_load_failure and self._loading is not None and self.dataplane is not None:
                await asyncio.wait([self._loading, stopping], return_when=asyncio.FIRST_COMPLETED)
                failed = self._loading.done() and not self.dataplane.all_loaded()
            if not failed:
                await stopping
            stopping.cancel()
            await self.stop()
            return int(failed)

    def _signalled(self, number: int) -> None:
        if self._stop.is_set() and self._worker:
            return  # a signal to the whole group, and the supervisor's own word: it is the one to lose patience
        if self._stop.is_set():
            log.warning("stopping at once: a second signal")
            os._exit(1)
        # Whoever presses Ctrl-C is no load balancer that has yet to learn of it.
        self._interrupted = number == signal.SIGINT
        self._stop.set()

    async def _start(self, sources: list[ModelSource], catalog: Catalog, shared: SharedPorts | None) -> None:
        from modelserver.composition import compose  # imports both doors' packages: here, and not before

        self._composition = compose(self.settings, sources, catalog, self._observers, self._middleware, shared)
        self.dataplane = dataplane = self._composition.dataplane
        if shared is not None:
            shared.siblings.listen(self._composition.workers.do)
        late = shared is not None and shared.late
        if not late:
            await self._open(self._composition)
        siblings = shared.siblings if shared else None
        self._loading = asyncio.create_task(self._load(dataplane, siblings, self._composition if late else None))

    async def _open(self, composition: Composition) -> None:
        """Open the ports, both or none."""
        host = self.settings.host
        self.http_port = await composition.http.start()
        log.info("REST on http://%s:%d", host, self.http_port)
        if composition.grpc is None:
            return
        try:
            self.grpc_port = await composition.grpc.start()
        except OSError:
            await composition.http.stop()
            raise
        log.info("gRPC on %s:%d", host, self.grpc_port)

    async def _load(self, dataplane: DataPlane, siblings: Siblings | None, to_open: Composition | None) -> None:
        start = time.perf_counter()
        await dataplane.start(siblings.loaded() if siblings else None)
        if to_open is not None:  # a replacement: before this moment its siblings served, and it could not
            await self._open(to_open)
        reason = dataplane.why_not_ready()
        if reason:
            log.error("not ready: %s", reason)
            return
        log.info("ready after %.2f s of loading", time.perf_counter() - start)
        if siblings is None:
            self._announce()
        else:
            siblings.ready()  # the supervisor tells one of them to announce it, once all are ready

    def _announce(self) -> None:
        if self._on_ready is not None and self.dataplane is not None:
            self._on_ready(self.dataplane)

    def _configure_logging(self) -> None:
        from modelserver.telemetry.logs import configure_logging

        settings = self.settings
        if settings.configure_logging:
            configure_logging(settings.log_format, settings.log_level, settings.log_config_file)


def _resolve(
    what: Servable, model_name: str | None, runtime: str | None, options: Mapping[str, object] | None
) -> tuple[list[ModelSource], Catalog]:
    if isinstance(what, (str, os.PathLike)):
        return sources_of_path(os.fspath(what), model_name, runtime, options)
    return sources_of_models(list(what)), NoCatalog()
