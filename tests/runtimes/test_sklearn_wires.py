"""The scikit-learn runtime behind a server: every wire, v1's forms of a table, and wrong bodies."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from modelserver import InferRequest, Tensor
from modelserver.testing import WIRES, InMemoryServer, check_model
from tests.runtimes.estimators import IRIS, ROWS, columns_of, mixed, saved


@pytest.mark.parametrize(
    "estimator",
    [
        SVC().fit(IRIS.data, IRIS.target),
        SVC().fit(IRIS.data, IRIS.target_names[IRIS.target]),
        KMeans(n_clusters=3, n_init=1, random_state=0).fit(IRIS.data),
        RandomForestRegressor(n_estimators=2).fit(IRIS.data, np.column_stack([IRIS.target, IRIS.target])),
    ],
    ids=["labels", "text labels", "clusters", "two targets"],
)
async def test_rows_are_answered_alike_on_every_wire(tmp_path: Path, estimator: Any) -> None:
    await check_model(saved(tmp_path, estimator), [Tensor("input-0", ROWS)])


async def test_columns_are_answered_alike_on_every_wire(tmp_path: Path) -> None:
    pipeline, frame = mixed()
    await check_model(saved(tmp_path, pipeline), columns_of(frame).inputs)


async def test_a_text_classifier_is_answered_alike_on_every_wire(tmp_path: Path) -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"], ["pos", "neg"])
    await check_model(saved(tmp_path, pipeline), [Tensor("input-0", np.array(["good", "bad"]))])


@pytest.mark.parametrize("wire", WIRES)
async def test_the_file_is_found_and_served(tmp_path: Path, wire: str) -> None:
    joblib.dump(SVC().fit(IRIS.data, IRIS.target), tmp_path / "iris.joblib")
    async with InMemoryServer(tmp_path / "iris.joblib") as server:
        answer = await server.infer(wire, InferRequest("iris", [Tensor("input-0", ROWS.astype("float32"))]))
    assert answer.outputs[0].data.tolist() == [1, 1]


V1_BODIES = {
    "rows": {"instances": [[30.0, "Bern", 3, "a b"], [41.5, "Oslo", 1, "b c"]]},
    "dict rows": {
        "instances": [
            {"age": 30.0, "city": "Bern", "visits": 3, "note": "a b"},
            {"note": "b c", "city": "Oslo", "visits": 1, "age": 41.5},
        ]
    },
    "columns": {"inputs": {"age": [30.0, 41.5], "city": ["Bern", "Oslo"], "visits": [3, 1], "note": ["a b", "b c"]}},
}


@pytest.mark.parametrize("body", V1_BODIES.values(), ids=V1_BODIES)
async def test_v1_bodies_for_a_pipeline_over_columns(tmp_path: Path, body: dict[str, Any]) -> None:
    pipeline, frame = mixed()
    async with InMemoryServer([saved(tmp_path, pipeline)]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", body)
    assert (reply.status, reply.json()) == (200, {"predictions": pipeline.predict(frame[:2]).tolist()})


@pytest.mark.parametrize("instances", [[[1.0], [2.0]], [1.0, 2.0], [{"a": 1.0}, {"a": 2.0}]])
async def test_v1_bodies_for_a_single_column(tmp_path: Path, instances: list[Any]) -> None:
    estimator = LinearRegression().fit(pd.DataFrame({"a": [1.0, 2.0]}), [2.0, 4.0])
    async with InMemoryServer([saved(tmp_path, estimator)]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", {"instances": instances})
    assert reply.status == 200, reply.body
    assert reply.json()["predictions"] == pytest.approx([2.0, 4.0])


async def test_v1_answers_labels_as_json_integers(tmp_path: Path) -> None:
    async with InMemoryServer([saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", {"instances": ROWS.tolist()})
    assert reply.body == b'{"predictions":[1,1]}'


WRONG = {
    "a feature too few": {"instances": [[1.0, 2.0, 3.0]]},
    "one bare row": {"instances": [1.0, 2.0, 3.0, 4.0]},
    "no rows": {"instances": []},
    "a ragged table": {"instances": [[1.0, 2.0, 3.0, 4.0], [1.0]]},
    "text": {"instances": [["a", "b", "c", "d"]]},
    "nothing": {},
    "null": {"instances": [[None, 1.0, 2.0, 3.0]]},
    "objects": {"instances": [[{}, 1.0, 2.0, 3.0]]},
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
async def test_a_wrong_body_is_a_400_that_says_why(tmp_path: Path, body: dict[str, Any]) -> None:
    async with InMemoryServer([saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))]) as server:
        reply = await server.request("POST", "/v1/models/m:predict", body)
    assert reply.status == 400, reply.body
    assert list(reply.json()) == ["error"]


async def test_a_model_that_is_not_fitted_says_so_in_the_index(tmp_path: Path) -> None:
    async with InMemoryServer([saved(tmp_path, SVC())]) as server:
        [entry] = server.composition.dataplane.index()
    assert entry.state == "UNAVAILABLE"
    assert entry.reason.startswith("NotFittedError: This SVC instance is not fitted yet")


async def test_another_version_of_scikit_learn_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "m.joblib"
    joblib.dump(SVC().fit(IRIS.data, IRIS.target), path)
    path.write_bytes(path.read_bytes().replace(sklearn.__version__.encode(), b"0.9.9".ljust(len(sklearn.__version__))))
    async with InMemoryServer(path) as server:
        assert server.composition.dataplane.ready()
    assert [text.partition(", installed")[0] for text in caplog.messages if "0.9.9" in text] == [
        "model m: saved with scikit-learn 0.9.9"
    ]
