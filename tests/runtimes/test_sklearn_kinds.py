"""Every kind of estimator over all five wires: what is declared is what is answered."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from modelserver import Tensor
from modelserver.testing import check_model
from tests.runtimes.estimators import IRIS, ROWS, columns_of, mixed, saved

X, Y = IRIS.data[::3], IRIS.target[::3]
TWO = np.column_stack([Y, Y % 2])
HOLES = np.array([[np.nan, 2.8, 4.8, 1.4], [6.0, 3.4, np.nan, 1.6]])
TEXTS, MOODS = ["good film", "bad film", "a good day"], ["pos", "neg", "pos"]
CODES = np.array([[1.0, 10.0], [2.0, 20.0]])

#: What it is -> the fitted estimator, and the datatype and shape of what it answers for two rows.
NUMBERS: dict[str, tuple[Any, str, list[int]]] = {
    "labels that are numbers": (LogisticRegression(max_iter=500).fit(X, Y), "INT64", [-1]),
    "labels that are text": (SVC().fit(X, IRIS.target_names[Y]), "BYTES", [-1]),
    "labels that are objects": (SVC().fit(X, IRIS.target_names[Y].astype(object)), "BYTES", [-1]),
    "labels that are booleans": (GaussianNB().fit(X, Y > 0), "BOOL", [-1]),
    "labels that are bytes": (GaussianNB().fit(X, Y.astype("uint8")), "UINT8", [-1]),
    "a forest": (RandomForestClassifier(n_estimators=3, random_state=0).fit(X, Y), "INT64", [-1]),
    "boosted trees": (GradientBoostingRegressor(n_estimators=3).fit(X, Y), "FP64", [-1]),
    "a network": (
        MLPRegressor(hidden_layer_sizes=4, max_iter=1000, tol=1.0).fit(X.astype("float32"), Y / 2.0),
        "FP64",
        [-1],
    ),
    "several numbers": (Ridge().fit(X, TWO), "FP64", [-1, 2]),
    "several classes": (MultiOutputClassifier(GaussianNB()).fit(X, TWO), "INT64", [-1, 2]),
    "several labels": (KNeighborsClassifier(3).fit(X, TWO > 0), "BOOL", [-1, 2]),
    "several labels, sparse": (OneVsRestClassifier(GaussianNB()).fit(X, TWO % 2), "INT64", [-1, 2]),
    "clusters": (KMeans(n_clusters=3, n_init=1, random_state=0).fit(X), "INT32", [-1]),
    "outliers": (IsolationForest(n_estimators=3, random_state=0).fit(X), "INT64", [-1]),
    "densities": (KernelDensity().fit(X), "FP64", [-1]),
    "a search": (
        GridSearchCV(SVC(), {"C": [1.0]}, cv=2).fit(X, Y),
        "INT64",
        [-1],
    ),
    "a scaler": (StandardScaler().fit(X), "FP64", [-1, 4]),
    "components": (PCA(2).fit(X), "FP64", [-1, 2]),
    "a scaler to DataFrames": (StandardScaler().set_output(transform="pandas").fit(X), "FP64", [-1, 4]),
    "a sparse transformer": (KBinsDiscretizer(2, strategy="uniform").fit(X), "FP64", [-1, 8]),
    "a union": (make_union(StandardScaler(), PCA(1)).fit(X), "FP64", [-1, 5]),
}


@pytest.mark.parametrize(("estimator", "datatype", "shape"), NUMBERS.values(), ids=NUMBERS)
async def test_numbers(tmp_path: Path, estimator: Any, datatype: str, shape: list[int]) -> None:
    model = saved(tmp_path, estimator)
    await check_model(model, [Tensor("input-0", ROWS)])
    assert [(m.name, m.datatype, m.shape) for m in model.outputs] == [("output-0", datatype, shape)]


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=2).fit(X, Y),
        make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)).fit(X, Y),
    ],
    ids=["trees", "an imputer"],
)
async def test_missing_values(tmp_path: Path, estimator: Any) -> None:
    await check_model(saved(tmp_path, estimator), [Tensor("input-0", HOLES)])


@pytest.mark.parametrize(
    ("estimator", "datatype", "shape"),
    [
        (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, MOODS), "BYTES", [-1]),
        (TfidfVectorizer().fit(TEXTS), "FP64", [-1, 4]),
        (make_union(TfidfVectorizer(), TfidfVectorizer(analyzer="char")).fit(TEXTS), "FP64", [-1, 15]),
    ],
    ids=["a classifier", "a vectorizer", "a union"],
)
async def test_texts(tmp_path: Path, estimator: Any, datatype: str, shape: list[int]) -> None:
    model = saved(tmp_path, estimator)
    await check_model(model, [Tensor("input-0", np.array(["a good film", "bad", "no word it knows"]))])
    assert [(m.datatype, m.shape) for m in model.outputs] == [(datatype, shape)]


COLUMNS: dict[str, tuple[Any, pd.DataFrame]] = {
    "text and numbers": mixed(),
    "an encoder of text": (
        OneHotEncoder().fit(frame := pd.DataFrame({"a": ["u", "v"], "b": ["x", "y"]})),
        frame,
    ),
    "an encoder of numbers": (
        make_pipeline(OneHotEncoder(), LinearRegression()).fit(
            codes := pd.DataFrame(CODES, columns=["a", "b"]), [0.0, 1.0]
        ),
        codes,
    ),
}


@pytest.mark.parametrize(("estimator", "frame"), COLUMNS.values(), ids=COLUMNS)
async def test_columns(tmp_path: Path, estimator: Any, frame: pd.DataFrame) -> None:
    model = saved(tmp_path, estimator)
    await check_model(model, columns_of(frame).inputs)
    assert [m.datatype for m in model.outputs] == ["FP64"]


async def test_codes_without_names(tmp_path: Path) -> None:
    model = saved(tmp_path, OneHotEncoder().fit(CODES))
    await check_model(model, [Tensor("input-0", CODES)])
    assert [m.shape for m in model.outputs] == [[-1, 4]]
