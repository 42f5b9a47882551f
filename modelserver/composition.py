"""Where the objects of one server process meet: repository, data plane, observers and both doors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelserver import __version__
from modelserver.engine.dataplane import DataPlane
from modelserver.engine.repository import Catalog, ModelRepository, ModelSource
from modelserver.messages import ServerMetadata
from modelserver.protocols.v2_metadata import EXTENSIONS
from modelserver.servers.rest import RestDoor, RestOptions, status_of
from modelserver.servers.rest_app import rest_app
from modelserver.servers.v1_rest import CloudEventSettings
from modelserver.settings import ServerSettings
from modelserver.telemetry.access_log import AccessLog
from modelserver.telemetry.metrics import Metrics
from modelserver.telemetry.observer import Observer

if TYPE_CHECKING:
    from modelserver.servers.grpc import GrpcDoor


@dataclass(slots=True)
class Composition:
    """One process's objects, ready to be started. ``rest`` is an ASGI application; ``grpc`` is ``None`` when off."""

    dataplane: DataPlane
    rest: Any
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
) -> Composition:
    """Build everything from the inside out; nothing is opened, loaded or started."""
    repository = ModelRepository(sources, catalog, settings.threads)
    metrics = Metrics(repository.index, __version__)
    watching: list[Observer] = [metrics, *observers]
    closing: list[Callable[[], None]] = []
    if settings.access_log:
        access_log = AccessLog(sys.stdout, settings.log_format, stages=settings.enable_latency_logging)
        watching.append(access_log)
        closing.append(access_log.close)
    dataplane = DataPlane(
        repository,
        ServerMetadata(settings.server_name, __version__, EXTENSIONS),
        statistics=metrics.statistics,
        allow_no_models=settings.allow_no_models,
    )
    options = RestOptions(
        max_body_bytes=settings.http_max_body_bytes,
        compression_min_bytes=settings.compression_min_bytes,
        request_timeout=settings.request_timeout,
        cloudevents=CloudEventSettings(settings.ce_merge, settings.ce_source, settings.ce_type),
    )
    rest: Any = RestDoor(
        dataplane,
        rest_app(dataplane, metrics.render, status_of, docs=settings.enable_docs_url),
        watching,
        options,
    )
    for wrap in middleware:  # around the whole application, so that nothing goes round it
        rest = wrap(rest)
    return Composition(dataplane, rest, _grpc_door(settings, dataplane, watching), closing)


def _grpc_door(settings: ServerSettings, dataplane: DataPlane, observers: Sequence[Observer]) -> GrpcDoor | None:
    if not settings.enable_grpc:
        return None
    from modelserver.servers.grpc import GrpcDoor  # grpc is not imported where it is turned off

    return GrpcDoor(
        dataplane,
        observers,
        host=settings.host,
        port=settings.grpc_port,
        max_receive_message_length=settings.grpc_max_receive_message_length,
        max_send_message_length=settings.grpc_max_send_message_length,
        request_timeout=settings.request_timeout,
    )
