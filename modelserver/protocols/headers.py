"""Headers that every protocol shares: the request id, and the time of each stage."""

from __future__ import annotations

import random

from modelserver.messages import Context

#: Longer ids are cut: an id is looked for in logs, and nobody looks for a kilobyte.
LONGEST_ID = 128

_TIMING = "decode;dur=%.3f, queue;dur=%.3f, predict;dur=%.3f, encode;dur=%.3f"


def request_id(given: str | None) -> str:
    """The client's ``x-request-id`` as far as it is printable ASCII, or a new one of 32 hexadecimal digits."""
    if given:
        kept = given[:LONGEST_ID]
        if kept.isascii() and kept.isprintable():
            return kept
    return f"{random.getrandbits(128):032x}"


def server_timing(context: Context) -> str:
    """The value of ``Server-Timing``: milliseconds a stage (W3C Server Timing, the ``dur`` parameter)."""
    return _TIMING % (context.decode * 1e3, context.queue * 1e3, context.predict * 1e3, context.encode * 1e3)
