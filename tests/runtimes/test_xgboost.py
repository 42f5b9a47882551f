"""The XGBoost runtime: what it declares, that it answers what XGBoost answers bit for bit, and what it refuses."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from modelserver_xgboost import XGBoostModel

from modelserver import InvalidInput, Tensor, TensorMetadata
from tests.runtimes.boosters import (
    CODES,
    FRAME,
    OBJECTIVES,
    ROWS,
    X,
    Y,
    columns_of,
    over_columns,
    request,
    saved,
    trained,
)

Load = Callable[..., XGBoostModel]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Save a booster, and load it as the server does."""

    def load(booster: xgboost.Booster, name: str = "model.ubj") -> XGBoostModel:
        model = saved(tmp_path, booster, name)
        model.load()
        return model

    return load


def answered(model: XGBoostModel, *tensors: Tensor, **parameters: Any) -> np.ndarray:
    return model.predict(request(*tensors, **parameters))["output-0"]


def rows_of(array: Any) -> Tensor:
    return Tensor("input-0", array)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit."""
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


# What it declares.


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_outputs_follow_from_the_objective(load: Load, objective: str) -> None:
    make, row = OBJECTIVES[objective]
    assert list(load(make()).outputs) == [TensorMetadata("output-0", "FP32", [-1, *row])]


@pytest.mark.parametrize("name", ["model.ubj", "model.json", "model.bst"])
def test_features_without_names_are_one_table(load: Load, name: str) -> None:
    model = load(trained(), name)
    assert list(model.inputs) == [
        TensorMetadata("input-0", "FP32", [-1, 4]),
        TensorMetadata("base_margin", "FP32", [-1], optional=True),
    ]
    assert same(answered(model, rows_of(ROWS)), trained().inplace_predict(ROWS))


@pytest.mark.parametrize("name", ["model.ubj", "model.json"])
def test_features_with_names_are_columns_of_their_own_types(load: Load, name: str) -> None:
    assert list(load(over_columns(), name).inputs) == [
        TensorMetadata("age", "FP32", [-1]),
        TensorMetadata("city", "BYTES", [-1]),
        TensorMetadata("size", "INT64", [-1]),
        TensorMetadata("visits", "INT64", [-1]),
        TensorMetadata("member", "BOOL", [-1]),
        TensorMetadata("base_margin", "FP32", [-1], optional=True),
    ]


def test_the_margin_of_several_classes_has_a_column_each(load: Load) -> None:
    model = load(OBJECTIVES["multi:softprob"][0]())
    assert list(model.inputs)[-1] == TensorMetadata("base_margin", "FP32", [-1, 3], optional=True)


def test_a_feature_that_is_called_base_margin_is_a_feature(load: Load) -> None:
    model = load(trained(rows=pd.DataFrame(X[:, :2], columns=["base_margin", "b"])))
    assert [tensor.optional for tensor in model.inputs] == [False, False]
    columns = [Tensor("b", ROWS[:, 1]), Tensor("base_margin", ROWS[:, 0])]
    assert same(answered(model, *columns), answered(model, rows_of(ROWS[:, :2])))


def test_the_name_of_the_suffix_is_not_trusted(load: Load, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_bytes(trained().save_raw("ubj"))
    model = XGBoostModel("m")
    model.path = tmp_path
    model.load()
    assert same(answered(model, rows_of(ROWS)), trained().inplace_predict(ROWS))


# What it answers.


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "predict_type", ["value", "margin", "leaf", "contributions", "approx_contributions", "interactions"]
)
def test_predict_types_are_xgboosts_own(load: Load, objective: str, predict_type: str) -> None:
    booster = OBJECTIVES[objective][0]()
    arguments: dict[str, Any] = {
        "value": {},
        "margin": {"output_margin": True},
        "leaf": {"pred_leaf": True},
        "contributions": {"pred_contribs": True},
        "approx_contributions": {"pred_contribs": True, "approx_contribs": True},
        "interactions": {"pred_interactions": True},
    }[predict_type]
    model = load(booster)
    try:
        if (
            predict_type in ("value", "margin") and objective != "gblinear"
        ):  # dart's differs from predict in the last bit
            expected = booster.inplace_predict(ROWS, predict_type=predict_type)
        else:
            expected = booster.predict(xgboost.DMatrix(ROWS), **arguments)
    except xgboost.core.XGBoostError:
        with pytest.raises(InvalidInput, match=f"XGBoost, for predict_type {predict_type}: .+"):
            answered(model, rows_of(ROWS), predict_type=predict_type)
    else:
        assert same(answered(model, rows_of(ROWS), predict_type=predict_type), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
def test_any_numeric_datatype_is_taken(load: Load, dtype: str) -> None:
    rows = np.nan_to_num(ROWS).clip(0, 9).astype(dtype)
    assert same(answered(load(trained()), rows_of(rows)), trained().inplace_predict(rows.astype(np.float32)))


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_read_where_they_are(load: Load, order: Any) -> None:
    raw = b"?" + np.asarray(ROWS, order=order).tobytes(order="A")
    unaligned = np.frombuffer(raw, np.uint8)[1:].view(np.float32).reshape(ROWS.shape, order=order)
    assert same(answered(load(trained()), rows_of(unaligned)), trained().inplace_predict(ROWS))


@pytest.mark.parametrize(
    "columns", [["age", "city", "size", "visits", "member"], ["member", "size", "age", "visits", "city"]]
)
def test_columns_come_in_any_order_with_the_categories_own_values(load: Load, columns: list[str]) -> None:
    model = load(over_columns())
    assert same(answered(model, *columns_of(FRAME[columns])), over_columns().inplace_predict(CODES))


def test_one_table_stands_for_all_columns_with_codes_for_categories(load: Load) -> None:
    assert same(answered(load(over_columns()), rows_of(CODES)), over_columns().inplace_predict(CODES))


def test_a_column_may_be_a_table_of_one_column(load: Load) -> None:
    columns = [Tensor(tensor.name, tensor.data[:, np.newaxis]) for tensor in columns_of(FRAME)]
    assert same(answered(load(over_columns()), *columns), over_columns().inplace_predict(CODES))


def test_columns_for_a_model_without_names_go_by_position(load: Load) -> None:
    columns = [Tensor(f"c{index}", column) for index, column in enumerate(ROWS.T)]
    assert same(answered(load(trained()), *columns), trained().inplace_predict(ROWS))


def test_codes_are_taken_for_texts(load: Load) -> None:
    columns = columns_of(FRAME)
    columns[1] = Tensor("city", CODES[:, 1])
    assert same(answered(load(over_columns()), *columns), over_columns().inplace_predict(CODES))


def test_texts_of_categories_that_xgboost_stored_wrong_are_codes(load: Load) -> None:
    frame = pd.DataFrame({"city": pd.Categorical(["Zürich", "Bern"] * 10), "age": np.arange(20.0)})
    model = load(trained(np.arange(20), frame))
    assert [tensor.datatype for tensor in model.inputs] == ["INT64", "FP32", "FP32"]


def test_missing_categories(load: Load) -> None:
    codes = CODES[:3].copy()
    codes[0, 1] = codes[1, 1] = codes[2, 2] = np.nan
    columns = columns_of(FRAME[:3])
    columns[1].data = np.array([None, b"", columns[1].data[2]], object)
    columns[2] = Tensor("size", [*columns[2].data[:2].astype(float), np.nan])
    assert same(answered(load(over_columns()), *columns), over_columns().inplace_predict(codes))


@pytest.mark.parametrize(
    "objective", ["reg:squarederror", "binary:logistic", "multi:softprob", "two targets", "gblinear"]
)
@pytest.mark.parametrize("predict_type", ["value", "margin"])
def test_base_margin(load: Load, objective: str, predict_type: str) -> None:
    make, row = OBJECTIVES[objective]
    margin = np.arange(3 * (row or [1])[0], dtype=np.float32).reshape(3, *row)
    expected = make().predict(xgboost.DMatrix(ROWS, base_margin=margin), output_margin=predict_type == "margin")
    model = load(make())
    for tensor in (Tensor("base_margin", margin), Tensor("base_margin", margin.astype(np.float64))):
        assert same(answered(model, tensor, rows_of(ROWS), predict_type=predict_type), expected)
    assert not same(answered(model, rows_of(ROWS), predict_type=predict_type), expected)


def test_base_margin_of_contributions(load: Load) -> None:
    margin = np.array([1.0, 2.0, 3.0], np.float32)
    expected = trained().predict(xgboost.DMatrix(ROWS, base_margin=margin), pred_contribs=True)
    answer = answered(load(trained()), rows_of(ROWS), Tensor("base_margin", margin), predict_type="contributions")
    assert same(answer, expected)


@pytest.mark.parametrize(
    ("text", "rounds"), [("0,0", (0, 0)), ("0,2", (0, 2)), ("1-3", (1, 3)), (" 3 , 4 ", (3, 4)), ("2,0", (2, 0))]
)
def test_iteration_range(load: Load, text: str, rounds: tuple[int, int]) -> None:
    expected = trained().inplace_predict(ROWS, iteration_range=rounds)
    assert same(answered(load(trained()), rows_of(ROWS), iteration_range=text), expected)


def test_iteration_range_of_leaves(load: Load) -> None:
    model = load(trained())
    assert answered(model, rows_of(ROWS), iteration_range="0-2", predict_type="leaf").shape == (3, 2)
    with pytest.raises(InvalidInput, match="Predict leaf supports only iteration end"):
        answered(model, rows_of(ROWS), iteration_range="1-3", predict_type="leaf")


def test_the_best_rounds_of_training_that_stopped_early(load: Load) -> None:
    booster = trained()
    booster.set_attr(best_iteration="1")
    expected = booster.inplace_predict(ROWS, iteration_range=(0, 2))
    assert same(answered(load(booster), rows_of(ROWS), iteration_range="best"), expected)


def test_strict_shape(load: Load) -> None:
    assert answered(load(trained()), rows_of(ROWS), strict_shape=True).shape == (3, 1)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_rows_are_answered_with_no_rows(load: Load, objective: str) -> None:
    make, row = OBJECTIVES[objective]
    assert answered(load(make()), rows_of(np.empty((0, 4)))).shape == (0, *row)


def test_a_classifier_that_its_wrapper_saved(load: Load) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, Y > 0)
    model = load(classifier.get_booster())
    assert same(answered(model, rows_of(ROWS)), classifier.predict_proba(ROWS)[:, 1])


# What it refuses.


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"predict_type": "shap"}, "predict_type: got 'shap', expected one of value, margin, leaf, contributions,"),
        ({"predict_type": 1}, "predict_type: got 1, expected one of"),
        ({"iteration_range": "0,5"}, r"iteration_range: got '0,5', expected 'begin,end' with 0 <= begin < end <= 4"),
        ({"iteration_range": "2,1"}, "iteration_range: got '2,1'"),
        ({"iteration_range": "-1,1"}, "iteration_range: got '-1,1'"),
        ({"iteration_range": "best"}, "iteration_range: got 'best'"),
        ({"iteration_range": 3}, "iteration_range: got 3"),
        ({"strict_shape": "yes"}, "strict_shape: got 'yes', expected true or false"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_choices(load: Load, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        answered(load(trained()), rows_of(ROWS), **parameters)


def test_wrong_columns_are_named(load: Load) -> None:
    model = load(over_columns())
    columns = columns_of(FRAME)
    wrong = {
        "'city' has the unknown category 'Lima', expected one of 'Bern', 'Oslo', 'Rome'": Tensor(
            "city", ["Lima"] * 200
        ),
        "'size' has the unknown category 39, expected one of 38, 40, 42": Tensor("size", [39] * 200),
        "'size' has the unknown category 43, expected one of 38, 40, 42": Tensor("size", [43] * 200),
        "'visits' has BYTES, expected numbers": Tensor("visits", ["3"] * 200),
        "'visits' has 2 rows, expected 200": Tensor("visits", [3, 4]),
        r"'visits' has shape \[200, 2\]": Tensor("visits", np.zeros((200, 2))),
        "missing 'visits'": Tensor("visit", [3] * 200),
    }
    for message, tensor in wrong.items():
        with pytest.raises(InvalidInput, match=message):
            answered(model, *(tensor if column.name[:5] == tensor.name[:5] else column for column in columns))
    with pytest.raises(InvalidInput, match="got 4 columns, expected 5"):
        answered(model, *columns[:4])


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ([Tensor("x", ROWS[:, :3])], r"shape: got \[3, 3\], expected \[-1, 4\]"),
        ([Tensor("x", np.array([["a"] * 4]))], "got BYTES, expected numbers"),
        ([Tensor("x", ROWS), Tensor("base_margin", [1.0])], "'base_margin' has 1 rows, expected 3"),
    ],
)
def test_wrong_tables_are_the_clients_mistake(load: Load, tensors: list[Tensor], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        answered(load(trained()), *tensors)


def test_what_xgboost_refuses_has_neither_its_stack_nor_its_paths(load: Load) -> None:
    with pytest.raises(InvalidInput) as caught:
        answered(load(trained()), rows_of(np.full((1, 4), np.inf)), predict_type="contributions")
    assert str(caught.value).startswith("XGBoost, for predict_type contributions: Input data contains `inf`")
    assert "/" not in str(caught.value)
    assert "\n" not in str(caught.value)


# Threads and versions.


def test_nthread_is_the_settings_else_the_cpus_of_this_process(load: Load, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("modelserver_xgboost.cpu_share", lambda: 3.5)
    for nthread, expected in ((2, 2), (None, 3)):
        model = saved(tmp_path, trained(), nthread=nthread)
        model.load()
        assert model.nthread == expected


@pytest.mark.parametrize("suffix", ["ubj", "json"])
def test_a_file_of_another_major_version_is_told_in_one_line(
    load: Load, tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str
) -> None:
    major, minor, patch = (int(part) for part in xgboost.__version__.split("."))
    raw = bytes(trained().save_raw(suffix))
    now, then = (
        (b'"version":[%d,' % version if suffix == "json" else b"\x00\x03i%c" % version) for version in (major, 1)
    )
    head, found, tail = raw.rpartition(now)
    assert found
    model = saved(tmp_path, trained(), f"model.{suffix}")
    (tmp_path / f"model.{suffix}").write_bytes(head + then + tail)
    with caplog.at_level(logging.INFO, "modelserver.xgboost"):
        model.load()
    assert caplog.messages == [f"model m; saved by XGBoost 1.{minor}.{patch}, installed is {xgboost.__version__}"]
