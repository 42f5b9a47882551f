"""GTIL answers as XGBoost does, bit for bit, or is not used."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from modelserver_xgboost import XGBoostModel, XGBoostSettings

from modelserver import InferRequest, Tensor
from tests.runtimes.boosters import LABELS, OBJECTIVES, ROWS, X, Y, trained

#: Forms that treelite does not know, or adds up in another order.
XGBOOSTS_OWN = {"two targets in one tree", "dart"}


def load(folder: Path, booster: xgboost.Booster, accelerate: str = "gtil") -> XGBoostModel:
    model = XGBoostModel("m")
    model.path = folder / "m.ubj"
    model.settings = XGBoostSettings(nthread=1, accelerate=accelerate)
    booster.save_model(model.path)
    model.load()
    return model


def answer(model: XGBoostModel, rows: np.ndarray) -> np.ndarray:
    return model.predict(InferRequest("m", [Tensor("input-0", rows)]))["output-0"]


@pytest.mark.parametrize("objective", sorted(OBJECTIVES.keys() - {"gblinear"}))
def test_every_objective_is_equal_bit_for_bit(objective: str, tmp_path: Path) -> None:
    booster = OBJECTIVES[objective][0]()
    model = load(tmp_path, booster)

    engine = "framework" if objective in XGBOOSTS_OWN else "gtil"
    assert model.properties["engines"] == f"{engine}: 1+ rows", model.properties
    for rows in (ROWS, X, X[:1], X.astype(np.float64), np.rint(X).astype(np.int64)):
        assert np.array_equal(answer(model, rows), booster.inplace_predict(rows.astype(np.float32)))


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        (np.stack([Y, -Y], 1), {}),
        (Y, {"num_parallel_tree": 3, "subsample": 0.5}),
        (Y > 0.3, {"objective": "reg:logistic", "base_score": 0.123}),
        (LABELS, {"objective": "multi:softprob", "num_class": 3, "max_depth": 1}),
    ],
)
def test_other_forms_of_trees_are_too(target: Any, parameters: dict[str, Any], tmp_path: Path) -> None:
    booster = trained(target, rounds=60, **parameters)
    model = load(tmp_path, booster)

    assert model.properties["engines"] == "gtil: 1+ rows", model.properties
    assert np.array_equal(answer(model, X), booster.inplace_predict(X))


def test_what_is_not_equal_in_every_bit_is_xgboost_s(tmp_path: Path) -> None:
    booster = trained(Y > 0, rounds=50, booster="dart", objective="binary:logistic", rate_drop=0.2)
    model = load(tmp_path, booster, "auto")

    assert model.properties["engines"] == "framework: 1+ rows"
    assert "gtil answers differ" in model.properties["engines_reason"]
    assert np.array_equal(answer(model, X), booster.inplace_predict(X))


def test_a_linear_booster_has_no_other_engine(tmp_path: Path) -> None:
    model = load(tmp_path, trained(booster="gblinear"), "auto")

    assert model.properties["engines"] == "framework: 1+ rows"


def test_parameters_and_margins_are_xgboost_s(tmp_path: Path) -> None:
    booster = trained(Y > 0, objective="binary:logistic")
    model = load(tmp_path, booster)
    margin = np.full(3, 0.5, np.float32)

    asked = InferRequest("m", [Tensor("input-0", ROWS)], parameters={"predict_type": "margin"})
    shifted = InferRequest("m", [Tensor("input-0", ROWS), Tensor("base_margin", margin)])

    assert np.array_equal(model.predict(asked)["output-0"], booster.inplace_predict(ROWS, predict_type="margin"))
    assert np.array_equal(model.predict(shifted)["output-0"], booster.inplace_predict(ROWS, base_margin=margin))


def test_threads_may_predict_at_once(tmp_path: Path) -> None:
    booster = trained(rounds=50)
    model = load(tmp_path, booster)
    parts = [X[start : start + 1 + start % 7] for start in range(190)]
    expected = [booster.inplace_predict(part).tolist() for part in parts]

    with ThreadPoolExecutor(8) as pool:
        assert [found.tolist() for found in pool.map(lambda part: answer(model, part), parts)] == expected
