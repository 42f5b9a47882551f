from __future__ import annotations

import asyncio
import io
import json
import re

import pytest

from modelserver.errors import Code
from modelserver.messages import Context
from modelserver.telemetry.access_log import FLUSH_LINES, AccessLog
from modelserver.telemetry.logs import LogFormat

NASTY = 'a"b\\c\nFAKE line\r\x1b[31m\x00 \u2028 é \udcff=\x7f'


def context_of(id: str = "0123abcd") -> Context:
    context = Context(id=id, protocol="v2")
    context.decode, context.queue, context.predict, context.encode = 0.001, 0.0, 1.5, 0.0000125
    return context


async def line_of(log_format: LogFormat, *, id: str = "0123abcd", model: str = "iris", stages: bool = True) -> str:
    stream = io.StringIO()
    log = AccessLog(stream, log_format, stages=stages)
    log.finished(context_of(id), model, "1", None, 1.502, 100, 50)
    log.close()
    return stream.getvalue()


async def test_text_line():
    line = await line_of("text")
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO modelserver.access id=0123abcd protocol=v2 method=predict"
        r" model=iris version=1 code=OK ms=1502.000 decode_ms=1.000 queue_ms=0.000 predict_ms=1500.000"
        r" encode_ms=0.012 request_bytes=100 response_bytes=50\n",
        line,
    )


async def test_json_line():
    line = json.loads(await line_of("json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "INFO",
        "logger": "modelserver.access",
        "id": "0123abcd",
        "protocol": "v2",
        "method": "predict",
        "model": "iris",
        "version": "1",
        "code": "OK",
        "ms": 1502.0,
        "decode_ms": 1.0,
        "queue_ms": 0.0,
        "predict_ms": 1500.0,
        "encode_ms": 0.012,
        "request_bytes": 100,
        "response_bytes": 50,
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_without_latency_logging_the_stages_are_left_out(log_format: LogFormat):
    line = await line_of(log_format, stages=False)
    assert "ms" in line
    assert "decode" not in line
    assert "predict_ms" not in line


@pytest.mark.parametrize("log_format", ["text", "json"])
async def test_what_clients_send_stays_within_its_line(log_format: LogFormat):
    line = await line_of(log_format, id=NASTY, model=NASTY)
    assert line.isascii()
    assert line.endswith("\n")
    assert line[:-1].isprintable()


async def test_nasty_names_survive_as_json():
    line = json.loads(await line_of("json", id=NASTY, model=NASTY))
    assert (line["id"], line["model"]) == (NASTY, NASTY)


@pytest.mark.parametrize("model", ["", "two words", "a=b", 'a"b'])
async def test_text_values_that_need_quotes_have_them(model: str):
    assert f" model={json.dumps(model)} version=1 " in await line_of("text", model=model)


async def test_a_code_is_in_the_line():
    stream = io.StringIO()
    log = AccessLog(stream)
    log.finished(context_of(), "iris", "", Code.NOT_FOUND, 0.1, 0, 0)
    log.close()
    assert ' version="" code=NOT_FOUND ' in stream.getvalue()


class Watched(io.StringIO):
    """Tells when it was written to, and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.written = asyncio.Event()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self.written.set()
        return super().write(text)


async def test_lines_are_written_together_and_soon():
    stream = Watched()
    log = AccessLog(stream)
    for _ in range(10):
        log.finished(context_of(), "iris", "1", None, 0.1, 1, 1)
    assert stream.writes == 0
    await asyncio.wait_for(stream.written.wait(), 10)
    assert (stream.writes, stream.getvalue().count("\n")) == (1, 10)
    stream.written.clear()
    log.finished(context_of(), "iris", "1", None, 0.1, 1, 1)
    await asyncio.wait_for(stream.written.wait(), 10)
    assert stream.getvalue().count("\n") == 11


async def test_many_lines_do_not_wait_for_the_clock():
    stream = Watched()
    log = AccessLog(stream)
    while not stream.writes:
        log.finished(context_of(), "iris", "1", None, 0.1, 1, 1)
    assert stream.getvalue().count("\n") == FLUSH_LINES


async def test_many_names_do_not_fill_memory():
    log = AccessLog(io.StringIO())
    for number in range(5000):
        log.finished(context_of(), f"made-up-{number}", "1", Code.NOT_FOUND, number / 1000, 1, 1)
    log.close()
    assert len(log._known) <= 1024


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


async def test_a_broken_stream_loses_lines_and_nothing_else():
    log = AccessLog(Broken())
    for _ in range(3):
        log.finished(context_of(), "iris", "1", None, 0.1, 1, 1)
    log.close()
    assert log.lost == 3


async def test_a_closed_stream_loses_lines_and_nothing_else():
    stream = io.StringIO()
    stream.close()
    log = AccessLog(stream)
    log.finished(context_of(), "iris", "1", None, 0.1, 1, 1)
    log.close()
    assert log.lost == 1
