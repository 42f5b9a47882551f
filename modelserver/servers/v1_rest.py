"""v1 as HTTP has it: the codec, with CloudEvents taken out of requests and put around answers."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.messages import Context, InferRequest, InferResponse
from modelserver.protocols import cloudevents, v1
from modelserver.protocols.cloudevents import CloudEventSettings, Event

#: The header of a streamed answer: JSON documents, one a line.
STREAM = (b"content-type", b"application/x-ndjson")


def decode(
    body: bytes, headers: Mapping[bytes, bytes], context: Context, name: str
) -> tuple[InferRequest, Event | None]:
    """The request, and the event it came in."""
    given = headers.get(b"content-type")
    content_type = None if given is None else given.decode("latin-1")
    request = v1.decode_request(body, content_type, name)
    return request, None


def encode(
    request: InferRequest, response: InferResponse, event: Event | None, settings: CloudEventSettings
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body and its headers."""
    body, content_type = v1.encode_response(request, response)
    return body, [(b"content-type", content_type.encode("latin-1"))]
