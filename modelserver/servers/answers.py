"""How REST answers: the table from codes to statuses, the headers of every answer, errors."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelServerError
from modelserver.messages import Context
from modelserver.protocols import v2_rest
from modelserver.protocols.headers import server_timing

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

#: The one table from a failure's code to an HTTP status.
STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.ALREADY_EXISTS: 409,
    Code.ABORTED: 409,
    Code.FAILED_PRECONDITION: 412,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.OVERLOADED: 503,
    Code.DEADLINE_EXCEEDED: 504,
}

JSON = (b"content-type", b"application/json")
OCTETS = (b"content-type", b"application/octet-stream")
_NOT_THE_MODELS = frozenset({"content-length", "transfer-encoding", "connection", "content-encoding", "server-timing"})


def status_of(error: ModelServerError) -> int:
    """The HTTP status of an error: the author's own choice, or its code's."""
    return error.status or STATUS[error.code]


def standard_headers(context: Context, dataplane: DataPlane) -> Headers:
    """The request id and the time of each stage; and that the connection ends, when the server does."""
    headers = [
        (b"x-request-id", context.id.encode("latin-1")),
        (b"server-timing", server_timing(context).encode("latin-1")),
    ]
    if dataplane.stopping:
        # A client that keeps its connection would send its next request into a closing one.
        headers.append((b"connection", b"close"))
    return headers


def with_model_headers(headers: Headers, given: Mapping[str, str]) -> Headers:
    """The model's headers over ours, but for those that frame the message; no line breaks."""
    extra = {}
    for name, value in given.items():
        if name.lower() not in _NOT_THE_MODELS:
            text = str(value).replace("\r", " ").replace("\n", " ")
            extra[name.lower().encode("latin-1", "replace")] = text.encode("latin-1", "replace")
    return [header for header in headers if header[0] not in extra] + list(extra.items())


async def send_error(send: Send, error: ModelServerError, extra: Headers) -> int:
    """Send an error's status, headers and body; the size of the body in bytes."""
    body = v2_rest.encode_error(error.message)
    headers = [JSON, (b"content-length", str(len(body)).encode()), *extra]
    if error.retry_after is not None:
        headers.append((b"retry-after", str(math.ceil(error.retry_after)).encode()))
    headers = with_model_headers(headers, error.headers)
    await send({"type": "http.response.start", "status": status_of(error), "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return len(body)
