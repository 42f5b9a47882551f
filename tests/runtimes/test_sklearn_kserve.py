"""The requests that KServe's own end-to-end tests send, and those of pipelines over columns of text and numbers."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from modelserver import InferRequest, Tensor
from modelserver.testing import InMemoryServer
from tests.runtimes.estimators import IRIS, ROWS, saved

IRIS_V2: dict[str, Any] = {
    "inputs": [{"name": "input-0", "datatype": "FP32", "shape": [2, 4], "data": ROWS.tolist()}],
}
IRIS_V2_REQUESTS = {
    "iris_input_v2.json": {**IRIS_V2, "parameters": {"content_type": "np"}},
    "iris_input_v2_binary.json": {**IRIS_V2, "outputs": [{"name": "output-0", "parameters": {"binary_data": True}}]},
    "iris_input_v2_all_binary.json": {**IRIS_V2, "parameters": {"binary_data_output": True}},
}


async def test_iris_on_v1(tmp_path: Path) -> None:
    async with InMemoryServer([saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))]) as server:
        for key in ("instances", "inputs"):
            reply = await server.request("POST", "/v1/models/m:predict", {key: ROWS.tolist()})
            assert (reply.status, reply.body) == (200, b'{"predictions":[1,1]}')


@pytest.mark.parametrize("body", IRIS_V2_REQUESTS.values(), ids=IRIS_V2_REQUESTS)
async def test_iris_on_v2(tmp_path: Path, body: dict[str, Any]) -> None:
    async with InMemoryServer([saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))]) as server:
        reply = await server.request("POST", "/v2/models/m/infer", body)
        raw = await server.infer(
            "grpc", InferRequest("m", [Tensor("input-0", ROWS.astype("float32"))], parameters={"content_type": "np"})
        )
    assert raw.outputs[0].data.tolist() == [1, 1]
    head = json.loads(reply.body[: int(reply.headers.get("inference-header-content-length", len(reply.body)))])
    [output] = head["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("output-0", "INT64", [2])
    if "data" in output:
        assert output["data"] == [1, 1]
    else:
        assert output["parameters"] == {"binary_data_size": 16}
        assert np.frombuffer(reply.body[-16:], "<i8").tolist() == [1, 1]


# Columns of text and numbers.

HOUSES = pd.DataFrame(
    {
        "Zone": ["RL", "RM", "RL", "FV", None, "RL"],
        "LotArea": [8450, 9600, 11250, 7000, 6120, 9550],
        "Sale": ["WD", "WD", "New", "COD", "WD", "WD"],
        "GarageArea": [548.0, 460.0, np.nan, 0.0, 480.0, 642.0],
    }
)
TEXT = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
NUMBERS = make_pipeline(SimpleImputer(), StandardScaler())
PRICE = make_pipeline(
    ColumnTransformer([("text", TEXT, ["Zone", "Sale"]), ("numbers", NUMBERS, ["LotArea", "GarageArea"])]), Ridge()
).fit(HOUSES, [12.2, 11.9, 12.3, 11.5, 11.8, 12.0])

ROW = {"Zone": "RL", "LotArea": 8450, "Sale": "WD", "GarageArea": 548}
TYPES = {"Zone": "BYTES", "LotArea": "INT32", "Sale": "BYTES", "GarageArea": "INT32"}
MIXED = {"instances": [{name: [value] for name, value in ROW.items()}]}
MIXED_V2: dict[str, Any] = {
    "parameters": {"content_type": "pd"},
    "inputs": [{"name": n, "datatype": TYPES[n], "shape": [1], "data": [value]} for n, value in ROW.items()],
}


@pytest.mark.parametrize("order", [list(ROW), list(ROW)[::-1]])
@pytest.mark.parametrize("shape", [[1], [1, 1]])
async def test_columns_in_any_order(tmp_path: Path, order: list[str], shape: list[int]) -> None:
    inputs = sorted(({**i, "shape": shape} for i in MIXED_V2["inputs"]), key=lambda i: order.index(i["name"]))
    async with InMemoryServer([saved(tmp_path, PRICE)]) as server:
        v1 = await server.request("POST", "/v1/models/m:predict", MIXED)
        rows = await server.request("POST", "/v1/models/m:predict", {"instances": [{n: ROW[n] for n in order}]})
        v2 = await server.request("POST", "/v2/models/m/infer", {**MIXED_V2, "inputs": inputs})
        plain = await server.request("POST", "/v2/models/m/infer", {"inputs": inputs})
    expected = PRICE.predict(pd.DataFrame([ROW])).tolist()
    assert [reply.json()["predictions"] for reply in (v1, rows)] == [expected, expected]
    assert [reply.json()["outputs"][0]["data"] for reply in (v2, plain)] == [expected, expected]


WRONG = {
    "missing": ({**ROW, "Sale": ...}, "'Sale'"),
    "unknown": ({**ROW, "Sales": "WD"}, "'Sales'"),
    "misspelt": ({"zone" if name == "Zone" else name: value for name, value in ROW.items()}, "'zone'"),
    "numbers for text": ({**ROW, "Sale": 3}, "inputs: got numbers in column 'Sale', expected text"),
    "text for numbers": ({**ROW, "LotArea": "large"}, "large"),
}


@pytest.mark.parametrize(("row", "says"), WRONG.values(), ids=WRONG)
async def test_wrong_columns_are_named(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    row = {name: value for name, value in row.items() if value is not ...}
    inputs = [
        {"name": n, "datatype": "BYTES" if isinstance(v, str) else "INT64", "shape": [1], "data": [v]}
        for n, v in row.items()
    ]
    async with InMemoryServer([saved(tmp_path, PRICE)]) as server:
        for path, body in (
            ("/v1/models/m:predict", {"instances": [row]}),
            ("/v2/models/m/infer", {"inputs": inputs, "parameters": {"content_type": "pd"}}),
        ):
            reply = await server.request("POST", path, body)
            assert reply.status == 400
            assert says in reply.json()["error"]


async def test_a_column_twice_is_refused(tmp_path: Path) -> None:
    async with InMemoryServer([saved(tmp_path, PRICE)]) as server:
        body = {"inputs": [*MIXED_V2["inputs"], MIXED_V2["inputs"][0]]}
        reply = await server.request("POST", "/v2/models/m/infer", body)
    assert reply.status == 400
    assert "'Zone'" in reply.json()["error"]


HOLES = [{"Zone": None}, {"GarageArea": None}, {"Zone": None, "Sale": None, "LotArea": None, "GarageArea": None}]


async def test_nulls_reach_the_imputers_alone_and_in_batches(tmp_path: Path) -> None:
    rows = [{**ROW, **holes} for holes in HOLES]
    expected = PRICE.predict(pd.DataFrame([*rows, ROW]))[:3].tolist()
    async with InMemoryServer([saved(tmp_path, PRICE)]) as server:

        async def predictions(instances: list[dict[str, Any]]) -> Any:
            reply = await server.request("POST", "/v1/models/m:predict", {"instances": instances})
            return reply.json()["predictions"]

        alone = [(await predictions([row]))[0] for row in rows]
        together = await predictions([*rows, ROW])
        at_once = await asyncio.gather(*(predictions([row, ROW]) for row in rows * 4))
    assert alone == pytest.approx(expected)
    assert together[:3] == pytest.approx(expected)
    assert [answer[0] for answer in at_once] == pytest.approx(expected * 4)


async def test_nulls_on_v2_are_those_of_numbers(tmp_path: Path) -> None:
    inputs = [dict(each) for each in MIXED_V2["inputs"]]
    inputs[3] |= {"datatype": "FP64", "data": [None]}
    async with InMemoryServer([saved(tmp_path, PRICE)]) as server:
        reply = await server.request("POST", "/v2/models/m/infer", {"inputs": inputs})
        inputs[2] |= {"data": [None]}
        refused = await server.request("POST", "/v2/models/m/infer", {"inputs": inputs})
    expected = PRICE.predict(pd.DataFrame([{**ROW, "GarageArea": np.nan}])).tolist()
    assert reply.json()["outputs"][0]["data"] == pytest.approx(expected)
    assert (refused.status, refused.json()["error"].partition(":")[0]) == (400, "inputs[2].data")
