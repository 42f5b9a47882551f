"""Which method answers, by parameter and by requested output; alone, together, and in batches."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from modelserver import InferRequest, InvalidInput, RequestedOutput, Tensor
from modelserver.testing import InMemoryServer, Reply
from tests.runtimes.estimators import IRIS, ROWS, request, saved

TARGETS = np.column_stack([IRIS.target, IRIS.target % 2])
LOGISTIC = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
FOREST = RandomForestClassifier(n_estimators=5, random_state=0).fit(IRIS.data, IRIS.target_names[IRIS.target])
ISOLATION = IsolationForest(n_estimators=5, random_state=0).fit(IRIS.data)


class Answers(dict[str, np.ndarray]):
    """What ``predict`` returned, by name."""

    def __init__(self, answer: Any) -> None:
        super().__init__(answer if isinstance(answer, dict) else {t.name: t.data for t in answer.outputs})


def asked(*outputs: str, **parameters: Any) -> InferRequest:
    named = [RequestedOutput(name) for name in outputs] or None
    return request(Tensor("input-0", ROWS), parameters=parameters, outputs=named)


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize(
    ("estimator", "method"),
    [
        (LOGISTIC, "predict"),
        (LOGISTIC, "predict_proba"),
        (LOGISTIC, "predict_log_proba"),
        (LOGISTIC, "decision_function"),
        (ISOLATION, "score_samples"),
        (StandardScaler().fit(IRIS.data), "transform"),
        (KMeans(n_clusters=2, n_init=1, random_state=0).fit(IRIS.data), "transform"),
    ],
)
def test_a_request_names_the_method(tmp_path: Path, estimator: Any, method: str) -> None:
    model = saved(tmp_path, estimator)
    model.load()
    answer = Answers(model.predict(asked(predict_method=method)))
    assert list(answer) == ["output-0"]
    assert same(answer["output-0"], getattr(estimator, method)(ROWS))


def test_a_sparse_answer_is_made_dense(tmp_path: Path) -> None:
    model = saved(tmp_path, TfidfVectorizer().fit(["a bad film", "good"]))
    model.load()
    answer = model.predict(request(Tensor("input-0", np.array(["bad"]))))
    assert answer["output-0"].tolist() == [[1.0, 0.0, 0.0]]


@pytest.mark.parametrize("method", ["transform", "nonsense", 7, True])
def test_a_method_that_the_model_does_not_have(tmp_path: Path, method: Any) -> None:
    model = saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))
    model.load()
    with pytest.raises(InvalidInput) as caught:
        Answers(model.predict(asked(predict_method=method)))
    expected = f"parameters.predict_method: got {method!r}, the model has predict, decision_function"
    assert str(caught.value) == expected


def test_the_settings_name_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELSERVER_PREDICT_METHOD", "decision_function")
    monkeypatch.setenv("PREDICT_PROBA", "true")
    model = saved(tmp_path, LOGISTIC)
    model.load()
    assert same(Answers(model.predict(asked()))["output-0"], LOGISTIC.decision_function(ROWS))
    assert same(Answers(model.predict(asked(predict_method="predict")))["output-0"], [1, 1])
    model = saved(tmp_path, StandardScaler().fit(IRIS.data))
    with pytest.raises(ValueError, match="predict_method: got decision_function, StandardScaler has transform"):
        model.load()


PIPELINE = make_pipeline(StandardScaler(), LogisticRegression()).fit(IRIS.data, IRIS.target)
NAMED = {"label": "predict", "probabilities": "predict_proba", "decision": "decision_function"}


@pytest.mark.parametrize(
    "estimator",
    [PIPELINE, GridSearchCV(PIPELINE, {"logisticregression__C": [1.0]}, cv=2).fit(IRIS.data, IRIS.target), LOGISTIC],
    ids=["pipeline", "search", "alone"],
)
@pytest.mark.parametrize(
    "names", [["label"], ["probabilities"], ["decision", "label"], ["probabilities", "label", "decision"]]
)
def test_outputs_by_name(tmp_path: Path, estimator: Any, names: list[str]) -> None:
    model = saved(tmp_path, estimator)
    model.load()
    answer = Answers(model.predict(asked(*names)))
    assert list(answer) == names
    for name in names:
        assert same(answer[name], getattr(estimator, NAMED[name])(ROWS))


def test_output_0_beside_others_is_the_method_that_was_asked_for(tmp_path: Path) -> None:
    model = saved(tmp_path, FOREST)
    model.load()
    answer = Answers(model.predict(asked("output-0", "log_probabilities", "label", predict_method="predict_proba")))
    assert same(answer["output-0"], FOREST.predict_proba(ROWS))
    assert np.exp(answer["log_probabilities"]) == pytest.approx(answer["output-0"])
    assert answer["label"].tolist() == [b"versicolor", b"versicolor"]


def test_scores_and_labels_of_outliers(tmp_path: Path) -> None:
    model = saved(tmp_path, ISOLATION)
    model.load()
    answer = Answers(model.predict(asked("scores", "label", "decision")))
    assert same(answer["scores"], ISOLATION.score_samples(ROWS))
    assert same(answer["label"], ISOLATION.predict(ROWS))


def test_each_target_has_probabilities_of_its_own(tmp_path: Path) -> None:
    forest = RandomForestClassifier(n_estimators=2, random_state=0).fit(IRIS.data, TARGETS)
    model = saved(tmp_path, forest)
    model.load()
    answer = Answers(model.predict(asked("probabilities-1", "label")))
    assert same(answer["probabilities-1"], forest.predict_proba(ROWS)[1])
    assert same(answer["label"], forest.predict(ROWS))


class Counted:
    """A step that counts how often it is asked, and probabilities that are."""

    calls: list[str] = []


def count(rows: np.ndarray) -> np.ndarray:
    Counted.calls.append("transform")
    return rows


def test_several_outputs_are_computed_once(tmp_path: Path) -> None:
    steps = make_pipeline(FunctionTransformer(count), RandomForestClassifier(n_estimators=2, random_state=0))
    estimator = steps.fit(IRIS.data, IRIS.target)
    model = saved(tmp_path, estimator)
    model.load()
    Counted.calls.clear()
    answer = Answers(model.predict(asked("label", "probabilities", "log_probabilities")))
    assert Counted.calls == ["transform"]
    assert same(answer["label"], estimator.predict(ROWS))
    assert same(answer["probabilities"], estimator.predict_proba(ROWS))


# Behind a server.


async def infer(server: InMemoryServer, outputs: list[str], parameters: dict[str, Any] | None = None) -> Reply:
    body = {
        "inputs": [{"name": "input-0", "datatype": "FP64", "shape": [2, 4], "data": ROWS.tolist()}],
        "outputs": [{"name": name} for name in outputs],
        "parameters": parameters or {},
    }
    return await server.request("POST", "/v2/models/m/infer", body)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["nonsense"], "outputs[0].name: got 'nonsense', the model has output-0, label, decision"),
        (["label", "probabilities"], "outputs[1].name: got 'probabilities', the model has output-0, label, decision"),
        (["output-1"], "outputs[0].name: got 'output-1', model m has 'output-0'"),
        (["label-0"], "outputs[0].name: got 'label-0', model m has 'label'"),
        (["output"], "outputs[0].name: got 'output', model m has 'output-0'"),
    ],
)
async def test_an_output_that_the_model_does_not_have(tmp_path: Path, outputs: list[str], message: str) -> None:
    async with InMemoryServer([saved(tmp_path, SVC().fit(IRIS.data, IRIS.target))]) as server:
        reply = await infer(server, outputs)
    assert (reply.status, reply.json()) == (400, {"error": message})


async def test_metadata_has_the_default_output_only(tmp_path: Path) -> None:
    async with InMemoryServer([saved(tmp_path, LOGISTIC)]) as server:
        metadata = (await server.request("GET", "/v2/models/m")).json()
        reply = await infer(server, ["label", "probabilities"])
    assert metadata["outputs"] == [{"name": "output-0", "datatype": "INT64", "shape": [-1]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in reply.json()["outputs"]] == [
        ("label", "INT64", [2]),
        ("probabilities", "FP64", [2, 3]),
    ]


async def test_mixed_requests_at_once_get_their_own_answers(tmp_path: Path) -> None:
    wires = ("v1", "v2-json", "v2-binary", "grpc", "grpc-raw")
    methods = (None, "predict", "predict_proba")
    rows = IRIS.data[:40]
    async with InMemoryServer([saved(tmp_path, FOREST)]) as server:

        async def one(index: int) -> tuple[int, str | None, Any]:
            wire, method = wires[index % 5], methods[index % 3]
            method = None if wire == "v1" else method
            row = Tensor("input-0", rows[index : index + 1 + index % 4])
            parameters: dict[str, Any] = {} if method is None else {"predict_method": method}
            response = await server.infer(wire, InferRequest("m", [row], parameters=parameters))
            return index, method, response.outputs[0].data

        answers = await asyncio.gather(*map(one, range(37)))
    for index, method, data in answers:
        expected = getattr(FOREST, method or "predict")(rows[index : index + 1 + index % 4])
        assert same(data, expected if method == "predict_proba" else np.array([label.encode() for label in expected]))


async def test_requests_that_wait_together_are_one_call(tmp_path: Path) -> None:
    model = saved(tmp_path, make_pipeline(FunctionTransformer(count), SVC()).fit(IRIS.data, IRIS.target))
    async with InMemoryServer([model]) as server:
        Counted.calls.clear()
        await asyncio.gather(*(server.infer("grpc", asked()) for _ in range(20)))
        assert len(Counted.calls) < 20
