"""Optional inputs: a request may leave them out, and they are checked where they are there."""

import json

import numpy as np
import pytest

from modelserver import InferRequest, Model, ModelServerError, Tensor, TensorMetadata
from modelserver.testing import WIRES, InMemoryServer

X = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
MARGIN = np.array([10.0, 20.0], np.float32)


class Sum(Model):
    inputs = (TensorMetadata("x", "FP32", [-1, 2]), TensorMetadata("margin", "FP32", [-1], optional=True))

    def predict(self, request: InferRequest) -> np.ndarray:
        total: np.ndarray = request["x"].sum(axis=1)
        return total + request["margin"] if "margin" in request else total


class Detected(Sum):
    input_check = "compatible"


class Columns(Model):
    input_check = "compatible"
    inputs = (
        TensorMetadata("a", "FP32", [-1]),
        TensorMetadata("b", "FP32", [-1]),
        TensorMetadata("margin", "FP32", [-1], optional=True),
    )

    def predict(self, request: InferRequest) -> np.ndarray:
        total = sum(t.data if t.data.ndim == 1 else t.data.sum(axis=1) for t in request.inputs)
        assert isinstance(total, np.ndarray)
        return total


@pytest.mark.parametrize("model", [Sum, Detected])
@pytest.mark.parametrize("wire", WIRES)
async def test_it_may_be_there_or_not(model: type[Model], wire: str) -> None:
    async with InMemoryServer([model("m")]) as server:
        alone = await server.infer(wire, InferRequest("m", [Tensor("x", X)]))
        margin = Tensor("margin", MARGIN)
        both = await server.infer(wire, InferRequest("m", [margin, Tensor("x", X)])) if wire != "v1" else None
    assert alone.outputs[0].data.tolist() == [3.0, 7.0]
    assert both is None or both.outputs[0].data.tolist() == [13.0, 27.0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"instances": [[1, 2], [3, 4]]}, [3.0, 7.0]),
        ({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}, [3.0, 7.0]),
        ({"instances": [{"x": [1, 2], "margin": 10}, {"x": [3, 4], "margin": 20}]}, [13.0, 27.0]),
        ({"inputs": {"margin": [10, 20], "x": [[1, 2], [3, 4]]}}, [13.0, 27.0]),
    ],
)
@pytest.mark.parametrize("model", [Sum, Detected])
async def test_v1(model: type[Model], body: object, expected: list[float]) -> None:
    async with InMemoryServer([model("m")]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", body)
    assert (reply.status, reply.json()) == (200, {"predictions": expected})


@pytest.mark.parametrize(
    "inputs",
    [
        [Tensor("b", X[:, 1]), Tensor("a", X[:, 0]), Tensor("margin", MARGIN)],
        [Tensor("table", X), Tensor("margin", MARGIN)],
    ],
)
async def test_it_stands_beside_columns_and_beside_a_table_of_them(inputs: list[Tensor]) -> None:
    async with InMemoryServer([Columns("m")]) as server:
        answer = await server.infer("grpc", InferRequest("m", inputs))
    assert answer.outputs[0].data.tolist() == [13.0, 27.0]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([Tensor("x", X), Tensor("margin", X)], r"inputs\[1\]\.shape: got \[2, 2\], expected \[-1\]"),
        (
            [Tensor("margin", MARGIN.astype(np.int64)), Tensor("x", X)],
            r"inputs\[0\]\.datatype: got INT64, expected FP32",
        ),
        ([Tensor("margin", MARGIN)], "inputs: missing 'x'; got none"),
        ([Tensor("x", X), Tensor("y", X)], r"inputs\[1\]\.name: got 'y', expected 'x', 'margin'"),
    ],
)
async def test_it_is_checked_where_it_is_there(inputs: list[Tensor], message: str) -> None:
    async with InMemoryServer([Sum("m")]) as server:
        with pytest.raises(ModelServerError, match=message):
            await server.infer("grpc", InferRequest("m", inputs))


async def test_metadata_has_it_and_the_configuration_says_that_it_is_optional() -> None:
    async with InMemoryServer([Sum("m")]) as server:
        metadata = (await server.request("GET", "/v2/models/m")).json()
        config = (await server.request("GET", "/v2/models/m/config")).json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["x", "margin"]
    assert [tensor.get("optional", False) for tensor in config["input"]] == [False, True]


async def test_openapis_example_leaves_it_out() -> None:
    async with InMemoryServer([Sum("m")]) as server:
        document = (await server.request("GET", "/openapi.json")).json()
    content = document["paths"]["/v2/models/m/infer"]["post"]["requestBody"]["content"]
    assert [tensor["name"] for tensor in content["application/json"]["example"]["inputs"]] == ["x"]
    assert "margin" not in json.dumps(document["paths"]["/v1/models/m:predict"])
