"""``ModelServer``: builds everything, starts it, drains it, stops it. The only place where the objects meet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelserver.engine.dataplane import DataPlane
from modelserver.engine.loader import NoCatalog, sources_of_models, sources_of_path
from modelserver.engine.repository import Catalog, ModelSource
from modelserver.model import Model
from modelserver.settings import ServerSettings
from modelserver.telemetry.observer import Observer

if TYPE_CHECKING:
    from modelserver.composition import Composition

log = logging.getLogger("modelserver")


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
        self.http_port = settings.http_port
        self.grpc_port = settings.grpc_port
        self.dataplane: DataPlane | None = None
        self._on_ready = on_ready
        self._observers = list(observers)
        self._middleware = list(middleware)
        self._composition: Composition | None = None
        self._loading: asyncio.Task[None] | None = None
        self._rest: Any = None
        self._rest_task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    def serve(self, what: Sequence[Model] | str | os.PathLike[str], *, model_name: str | None = None,
              runtime: str | None = None) -> None:
        """Serve until SIGTERM or SIGINT; ``what`` is a list of models or a path (see ``modelserver serve``).

        Returns after a clean stop. ``ValueError`` when there is nothing to serve at the path; ``OSError`` when a
        port is taken; ``SystemExit`` with 1 when a model fails to load and the settings say to exit then.
        """
        sources, catalog = _resolve(what, model_name, runtime)
        self._configure_logging()
        failed = asyncio.Runner(loop_factory=_loop_factory(self.settings.event_loop)).run(
            self._run(sources, catalog)
        )
        _leave_stuck_threads_behind()
        if failed:
            raise SystemExit(1)

    async def start(self, what: Sequence[Model] | str | os.PathLike[str], *, model_name: str | None = None,
                    runtime: str | None = None) -> None:
        """Open the ports and begin to load; for a program that has an event loop of its own. See ``stop``."""
        await self._start(*_resolve(what, model_name, runtime))

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
        log.info("stopping: not ready, serving for %s s more", settings.lame_duck)
        await asyncio.sleep(settings.lame_duck)
        deadline = time.monotonic() + settings.grace_period
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        grpc = self._composition.grpc
        await asyncio.gather(self._stop_rest(), *([grpc.stop(settings.grace_period)] if grpc else []))
        await self.dataplane.stop(max(0.0, deadline - time.monotonic()))
        self._composition.close()
        log.info("stopped")

    def request_stop(self) -> None:
        """Make ``serve`` stop as SIGTERM does; call it on the event loop."""
        self._stop.set()

    async def _run(self, sources: list[ModelSource], catalog: Catalog) -> bool:
        """The whole life of ``serve``; true when it ended because a model failed to load."""
        with _signals(self._signalled):
            await self._start(sources, catalog)
            assert self._loading is not None
            failed = False
            if self.settings.exit_on_load_failure:
                await asyncio.wait(
                    [self._loading, stopping := asyncio.create_task(self._stop.wait())],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                stopping.cancel()
                failed = self._loading.done() and self.dataplane is not None and not self.dataplane.all_loaded()
            if not failed:
                await self._stop.wait()
            await self.stop()
            return failed

    def _signalled(self) -> None:
        if self._stop.is_set():
            log.warning("stopping at once: a second signal")
            os._exit(1)
        self._stop.set()

    async def _start(self, sources: list[ModelSource], catalog: Catalog) -> None:
        from modelserver.composition import compose  # imports both doors' packages: here, and not before

        self._composition = compose(self.settings, sources, catalog, self._observers, self._middleware)
        self.dataplane = dataplane = self._composition.dataplane
        await self._start_rest(self._composition.rest)
        if self._composition.grpc is not None:
            self.grpc_port = await self._composition.grpc.start()
            log.info("gRPC on %s:%d", self.settings.host, self.grpc_port)
        self._loading = asyncio.create_task(self._load(dataplane))

    async def _start_rest(self, app: Any) -> None:
        import uvicorn

        settings = self.settings
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=settings.timeout_keep_alive,
            timeout_graceful_shutdown=max(1, round(settings.grace_period)),
        )
        listener = _listen(settings.host, settings.http_port)
        self.http_port = listener.getsockname()[1]
        self._rest = _Uvicorn(config)
        self._rest_task = asyncio.create_task(self._rest.serve(sockets=[listener]))
        log.info("REST on http://%s:%d", settings.host, self.http_port)

    async def _load(self, dataplane: DataPlane) -> None:
        start = time.perf_counter()
        await dataplane.start()
        reason = dataplane.why_not_ready()
        if reason:
            log.error("not ready: %s", reason)
            return
        log.info("ready after %.2f s of loading", time.perf_counter() - start)
        if self._on_ready is not None:
            self._on_ready(dataplane)

    async def _stop_rest(self) -> None:
        if self._rest is not None and self._rest_task is not None:
            self._rest.should_exit = True
            await self._rest_task

    def _configure_logging(self) -> None:
        from modelserver.telemetry.logs import configure_logging

        settings = self.settings
        if settings.configure_logging:
            configure_logging(settings.log_format, settings.log_level, settings.log_config_file)


def _resolve(
    what: Sequence[Model] | str | os.PathLike[str], model_name: str | None, runtime: str | None
) -> tuple[list[ModelSource], Catalog]:
    if isinstance(what, (str, os.PathLike)):
        return sources_of_path(os.fspath(what), model_name, runtime)
    return sources_of_models(list(what)), NoCatalog()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"cannot listen on {host}:{port}: {exc.strerror}") from exc
    return listener


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise
        return asyncio.new_event_loop
    return uvloop.new_event_loop


@contextlib.contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT stop the server; only the main thread can ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _leave_stuck_threads_behind() -> None:
    """A predict that outlived the grace period must not keep the process: Python would wait for its thread."""
    pools = [thread for thread in threading.enumerate() if thread.name.startswith("model-")]
    for thread in pools:
        thread.join(0.1)  # an idle one ends by itself, now that its pool is shut
    stuck = [thread for thread in pools if thread.is_alive()]
    if stuck:
        log.warning("leaving %d predicts behind that did not end within the grace period", len(stuck))
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)


def _Uvicorn(config: Any) -> Any:
    """uvicorn's server without its signal handlers: ours decide when it stops."""
    import uvicorn

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return Server(config)
