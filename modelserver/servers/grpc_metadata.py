"""What travels beside a gRPC message: trailing metadata, and the text of a status."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote

from modelserver.errors import ModelServerError
from modelserver.messages import Context
from modelserver.protocols.headers import server_timing

log = logging.getLogger("modelserver.servers.grpc")

# The status text travels in a header: clients refuse headers of more than 8 KiB, so it is cut well before.
_LONGEST_MESSAGE = 4096
# Characters of a metadata name; what grpc and HTTP/2 set themselves must not come from a model.
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_PRINTABLE = "".join(map(chr, range(32, 127))).replace("%", "")
_RESERVED = frozenset({"connection", "content-length", "content-type", "te", "trailer", "transfer-encoding"})

#: Metadata as grpc hands it over: lower-case names; values are bytes where the name ends in ``-bin``.
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


def status_text(message: str) -> str:
    """``message`` as far as it fits a status: grpc sends it percent-encoded in a header."""
    if len(message) * 12 <= _LONGEST_MESSAGE:  # four bytes of UTF-8 a character at most, three letters each
        return message.encode(errors="replace").decode()
    kept: list[str] = []
    room = _LONGEST_MESSAGE
    for character in message.encode(errors="replace").decode():
        room -= 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())
        if room < 0:
            return "".join(kept) + "..."
        kept.append(character)
    return message


def error_headers(error: ModelServerError) -> Mapping[str, str]:
    """The error's own headers, and ``retry-after`` in whole seconds."""
    if error.retry_after is None:
        return error.headers
    return {**error.headers, "retry-after": str(math.ceil(error.retry_after))}


def trailing(context: Context, headers: Mapping[str, str]) -> Metadata:
    """What follows an inference: the stages' times, the request's id, and ``headers``."""
    own = (("server-timing", server_timing(context)), ("x-request-id", context.id))
    return (*own, *metadata_of(headers)) if headers else own


def metadata_of(headers: Mapping[str, str]) -> Metadata:
    """Headers as metadata: lower-case names, ASCII values. Those that are grpc's own are left out."""
    metadata: list[tuple[str, str | bytes]] = []
    for given, value in headers.items():
        name = given.lower()
        if not name or not _NAME.issuperset(name) or name.startswith("grpc-") or name in _RESERVED:
            log.warning("the header %r cannot be sent as gRPC metadata and is left out", given)
        elif name.endswith("-bin"):
            metadata.append((name, value.encode()))
        else:
            plain = value.isascii() and value.isprintable()
            metadata.append((name, value if plain else quote(value, safe=_PRINTABLE)))
    return tuple(metadata)
