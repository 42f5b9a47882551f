"""Other libraries' estimators in scikit-learn's dress: XGBoost's wrappers, pickled, are the scikit-learn runtime's."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xgboost

from modelserver import InvalidInput, Tensor, TensorMetadata
from tests.runtimes.boosters import ROWS, X, Y, trained
from tests.runtimes.estimators import request, saved


@pytest.mark.parametrize("name", ["model.joblib", "model.pkl"])
def test_a_classifier_with_missing_values(tmp_path: Path, name: str) -> None:
    classifier = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, (Y > 0).astype(int))
    model = saved(tmp_path, classifier, name)
    model.load()
    assert list(model.inputs) == [TensorMetadata("input-0", "FP64", [-1, 4])]
    assert list(model.outputs) == [TensorMetadata("output-0", "INT64", [-1])]
    assert math.isnan(ROWS[1, 0])
    answer = model.predict(request(Tensor("input-0", ROWS)))["output-0"]
    assert answer.tolist() == classifier.predict(ROWS).tolist()


def test_probabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_PROBA", "true")
    classifier = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(X, (Y > 0).astype(int))
    model = saved(tmp_path, classifier)
    model.load()
    assert list(model.outputs) == [TensorMetadata("output-0", "FP32", [-1, 2])]
    answer = model.predict(request(Tensor("input-0", ROWS)))["output-0"]
    assert answer.tolist() == classifier.predict_proba(ROWS).tolist()


def test_columns_by_name(tmp_path: Path) -> None:
    regressor = xgboost.XGBRegressor(n_estimators=3, n_jobs=1).fit(pd.DataFrame(X, columns=list("abcd")), Y)
    model = saved(tmp_path, regressor)
    model.load()
    columns = [Tensor(name, ROWS[:, "abcd".index(name)]) for name in "dbca"]
    expected = regressor.predict(pd.DataFrame(ROWS, columns=list("abcd")))
    assert model.predict(request(*columns))["output-0"].tolist() == expected.tolist()


def test_what_xgboost_refuses_has_neither_its_stack_nor_its_paths(tmp_path: Path) -> None:
    model = saved(tmp_path, xgboost.XGBRegressor(booster="gblinear", n_estimators=2, n_jobs=1).fit(X, Y))
    model.load()
    with pytest.raises(InvalidInput) as caught:
        model.predict(request(Tensor("input-0", np.full((1, 4), np.inf))))
    assert str(caught.value).startswith("inputs: Input data contains `inf`")
    assert "/" not in str(caught.value)


def test_a_bare_booster_in_a_pickle_says_what_to_do(tmp_path: Path) -> None:
    model = saved(tmp_path, trained())
    with pytest.raises(TypeError, match=r"got a bare XGBoost Booster: save it with save_model\('model\.ubj'\)"):
        model.load()
