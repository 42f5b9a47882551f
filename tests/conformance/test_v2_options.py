"""v2's ids, parameters, requested outputs, and which of them travel in binary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelserver import InferRequest, RequestedOutput, Tensor
from modelserver.protocols import v2_rest
from tests.conformance.calls import inputs, rpc, tensor
from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

V2_WIRES = ["v2-json", "v2-binary", "grpc", "grpc-raw"]
PARAMETERS = {
    "true": True,
    "false": False,
    "zero": 0,
    "int64": -(2**63),
    "uint64": 2**64 - 1,
    "double": 0.1,
    "whole": 2.0,
    "text": "ä\n日本",
    "empty": "",
}
TWO = [Tensor("a", [0.5, 1.5], "FP32"), Tensor("b", [2, 3], "INT64")]


@pytest.mark.parametrize("wire", V2_WIRES)
async def test_parameters_of_every_kind_go_there_and_come_back(peer: Peer, wire: str) -> None:
    sent = InferRequest("echo", [Tensor("x", [1], "INT8", PARAMETERS)], parameters=PARAMETERS)
    _, response = await peer.answer(wire, sent)
    assert response.parameters == PARAMETERS
    assert response.outputs[0].parameters.items() >= PARAMETERS.items()
    for name, value in PARAMETERS.items():
        assert type(response.parameters[name]) is type(value), name


@pytest.mark.parametrize("wire", V2_WIRES)
@pytest.mark.parametrize("id", ["a", "ä b/c", "0" * 500])
async def test_the_id_comes_back(peer: Peer, wire: str, id: str) -> None:
    assert (await peer.answer(wire, InferRequest("echo", [Tensor("x", [1])], id=id)))[1].id == id


@pytest.mark.parametrize("wire", V2_WIRES)
async def test_an_id_is_made_when_there_is_none(peer: Peer, wire: str) -> None:
    ids = {(await peer.answer(wire, InferRequest("echo", [Tensor("x", [1])])))[1].id for _ in range(3)}
    assert len(ids - {""}) == 3


@pytest.mark.parametrize("wire", V2_WIRES)
@pytest.mark.parametrize("names", [["text"], ["sum"], ["text", "sum"], ["sum", "text"]])
async def test_requested_outputs_in_the_order_asked_for(peer: Peer, wire: str, names: list[str]) -> None:
    request = InferRequest("two", TWO, outputs=[RequestedOutput(name) for name in names])
    _, response = await peer.answer(wire, request)
    assert [output.name for output in response.outputs] == names


@pytest.mark.parametrize("wire", V2_WIRES)
async def test_no_requested_output_is_every_output(peer: Peer, wire: str) -> None:
    _, response = await peer.answer(wire, InferRequest("two", TWO, outputs=[]))
    assert [output.name for output in response.outputs] == ["sum", "text"]


ENTRIES = [
    {"name": "a", "shape": [1], "datatype": "FP32", "data": [0.5]},
    {"name": "b", "shape": [1], "datatype": "INT64", "data": [2]},
]


def output(name: str, binary: bool | None = None) -> dict[str, Any]:
    return {"name": name} if binary is None else {"name": name, "parameters": {"binary_data": binary}}


@pytest.mark.parametrize(
    ("all_binary", "outputs", "expected"),
    [
        (None, None, set()),
        (False, None, set()),
        (True, None, {"sum", "text"}),
        (None, [output("sum", True), output("text")], {"sum"}),
        (None, [output("sum", False), output("text", True)], {"text"}),
        (True, [output("sum"), output("text")], {"sum", "text"}),
        (True, [output("sum", False), output("text")], {"text"}),
        (False, [output("sum", True), output("text")], {"sum"}),
        (True, [output("sum", False)], set()),
    ],
)
async def test_an_outputs_own_choice_wins_over_the_requests(
    peer: Peer, all_binary: bool | None, outputs: list[Any] | None, expected: set[str]
) -> None:
    body: dict[str, Any] = {"inputs": ENTRIES}
    if all_binary is not None:
        body["parameters"] = {"binary_data_output": all_binary}
    if outputs is not None:
        body["outputs"] = outputs
    reply = await peer.rest("POST", "/v2/models/two/infer", body)
    assert reply.status == 200, reply.body
    length = reply.headers.get(v2_rest.HEADER_LENGTH)
    assert (length is not None) == bool(expected)
    assert reply.headers["content-type"] == ("application/octet-stream" if expected else "application/json")
    head = reply.body if length is None else reply.body[: int(length)]
    entries = __import__("json").loads(head)["outputs"]
    assert {entry["name"] for entry in entries if "data" not in entry} == expected
    response = v2_rest.decode_response(reply.body, None if length is None else int(length))
    found = {tensor.name: tensor.data.tolist() for tensor in response.outputs}
    assert found == {name: value for name, value in {"sum": [2.5], "text": [b"2"]}.items() if name in found}


async def test_the_json_answer_has_kserves_keys_in_kserves_order(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/models/sum/infer", inputs(tensor(), id="7"))
    assert (
        reply.body == b'{"model_name":"sum","model_version":null,"id":"7","parameters":null,"outputs":'
        b'[{"name":"y","shape":[1],"datatype":"FP32","parameters":null,"data":[10.0]}]}'
    )


async def test_the_version_is_answered_where_it_was_asked_for(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/models/sum/versions/1/infer", inputs(tensor()))
    assert reply.json()["model_version"] == "1"
    call = await peer.grpc("ModelInfer", rpc(model_version="1").message)
    assert b"\x12\x011" in call.body


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4], [[1, 2, 3, 4]], [1.0, 2, 3, 4], [None, 2, 3, 4]], ids=["flat", "nested", "mixed", "null"]
)
async def test_json_data_may_be_flat_or_nested(peer: Peer, data: list[Any]) -> None:
    reply = await peer.rest("POST", "/v2/models/sum/infer", inputs(tensor(data=data)))
    assert reply.json()["outputs"][0]["data"] == ([None] if None in data else [10])


async def test_a_datatype_may_be_in_lower_case(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/models/sum/infer", inputs(tensor(datatype="fp32")))
    assert reply.status == 200


async def test_the_empty_shape_is_a_scalar(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/models/echo/infer", inputs(tensor(shape=[], data=[1.5])))
    assert reply.json()["outputs"][0] | {"parameters": None} == tensor(shape=[], data=[1.5], parameters=None)


@pytest.mark.parametrize("rows", [0, 1, 3])
async def test_a_raw_body_is_the_only_input(peer: Peer, rows: int) -> None:
    array = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    reply = await peer.rest("POST", "/v2/models/raw/infer", array.tobytes(), {v2_rest.HEADER_LENGTH: "0"})
    assert reply.status == 200, reply.body
    entry = reply.json()["outputs"][0]
    assert (entry["shape"], entry["data"]) == ([rows, 2], array.ravel().tolist())


async def test_a_raw_body_of_bytes_is_one_element(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v2/models/raw-bytes/infer", "ä {}".encode(), {v2_rest.HEADER_LENGTH: "0"})
    assert reply.json()["outputs"][0]["data"] == ["ä {}"]
