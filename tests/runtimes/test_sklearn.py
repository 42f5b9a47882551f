"""The scikit-learn runtime over many kinds of estimators: what it declares, what it answers, what it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from modelserver_sklearn import SklearnModel, SklearnSettings
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

from modelserver import InferRequest, InvalidInput, Tensor, TensorMetadata
from tests.runtimes.estimators import IRIS, ROWS, columns_of, mixed, request, saved

Load = Callable[..., SklearnModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Save an estimator, and load it as the server does."""

    def load(estimator: Any, name: str = "model.joblib", **settings: Any) -> SklearnModel:
        model = saved(tmp_path, estimator, name)
        model.settings = SklearnSettings(**settings) if settings else model.settings
        model.load()
        return model

    return load


def rows_of(array: Any) -> InferRequest:
    return request(Tensor("input-0", array))


# What it declares.


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl", "model.pickle"])
def test_iris_is_the_example_that_every_kserve_user_knows(load: Load, name: str) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target), name)
    assert list(model.inputs) == [TensorMetadata("input-0", "FP64", [-1, 4])]
    assert list(model.outputs) == [TensorMetadata("output-0", "INT64", [-1])]
    assert model.predict(rows_of(ROWS))["output-0"].tolist() == [1, 1]


def test_text_labels_are_bytes(load: Load) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target_names[IRIS.target]))
    assert list(model.outputs) == [TensorMetadata("output-0", "BYTES", [-1])]
    assert model.predict(rows_of(ROWS))["output-0"].tolist() == ["versicolor", "versicolor"]


def test_a_regressor_gives_floats(load: Load) -> None:
    data, target = load_diabetes(return_X_y=True)
    model = load(LinearRegression().fit(data, target))
    assert list(model.outputs) == [TensorMetadata("output-0", "FP64", [-1])]
    assert model.predict(rows_of(data[:3]))["output-0"].shape == (3,)


def test_several_targets_are_columns_of_the_output(load: Load) -> None:
    targets = np.column_stack([IRIS.target, IRIS.target * 2.0])
    model = load(RandomForestRegressor(n_estimators=2).fit(IRIS.data, targets))
    assert list(model.outputs) == [TensorMetadata("output-0", "FP64", [-1, 2])]
    assert model.predict(rows_of(ROWS))["output-0"].shape == (2, 2)


def test_clusters_are_int32_as_the_estimator_says(load: Load) -> None:
    model = load(KMeans(n_clusters=3, n_init=1, random_state=0).fit(IRIS.data))
    assert list(model.outputs) == [TensorMetadata("output-0", "INT32", [-1])]
    assert model.predict(rows_of(ROWS))["output-0"].shape == (2,)


def test_an_outlier_detector_says_plus_or_minus_one(load: Load) -> None:
    model = load(IsolationForest(n_estimators=5, random_state=0).fit(IRIS.data))
    assert set(model.predict(rows_of(ROWS))["output-0"].tolist()) <= {-1, 1}


def test_a_search_is_served_as_its_best_estimator(load: Load) -> None:
    model = load(GridSearchCV(LogisticRegression(max_iter=500), {"C": [1.0]}, cv=2).fit(IRIS.data, IRIS.target))
    assert list(model.inputs) == [TensorMetadata("input-0", "FP64", [-1, 4])]


def test_columns_are_inputs_by_name_with_text_where_encoders_show_it(load: Load) -> None:
    pipeline, _ = mixed()
    model = load(pipeline)
    assert list(model.inputs) == [
        TensorMetadata("age", "FP64", [-1]),
        TensorMetadata("city", "BYTES", [-1]),
        TensorMetadata("visits", "FP64", [-1]),
        TensorMetadata("note", "BYTES", [-1]),
    ]
    assert list(model.outputs) == [TensorMetadata("output-0", "FP64", [-1])]


@pytest.mark.parametrize(
    "chosen", [["b"], [1], slice(1, 2), slice("b", "b"), slice(1, None), np.array([False, True]), [False, True], 1]
)
def test_a_column_of_text_is_found_however_it_was_chosen(load: Load, chosen: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    encoder = TfidfVectorizer(token_pattern=r"\w") if isinstance(chosen, int) else OneHotEncoder()
    pipeline = make_pipeline(ColumnTransformer([("t", encoder, chosen)], remainder="passthrough"), LinearRegression())
    model = load(pipeline.fit(frame, [0.0, 1.0]))
    assert [metadata.datatype for metadata in model.inputs] == ["FP64", "BYTES"]


def test_an_encoder_at_the_start_takes_every_column(load: Load) -> None:
    frame = pd.DataFrame({"a": ["u", "v"], "b": ["x", "y"]})
    model = load(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, ["no", "yes"]))
    assert [metadata.datatype for metadata in model.inputs] == ["BYTES", "BYTES"]
    assert model.predict(columns_of(frame))["output-0"].tolist() == ["no", "yes"]


def test_text_without_column_names(load: Load) -> None:
    table = np.array([["u", "x"], ["v", "y"]], dtype=object)
    model = load(make_pipeline(OrdinalEncoder(), LinearRegression()).fit(table, [0.0, 1.0]))
    assert list(model.inputs) == [TensorMetadata("input-0", "BYTES", [-1, 2])]
    assert model.predict(rows_of(table))["output-0"] == pytest.approx([0.0, 1.0])


def test_a_text_classifier_takes_one_text_a_row(load: Load) -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good film", "bad film"], ["pos", "neg"])
    model = load(pipeline)
    assert list(model.inputs) == [TensorMetadata("input-0", "BYTES", [-1])]
    for shape in [(2,), (2, 1)]:
        texts = np.array(["so good", "bad"]).reshape(shape)
        assert model.predict(rows_of(texts))["output-0"].tolist() == ["pos", "neg"]


def test_an_estimator_that_refuses_a_made_up_row_is_served_with_unknown_outputs(load: Load) -> None:
    pipeline = make_pipeline(FunctionTransformer(refuse_zeros, validate=True), LinearRegression())
    model = load(pipeline.fit(IRIS.data, IRIS.target))
    assert list(model.outputs) == []
    assert model.predict(rows_of(ROWS))["output-0"].shape == (2,)


def refuse_zeros(rows: np.ndarray) -> np.ndarray:
    if not rows.any():
        raise RuntimeError("a row of zeros")
    return rows


# Probabilities, by the settings.


@pytest.mark.parametrize("variable", ["PREDICT_PROBA", "MODELSERVER_PREDICT_PROBA"])
@pytest.mark.parametrize("value", ["true", "True"])
def test_predict_proba(load: Load, variable: str, value: str) -> None:
    assert SklearnSettings.resolve({}, {variable: value}).predict_proba
    model = load(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), predict_proba=True)
    assert list(model.outputs) == [TensorMetadata("output-0", "FP64", [-1, 3])]
    assert model.predict(rows_of(ROWS))["output-0"].sum(axis=1) == pytest.approx([1.0, 1.0])


def test_predict_proba_of_what_has_none_is_predict(load: Load) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target), predict_proba=True)
    assert list(model.outputs) == [TensorMetadata("output-0", "INT64", [-1])]


def test_probabilities_of_several_targets_are_an_output_each(load: Load) -> None:
    targets = np.column_stack([IRIS.target, IRIS.target % 2])
    model = load(RandomForestClassifier(n_estimators=2).fit(IRIS.data, targets), predict_proba=True)
    assert [(m.name, m.shape) for m in model.outputs] == [("output-0", [-1, 3]), ("output-1", [-1, 2])]
    assert [array.shape for array in model.predict(rows_of(ROWS)).values()] == [(2, 3), (2, 2)]


# What it takes.


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8"])
def test_any_numeric_datatype_is_taken(load: Load, dtype: str) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target))
    assert model.predict(rows_of(ROWS.astype(dtype)))["output-0"].tolist() == [1, 1]


def test_columns_come_in_any_order(load: Load) -> None:
    pipeline, frame = mixed()
    answer = load(pipeline).predict(columns_of(frame[["note", "visits", "city", "age"]]))
    assert answer["output-0"].tolist() == pipeline.predict(frame).tolist()


def test_one_tensor_stands_for_all_columns_by_position(load: Load) -> None:
    frame = pd.DataFrame(IRIS.data, columns=list("abcd"))
    model = load(LogisticRegression(max_iter=500).fit(frame, IRIS.target))
    assert model.predict(rows_of(ROWS))["output-0"].tolist() == [1, 1]


def test_a_table_of_one_column_goes_by_position(load: Load) -> None:
    model = load(LinearRegression().fit(pd.DataFrame({"a": [1.0, 2.0]}), [2.0, 4.0]))
    assert model.predict(rows_of([[1.0], [2.0]]))["output-0"] == pytest.approx([2.0, 4.0])
    with pytest.raises(InvalidInput, match=r"missing or unknown columns \['a', 'b'\]"):
        model.predict(request(Tensor("b", [[1.0], [2.0]])))


def test_a_missing_and_an_unknown_column_are_named(load: Load) -> None:
    pipeline, frame = mixed()
    with pytest.raises(InvalidInput, match=r"missing or unknown columns \['city', 'town'\]"):
        load(pipeline).predict(columns_of(frame.rename(columns={"city": "town"})))


def test_columns_for_a_model_without_names_go_by_position(load: Load) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target))
    columns = [Tensor(f"c{index}", column) for index, column in enumerate(ROWS.T)]
    assert model.predict(request(*columns))["output-0"].tolist() == [1, 1]


def test_content_type_pd_makes_a_dataframe(load: Load) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target))
    tensors = [Tensor("input-0", ROWS)]
    assert model.predict(request(*tensors, parameters={"content_type": "pd"}))["output-0"].tolist() == [1, 1]


def test_content_type_pd_keeps_the_names_for_an_estimator_that_does_not_say_what_it_takes(load: Load) -> None:
    model = load(ByName())
    columns = [Tensor("x", np.array([1.0, 2.0])), Tensor("y", np.array([10.0, 20.0]))]
    assert model.predict(request(*columns))["output-0"].tolist() == [11.0, 22.0]


class ByName:
    """Not scikit-learn's, yet it predicts."""

    def predict(self, rows: Any) -> np.ndarray:
        return (rows["x"] + rows["y"]).to_numpy()


# What it refuses.


def test_one_row_that_is_not_in_a_list_is_refused_clearly(load: Load) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target))
    with pytest.raises(InvalidInput, match=r"inputs\[0\]\.shape: got \[4\], expected \[-1, 4\]"):
        model.predict(rows_of(ROWS[0]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, :3], "X has 3 features, but SVC is expecting 4 features"),
        (np.full((1, 4), np.nan), "contains NaN"),
        (np.empty((0, 4)), "minimum of 1 is required"),
        (np.array([["a", "b", "c", "d"]]), "could not convert string to float"),
    ],
)
def test_what_the_estimator_refuses_is_the_clients_mistake(load: Load, rows: np.ndarray, message: str) -> None:
    model = load(SVC().fit(IRIS.data, IRIS.target))
    with pytest.raises(InvalidInput, match=message):
        model.predict(rows_of(rows))


def test_an_unknown_category_is_the_clients_mistake(load: Load) -> None:
    frame = pd.DataFrame({"a": ["u", "v"], "b": [1.0, 2.0]})
    pipeline = make_pipeline(ColumnTransformer([("a", OneHotEncoder(), ["a"])]), LinearRegression())
    model = load(pipeline.fit(frame, [0.0, 1.0]))
    with pytest.raises(InvalidInput, match="Found unknown categories"):
        model.predict(columns_of(pd.DataFrame({"a": ["w"], "b": [1.0]})))


def test_text_that_is_not_utf8_is_the_clients_mistake(load: Load) -> None:
    model = load(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["a good one", "bad"], [0, 1]))
    with pytest.raises(InvalidInput, match="UTF-8"):
        model.predict(rows_of(np.array([b"\xff\xfe"], dtype=object)))


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        ({"not": "a model"}, "expected an estimator with predict or .* or score_samples, got dict"),
        (DBSCAN().fit(IRIS.data), "expected an estimator with predict or .* or score_samples, got DBSCAN"),
        (StandardScaler(), "This StandardScaler instance is not fitted yet"),
        (SVC(), "This SVC instance is not fitted yet"),
        (make_pipeline(StandardScaler(), SVC()), "is not fitted yet"),
    ],
)
def test_what_cannot_predict_is_not_ready(tmp_path: Path, thing: Any, reason: str) -> None:
    model = saved(tmp_path, thing)
    with pytest.raises((TypeError, ValueError), match=reason):
        model.load()


def test_no_file_is_not_ready(tmp_path: Path) -> None:
    model = SklearnModel("m")
    model.path = tmp_path
    with pytest.raises(FileNotFoundError, match=r"no file matches \*\.joblib, \*\.pkl, \*\.pickle, \*\.skops"):
        model.load()
