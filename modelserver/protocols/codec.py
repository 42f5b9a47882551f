"""What every codec is made of: pure functions from bytes to messages and back; no socket, no loop, no clock.

A codec module offers, in this order::

    decode_request(wire) -> InferRequest        encode_response(request, response) -> wire      (the server's side)
    encode_request(request) -> wire             decode_response(wire) -> InferResponse          (the client's side)

Each decoder raises ``InvalidInput`` naming the field; ``tests/conformance`` runs one table over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Wire:
    """A body and the headers that describe it (lower-case names): what a door or a client moves."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
