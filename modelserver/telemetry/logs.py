"""Logging: one format for the server's and uvicorn's loggers, as text or JSON, or a configuration file."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from configparser import Error as IniError
from datetime import UTC, datetime
from json import JSONEncoder, loads
from pathlib import Path
from typing import Literal, TextIO, TypeAlias

LogFormat: TypeAlias = Literal["text", "json"]

# uvicorn's access log says less than ours and is turned off; its other loggers hang on "uvicorn".
_LOGGERS = ("modelserver", "uvicorn")

#: A JSON string in ASCII: nothing in it can begin a line or move a terminal's cursor.
quote = JSONEncoder().encode

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure_logging(
    log_format: LogFormat = "text",
    level: str | int = "INFO",
    config_file: str | Path | None = None,
    stream: TextIO | None = None,
) -> None:
    """Set up logging for this process; to leave logging alone, do not call it.

    ``config_file`` decides everything when it is given: ``.json``, ``.yaml`` and ``.yml`` hold a ``dictConfig``, any
    other name is read by ``fileConfig`` (KServe's ``--log_config_file``). Loggers that exist already keep working
    unless the file says otherwise. ``ValueError`` names the file when it cannot be used.

    Without a file the loggers ``modelserver`` and ``uvicorn`` write to ``stream`` (standard error); so do other
    libraries' warnings, unless the root logger has handlers of its own.
    """
    if config_file is not None:
        _read(Path(config_file))
        return
    handler = _Handler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
        logger.setLevel(level)
    root = logging.getLogger()
    if all(isinstance(each, _Handler) for each in root.handlers):
        root.handlers[:] = [handler]


class _Handler(logging.StreamHandler[TextIO]):
    """Ours: known by its class, so that configuring twice does not write every line twice."""


def _read(path: Path) -> None:
    kind = path.suffix.lower()
    try:
        if kind == ".json":
            _configure(loads(path.read_bytes()))
        elif kind in {".yaml", ".yml"}:
            _configure(_yaml(path.read_text()))
        else:
            logging.config.fileConfig(path, disable_existing_loggers=False)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, IniError, RuntimeError) as exc:
        raise ValueError(f"log_config_file: {path} cannot be used: {exc}") from exc


def _configure(config: object) -> None:
    if not isinstance(config, dict):
        raise ValueError(f"expected a mapping for dictConfig, got {type(config).__name__}")  # noqa: TRY004 - one error
    logging.config.dictConfig({"disable_existing_loggers": False, **config})


def _yaml(text: str) -> object:
    try:
        import yaml
    except ImportError as exc:
        raise ValueError("YAML needs PyYAML (pip install pyyaml); or give the same as a .json file") from exc
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        raise ValueError(str(exc)) from exc


def escaped(text: str) -> str:
    r"""``text`` with control characters written as ``\x0a``: what a client sent cannot forge a line of its own."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


class TextFormatter(logging.Formatter):
    """``time LEVEL logger message``; a traceback follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        """UTC with milliseconds."""
        return timestamp(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line without its traceback."""
        record.message = escaped(record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and exception (the traceback) where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return quote(line)


def timestamp(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC with milliseconds.

    >>> timestamp(0.25)
    '1970-01-01T00:00:00.250Z'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
