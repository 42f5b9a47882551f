"""Bodies on the way in and out of HTTP: their limit, and gzip and deflate."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from modelserver.errors import Code, InvalidInput, ModelServerError, PayloadTooLarge

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read_body(receive: Receive, limit: int, content_length: bytes | None) -> bytes:
    """The whole body; ``PayloadTooLarge`` before it is read when its announced length is over ``limit`` bytes."""
    if content_length is not None and content_length.isdigit() and int(content_length) > limit:
        raise too_large(limit, f"{int(content_length)} bytes")
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit, "more")
        if message["type"] == "http.disconnect":
            raise ModelServerError("the client went away", code=Code.CANCELLED)
        return body
    chunks, size = [body], len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ModelServerError("the client went away", code=Code.CANCELLED)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(limit, "more")
        chunks.append(chunk)
    return b"".join(chunks)


def too_large(limit: int, got: str) -> PayloadTooLarge:
    """The error of a body over its limit; it names the setting."""
    return PayloadTooLarge(f"body: got {got}, the limit is {limit} bytes (http_max_body_bytes)")


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """A body out of its Content-Encoding, never more than ``limit`` bytes of it: a bomb stops there."""
    for name in reversed([part.strip().lower() for part in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if name in ("gzip", "x-gzip"):
            body = _inflate(body, 16 + zlib.MAX_WBITS, name, limit)
        elif name == "deflate":
            # The zlib format by the standard, a raw stream by the habit of many clients.
            raw = len(body) < 2 or body[0] & 0x0F != 8 or int.from_bytes(body[:2], "big") % 31
            body = _inflate(body, -zlib.MAX_WBITS if raw else zlib.MAX_WBITS, name, limit)
        else:
            raise InvalidInput(
                f"Content-Encoding: got {encoding[:40]!r}, expected gzip, deflate or identity", status=415
            )
    return body


def _inflate(body: bytes, window: int, name: str, limit: int) -> bytes:
    decompressor = zlib.decompressobj(window)
    try:
        plain = decompressor.decompress(body, limit + 1)
        if len(plain) > limit:
            raise too_large(limit, "more after decompression")
        plain += decompressor.flush()
    except zlib.error as exc:
        raise InvalidInput(f"body: is not {name} as Content-Encoding says") from exc
    if not decompressor.eof:
        raise InvalidInput(f"body: ends in the middle of its {name} stream")
    return plain


def accepted_encoding(accept: bytes) -> str | None:
    """``gzip`` or ``deflate`` when the client's Accept-Encoding has it with a weight above 0, gzip first."""
    offered = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, _, weight = part.partition(";")
        offered[name.strip()] = weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    for name in ("gzip", "deflate"):
        if offered.get(name):
            return name
    return None


def compress(body: bytes, encoding: str) -> bytes:
    """The body in gzip or deflate, at the fastest level: a tensor's entropy does not repay a better one."""
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return compressor.compress(body) + compressor.flush()
