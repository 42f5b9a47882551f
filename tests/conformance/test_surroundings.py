"""What surrounds a request: headers both ways, ids, deadlines, timings, metrics."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import pytest

from modelserver import InferRequest, Tensor
from modelserver.protocols import v2_rest
from modelserver.protocols.v2_grpc import decode_response, encode_request
from tests.conformance.calls import OK_X, inputs, tensor
from tests.conformance.models import Meeting
from tests.conformance.peers import MemoryPeer, Peer, SocketPeer

pytestmark = pytest.mark.asyncio(loop_scope="package")

REQUESTS = "modelserver_requests_total"
#: Name and kind of what is on the page after any request.
OURS = [
    "modelserver_requests_total counter",
    "modelserver_in_flight gauge",
    "modelserver_models gauge",
    *(
        f"{name} histogram"
        for name in (
            "modelserver_request_duration_seconds",
            "modelserver_queue_seconds",
            "modelserver_predict_seconds",
            "modelserver_request_bytes",
            "modelserver_response_bytes",
            "request_preprocess_seconds",
            "request_predict_seconds",
            "request_postprocess_seconds",
        )
    ),
]
PROTOCOLS = ["v1", "v2", "grpc"]
STAGES = re.compile(r"decode;dur=[\d.]+, queue;dur=[\d.]+, predict;dur=[\d.]+, encode;dur=[\d.]+")


async def ask(
    peer: Peer, protocol: str, model: str, headers: Mapping[str, str], timeout: float | None = None
) -> tuple[Mapping[str, str], dict[str, Any]]:
    """The answer's headers (gRPC: trailing metadata), and the first element of each of its tensors."""
    if protocol == "grpc":
        message = encode_request(InferRequest(model, [Tensor("x", OK_X, "FP32")]))
        call = await peer.grpc("ModelInfer", message, headers, timeout)
        assert not call.message
        response = decode_response(call.body)
        return call.trailing, {t.name: t.data.ravel()[0] for t in response.outputs}
    if protocol == "v1":
        reply = await peer.rest("POST", f"/v1/models/{model}:predict", {"instances": OK_X}, headers)
        rows = reply.json()["predictions"]
        return reply.headers, rows[0] if isinstance(rows[0], dict) else {}
    parameters = {} if timeout is None else {"timeout": int(timeout * 1e6)}
    reply = await peer.rest("POST", f"/v2/models/{model}/infer", inputs(tensor(), parameters=parameters), headers)
    response = v2_rest.decode_response(reply.body)
    return reply.headers, {t.name: t.data.ravel()[0] for t in response.outputs}


def plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_model_sees_request_headers_and_sets_response_headers(peer: Peer, protocol: str) -> None:
    headers, seen = await ask(peer, protocol, "surroundings", {"x-color": "green"})
    assert plain(seen["header"]) == "green"
    assert headers["x-model"] == "seen"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_request_headers_are_not_echoed(peer: Peer, protocol: str) -> None:
    secrets = {"authorization": "Bearer secret", "cookie": "a=b"}
    headers, _ = await ask(peer, protocol, "surroundings", secrets)
    assert not set(headers) & set(secrets)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_request_id_is_accepted_and_returned(peer: Peer, protocol: str) -> None:
    headers, seen = await ask(peer, protocol, "surroundings", {"x-request-id": "abc-123"})
    assert headers["x-request-id"] == plain(seen["id"]) == "abc-123"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_request_id_is_made(peer: Peer, protocol: str) -> None:
    ids = [(await ask(peer, protocol, "surroundings", {}))[0]["x-request-id"] for _ in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("protocol", "timeout"), [("v1", None), ("v2", None), ("v2", 60.0), ("grpc", None), ("grpc", 60.0)]
)
async def test_a_model_sees_the_deadline(peer: Peer, protocol: str, timeout: float | None) -> None:
    _, seen = await ask(peer, protocol, "surroundings", {}, timeout)
    assert bool(seen["deadline"]) == (timeout is not None)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_time_of_every_stage(peer: Peer, protocol: str) -> None:
    headers, _ = await ask(peer, protocol, "sum", {})
    assert STAGES.fullmatch(headers["server-timing"])


@pytest.mark.parametrize(
    "path", ["/", "/v2/health/live", "/v2/models/sum", "/metrics", "/nothing", "/v2/models/nobody/ready"]
)
async def test_every_rest_reply_has_an_id_and_a_time(peer: Peer, path: str) -> None:
    reply = await peer.rest("GET", path, headers={"X-Request-Id": "abc"})
    assert reply.headers["x-request-id"] == "abc"
    assert STAGES.fullmatch(reply.headers["server-timing"])


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_an_error_has_an_id_and_a_time_too(peer: Peer, protocol: str) -> None:
    path = {"v1": "/v1/models/sum:predict", "v2": "/v2/models/sum/infer"}[protocol]
    reply = await peer.rest("POST", path, b"{", {"X-Request-Id": "abc"})
    assert reply.headers["x-request-id"] == "abc"
    assert STAGES.fullmatch(reply.headers["server-timing"])


async def test_a_grpc_error_has_an_id_and_a_time_too(peer: Peer) -> None:
    call = await peer.grpc("ModelInfer", b"", {"x-request-id": "abc"})
    assert call.trailing["x-request-id"] == "abc"
    assert STAGES.fullmatch(call.trailing["server-timing"])


def counted(page: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    total = 0.0
    for line in page.splitlines():
        if line.startswith(name + "{") and all(f'{key}="{value}"' in line for key, value in labels.items()):
            total += float(line.rpartition(" ")[2])
    return total


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_metrics_count_every_request(peer: Peer, protocol: str) -> None:
    async def page() -> str:
        return (await peer.rest("GET", "/metrics")).body.decode()

    names = [f"request_{stage}_seconds_count" for stage in ("preprocess", "predict", "postprocess")]
    before = await page()
    await ask(peer, protocol, "sum", {})
    after = await page()
    for name in names:
        assert counted(after, name, model_name="sum") - counted(before, name, model_name="sum") == 1
    ours = [
        line for line in after.splitlines() if line.startswith("modelserver_requests_total{") and 'model="sum"' in line
    ]
    assert any(f'protocol="{protocol}"' in line for line in ours), ours
    assert [name for name in OURS if f"# TYPE {name}" not in after] == []


async def test_explanations_have_a_histogram_of_their_own(peer: Peer) -> None:
    await peer.rest("POST", "/v1/models/explains:explain", {"instances": OK_X})
    page = (await peer.rest("GET", "/metrics")).body.decode()
    assert counted(page, "request_explain_seconds_count", model_name="explains") >= 1


async def test_failures_are_counted_by_code(peer: Peer) -> None:
    await peer.rest("POST", "/v2/models/sum/infer", b"{")
    page = (await peer.rest("GET", "/metrics")).body.decode()
    assert counted(page, REQUESTS, model="sum", code="INVALID_ARGUMENT") >= 1


@pytest.mark.parametrize("kind", [MemoryPeer, SocketPeer])
async def test_four_sync_predicts_at_once(kind: type[MemoryPeer] | type[SocketPeer]) -> None:
    """The model answers when four predicts are in it at the same time, from all protocols."""
    async with kind([Meeting("meeting")]) as peer:
        answers = await asyncio.gather(
            peer.answer("v1", InferRequest("meeting", [Tensor("x", [1])])),
            peer.answer("v2-json", InferRequest("meeting", [Tensor("x", [1])])),
            peer.answer("grpc", InferRequest("meeting", [Tensor("x", [1])])),
            peer.answer("grpc-raw", InferRequest("meeting", [Tensor("x", [1])])),
        )
    assert len(answers) == 4
