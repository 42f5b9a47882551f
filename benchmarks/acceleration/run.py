"""What a runtime's predict costs against the framework's own call on the same rows, which is 1.

    python benchmarks/acceleration/run.py [--rounds 7]

Models are trained, saved, and loaded by the runtimes as a server loads them. A round times the framework's call and
the runtime's whole ``predict`` (request in, arrays out) in turns; medians of the rounds are compared. Answers are
compared before the first round. Exits with 1 when a ratio is under its target.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import joblib
import numpy as np
import xgboost
from modelserver_sklearn import SklearnModel, SklearnSettings
from modelserver_xgboost import XGBoostModel, XGBoostSettings
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from modelserver import InferRequest, Model, RuntimeSettings, Tensor, __version__

RESULT = Path(__file__).parents[1] / "results" / "acceleration.json"
ROUND_SECONDS = 0.2
SIZES = (1, 8, 64, 1000)


@dataclass(frozen=True, slots=True)
class Case:
    """A model, the framework's own call, and the least ratio by rows; 0 where none is asked for."""

    name: str
    call: str
    model: Model
    framework: Callable[[np.ndarray], Any]
    rows: np.ndarray
    targets: dict[int, float]


def cases(folder: Path) -> list[Case]:
    rows, labels = make_classification(5000, 30, n_informative=12, random_state=0)
    forest = RandomForestClassifier(100, random_state=0).fit(rows, labels)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    histogram = HistGradientBoostingClassifier(random_state=0).fit(rows, labels)
    isolation = IsolationForest(random_state=0).fit(rows)
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 6, "seed": 0, "nthread": 1}, xgboost.DMatrix(rows, labels), 300
    )
    single = rows.astype(np.float32)

    def estimator(name: str, fitted: Any, method: str, targets: dict[int, float]) -> Case:
        settings = SklearnSettings(predict_method=method)  # type: ignore[arg-type]
        path = folder / f"{type(fitted).__name__}.joblib"
        model = _loaded(SklearnModel, path, lambda path: joblib.dump(fitted, path), settings)
        return Case(name, f"estimator.{method}", model, getattr(fitted, method), rows, targets)

    boosted = _loaded(XGBoostModel, folder / "booster.ubj", booster.save_model, XGBoostSettings(nthread=1))
    return [
        estimator("RandomForest, 100 trees", forest, "predict_proba", {1: 50, 1000: 1}),
        Case("XGBoost, 300 trees", "booster.inplace_predict", boosted, booster.inplace_predict, single, {1: 2}),
        estimator("StandardScaler + LogisticRegression", pipeline, "predict_proba", {1: 5}),
        estimator("HistGradientBoosting, 100 rounds", histogram, "predict_proba", {}),
        estimator("IsolationForest, 100 trees", isolation, "predict", {}),
    ]


def _loaded(
    kind: type[Model], path: Path, save: Callable[[Path], Any], settings: RuntimeSettings | None = None
) -> Model:
    save(path)
    model = kind(path.stem)
    model.path = path
    model.settings = settings or model.settings
    model.load()
    return model


def measure(case: Case, size: int, rounds: int) -> dict[str, Any]:
    rows = np.ascontiguousarray(case.rows[:size])
    request = InferRequest(case.model.name, [Tensor("input-0", rows)])

    def ours() -> Any:
        return case.model.predict(request)["output-0"]

    def framework() -> Any:
        return case.framework(rows)

    expected = framework()
    equal = bool(np.array_equal(expected, ours()))
    if not equal and not np.allclose(expected, ours(), rtol=1e-12, atol=1e-12):
        raise SystemExit(f"{case.name}: the answers for {size} rows differ")
    theirs, own = [], []
    for _ in range(rounds):
        theirs.append(_seconds(framework))
        own.append(_seconds(ours))
    ratio = median(theirs) / median(own)
    print(
        f"{case.name:36}{size:>6} rows {median(theirs) * 1e6:>10,.0f} us {median(own) * 1e6:>10,.0f} us {ratio:>8.1f}"
    )
    return {
        "name": case.name,
        "call": case.call,
        "rows": size,
        "framework_us": round(median(theirs) * 1e6, 1),
        "ours_us": round(median(own) * 1e6, 1),
        "ratio": round(ratio, 2),
        "target": case.targets.get(size, 0),
        "bit_equal": equal,
        "engines": case.model.properties["engines"],
    }


def _seconds(call: Callable[[], Any]) -> float:
    """Of one call, on average over a round."""
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < ROUND_SECONDS:
        call()
        count += 1
    return spent / count


def machine() -> dict[str, object]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result is written")
    options = parser.parse_args()
    # One thread for both: beside other processes OpenMP's threads wait for each other, and the framework's times with
    # several of them say more about those than about the framework.
    with threadpool_limits(1), tempfile.TemporaryDirectory(prefix="modelserver-acceleration-") as folder:
        results = [measure(case, size, options.rounds) for case in cases(Path(folder)) for size in SIZES]
    packages = ("scikit-learn", "xgboost-cpu", "treelite", "numpy")
    document = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {
            "modelserver": __version__,
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "method": {"rounds": options.rounds, "seconds": ROUND_SECONDS, "threads": 1},
        "results": results,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document, indent=2) + "\n")
    missed = [each for each in results if each["ratio"] < each["target"]]
    for each in missed:
        print(f"missed: {each['name']}, {each['rows']} rows: {each['ratio']}, target {each['target']}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
