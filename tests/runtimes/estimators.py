"""Estimators to serve in the tests, and requests for them."""

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from modelserver_sklearn import SklearnModel, SklearnSettings
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_iris
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelserver import InferRequest, Tensor

IRIS = load_iris()
#: The rows of KServe's own examples; an SVC says 1 to both.
ROWS = np.array([[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]])


def mixed() -> tuple[Any, pd.DataFrame]:
    """A pipeline over columns of text and numbers, as people save them, and some rows for it."""
    frame = pd.DataFrame(
        {
            "age": [30.0, 41.5, 22.0, 57.0],
            "city": ["Bern", "Oslo", "Bern", "Lima"],
            "visits": [3, 1, 8, 2],
            "note": ["a b", "b c", "c a", "a"],
        }
    )
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    transformer = ColumnTransformer(
        [
            ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
            ("text", text, ["city"]),
            ("words", TfidfVectorizer(token_pattern=r"\w"), "note"),
        ]
    )
    return make_pipeline(transformer, LinearRegression()).fit(frame, [1.0, 2.0, 3.0, 4.0]), frame


def saved(directory: Path, estimator: Any, name: str = "model.joblib") -> SklearnModel:
    joblib.dump(estimator, directory / name)
    model = SklearnModel("m")
    model.path = directory
    model.settings = SklearnSettings.resolve({})  # from the environment, as the loader does
    return model


def request(*tensors: Tensor, **more: Any) -> InferRequest:
    return InferRequest("m", list(tensors), **more)


def columns_of(frame: pd.DataFrame) -> InferRequest:
    return request(*(Tensor(name, frame[name].to_numpy()) for name in frame.columns))
