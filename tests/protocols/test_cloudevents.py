"""CloudEvents around v1: both HTTP modes in, and out again as KServe answers them."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.errors import InvalidInput
from modelserver.protocols import v1
from modelserver.protocols.cloudevents import STRUCTURED, CloudEventSettings, Event, decode_request, unwrap, wrap

ATTRIBUTES = {
    "specversion": "1.0",
    "id": "36077800-0c23-4f38-a0b4-01f4369f670a",
    "source": "https://example.com/event-producer",
    "type": "com.example.sampletype1",
}
DATA = {"instances": [[1, 2]]}
HEADERS = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
ANSWER = b'{"predictions":[[1,2]]}'
DEFAULTS = CloudEventSettings()
NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def event_in(message: dict[str, Any], content_type: str | None = STRUCTURED) -> Event | None:
    return unwrap({}, json.dumps(message).encode(), content_type)


def some(event: Event | None) -> Event:
    assert event is not None
    return event


# --- structured -----------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [{}, {"time": "2021-01-28T21:04:43.144141+00:00"}], ids=["no time", "time"])
@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (STRUCTURED, "structured"),
        ("application/cloudevents+json; charset=utf-8", "structured"),
        ("application/json", "plain"),
        ("application/json; charset=utf-8", "plain"),
        (None, "plain"),
        ("application/x-www-form-urlencoded", "plain"),
    ],
)
def test_a_structured_event(content_type: str | None, form: str, time: dict[str, str]) -> None:
    event = some(event_in({**ATTRIBUTES, **time, "custom": "yes", "data": DATA}, content_type))
    assert event.attributes == {**ATTRIBUTES, **time, "custom": "yes"}
    assert event.form == form
    request = decode_request(event, "m")
    assert request.json == DATA
    assert request.array().tolist() == [[1, 2]]


@pytest.mark.parametrize("missing", [*ATTRIBUTES, "data"])
def test_json_that_lacks_an_attribute_is_no_event(missing: str) -> None:
    message = {**ATTRIBUTES, "data": DATA}
    del message[missing]
    assert event_in(message, v1.JSON) is None


@pytest.mark.parametrize("missing", ["id", "source", "type"])
def test_what_says_that_it_is_an_event_has_its_attributes(missing: str) -> None:
    message = {**ATTRIBUTES, "data": DATA}
    del message[missing]
    with pytest.raises(InvalidInput, match=f"^{missing}: missing"):
        event_in(message)


@pytest.mark.parametrize("body", [DATA, [1], None, {"specversion": "1.0"}])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
def test_other_bodies_are_no_events(body: object, content_type: str | None) -> None:
    assert unwrap({}, json.dumps(body).encode(), content_type) is None


def test_plain_v1_under_the_events_content_type_is_no_event() -> None:
    assert event_in(DATA) is None


def test_a_list_that_speaks_of_events_is_no_event() -> None:
    assert unwrap({}, b'[{"specversion": "1.0"}]', STRUCTURED) is None


def test_an_event_needs_no_data() -> None:
    assert decode_request(some(event_in(dict(ATTRIBUTES))), "m").json is None


@pytest.mark.parametrize("version", ["9.9", "0.3", 1.0, None])
@pytest.mark.parametrize("content_type", [STRUCTURED, v1.JSON])
def test_a_structured_event_of_another_version(version: object, content_type: str) -> None:
    with pytest.raises(InvalidInput, match=r"^specversion: got .* expected 1\.0"):
        event_in({**ATTRIBUTES, "specversion": version, "data": DATA}, content_type)


def test_bad_json_that_says_that_it_is_an_event() -> None:
    with pytest.raises(InvalidInput, match="Unrecognized request format"):
        unwrap({}, b'{"specversion": "1.0"', STRUCTURED)
    assert unwrap({}, b'{"specversion": "1.0"', v1.JSON) is None  # v1 itself says what is wrong


def test_data_in_base64() -> None:
    packed = base64.b64encode(json.dumps(DATA).encode()).decode()
    assert decode_request(some(event_in({**ATTRIBUTES, "data_base64": packed})), "m").json == DATA
    avro = {**ATTRIBUTES, "datacontenttype": "application/avro", "data_base64": "AAH/"}
    assert decode_request(some(event_in(avro)), "m").body == b"\x00\x01\xff"
    assert decode_request(some(event_in(avro, v1.JSON)), "m").body == b"\x00\x01\xff"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data_base64": "?"}, 'data_base64: got "?", expected base64'),
        ({"data_base64": 5}, "data_base64: got 5, expected base64"),
        (
            {"data_base64": "ew==", "datacontenttype": "application/json"},
            "Failed to decode or parse binary json cloudevent: unexpected end of data",
        ),
        ({"data": {"instances": "abc"}}, 'Expected "instances" to be a list'),
    ],
)
def test_bad_data_of_a_structured_event(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        decode_request(some(event_in({**ATTRIBUTES, **fields})), "m")


# --- binary ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", None, "application/x-www-form-urlencoded"])
def test_a_binary_event(content_type: str | None) -> None:
    headers = {**HEADERS, "ce-custom": "caf%C3%A9", "host": "here"}
    event = some(unwrap(headers, json.dumps(DATA).encode(), content_type))
    assert event.form == "binary"
    assert event.attributes == {**ATTRIBUTES, "custom": "café"}
    assert decode_request(event, "m").json == DATA


@pytest.mark.parametrize("missing", HEADERS)
def test_a_request_that_lacks_an_attribute_is_no_binary_event(missing: str) -> None:
    headers = {name: value for name, value in HEADERS.items() if name != missing}
    assert unwrap(headers, json.dumps(DATA).encode(), v1.JSON) is None


def test_a_binary_event_of_another_version() -> None:
    with pytest.raises(InvalidInput, match=r'^ce-specversion: got "9\.9", expected 1\.0'):
        unwrap({**HEADERS, "ce-specversion": "9.9"}, b"{}", v1.JSON)


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ({"ce-content-type": "application/avro"}, "application/json"),
        ({"ce-datacontenttype": "application/avro"}, None),
        ({}, "application/avro"),
        ({}, None),
    ],
)
def test_data_that_is_no_json_reaches_the_model_as_bytes(headers: dict[str, str], content_type: str | None) -> None:
    event = some(unwrap({**HEADERS, **headers}, b"\x00\x01", content_type))
    assert decode_request(event, "m").body == b"\x00\x01"


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [({"ce-content-type": "application/json"}, None), ({}, "application/json"), ({}, STRUCTURED)],
)
@pytest.mark.parametrize("body", [b"{", b"0\x80\x80\x06World!\x00\x00"])
def test_data_that_should_be_json_and_is_not(headers: dict[str, str], content_type: str | None, body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^Failed to decode or parse binary json cloudevent: .*line 1"):
        unwrap({**HEADERS, **headers}, body, content_type)


# --- answers --------------------------------------------------------------------------------------


def answer(event: Event, settings: CloudEventSettings = DEFAULTS) -> tuple[bytes, dict[str, str]]:
    return wrap(event, ANSWER, v1.JSON, "m", settings, id="new", time=NOW)


def test_a_structured_answer() -> None:
    body, headers = answer(some(event_in({**ATTRIBUTES, "data": DATA})))
    assert headers == {"content-type": STRUCTURED}
    assert json.loads(body) == {
        "specversion": "1.0",
        "id": "new",
        "source": "io.kserve.inference.m",
        "type": "io.kserve.inference.response",
        "time": "2024-01-02T03:04:05+00:00",
        "data": {"predictions": [[1, 2]]},
    }


def test_a_binary_answer() -> None:
    body, headers = answer(some(unwrap(HEADERS, b"{}", v1.JSON)))
    assert body == b'{"predictions": [[1, 2]]}'
    assert headers == {
        "ce-specversion": "1.0",
        "ce-id": "new",
        "ce-source": "io.kserve.inference.m",
        "ce-type": "io.kserve.inference.response",
        "ce-time": "2024-01-02T03:04:05+00:00",
        "content-type": "application/json",
    }


def test_an_event_under_plain_json_has_a_plain_answer() -> None:
    event = some(event_in({**ATTRIBUTES, "data": DATA}, v1.JSON))
    assert answer(event) == (ANSWER, {"content-type": "application/json"})


def test_every_answer_has_an_id_and_a_time_of_its_own() -> None:
    event = some(unwrap(HEADERS, b"{}", v1.JSON))
    first, second = (wrap(event, ANSWER, v1.JSON, "m", DEFAULTS)[1] for _ in range(2))
    assert first["ce-id"] != second["ce-id"] != ATTRIBUTES["id"]
    assert datetime.fromisoformat(first["ce-time"]).tzinfo is not None


def test_source_and_type_are_settings() -> None:
    _, headers = answer(some(unwrap(HEADERS, b"{}", v1.JSON)), CloudEventSettings(False, "our/source", "our.type"))
    assert (headers["ce-source"], headers["ce-type"]) == ("our/source", "our.type")


@pytest.mark.parametrize("time", [{}, {"time": "2021-01-28T21:04:43Z"}], ids=["no time", "time"])
def test_merge_copies_the_requests_attributes(time: dict[str, str]) -> None:
    extras = {"customAttribute": "a value", "flag": True, "count": 3, "none": None, "bad\r\nname": "x", "object": {}}
    settings = CloudEventSettings(merge=True)
    structured = some(event_in({**ATTRIBUTES, **time, **extras, "datacontenttype": "text/x", "data": DATA}))
    body, _ = answer(structured, settings)
    assert json.loads(body) == {
        **extras,
        "datacontenttype": "application/json",
        "specversion": "1.0",
        "id": "new",
        "source": "io.kserve.inference.m",
        "type": "io.kserve.inference.response",
        "time": "2024-01-02T03:04:05+00:00",
        "data": {"predictions": [[1, 2]]},
    }
    binary = Event(structured.attributes, DATA, None, "binary")
    _, headers = answer(binary, settings)
    assert headers["ce-customattribute"] == "a%20value"
    assert (headers["ce-flag"], headers["ce-count"], headers["ce-time"]) == ("true", "3", "2024-01-02T03:04:05+00:00")
    assert not any("none" in name or "object" in name or "bad" in name for name in headers)


def test_without_merge_nothing_of_the_request_is_in_the_answer() -> None:
    _, headers = answer(some(unwrap({**HEADERS, "ce-custom": "x", "authorization": "secret"}, b"{}", v1.JSON)))
    assert "ce-custom" not in headers
    assert "authorization" not in headers


def test_bytes_as_an_answer() -> None:
    structured = some(event_in({**ATTRIBUTES, "data": DATA}))
    body, headers = wrap(structured, b"\x00\xff", "application/octet-stream", "m", DEFAULTS)
    assert headers == {"content-type": STRUCTURED}
    message = json.loads(body)
    assert (message["datacontenttype"], message["data_base64"]) == ("application/octet-stream", "AP8=")
    binary = some(unwrap(HEADERS, b"{}", v1.JSON))
    body, headers = wrap(binary, b"\x00\xff", "application/octet-stream", "m", DEFAULTS)
    assert (body, headers["content-type"]) == (b"\x00\xff", "application/octet-stream")


@given(st.text())
def test_attributes_come_back_through_headers_that_are_plain_ascii(value: str) -> None:
    event = Event({**ATTRIBUTES, "custom": value}, DATA, None, "binary")
    _, headers = answer(event, CloudEventSettings(merge=True))
    assert re.fullmatch(r"[!-~]*", headers["ce-custom"])
    assert some(unwrap(headers, ANSWER, v1.JSON)).attributes["custom"] == value


@given(
    st.dictionaries(
        st.sampled_from([*ATTRIBUTES, "data", "data_base64", "time"]),
        st.none() | st.just("1.0") | st.text() | st.integers() | st.lists(st.none()),
    ),
    st.sampled_from([STRUCTURED, v1.JSON]),
)
def test_any_json_is_an_event_or_none_or_the_clients_mistake(message: dict[str, Any], content_type: str) -> None:
    try:
        event = event_in(message, content_type)
        if event is not None:
            decode_request(event, "m")
    except InvalidInput:
        return
    if event is not None:
        wrap(event, ANSWER, v1.JSON, "m", CloudEventSettings(merge=True))
