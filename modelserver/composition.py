"""Where the objects of one server process meet: repository, data plane, observers and both doors."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelserver import __version__
from modelserver.engine.dataplane import DataPlane
from modelserver.engine.repository import Catalog, ModelRepository, ModelSource
from modelserver.metadata import ServerMetadata
from modelserver.protocols.cloudevents import CloudEventSettings
from modelserver.protocols.v2_metadata import EXTENSIONS
from modelserver.servers.answers import status_of
from modelserver.servers.exchange import RestOptions
from modelserver.servers.http_uvicorn import UvicornListener
from modelserver.servers.rest import RestDoor
from modelserver.servers.rest_app import rest_app
from modelserver.settings import ServerSettings
from modelserver.telemetry.access_log import AccessLog
from modelserver.telemetry.metrics import Metrics
from modelserver.telemetry.observer import Observer
from modelserver.workers import AllWorkers

if TYPE_CHECKING:
    from modelserver.servers.grpc import GrpcDoor
    from modelserver.siblings import Siblings


@dataclass(frozen=True, slots=True)
class SharedPorts:
    """What a worker has in common with its siblings: the listening REST socket, gRPC's port, the way to them.

    ``late``: they serve already, so this one opens its ports only when it can serve as well.
    """

    rest: socket.socket
    grpc_port: int
    siblings: Siblings
    late: bool = False


@dataclass(slots=True)
class Composition:
    """One process's objects, ready to be started: ``rest`` is an ASGI application, ``http`` what listens for it.

    ``grpc`` is ``None`` when it is turned off.
    """

    dataplane: DataPlane
    workers: AllWorkers
    rest: Any
    http: UvicornListener
    grpc: GrpcDoor | None
    closing: list[Callable[[], None]] = field(default_factory=list)

    def close(self) -> None:
        """Flush what observers hold."""
        for close in self.closing:
            close()


def compose(
    settings: ServerSettings,
    sources: Sequence[ModelSource],
    catalog: Catalog,
    observers: Sequence[Observer] = (),
    middleware: Sequence[Callable[[Any], Any]] = (),
    shared: SharedPorts | None = None,
) -> Composition:
    """Build everything from the inside out; nothing is opened, loaded or started.

    ``shared`` is given to a worker, which has siblings and ports that are open already.
    """
    repository = ModelRepository(sources, catalog, settings.threads)
    metrics = Metrics(repository.index, __version__)
    watching: list[Observer] = [metrics, *observers]
    closing: list[Callable[[], None]] = []
    if settings.access_log:
        access_log = AccessLog(sys.stdout, settings.log_format, stages=settings.enable_latency_logging)
        watching.append(access_log)
        closing.append(access_log.close)
    workers = AllWorkers(repository, metrics, shared.siblings if shared else None)
    dataplane = DataPlane(
        repository,
        ServerMetadata(settings.server_name, __version__, EXTENSIONS),
        workers,
        allow_no_models=settings.allow_no_models,
    )
    rest: Any = RestDoor(
        dataplane,
        rest_app(dataplane, workers.metrics_page, status_of, docs=settings.enable_docs_url),
        watching,
        _rest_options(settings),
    )
    for wrap in middleware:  # around the whole application, so that nothing goes round it
        rest = wrap(rest)
    http = UvicornListener(
        rest,
        host=settings.host,
        port=settings.http_port,
        keep_alive=settings.timeout_keep_alive,
        grace=settings.grace_period,
        listener=shared.rest if shared else None,
    )
    grpc = _grpc_door(settings, dataplane, watching, shared.grpc_port if shared else None)
    return Composition(dataplane, workers, rest, http, grpc, closing)


def _rest_options(settings: ServerSettings) -> RestOptions:
    return RestOptions(
        max_body_bytes=settings.http_max_body_bytes,
        compression_min_bytes=settings.compression_min_bytes,
        request_timeout=settings.request_timeout,
        cloudevents=CloudEventSettings(settings.ce_merge, settings.ce_source, settings.ce_type),
    )


def _grpc_door(
    settings: ServerSettings, dataplane: DataPlane, observers: Sequence[Observer], shared_port: int | None
) -> GrpcDoor | None:
    if not settings.enable_grpc:
        return None
    from modelserver.servers.grpc import GrpcDoor  # grpc is not imported where it is turned off

    return GrpcDoor(
        dataplane,
        observers,
        host=settings.host,
        port=settings.grpc_port if shared_port is None else shared_port,
        share_port=shared_port is not None,
        max_receive_message_length=settings.grpc_max_receive_message_length,
        max_send_message_length=settings.grpc_max_send_message_length,
        request_timeout=settings.request_timeout,
    )
