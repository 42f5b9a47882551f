"""The settings of a server, a model and batching: frozen, validated, each declared once.

Strength: default < file < environment < command line (or a keyword in code). See ``docs/reference/settings.md``,
which is made from these declarations.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from modelserver.config_file import read_file
from modelserver.cpus import cpu_quota
from modelserver.declaration import (
    PREFIX,
    Setting,
    SettingError,
    nearest,
    setting,
    settings_of,
)

PORTS = 65535
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the settings classes share: validation when made, and reading from the outside."""

    def __post_init__(self) -> None:
        for item in settings_of(type(self)):
            object.__setattr__(self, item.name, item.read(getattr(self, item.name)))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], source: str = "") -> Self:
        """Settings from a dictionary; names may have dashes. ``SettingError`` for an unknown name."""
        return cls(**_read(cls, values, source))

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Settings from every source: ``arguments`` (the strongest) over ``environ`` over the file they name.

        ``environ`` is the process's when not given. Raises ``SettingError``.

        >>> ServerSettings.resolve({"http_port": "9000"}, {"MODELSERVER_WORKERS": "2"}).workers
        2
        """
        environ = os.environ if environ is None else environ
        given = _read_shared(cls, arguments or {}, "")
        config = (arguments or {}).get("config") or environ.get(PREFIX + "CONFIG")
        read = _read_config(cls, str(config)) if config else {}
        return cls(**(read | _read_environment(cls, environ) | given))

    def without_effect(self) -> list[str]:
        """The names of settings that were set and do nothing: KServe has them, accepted for its users' sake."""
        return [s.name for s in settings_of(type(self)) if not s.effect and getattr(self, s.name) != s.default]


@dataclass(frozen=True, slots=True)
class BatchSettings(_Declared):
    """Dynamic batching of one model.

    >>> BatchSettings(max_batch_size=8).max_latency
    0.0
    """

    max_batch_size: int = setting(64, "Rows that one call of the model takes at most; 1 turns batching off", minimum=1)
    max_latency: float = setting(
        0.0,
        "How long requests may wait for others while the model is free; 0 waits for none",
        unit="seconds",
        minimum=0,
    )

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], source: str = "") -> Self:
        """From a dictionary, also in KServe's spelling: ``maxBatchSize``, and ``maxLatency`` in milliseconds."""
        ours = dict(values)
        if "maxBatchSize" in ours:
            ours["max_batch_size"] = ours.pop("maxBatchSize")
        if "maxLatency" in ours:
            [item] = [s for s in settings_of(cls) if s.name == "max_latency"]
            ours["max_latency"] = float(item.read(ours.pop("maxLatency"), "maxLatency") or 0) / 1000
        return cls(**_read(cls, ours, source))


@dataclass(frozen=True, slots=True)
class ModelSettings(_Declared):
    """Which model to serve, and what as."""

    model_dir: str | None = setting(None, "What to serve: a model file, a directory or a repository (same as PATH)")
    model_name: str | None = setting(
        None, 'Name of the model; a bare file is called after its stem, a directory\'s model "model" when not set'
    )
    runtime: str | None = setting(None, "Runtime that loads the model; recognised from the files when not set")


class RuntimeSettings(_Declared):
    """Base of what a runtime can be told; a runtime declares its own as a frozen dataclass of ``setting`` fields.

    A ``Model`` class that has an instance as its ``settings`` gets the flags and ``MODELSERVER_`` variables of these
    names: the loader gives each model an instance with what was set. Not read from the file of ``--config``.
    """

    __slots__ = ()

    @classmethod
    def resolve(
        cls,
        arguments: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """``arguments`` over ``environ``; those of other runtimes are passed over. Raises ``SettingError``."""
        names = _names(cls)
        own = {name: value for name, value in (arguments or {}).items() if _plain(name) in names}
        environ = os.environ if environ is None else environ
        return cls(**(_read_environment(cls, environ) | _read(cls, own, "")))


@dataclass(frozen=True, slots=True)
class ServerSettings(_Declared):
    """The settings of a server.

    >>> ServerSettings(http_port=0).grpc_port
    8081
    """

    config: str | None = setting(None, "File with settings: TOML, JSON, or YAML where PyYAML is installed")
    host: str = setting("0.0.0.0", "Address that both protocols listen on")  # noqa: S104 - as in every container
    http_port: int = setting(8080, "Port of REST; 0 takes any free one", minimum=0, maximum=PORTS)
    grpc_port: int = setting(8081, "Port of gRPC; 0 takes any free one", minimum=0, maximum=PORTS)
    enable_grpc: bool = setting(True, "Serve gRPC")
    workers: int = setting(1, "Processes that serve, each with its own copy of the models", minimum=1)
    server_name: str = setting("modelserver", "Name in the server's metadata")
    http_max_body_bytes: int = setting(
        64 * MIB, "Largest body of a REST request, after decompression too", unit="bytes", minimum=1
    )
    grpc_max_receive_message_length: int = setting(
        8 * MIB, "Largest gRPC request; -1 for no limit", unit="bytes", minimum=-1
    )
    grpc_max_send_message_length: int = setting(
        8 * MIB, "Largest gRPC response; -1 for no limit", unit="bytes", minimum=-1
    )
    timeout_keep_alive: int = setting(65, "How long an idle REST connection is kept open", unit="seconds", minimum=0)
    request_timeout: float = setting(
        0.0, "Deadline of a request that names none; 0 for none", unit="seconds", minimum=0
    )
    grace_period: float = setting(
        30.0, "How long requests in flight may take when the server stops", unit="seconds", minimum=0
    )
    lame_duck: float = setting(
        0.5,
        "How long a stopping server says not ready and serves on before it closes its ports",
        unit="seconds",
        minimum=0,
    )
    allow_no_models: bool = setting(False, "A server without models is ready")
    exit_on_load_failure: bool = setting(False, "Exit when a model fails to load at start, instead of not being ready")
    max_threads: int | None = setting(
        None, "Threads that sync predicts of one model may use; 4 or the number of CPUs when not set", minimum=1
    )
    event_loop: Literal["auto", "asyncio", "uvloop"] = setting(
        "auto", "Event loop; auto takes uvloop where it is there"
    )
    ssl_certfile: str | None = setting(
        None, "Certificate (PEM) for REST; refused, for TLS is not served yet", variables=("KSERVE_TLS_CERT_FILE",)
    )
    ssl_keyfile: str | None = setting(
        None, "Key (PEM) of the certificate; refused as well", variables=("KSERVE_TLS_KEY_FILE",)
    )
    compression_min_bytes: int = setting(
        1024, "Smallest REST response that is compressed for a client that accepts it", unit="bytes", minimum=0
    )
    enable_docs_url: bool = setting(True, "Serve the API's documentation page at /docs")
    enable_latency_logging: bool = setting(True, "Log the time of each stage with a request's access line")
    access_log: bool = setting(True, "Log a line for each request (health probes left out)")
    log_format: Literal["text", "json"] = setting("text", "Form of the log lines")
    log_level: Literal["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL"] = setting(
        "INFO", "Least severity that is logged", variables=("KSERVE_LOGLEVEL",)
    )
    log_config_file: str | None = setting(
        None, "Python logging configuration: a dictionary in JSON or YAML, or an ini file; replaces ours"
    )
    configure_logging: bool = setting(True, "Set up logging; false leaves it to the program around the server")
    ce_merge: bool = setting(False, "Copy a CloudEvent's attributes to its response", variables=("CE_MERGE",))
    ce_source: str | None = setting(
        None, "Source of response CloudEvents; io.kserve.inference.<model> when not set", variables=("CE_SOURCE",)
    )
    ce_type: str = setting("io.kserve.inference.response", "Type of response CloudEvents", variables=("CE_TYPE",))
    predictor_host: str | None = setting(None, "A transformer's predictor: host or host:port, no scheme")
    predictor_protocol: Literal["v1", "v2", "grpc-v2"] = setting("v1", "Protocol towards the predictor")
    predictor_use_ssl: bool = setting(False, "Talk TLS to the predictor")
    predictor_request_timeout_seconds: float = setting(
        600.0, "How long the predictor may take for a request", unit="seconds", minimum=0
    )
    predictor_request_retries: int = setting(0, "How often a request to the predictor is tried again", minimum=0)
    enable_predictor_health_check: bool = setting(
        False, "Be ready only while the predictor is", aliases=("predictor_health_check",)
    )
    max_asyncio_workers: int | None = setting(None, "Threads of the event loop's own executor", effect=False)
    protocol: str = setting("v1", "Every protocol is always served", effect=False)
    access_log_format: str | None = setting(None, "Format of asgi-logger; ours is --log-format", effect=False)

    def __post_init__(self) -> None:
        # Not super(): with slots the dataclass is made a second time, and the cell of super() knows the first.
        _Declared.__post_init__(self)
        if self.enable_grpc and self.http_port == self.grpc_port != 0:
            raise SettingError(f"grpc_port: got {self.grpc_port}, expected another port than http_port")
        for name in ("ssl_certfile", "ssl_keyfile"):
            # Who asks for TLS must never be served in the clear instead.
            if getattr(self, name) is not None:
                raise SettingError(
                    f"{name}: got {getattr(self, name)!r}, but TLS is not served yet; expected it not set"
                )

    @property
    def threads(self) -> int:
        """Threads that sync predicts of one model may use: ``max_threads``, or 4, or the number of CPUs if larger."""
        return self.max_threads or max(4, math.ceil(cpu_quota()))


def _read_config(cls: type[_Declared], path: str) -> dict[str, Any]:
    values = read_file(path)
    if "config" in values:
        raise SettingError(f"config: got {values['config']!r} from {path}, expected the settings themselves")
    return _read_shared(cls, values, path)


def _read_environment(cls: type[_Declared], environ: Mapping[str, str]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for item in settings_of(cls):
        for variable in reversed(item.environment):
            text = environ.get(variable)
            # A template leaves an empty variable for what is not set; and Kubernetes itself makes
            # MODELSERVER_HTTP_PORT=tcp://... for a Service called modelserver-http.
            if text and not text.startswith(("tcp://", "udp://", "sctp://")):
                read[item.name] = item.read(text, variable)
    return read


def _read_shared(cls: type[_Declared], values: Mapping[str, object], source: str) -> dict[str, Any]:
    """What is for ``cls`` among settings of server and model alike; unknown to both is an error."""
    own, others = _names(cls), _names(ServerSettings) | _names(ModelSettings)
    for_cls = {key: value for key, value in values.items() if _plain(key) in own or _plain(key) not in others}
    return _read(cls, for_cls, source)


def _read(cls: type[_Declared], values: Mapping[str, object], source: str) -> dict[str, Any]:
    names = _names(cls)
    read: dict[str, Any] = {}
    for key, value in values.items():
        item = names.get(_plain(key))
        if item is None:
            where = f" in {source}" if source else ""
            raise SettingError(f"unknown setting {key!r}{where}{nearest(_plain(key), names)}")
        read[item.name] = item.read(value, source)
    return read


def _names(cls: type[_Declared]) -> dict[str, Setting]:
    return {name: item for item in settings_of(cls) for name in (item.name, *item.aliases)}


def _plain(name: object) -> str:
    return str(name).replace("-", "_")
