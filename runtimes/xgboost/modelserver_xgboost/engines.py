"""Another engine for a booster's trees, treelite's GTIL: offered here, proved and timed by modelserver.acceleration."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from modelserver.acceleration import Accelerated, Engine, accelerated, probe_rows, tree_engine

#: Objectives whose base score is kept as a probability.
_LOGISTIC = frozenset({"binary:logistic", "reg:logistic"})


def accelerate(
    name: str, booster: Any, document: Mapping[str, Any], features: int, framework: Engine, asked: str
) -> Accelerated:
    """``framework`` (rows of floats -> values), by way of GTIL for the batch sizes where it is equal and faster."""
    trees = _trees(document)
    build = partial(_gtil, booster, document["learner"], framework)
    makers: dict[str, Callable[[], Engine]] = {"gtil": build} if trees else {}
    return accelerated(name, framework, makers, partial(_probes, trees, features), asked, exact=True)


def _gtil(booster: Any, learner: Mapping[str, Any], framework: Engine) -> Engine:
    try:
        import treelite
    except ModuleNotFoundError:
        raise ModuleNotFoundError('treelite is not installed: pip install "modelserver-xgboost[accelerate]"') from None
    model = treelite.frontend.from_xgboost(booster)
    predict = tree_engine(model, base=_logit(learner))
    labels = learner["objective"]["name"] == "multi:softmax"
    # treelite always has the axes of targets and of classes; XGBoost leaves out those that have one element.
    rest = framework(np.zeros((1, model.num_feature), np.float32)).shape[1:]

    def run(rows: np.ndarray) -> np.ndarray:
        answer: np.ndarray = predict(rows)
        if labels:  # treelite stops at the probabilities
            answer = answer.reshape(len(rows), -1).argmax(axis=1).astype(np.float32)
        return answer.reshape(len(rows), *rest)

    return run


def _logit(learner: Mapping[str, Any]) -> float | None:
    """The margin of a stored probability, in the steps of FP32 that XGBoost takes; treelite takes them in FP64."""
    if learner["objective"]["name"] not in _LOGISTIC:
        return None
    probability = np.float32(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    return -math.log(float(np.float32(1) / probability - np.float32(1)))


def _trees(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    booster = document["learner"]["gradient_booster"]
    if booster["name"] == "gblinear":
        return []
    model = booster["gbtree"]["model"] if booster["name"] == "dart" else booster["model"]
    return list(model["trees"])


def _probes(trees: list[Mapping[str, Any]], features: int) -> np.ndarray:
    """Rows where the trees decide; a category is a number like any other here, and where it is none it is missing."""
    split, threshold = [], []
    for tree in trees:
        inner = np.asarray(tree["left_children"], np.int64) != -1
        split.append(np.asarray(tree["split_indices"], np.int64)[inner])
        threshold.append(np.asarray(tree["split_conditions"], np.float64)[inner])
    features_split, thresholds = np.concatenate(split), np.concatenate(threshold)
    return probe_rows([np.unique(thresholds[features_split == feature]) for feature in range(features)])
