"""What a model may return, and what each protocol makes of it."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from modelserver import InferRequest, Tensor
from modelserver.testing import WIRES
from tests.conformance.calls import everywhere
from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

#: Result -> the JSON that v1 answers.
ON_V1: dict[str, Any] = {
    "array": {"predictions": [1.5, 2.5]},
    "unicode": {"predictions": ["ä", "日本"]},
    "objects": {"predictions": ["a", "", "3"]},
    "times": {"predictions": ["2026-11-22T10:00:00", "2026-11-22T11:30:00"]},
    "strings": ["yes", "no"],
    "string": "yes",
    "list": [1, 2, 3],
    "scalar": 7,
    "numpy-scalar": 0.5,
    "frame": {"predictions": [{"kind": "setosa", "p": 0.25}, {"kind": "virginica", "p": 0.75}]},
    "dict-of-lists": {"a": [1, 2], "b": ["x", "y"]},
    "nan": {"predictions": [None, 1.0, None]},
    "beyond-2-53": {"predictions": [2**53 + 1, -(2**63), 2**63 - 1]},
    "empty": {"predictions": []},
    "tensor": {"predictions": [1, 2]},
    "json": {"when": "2026-11-22T10:00:00+00:00", "n": 3, "none": None, "nan": None},
    "nested": {"a": {"b": [1, 2]}},
    "ragged": [[1], [2, 3]],
    "nothing": None,
}
#: Result -> the tensors of the other wires: name, datatype, elements.
AS_TENSORS: dict[str, list[tuple[str, str, list[Any]]]] = {
    "array": [("output-0", "FP64", [1.5, 2.5])],
    "unicode": [("output-0", "BYTES", ["ä".encode(), "日本".encode()])],
    "objects": [("output-0", "BYTES", [b"a", b"", b"3"])],
    "times": [("output-0", "BYTES", [b"2026-11-22T10:00:00", b"2026-11-22T11:30:00"])],
    "strings": [("output-0", "BYTES", [b"yes", b"no"])],
    "string": [("output-0", "BYTES", [b"yes"])],
    "list": [("output-0", "INT64", [1, 2, 3])],
    "scalar": [("output-0", "INT64", [7])],
    "numpy-scalar": [("output-0", "FP32", [0.5])],
    "frame": [("kind", "BYTES", [b"setosa", b"virginica"]), ("p", "FP64", [0.25, 0.75])],
    "dict-of-lists": [("a", "INT64", [1, 2]), ("b", "BYTES", [b"x", b"y"])],
    "beyond-2-53": [("output-0", "INT64", [2**53 + 1, -(2**63), 2**63 - 1])],
    "empty": [("output-0", "FP32", [])],
    "tensor": [("named", "UINT8", [1, 2])],
}
V2_WIRES = WIRES[1:]


@pytest.mark.parametrize("name", ON_V1)
async def test_on_v1(peer: Peer, name: str) -> None:
    reply = await peer.rest("POST", f"/v1/models/returns-{name}:predict", {"instances": [1]})
    assert reply.status == 200, reply.body
    assert reply.json() == ON_V1[name]
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("wire", V2_WIRES)
@pytest.mark.parametrize("name", AS_TENSORS)
async def test_as_tensors(peer: Peer, name: str, wire: str) -> None:
    _, response = await peer.answer(wire, InferRequest(f"returns-{name}", [Tensor("x", [1])]))
    found = [(tensor.name, tensor.datatype, tensor.data.ravel().tolist()) for tensor in response.outputs]
    assert found == AS_TENSORS[name]


@pytest.mark.parametrize("wire", V2_WIRES)
async def test_not_a_number_is_null_in_json_and_itself_in_binary(peer: Peer, wire: str) -> None:
    _, response = await peer.answer(wire, InferRequest("returns-nan", [Tensor("x", [1])]))
    data = response.outputs[0].data
    assert np.isnan(data[0])
    assert data[1] == 1
    assert np.isnan(data[2]) if wire == "v2-json" else np.isposinf(data[2])


@pytest.mark.parametrize("wire", V2_WIRES)
async def test_an_empty_array_keeps_its_shape(peer: Peer, wire: str) -> None:
    _, response = await peer.answer(wire, InferRequest("returns-empty", [Tensor("x", [1])]))
    assert response.outputs[0].shape == (0, 3)


@pytest.mark.parametrize("name", ["nested", "ragged", "nothing"])
async def test_what_no_tensor_can_hold_is_the_models_mistake(peer: Peer, name: str) -> None:
    calls = everywhere(f"returns-{name}")
    reply = await peer.rest("POST", calls["v2"].path, calls["v2"].body)  # type: ignore[union-attr]
    assert reply.status == 500
    assert f"Model returns-{name} returned" in reply.json()["error"]
    call = await peer.grpc("ModelInfer", calls["grpc"].message)  # type: ignore[union-attr]
    assert call.status is grpc.StatusCode.INTERNAL
    assert f"Model returns-{name} returned" in call.message


async def test_an_explanation(peer: Peer) -> None:
    reply = await peer.rest("POST", "/v1/models/explains:explain", {"instances": [[2, 4, 6, 8]]})
    assert reply.json() == {"explanations": [[1, 2, 3, 4]]}
