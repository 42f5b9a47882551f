"""Every path and every method of REST: what is not served is a JSON error, whatever was asked for."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from modelserver.testing import Reply
from tests.conformance.peers import MemoryPeer, Peer, SocketPeer

pytestmark = pytest.mark.asyncio(loop_scope="package")

INFERENCE = [
    "/v1/models/sum:predict",
    "/v1/models/sum:explain",
    "/v2/models/sum/infer",
    "/v2/models/sum/versions/1/infer",
]
GET = [
    "/",
    "/v2/health/live",
    "/v2/health/ready",
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/models",
    "/v1/models/sum",
    "/v2",
    "/v2/models",
    "/v2/models/sum",
    "/v2/models/sum/ready",
    "/v2/models/sum/config",
    "/v2/models/sum/stats",
    "/v2/models/stats",
    "/v2/models/sum/versions/1",
    "/v2/models/sum/versions/1/ready",
    "/openapi.json",
]
REPOSITORY = ["/v2/repository/models/sum/load", "/v2/repository/models/sum/unload"]
UNKNOWN = [
    "/v1",
    "/v3",
    "/favicon.ico",
    "/v1/models/nobody",
    "/v2/models/nobody",
    "/v2/models/nobody/ready",
    "/v2/models/nobody/config",
    "/v2/models/nobody/stats",
    "/v2/models/sum/versions/9",
    "/v2/models/sum/versions/9/ready",
    "/v2/models/sum/versions/-1",
    "/v2/models/sum/versions/1/nothing",
    "/v1/models/sum:other",
    "/v1/models/../../etc/passwd",
    "/v1/models/%2e%2e%2fsum",
    "/v2/models/%2e%2e",
    "/v2/models/%2e%2e/ready",
    "/v2/models/..%2f..%2fetc",
    "//",
    "//v2/health/live",
    "/v2//health/live",
    "/v1/models//",
    "/v2/models/sum//",
    "/%00",
    "/v2/models/%00",
    "/v2/models/su%00m/ready",
    "/v2/models/%ff%fe",
    "/%e6%97%a5",
    "/v2/models/a%0d%0ab",
    "/docs/../openapi.json",
    "/" + "a" * 3000,
]


def is_error(reply: Reply, *statuses: int) -> bool:
    assert reply.status in statuses, (reply.status, reply.body)
    assert reply.headers["content-type"] == "application/json"
    error = reply.json()
    assert list(error) == ["error"]
    assert type(error["error"]) is str
    return bool(error["error"])


@pytest.mark.parametrize("path", UNKNOWN)
async def test_what_is_not_there_is_a_json_error(peer: Peer, path: str) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        reply = await peer.rest(method, path)
        assert is_error(reply, 404, 405)
        assert {"x-request-id", "server-timing"} <= set(reply.headers)


@pytest.mark.parametrize("path", [*INFERENCE, "/v1/models/nobody:predict", "/v2/models/nobody/infer"])
async def test_inference_takes_post_alone(peer: Peer, path: str) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        reply = await peer.rest(method, path)
        assert is_error(reply, 405)
        assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("path", [*INFERENCE, *REPOSITORY, "/v2/nothing"])
async def test_head_has_a_status_and_no_body(peer: Peer, path: str) -> None:
    reply = await peer.rest("HEAD", path)
    assert reply.status in (404, 405)
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", GET)
async def test_what_is_read_is_not_written(peer: Peer, path: str) -> None:
    for method in ("PUT", "DELETE", "PATCH"):
        assert is_error(await peer.rest(method, path), 405)


@pytest.mark.parametrize(
    "path", [*INFERENCE, "/v2/models/sum/", "/v2/", "/v2/health/live/", "/v1/models/", "/metrics/"]
)
async def test_a_trailing_slash_is_never_a_redirect(peer: Peer, path: str) -> None:
    body = {"instances": [[1, 2, 3, 4]]} if ":" in path else {"inputs": []}
    reply = await peer.rest("POST" if path in INFERENCE else "GET", path + "/", body)
    assert not 300 <= reply.status < 400
    assert reply.status == 200 or is_error(reply, 400, 404, 501)


@pytest.mark.parametrize("path", ["/v2/health/live?verbose=1", "/v2/models/sum?a=b&c", "/v1/models?x"])
async def test_a_query_is_ignored(peer: Peer, path: str) -> None:
    assert (await peer.rest("GET", path)).status == 200


async def test_a_query_is_ignored_by_inference(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v1/models/sum:predict?debug=1", {"instances": [[1, 2, 3, 4]]})
    assert reply.json() == {"predictions": [10]}


@pytest.mark.parametrize("path", [*REPOSITORY, "/v2/repository/index"])
@pytest.mark.parametrize("body", [b"{", b"[]", b"1", b"\xff\xfe", b"null", b'"a"', b"[" * 5000, b"{}" * 3])
async def test_a_bad_body_for_the_repository_is_the_clients_mistake(peer: Peer, path: str, body: bytes) -> None:
    reply = await peer.rest("POST", path, body)
    assert is_error(reply, 400)
    assert "body" in reply.json()["error"]


async def test_index_says_what_ready_must_be(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/repository/index", {"ready": "yes"})
    assert is_error(reply, 400)
    assert "ready" in reply.json()["error"]


async def test_a_large_body_for_the_repository_is_refused(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/repository/index", b'{"a": "' + b"a" * 2_000_000 + b'"}')
    assert is_error(reply, 413)


@pytest.mark.parametrize("name", ["nobody", "..", "%2e%2e", "%2e%2e%2fsum", "%2fetc%2fpasswd", "a%00b", "%20"])
@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_a_name_that_is_no_model_can_neither_be_loaded_nor_unloaded(peer: Peer, name: str, verb: str) -> None:
    assert is_error(await peer.rest("POST", f"/v2/repository/models/{name}/{verb}"), 404)


@pytest.mark.parametrize(
    "request_line",
    [b"GET /\x00 HTTP/1.1", b"GET /a b HTTP/1.1", b"BREW / HTTP/1.1", b"GET", b"\xff\xfe", b"GET http://[ HTTP/1.1"],
)
async def test_bytes_that_are_no_request_do_no_harm(peer: Peer, request_line: bytes) -> None:
    if not isinstance(peer, SocketPeer):
        assert isinstance(peer, MemoryPeer)
        return
    address = ("127.0.0.1", peer.server.http_port)
    with socket.create_connection(address, timeout=20) as connection:
        connection.setblocking(False)
        reply = await _exchange(connection, request_line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 4")
    assert list(json.loads(body)) == ["error"]
    assert (await peer.rest("GET", "/v2/health/live")).status == 200


async def _exchange(connection: socket.socket, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, data)
    received = b""
    while chunk := await asyncio.wait_for(loop.sock_recv(connection, 65536), 20):
        received += chunk
    assert b" 500 " not in received[:16]
    return received
