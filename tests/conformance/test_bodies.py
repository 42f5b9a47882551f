"""Bodies as clients send them: any content type of JSON or none, compressed or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from modelserver import InferRequest, Tensor
from modelserver.protocols import v2_rest
from tests.conformance.calls import inputs, tensor
from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

V1 = json.dumps({"instances": [[1, 2, 3, 4]]}).encode()
V2 = json.dumps(inputs(tensor())).encode()
BODIES = {"/v1/models/sum:predict": V1, "/v2/models/sum/infer": V2}
CONTENT_TYPES = [
    None,
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "application/vnd.api+json",
    "application/octet-stream",
    "application/x-www-form-urlencoded",
]


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(body) + compressor.flush()


ENCODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "identity": ("identity", bytes),
    "both": ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_json_under_every_content_type_and_none(peer: Peer, path: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    reply = await peer.rest("POST", path, BODIES[path], headers)
    assert reply.status == 200, reply.body


async def test_text_is_not_read_as_json_on_v1(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v1/models/sum:predict", V1, {"Content-Type": "text/plain"})
    assert reply.status == 400
    assert "not JSON" in reply.json()["error"]


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/json"])
async def test_binary_tensors_without_a_content_type_as_tritonclient_sends_them(
    peer: Peer, content_type: str | None
) -> None:
    sent = v2_rest.encode_request(InferRequest("sum", [Tensor("x", [[1, 2, 3, 4]], "FP32")]), binary=True)
    headers = {v2_rest.HEADER_LENGTH: sent.headers[v2_rest.HEADER_LENGTH]}
    if content_type is not None:
        headers["Content-Type"] = content_type
    reply = await peer.rest("POST", "/v2/models/sum/infer", sent.body, headers)
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_a_compressed_request(peer: Peer, path: str, encoding: str) -> None:
    name, compress = ENCODINGS[encoding]
    reply = await peer.rest("POST", path, compress(BODIES[path]), {"Content-Encoding": name})
    assert reply.status == 200, reply.body


async def test_the_header_length_counts_what_was_compressed(peer: Peer) -> None:
    sent = v2_rest.encode_request(InferRequest("sum", [Tensor("x", [[1, 2, 3, 4]], "FP32")]), binary=True)
    headers = {**sent.headers, "Content-Encoding": "gzip"}
    reply = await peer.rest("POST", "/v2/models/sum/infer", gzip.compress(sent.body), headers)
    assert reply.status == 200, reply.body


async def test_a_bomb_stops_at_the_limit(peer: Peer) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    reply = await peer.rest("POST", "/v1/models/sum:predict", bomb, {"Content-Encoding": "gzip"})
    assert reply.status == 413
    assert "http_max_body_bytes" in reply.json()["error"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br"])
async def test_an_unknown_encoding_says_which_are_known(peer: Peer, encoding: str) -> None:
    reply = await peer.rest("POST", "/v1/models/sum:predict", V1, {"Content-Encoding": encoding})
    assert reply.status == 415
    assert "gzip, deflate" in reply.json()["error"]


@pytest.mark.parametrize("cut", [0, 5, 15])
async def test_a_compressed_body_that_ends_early(peer: Peer, cut: int) -> None:
    body = gzip.compress(V1)[:cut]
    reply = await peer.rest("POST", "/v1/models/sum:predict", body, {"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert "gzip" in reply.json()["error"]


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("br;q=1.0, deflate;q=0.5", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", None),
        ("br", None),
        ("identity", None),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
async def test_a_compressed_answer(peer: Peer, accept: str, encoding: str | None, binary: bool) -> None:
    request = InferRequest("echo", [Tensor("x", [1.5] * 1000, "FP32")])
    sent = v2_rest.encode_request(request, binary=binary)
    reply = await peer.rest("POST", "/v2/models/echo/infer", sent.body, {**sent.headers, "Accept-Encoding": accept})
    assert reply.headers.get("content-encoding") == encoding
    body = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding](reply.body)
    length = v2_rest.parse_header_length(reply.headers.get(v2_rest.HEADER_LENGTH))
    assert (length is not None) == binary
    assert v2_rest.decode_response(body, length)["x"].tolist() == [1.5] * 1000
    assert int(reply.headers["content-length"]) == len(reply.body)
    assert ("accept-encoding" in reply.headers.get("vary", "").lower()) == (encoding is not None)


async def test_a_small_answer_is_not_compressed(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v1/models/sum:predict", V1, {"Accept-Encoding": "gzip"})
    assert reply.json() == {"predictions": [10]}
