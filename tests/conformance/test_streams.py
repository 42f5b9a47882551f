"""Models that answer in parts: chunks on v1, messages of ModelStreamInfer on gRPC."""

from __future__ import annotations

import json

import grpc
import pytest

from modelserver import InferRequest, Tensor
from modelserver.protocols.v2_grpc import decode_response, encode_request
from modelserver.protocols.v2_grpc_metadata import decode_stream
from tests.conformance.calls import OK_X
from tests.conformance.peers import MemoryPeer, Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")
kinds = pytest.mark.parametrize("model", ["counts", "counts-async"])


def message(count: int, model: str, id: str = "") -> bytes:
    return encode_request(InferRequest(model, [Tensor("n", [count], "INT64")], id=id))


@kinds
async def test_on_v1_every_part_is_a_line_of_its_own(peer: Peer, model: str) -> None:
    reply = await peer.rest("POST", f"/v1/models/{model}:predict", {"instances": [2]})
    assert reply.status == 200
    assert reply.body == b'{"predictions":[0]}\n{"predictions":[1]}\n'
    if isinstance(peer, MemoryPeer):
        assert len(reply.chunks) == 2
    else:
        assert reply.headers["transfer-encoding"] == "chunked"


@kinds
async def test_an_error_before_the_first_part_has_a_status(peer: Peer, model: str) -> None:
    reply = await peer.rest("POST", f"/v1/models/{model}:predict", {"instances": [-1]})
    assert (reply.status, reply.json()) == (400, {"error": "n: got -1, expected 0 or more"})


@kinds
async def test_an_error_in_the_middle_is_the_last_line(peer: Peer, model: str) -> None:
    reply = await peer.rest("POST", f"/v1/models/{model}:predict", {"instances": [9]})
    assert reply.status == 200
    assert reply.body.splitlines()[2:] == [b'{"error":"two is enough"}']


@kinds
async def test_no_parts_at_all(peer: Peer, model: str) -> None:
    reply = await peer.rest("POST", f"/v1/models/{model}:predict", {"instances": [0]})
    assert (reply.status, reply.body) == (200, b"")


@kinds
async def test_on_grpc_every_part_is_a_message(peer: Peer, model: str) -> None:
    answers = [decode_stream(answer) for answer in await peer.stream([message(2, model, "7")])]
    assert [error for error, _ in answers] == ["", ""]
    assert [decode_response(body)["i"].tolist() for _, body in answers] == [[0], [1]]
    assert {decode_response(body).id for _, body in answers} == {"7"}


@kinds
async def test_on_grpc_an_error_is_a_message_and_the_stream_goes_on(peer: Peer, model: str) -> None:
    sent = [message(-1, model), message(9, model), encode_request(InferRequest("sum", [Tensor("x", OK_X, "FP32")]))]
    answers = [decode_stream(answer) for answer in await peer.stream(sent)]
    assert [error for error, _ in answers] == ["n: got -1, expected 0 or more", "", "", "two is enough", ""]
    assert decode_response(answers[-1][1])["y"].tolist() == [10]


@kinds
async def test_one_part_fits_a_unary_call(peer: Peer, model: str) -> None:
    call = await peer.grpc("ModelInfer", message(1, model))
    assert call.status is grpc.StatusCode.OK
    assert decode_response(call.body)["i"].tolist() == [0]
    reply = await peer.rest(
        "POST", f"/v2/models/{model}/infer", {"inputs": [{"name": "n", "shape": [1], "datatype": "INT64", "data": [1]}]}
    )
    assert reply.json()["outputs"][0]["data"] == [0]


async def test_what_cannot_be_sent_in_the_middle_is_the_last_line(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v1/models/nonsense:predict", {"instances": [1]})
    first, last = reply.body.splitlines()
    assert (reply.status, first) == (200, b'{"predictions":[0]}')
    assert list(json.loads(last)) == ["error"]
    assert b"object" not in last
    request = encode_request(InferRequest("nonsense", [Tensor("x", [1])]))
    answers = [decode_stream(answer) for answer in await peer.stream([request])]
    assert answers[0][0] == ""
    assert "cannot carry as tensors" in answers[1][0]
