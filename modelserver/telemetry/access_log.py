"""``AccessLog``: one structured line a request, written some at a time so that a request pays little for it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import TextIO, TypeAlias

from modelserver.errors import Code
from modelserver.messages import Context
from modelserver.telemetry.logs import LogFormat, quote, timestamp
from modelserver.telemetry.observer import Observer

#: Records wait this long (seconds), or until there are so many, and are written at once.
FLUSH_SECONDS = 0.1
FLUSH_LINES = 256

_NAME = "modelserver.access"
# What needs no quotes in a key=value line; everything else is written as a JSON string.
_bare = re.compile(r"[A-Za-z0-9._:/@+-]+").fullmatch
# Clients choose names of models: so many different beginnings of lines are kept, then the next are made anew.
_MOST_KEPT = 1024
# Durations below this many microseconds are short and many: their texts are kept.
_MOST_DURATIONS = 8192
_MILLISECONDS = tuple(f"{number:03d}Z" for number in range(1000))


_TEXT_STAGES = " decode_ms=%s queue_ms=%s predict_ms=%s encode_ms=%s"
_JSON_STAGES = ', "decode_ms": %s, "queue_ms": %s, "predict_ms": %s, "encode_ms": %s'
#: When, what, request id; seconds in all and of each stage; bytes in and out.
_Record: TypeAlias = tuple[float, tuple[str, str, str, str, str], str, float, float, float, float, float, int, int]


class _Milliseconds(dict[int, str]):
    """Microseconds to text in milliseconds: formatting a float costs more than everything else in a line."""

    def __missing__(self, microseconds: int) -> str:
        text = f"{microseconds / 1e3:.3f}"
        if microseconds < _MOST_DURATIONS:
            self[microseconds] = text
        return text


class AccessLog(Observer):
    """Writes a line about every finished request to ``stream`` (standard output when it is not given).

    A line is ``key=value`` or a JSON object (``log_format``); ``stages`` adds the milliseconds of decoding, queue,
    predict and encoding. A line is ASCII, and nothing that a client sends can end it early. A stream that fails
    loses lines (counted in ``lost``), and nothing else. ``close`` writes what is left.
    """

    def __init__(self, stream: TextIO | None = None, log_format: LogFormat = "text", *, stages: bool = True) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._json = log_format == "json"
        self._stages = stages
        self._waiting: list[_Record] = []
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""
        self._known: dict[tuple[str, str, str, str, str], str] = {}
        self._milliseconds = _Milliseconds()
        self.lost = 0

    def started(self, model: str) -> None:
        """Nothing: a request has its line when it is answered."""

    def finished(
        self,
        context: Context,
        model: str,
        version: str,
        code: Code | None,
        seconds: float,
        request_bytes: int,
        response_bytes: int,
    ) -> None:
        """Take note; the line is made and written soon, with its neighbours: together they cost half as much."""
        self._waiting.append(
            (
                time.time(),
                (context.protocol, context.verb, model, version, "OK" if code is None else code.value),
                context.id,
                seconds,
                context.decode,
                context.queue,
                context.predict,
                context.encode,
                request_bytes,
                response_bytes,
            )
        )
        if len(self._waiting) >= FLUSH_LINES:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def _line(self, record: _Record) -> str:
        now, key, request, seconds, decode, queue, predict, encode, request_bytes, response_bytes = record
        what = self._known.get(key) or self._describe(key)
        millisecond = int((now - self._second) * 1e3)
        if not 0 <= millisecond < 1000:
            millisecond = self._tick(now)
        stamp = f"{self._stamp}{_MILLISECONDS[millisecond]}"
        ms = self._milliseconds
        total = ms[int(seconds * 1e6)]
        plain = request.isalnum() and request.isascii()
        stages = (ms[int(decode * 1e6)], ms[int(queue * 1e6)], ms[int(predict * 1e6)], ms[int(encode * 1e6)])
        if self._json:
            request = f'"{request}"' if plain else quote(request)
            timed = _JSON_STAGES % stages if self._stages else ""
            return (
                f'{{"time": "{stamp}", "level": "INFO", "logger": "{_NAME}", "id": {request}, {what}'
                f', "ms": {total}{timed}, "request_bytes": {request_bytes}, "response_bytes": {response_bytes}}}\n'
            )
        request = request if plain else _text(request)
        timed = _TEXT_STAGES % stages if self._stages else ""
        return (
            f"{stamp} INFO {_NAME} id={request} {what} ms={total}{timed}"
            f" request_bytes={request_bytes} response_bytes={response_bytes}\n"
        )

    def _tick(self, now: float) -> int:
        """Begin a new second; the millisecond in it."""
        self._second = int(now)
        self._stamp = timestamp(self._second)[:-4]
        return int((now - self._second) * 1e3)

    def _describe(self, key: tuple[str, str, str, str, str]) -> str:
        """The part of a line that many requests share."""
        names = ("protocol", "method", "model", "version", "code")
        if self._json:
            what = ", ".join(f'"{name}": {quote(value)}' for name, value in zip(names, key, strict=True))
        else:
            what = " ".join(f"{name}={_text(value)}" for name, value in zip(names, key, strict=True))
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        self._known[key] = what
        return what

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._stream.write("".join([self._line(record) for record in waiting]))
            self._stream.flush()
        except (OSError, ValueError):  # a full disk, a reader that is gone, a closed stream: serving goes on
            self.lost += len(waiting)

    def close(self) -> None:
        """Write what waits; the stream stays open, for it belongs to the caller."""
        self.flush()


def _text(value: str) -> str:
    return value if _bare(value) else quote(value)
