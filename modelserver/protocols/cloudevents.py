"""CloudEvents 1.0 around v1, as KServe speaks it: an event comes in, an event of the same form goes out.

Sources: CloudEvents 1.0, its JSON format and its HTTP protocol binding (attributes are ``ce-`` headers in binary
mode, percent-encoded). KServe also takes an event's JSON under any JSON content type; then the answer is plain.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote

from modelserver.errors import InvalidInput
from modelserver.messages import InferRequest, Json
from modelserver.protocols import v1
from modelserver.protocols.jsonlib import dumps, dumps_spaced, loads, shown

STRUCTURED = "application/cloudevents+json"
VERSION = "1.0"

_REQUIRED = ("specversion", "id", "source", "type")
_DATA = frozenset({"data", "data_base64"})
#: What describes the request's own data or moment, and must not be copied to the answer as it is.
_CONTENT_TYPES = ("datacontenttype", "content-type")
_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
#: HTTP protocol binding, 3.1.3.2: everything but printable ASCII is percent-encoded, and so are ``"`` and ``%``.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True)
class CloudEventSettings:
    """What an answer's attributes are made of: KServe's ``CE_MERGE``, ``CE_SOURCE`` and ``CE_TYPE``.

    ``merge`` copies the request's attributes; ``source`` is ``io.kserve.inference.<model>`` when it is ``None``.
    """

    merge: bool = False
    source: str | None = None
    type: str = "io.kserve.inference.response"


@dataclass(frozen=True, slots=True)
class Event:
    """One event out of a request: its attributes, and its data as JSON or, when it is none, as ``body``."""

    attributes: Mapping[str, Json]
    data: Json
    body: bytes | None
    #: How the answer goes out: ``plain`` for an event in a body that does not say by its content type that it is one.
    form: Literal["structured", "binary", "plain"]


def unwrap(headers: Mapping[str, str], body: bytes, content_type: str | None) -> Event | None:
    """The event in a request; ``None`` when there is none. ``headers`` have lower-case names.

    ``InvalidInput`` for an event of another version, with missing attributes, or with data that is not what its
    content type says.
    """
    if "ce-specversion" in headers and all(f"ce-{name}" in headers for name in _REQUIRED):
        return _binary(headers, body, content_type)
    # Looking for one word in the bytes is cheaper than parsing every v1 body a second time.
    if b'"specversion"' not in body or not v1.may_be_json(content_type):
        return None
    return _structured(body, (content_type or "").partition(";")[0].strip().lower() == STRUCTURED)


def decode_request(event: Event, model_name: str) -> InferRequest:
    """The v1 request in an event."""
    if event.body is not None:
        return InferRequest(model_name, body=event.body)
    return v1.request_of(event.data, model_name)


def wrap(
    event: Event,
    body: bytes,
    content_type: str,
    model_name: str,
    settings: CloudEventSettings,
    *,
    id: str | None = None,
    time: datetime | None = None,
) -> tuple[bytes, dict[str, str]]:
    """A v1 answer as an event of the request's form: body and headers. ``id`` and ``time`` are new ones by default."""
    if event.form == "plain":
        return body, {"content-type": content_type}
    attributes: dict[str, Json] = {
        "specversion": VERSION,
        "id": id or str(uuid.uuid4()),
        "source": settings.source or f"io.kserve.inference.{model_name}",
        "type": settings.type,
        "time": (time or datetime.now(UTC)).isoformat(),
    }
    if settings.merge:
        attributes = {**event.attributes, **attributes}
        attributes.update({name: content_type for name in _CONTENT_TYPES if name in event.attributes})
    is_json = v1.is_json(content_type)
    if event.form == "binary":
        headers = {f"ce-{name.lower()}": _header(value) for name, value in attributes.items() if _fits(name, value)}
        headers["content-type"] = content_type
        # KServe writes this one body with Python's own JSON, and its users compare it byte for byte.
        return dumps_spaced(loads(body)) if is_json else body, headers
    if not is_json:
        attributes["datacontenttype"] = content_type
        attributes["data_base64"] = base64.b64encode(body).decode()
        return dumps(attributes), {"content-type": STRUCTURED}
    # The data is JSON already; it is not parsed again to be put in its place.
    return dumps(attributes)[:-1] + b',"data":' + body + b"}", {"content-type": STRUCTURED}


def _binary(headers: Mapping[str, str], body: bytes, content_type: str | None) -> Event:
    attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
    _check_version(attributes["specversion"], "ce-specversion")
    described = attributes.get("content-type") or attributes.get("datacontenttype") or content_type or ""
    data, raw = _data_of(body, described)
    return Event(attributes, data, raw, "binary")


def _structured(body: bytes, strict: bool) -> Event | None:
    """``strict`` when the content type says that it is an event; else other JSON is none of ours."""
    try:
        message = loads(body)
    except InvalidInput:
        if strict:
            raise
        return None
    if type(message) is not dict or "specversion" not in message:
        return None  # KServe's clients send plain v1 under this content type too
    required = _REQUIRED if strict else (*_REQUIRED, next(iter(_DATA & message.keys()), "data"))
    missing = [name for name in required if name not in message]
    if missing:
        if strict:
            raise InvalidInput(f"{missing[0]}: missing; a CloudEvent has {', '.join(_REQUIRED)}")
        return None
    _check_version(message["specversion"], "specversion")
    attributes = {name: value for name, value in message.items() if name not in _DATA}
    form: Literal["structured", "plain"] = "structured" if strict else "plain"
    if "data_base64" not in message:
        return Event(attributes, message.get("data"), None, form)
    try:
        decoded = base64.b64decode(message["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidInput(f"data_base64: got {shown(message['data_base64'])}, expected base64") from None
    described = attributes.get("datacontenttype")
    data, raw = _data_of(decoded, described if type(described) is str else "")
    return Event(attributes, data, raw, form)


def _data_of(body: bytes, content_type: str) -> tuple[Json, bytes | None]:
    """The data as JSON, or as bytes when it is none and does not claim to be."""
    try:
        return loads(body), None
    except InvalidInput as exc:
        if v1.is_json(content_type):
            detail = exc.message.partition("format: ")[2]
            raise InvalidInput(f"Failed to decode or parse binary json cloudevent: {detail}") from None
        return None, body


def _check_version(version: Json, field: str) -> None:
    if version != VERSION:
        raise InvalidInput(f"{field}: got {shown(version)}, expected {VERSION}; no other CloudEvents version is known")


def _fits(name: str, value: Json) -> bool:
    return _HEADER_NAME.fullmatch(name) is not None and isinstance(value, (str, int, bool))


def _header(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return quote(str(value), safe=_SAFE)
