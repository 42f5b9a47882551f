"""One table of scenarios, each over all five wires, in memory and over real ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from modelserver import InferRequest, Tensor
from modelserver.datatypes import DTYPES
from modelserver.testing import WIRES
from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

NOT_ON_V1 = "v1 has no datatypes"
#: FP16 and BF16 have no typed contents: the codec sends them raw on this wire too.
ALWAYS_RAW = frozenset({"FP16", "BF16"})


@dataclass(frozen=True)
class Scenario:
    """``v1`` is the JSON that v1 answers; ``NOT_ON_V1`` where it cannot say what the others do."""

    name: str
    model: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    v1: Any = NOT_ON_V1


def echo(name: str, tensor: Tensor, v1: Any = NOT_ON_V1) -> Scenario:
    return Scenario(name, "echo", [tensor], [tensor], v1)


def extremes(datatype: str) -> np.ndarray:
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        elements = np.empty(3, object)
        elements[:] = [b"", "日本 ä".encode(), b"a\x00b"]
        return elements
    if datatype == "BOOL":
        return np.array([True, False, True])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return np.array([limits.min, 1, limits.max], dtype)
    return np.array([-1.5, 0.0, 3.25], dtype)


SCENARIOS = [
    *(echo(f"{datatype} row", Tensor("x", extremes(datatype), datatype)) for datatype in DTYPES),
    *(echo(f"{datatype} empty", Tensor("x", np.empty((0, 2), DTYPES[datatype]), datatype)) for datatype in DTYPES),
    *(echo(f"{datatype} scalar", Tensor("x", extremes(datatype)[1:2].reshape(()), datatype)) for datatype in DTYPES),
    *(echo(f"{datatype} cube", Tensor("x", np.tile(extremes(datatype), (2, 1, 1)), datatype)) for datatype in DTYPES),
    echo("integers", Tensor("instances", [1, 2, 3]), {"predictions": [1, 2, 3]}),
    echo("integers beyond 2^53", Tensor("instances", [2**53 + 1, -(2**63)]), {"predictions": [2**53 + 1, -(2**63)]}),
    echo("integers beyond 2^63", Tensor("instances", np.array([2**64 - 1], "u8")), {"predictions": [2**64 - 1]}),
    echo("a matrix", Tensor("instances", [[1.5, 2.5], [3.5, 4.5]]), {"predictions": [[1.5, 2.5], [3.5, 4.5]]}),
    echo("booleans", Tensor("instances", [True, False]), {"predictions": [True, False]}),
    echo("text", Tensor("instances", ["ä", "日本"]), {"predictions": ["ä", "日本"]}),
    echo("bytes that are no text", Tensor("instances", [b"\xff\x00"]), {"predictions": [{"b64": "/wA="}]}),
    echo("NaN", Tensor("instances", [np.nan, 1.0]), {"predictions": [None, 1.0]}),
    echo(
        "a transposed array",
        Tensor("instances", np.arange(6.0).reshape(2, 3).T),
        {"predictions": [[0, 3], [1, 4], [2, 5]]},
    ),
    echo("a name with spaces and umlauts", Tensor("größe in m", [1.5]), {"predictions": [1.5]}),
    Scenario(
        "declared",
        "sum",
        [Tensor("x", [[1, 2, 3, 4], [5, 6, 7, 8]], "FP32")],
        [Tensor("y", [10, 26], "FP32")],
        {"predictions": [10, 26]},
    ),
    Scenario(
        "declared, no rows",
        "sum",
        [Tensor("x", np.empty((0, 4)), "FP32")],
        [Tensor("y", [], "FP32")],
        {"predictions": []},
    ),
    Scenario(
        "two inputs, two outputs",
        "two",
        [Tensor("a", [0.5, 1.5], "FP32"), Tensor("b", [2, 3], "INT64")],
        [Tensor("sum", [2.5, 4.5], "FP64"), Tensor("text", ["2", "3"])],
        {"predictions": [{"sum": 2.5, "text": "2"}, {"sum": 4.5, "text": "3"}]},
    ),
    Scenario(
        "inputs in another order",
        "two",
        [Tensor("b", [2], "INT64"), Tensor("a", [0.5], "FP32")],
        [Tensor("sum", [2.5], "FP64"), Tensor("text", ["2"])],
        {"predictions": [{"sum": 2.5, "text": "2"}]},
    ),
]


def carries(wire: str, scenario: Scenario) -> bool:
    if wire == "v1":
        return scenario.v1 is not NOT_ON_V1
    return wire != "grpc" or not {tensor.datatype for tensor in scenario.inputs} & ALWAYS_RAW


CASES = [
    pytest.param(scenario, wire, id=f"{scenario.name}-{wire}")
    for scenario in SCENARIOS
    for wire in WIRES
    if carries(wire, scenario)
]


@pytest.mark.parametrize(("scenario", "wire"), CASES)
async def test_every_wire_answers_alike(peer: Peer, scenario: Scenario, wire: str) -> None:
    raw, response = await peer.answer(wire, InferRequest(scenario.model, list(scenario.inputs)))

    if wire == "v1":
        assert scenario.v1 == raw.json()
        return
    assert scenario.model == response.model_name
    assert [tensor.name for tensor in scenario.outputs] == [tensor.name for tensor in response.outputs]
    for expected, actual in zip(scenario.outputs, response.outputs, strict=True):
        assert expected.datatype == actual.datatype
        assert expected.shape == actual.shape
        assert expected.to_buffer() == actual.to_buffer()
