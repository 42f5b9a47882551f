"""Boosters to serve in the tests, and requests for them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from modelserver_xgboost import XGBoostModel, XGBoostSettings

from modelserver import InferRequest, Tensor

_RANDOM = np.random.default_rng(7)
X = _RANDOM.normal(size=(200, 4)).astype(np.float32)
Y = (X[:, 0] - X[:, 1] * X[:, 2]).astype(np.float32)
LABELS = np.digitize(Y, [-0.5, 0.5])
#: Rows that were not trained on, one of them with a missing value.
ROWS = np.array([[0.5, -1.0, 2.0, 0.0], [np.nan, 0.3, -0.2, 1.5], [-2.0, 1.0, 1.0, -1.0]], np.float32)


def trained(target: Any = Y, rows: Any = X, rounds: int = 4, **parameters: Any) -> xgboost.Booster:
    matrix = xgboost.DMatrix(rows, target, enable_categorical=True)
    if parameters.get("objective", "").startswith("rank"):
        matrix.set_group([50] * 4)
    return xgboost.train({"nthread": 1, "seed": 1, **parameters}, matrix, rounds)


#: Objective -> a small booster of it, and the shape of one row of its answer.
OBJECTIVES: dict[str, tuple[Callable[[], xgboost.Booster], list[int]]] = {
    "reg:squarederror": (lambda: trained(objective="reg:squarederror"), []),
    "binary:logistic": (lambda: trained(Y > 0, objective="binary:logistic"), []),
    "binary:hinge": (lambda: trained(Y > 0, objective="binary:hinge"), []),
    "multi:softmax": (lambda: trained(LABELS, objective="multi:softmax", num_class=3), []),
    "multi:softprob": (lambda: trained(LABELS, objective="multi:softprob", num_class=3), [3]),
    "count:poisson": (lambda: trained(LABELS, objective="count:poisson"), []),
    "rank:ndcg": (lambda: trained(LABELS, objective="rank:ndcg"), []),
    "survival:cox": (lambda: trained(np.abs(Y) + 0.1, objective="survival:cox"), []),
    "reg:gamma": (lambda: trained(np.abs(Y) + 0.1, objective="reg:gamma"), []),
    "reg:tweedie": (lambda: trained(np.abs(Y), objective="reg:tweedie"), []),
    "reg:quantileerror": (lambda: trained(objective="reg:quantileerror", quantile_alpha=[0.1, 0.9]), [2]),
    "two targets": (lambda: trained(np.column_stack([Y, -Y]), objective="reg:squarederror"), [2]),
    "two targets in one tree": (
        lambda: trained(np.column_stack([Y, -Y]), multi_strategy="multi_output_tree", tree_method="hist"),
        [2],
    ),
    "dart": (lambda: trained(booster="dart", rate_drop=0.5), []),
    "gblinear": (lambda: trained(booster="gblinear"), []),
}

FRAME = pd.DataFrame(
    {
        "age": X[:, 0],
        "city": pd.Categorical(_RANDOM.choice(["Bern", "Oslo", "Rome"], 200)),
        "size": pd.Categorical(_RANDOM.choice([38, 40, 42], 200)),
        "visits": _RANDOM.integers(0, 9, 200),
        "member": _RANDOM.random(200) > 0.5,
    }
)
#: What stands in the model for the rows of FRAME: codes of categories.
CODES = np.column_stack([FRAME.age, FRAME.city.cat.codes, FRAME["size"].cat.codes, FRAME.visits, FRAME.member]).astype(
    np.float32
)


def over_columns() -> xgboost.Booster:
    """A booster over named columns: numbers, whole numbers, booleans, categories that are texts and numbers."""
    target = CODES[:, 0] * (CODES[:, 1] - 1) + CODES[:, 2] * CODES[:, 4] + CODES[:, 3]
    return trained(target, FRAME, max_cat_to_onehot=1, max_depth=4)


def columns_of(frame: pd.DataFrame) -> list[Tensor]:
    return [Tensor(name, np.array(frame[name].tolist())) for name in frame.columns]


def saved(directory: Path, booster: xgboost.Booster, name: str = "model.ubj", nthread: int | None = 1) -> XGBoostModel:
    (directory / name).write_bytes(booster.save_raw("json" if name.endswith("json") else "ubj"))
    model = XGBoostModel("m")
    model.path = directory / name
    model.settings = XGBoostSettings(nthread=nthread)
    return model


def request(*tensors: Tensor, **parameters: Any) -> InferRequest:
    return InferRequest("m", list(tensors), parameters=parameters)
