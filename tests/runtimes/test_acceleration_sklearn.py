"""Every engine of the scikit-learn runtime answers as the estimator does, bit for bit."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from modelserver_sklearn import SklearnModel, SklearnSettings
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, PoissonRegressor, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelserver import InferRequest, Tensor
from modelserver.acceleration import difference
from modelserver.testing import InMemoryServer

RANDOM = np.random.default_rng(11)
X = RANDOM.normal(size=(300, 6)) * 3 + 1
GAPS = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
Y = X[:, 0] - X[:, 1] * X[:, 2]
TWO = np.where(Y > 0, "yes", "no")
THREE = np.digitize(Y, [-2, 2])
SEED = {"random_state": 0}
FEW = {"random_state": 0, "n_estimators": 10}

#: name -> (estimator, target, engine that must be able to serve it)
ESTIMATORS: dict[str, tuple[Any, Any, str]] = {
    "forest of texts": (RandomForestClassifier(**FEW), TWO, "gtil"),
    "forest of three": (RandomForestClassifier(**FEW), THREE, "lean"),
    "extra trees": (ExtraTreesClassifier(**FEW), THREE, "gtil"),
    "forest regressor": (RandomForestRegressor(**FEW), Y, "gtil"),
    "forest of two targets": (RandomForestRegressor(**FEW), np.stack([Y, -Y], 1), "gtil"),
    "lean forest regressor": (RandomForestRegressor(**FEW), Y, "lean"),
    "gradient boosting": (GradientBoostingClassifier(**FEW), TWO, "gtil"),
    "gradient boosting of three": (GradientBoostingClassifier(**FEW), THREE, "gtil"),
    "gradient boosting regressor": (GradientBoostingRegressor(**FEW), Y, "gtil"),
    "histograms": (HistGradientBoostingClassifier(max_iter=10, **SEED), TWO, "gtil"),
    "histograms of three": (HistGradientBoostingClassifier(max_iter=10, **SEED), THREE, "gtil"),
    "histogram regressor": (HistGradientBoostingRegressor(max_iter=10, **SEED), Y, "gtil"),
    "isolation": (IsolationForest(**FEW), None, "gtil"),
    "isolation of some features": (IsolationForest(max_features=0.5, **FEW), None, "gtil"),
    "tree": (DecisionTreeClassifier(**SEED), TWO, "lean"),
    "tree regressor": (DecisionTreeRegressor(**SEED), Y, "lean"),
    "logistic": (LogisticRegression(), TWO, "numpy"),
    "logistic of three": (LogisticRegression(), THREE, "numpy"),
    "standardised logistic": (make_pipeline(StandardScaler(), LogisticRegression()), TWO, "numpy"),
    "min, max, robust": (make_pipeline(MinMaxScaler(), MaxAbsScaler(), RobustScaler(), LinearSVC()), TWO, "numpy"),
    "components": (make_pipeline(StandardScaler(), PCA(3), RidgeClassifier()), THREE, "numpy"),
    "linear": (LinearRegression(), Y, "numpy"),
    "ridge of two": (Ridge(), np.stack([Y, -Y], 1), "numpy"),
    "lasso": (Lasso(), Y, "numpy"),
    "scaled forest": (make_pipeline(StandardScaler(), RandomForestClassifier(**FEW)), TWO, "gtil"),
    "vectors": (SVC(), TWO, "lean"),
    "neighbours": (KNeighborsClassifier(), THREE, "lean"),
    "poisson": (PoissonRegressor(), np.abs(Y), "lean"),
    "quantiles": (make_pipeline(QuantileTransformer(n_quantiles=20), LogisticRegression()), TWO, "lean"),
}
GAPPY: dict[str, tuple[Any, Any, str]] = {
    "forest": (RandomForestClassifier(**FEW), TWO, "gtil"),
    "histograms": (HistGradientBoostingClassifier(max_iter=10, **SEED), TWO, "gtil"),
    "imputed": (make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()), TWO, "numpy"),
}

Loaded = Callable[..., SklearnModel]


@pytest.fixture
def load(tmp_path: Path) -> Loaded:
    def load(estimator: Any, accelerate: str, method: str | None = None) -> SklearnModel:
        path = tmp_path / "model.joblib"
        joblib.dump(estimator, path)
        model = SklearnModel("m")
        model.path = path
        model.settings = SklearnSettings(accelerate=accelerate, predict_method=method)  # type: ignore[arg-type]
        model.load()
        return model

    return load


def answer(model: SklearnModel, rows: np.ndarray) -> np.ndarray:
    return model.predict(InferRequest("m", [Tensor("input-0", rows)]))["output-0"]


def methods(estimator: Any) -> list[str]:
    return [name for name in ("predict", "predict_proba", "decision_function") if hasattr(estimator, name)]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_engine_answers_as_the_estimator(name: str, load: Loaded) -> None:
    estimator, target, engine = ESTIMATORS[name]
    estimator.fit(X, target)
    for method in methods(estimator):
        model = load(estimator, engine, method)

        assert model.properties["engines"] == f"{engine}: 1+ rows", (method, model.properties)
        for rows in (X[:1], X[:40], X[:9].astype(np.float32), np.rint(X[:9]).astype(np.int64), X[:8][:, ::-1]):
            assert difference(getattr(estimator, method)(rows), answer(model, rows), exact=True) == "", method


@pytest.mark.parametrize("name", GAPPY)
def test_missing_values_are_answered_as_the_estimator_does(name: str, load: Loaded) -> None:
    estimator, target, engine = GAPPY[name]
    estimator.fit(GAPS, target)
    model = load(estimator, engine, "predict_proba")

    assert model._methods.calls["predict_proba"].engine_for(GAPS[:20]) is not None  # type: ignore[attr-defined]
    assert difference(estimator.predict_proba(GAPS[:20]), answer(model, GAPS[:20]), exact=True) == ""


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # scikit-learn's, before it refuses
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_what_the_estimator_refuses_stays_refused_in_its_words(value: float, load: Loaded) -> None:
    forest = GradientBoostingClassifier(**FEW).fit(X, TWO)
    rows = X[:2].copy()
    rows[1, 3] = value
    messages = []
    for accelerate in ("off", "gtil"):
        with pytest.raises(ValueError, match=r".") as caught:
            answer(load(forest, accelerate), rows)
        messages.append(str(caught.value))

    assert messages[0] == messages[1]


def test_several_outputs_are_the_framework_s(load: Loaded) -> None:
    forest = RandomForestClassifier(**FEW).fit(X, np.stack([THREE, THREE > 0], 1))
    model = load(forest, "auto", "predict_proba")

    assert "gtil cannot be built: ValueError: several outputs" in model.properties["engines_reason"]
    assert set(model.predict(InferRequest("m", [Tensor("input-0", X[:3])]))) == {"output-0", "output-1"}


def test_columns_by_name_are_accelerated(load: Loaded) -> None:
    frame = pd.DataFrame(X, columns=list("abcdef"))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, TWO)
    model = load(pipeline, "numpy", "predict_proba")
    columns = [Tensor(name, frame[name].to_numpy()[:5]) for name in "fedcba"]

    found = model.predict(InferRequest("m", columns))["output-0"]

    assert model.properties["engines"] == "numpy: 1+ rows"
    assert np.array_equal(found, pipeline.predict_proba(frame[:5]))


@pytest.mark.parametrize("name", ["forest of texts", "isolation", "standardised logistic", "scaled forest"])
def test_threads_may_predict_at_once(name: str, load: Loaded) -> None:
    estimator, target, engine = ESTIMATORS[name]
    estimator.fit(X, target)
    model = load(estimator, engine)
    parts = [X[start : start + 1 + start % 7] for start in range(290)]
    expected = [estimator.predict(part).tolist() for part in parts]

    with ThreadPoolExecutor(8) as pool:
        assert [found.tolist() for found in pool.map(lambda part: answer(model, part), parts)] == expected


async def test_the_metadata_and_the_metrics_say_which_engine_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSERVER_ACCELERATE", "numpy")
    joblib.dump(LinearRegression().fit(X, Y), tmp_path / "line.joblib")
    async with InMemoryServer(tmp_path / "line.joblib") as server:
        metadata = (await server.request("GET", "/v2/models/line")).json()
        page = (await server.request("GET", "/metrics")).body.decode()

    assert metadata["properties"] == {"accelerate": "numpy", "engines": "numpy: 1+ rows", "engines_reason": ""}
    labels = 'model="line",property="engines",value="numpy: 1+ rows",version="1"'
    sample = next(line for line in page.splitlines() if line.startswith("modelserver_model_property{") and "1+" in line)
    assert sorted(labels.split(",")) == sorted(sample.partition("{")[2].partition("}")[0].split(","))
