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
    """The request, and the event it came in if there is one."""
    given = headers.get(b"content-type")
    content_type = None if given is None else given.decode("latin-1")
    # The two marks of an event, looked for in bytes: nearly every request is none, and pays for no more.
    if b"ce-specversion" in headers or b'"specversion"' in body:
        event = cloudevents.unwrap(context.request_headers, body, content_type)
        if event is not None:
            return cloudevents.decode_request(event, name), event
    return v1.decode_request(body, content_type, name, context), None


def encode(
    request: InferRequest, response: InferResponse, event: Event | None, settings: CloudEventSettings
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The body, and the headers that describe it."""
    body, content_type = v1.encode_response(request, response)
    if event is None:
        return body, [(b"content-type", content_type.encode("latin-1"))]
    body, headers = cloudevents.wrap(event, body, content_type, request.model_name, settings)
    return body, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
