from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelserver.telemetry.logs import configure_logging

NAMES = ("", "modelserver", "uvicorn", "uvicorn.error", "modelserver.engine", "custom")


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Everything as it was afterwards."""
    kept = {name: dict(logging.getLogger(name).__dict__) for name in NAMES}
    handlers = {name: list(logging.getLogger(name).handlers) for name in NAMES}
    yield
    for name in NAMES:
        logger = logging.getLogger(name)
        level = kept[name]["level"]
        logger.__dict__.update(kept[name])
        logger.handlers[:] = handlers[name]
        logger.setLevel(level)


def test_text_lines_of_ours_and_uvicorns():
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("modelserver.engine").info("loaded %s", "iris")
    logging.getLogger("uvicorn.error").warning("odd")
    lines = [line.partition(" ") for line in stream.getvalue().splitlines()]
    assert [rest for _, _, rest in lines] == ["INFO modelserver.engine loaded iris", "WARNING uvicorn.error odd"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time, _, _ in lines)


def test_a_message_cannot_forge_a_line():
    stream = io.StringIO()
    configure_logging(stream=stream)
    logging.getLogger("modelserver").info("model %s", "a\n2026-01-01 INFO modelserver b\x1b[2J")
    assert stream.getvalue().count("\n") == 1
    assert r"a\n2026" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_json_lines_with_a_traceback():
    stream = io.StringIO()
    configure_logging("json", stream=stream)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("modelserver").exception("failed: %s", "iris\n")
    [text] = stream.getvalue().splitlines()
    line = json.loads(text)
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "modelserver", "failed: iris\n")
    assert line["exception"].startswith("Traceback")


def test_level():
    stream = io.StringIO()
    configure_logging(level="WARNING", stream=stream)
    logging.getLogger("modelserver").info("quiet")
    assert stream.getvalue() == ""


def test_configuring_twice_writes_once():
    first, second = io.StringIO(), io.StringIO()
    logging.getLogger().handlers[:] = []  # pytest's own
    configure_logging(stream=first)
    configure_logging("json", stream=second)
    logging.getLogger("modelserver").info("once")
    logging.getLogger("custom").warning("once")
    assert first.getvalue() == ""
    assert [json.loads(line)["message"] for line in second.getvalue().splitlines()] == ["once", "once"]


def test_a_programs_own_root_handlers_stay():
    own, stream = io.StringIO(), io.StringIO()
    logging.getLogger().addHandler(logging.StreamHandler(own))
    configure_logging(stream=stream)
    logging.getLogger("custom").warning("mine")
    assert (own.getvalue(), stream.getvalue()) == ("mine\n", "")


DICT = {
    "version": 1,
    "formatters": {"plain": {"format": "%(levelname)s|%(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "", "formatter": "plain"}},
    "loggers": {"modelserver": {"handlers": ["file"], "level": "DEBUG", "propagate": False}},
}
INI = """
[loggers]
keys=root,modelserver
[handlers]
keys=file
[formatters]
keys=plain
[logger_root]
handlers=
[logger_modelserver]
level=DEBUG
handlers=file
qualname=modelserver
propagate=0
[handler_file]
class=FileHandler
formatter=plain
args=({target!r},)
[formatter_plain]
format=%(levelname)s|%(message)s
"""


@pytest.mark.parametrize("name", ["log.json", "log.yaml", "log.yml", "log.ini", "log.conf"])
def test_configuration_file(tmp_path: Path, name: str):
    target, file = tmp_path / "out.log", tmp_path / name
    if file.suffix in {".ini", ".conf"}:
        file.write_text(INI.format(target=str(target)))
    else:
        if file.suffix != ".json":
            pytest.importorskip("yaml")
        file.write_text(
            json.dumps({**DICT, "handlers": {"file": {**DICT["handlers"]["file"], "filename": str(target)}}})
        )
    existing = logging.getLogger("modelserver.engine")
    configure_logging(config_file=file)
    existing.debug("seen")
    for handler in logging.getLogger("modelserver").handlers:
        handler.close()
    assert target.read_text() == "DEBUG|seen\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.json", "{"),
        ("log.json", "[]"),
        ("log.json", '{"version": 2}'),
        ("log.ini", "nonsense"),
        ("missing.json", None),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_named(tmp_path: Path, name: str, content: str | None):
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=f"log_config_file: .*{name} cannot be used: "):
        configure_logging(config_file=file)
