"""Ensembles of trees: by treelite's GTIL, and by scikit-learn's own compiled trees without what is around them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelserver.acceleration import Engine, tree_engine
from modelserver_sklearn.linear import Step, pair, softmax

TREES = frozenset({"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"})
FORESTS = frozenset({"RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"})
_GRADIENT = frozenset({"GradientBoostingClassifier", "GradientBoostingRegressor"})
_HISTOGRAMS = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})
_ISOLATION = "IsolationForest"
#: Ensembles that are no average of trees.
BOOSTED = _GRADIENT | _HISTOGRAMS | {_ISOLATION}

Finish = Callable[[np.ndarray], Any]


def thresholds_of(estimator: Any) -> list[np.ndarray] | None:
    """What each feature is compared to; ``None`` when the estimator is no ensemble of trees that is known here."""
    kind = type(estimator).__name__
    if kind in _HISTOGRAMS:
        nodes = np.concatenate([tree.nodes for group in estimator._predictors for tree in group])
        nodes = nodes[nodes["is_leaf"] == 0]
        features, thresholds = nodes["feature_idx"], nodes["num_threshold"]
    elif kind in TREES | FORESTS | BOOSTED:
        trees = _trees(estimator)
        seen = [np.arange(estimator.n_features_in_)] * len(trees)
        if kind == _ISOLATION:  # each of its trees may see a part of the features
            seen = estimator.estimators_features_
        inner = [tree.feature >= 0 for tree in trees]
        features = np.concatenate([each[tree.feature[at]] for each, tree, at in zip(seen, trees, inner, strict=True)])
        thresholds = np.concatenate([tree.threshold[at] for tree, at in zip(trees, inner, strict=True)])
    else:
        return None
    return [np.unique(thresholds[features == feature]) for feature in range(estimator.n_features_in_)]


def gtil(estimator: Any, method: str, steps: Sequence[Step]) -> Engine:
    """treelite's General Tree Inference Library."""
    try:
        import treelite
        import treelite.sklearn
    except ModuleNotFoundError:
        raise ModuleNotFoundError('treelite is not installed: pip install "modelserver-sklearn[accelerate]"') from None
    kind = type(estimator).__name__
    finish = _finish(estimator, kind, method)
    prepared = _prepared(kind, steps)
    margin = kind in _GRADIENT | _HISTOGRAMS
    model = treelite.sklearn.import_model(estimator)
    if kind == _ISOLATION:
        depths = _depths(estimator)
        return lambda rows: finish(
            depths(treelite.gtil.predict_leaf(model, np.ascontiguousarray(prepared(rows), np.float64), nthread=1))
        )
    predict = tree_engine(model, margin)
    return lambda rows: finish(predict(prepared(rows)))


def lean_trees(estimator: Any, method: str, steps: Sequence[Step]) -> Engine:
    """Tree after tree, added up in scikit-learn's order."""
    kind = type(estimator).__name__
    finish = _finish(estimator, kind, method)
    prepared = _prepared(kind, steps)
    first, *others = [tree.predict for tree in _trees(estimator)]

    def run(rows: np.ndarray) -> Any:
        rows = np.ascontiguousarray(prepared(rows))
        total = first(rows)
        for tree in others:
            total += tree(rows)
        if others:
            total /= len(others) + 1
        return finish(total)

    return run


def _trees(estimator: Any) -> list[Any]:
    return [member.tree_ for member in np.ravel(getattr(estimator, "estimators_", [estimator]))]


def _prepared(kind: str, steps: Sequence[Step]) -> Step:
    """The steps before the trees; then FP32, in which all but histograms compare."""

    def prepare(rows: np.ndarray) -> np.ndarray:
        if steps:
            rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
            for step in steps:
                rows = step(rows)
        return rows if kind in _HISTOGRAMS else rows.astype(np.float32, copy=False)

    return prepare


def _finish(estimator: Any, kind: str, method: str) -> Finish:
    """What the method makes of the trees' numbers, [n, ...]; ``ValueError`` when it is not known here."""
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):
        raise ValueError("several outputs")  # noqa: TRY004 - of the model, not of the argument
    if kind == _ISOLATION:
        found = _of_scores(estimator.offset_)
    elif classes is None:
        targets = getattr(estimator, "n_outputs_", 1)
        found = {"predict": lambda raw: raw.reshape(-1) if targets == 1 else raw.reshape(-1, targets)}
    elif kind in BOOSTED:
        found = _of_margins(classes)
    else:
        found = {
            "predict_proba": lambda raw: raw.reshape(-1, len(classes)),
            "predict": lambda raw: classes.take(raw.reshape(-1, len(classes)).argmax(axis=1), axis=0),
        }
    if method not in found:
        raise ValueError(f"no {method}")
    return found[method]


def _depths(estimator: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Leaves [n, trees] of an isolation forest -> scores [n]; treelite's own are 2e-9 away from scikit-learn's."""
    from sklearn.ensemble._iforest import _average_path_length

    lengths = [
        way + average - 1.0
        for way, average in zip(estimator._decision_path_lengths, estimator._average_path_length_per_tree, strict=True)
    ]
    starts = np.cumsum([0, *(len(each) for each in lengths[:-1])])
    every = np.concatenate(lengths)
    most = len(lengths) * _average_path_length([estimator._max_samples])
    # One after the other: the order of a plain sum is its own.
    return lambda leaves: -(2 ** -(np.add.accumulate(every[leaves.astype(np.intp) + starts], axis=1)[:, -1] / most))


def _of_scores(offset: float) -> dict[str, Finish]:
    return {
        "score_samples": lambda scores: scores,
        "decision_function": lambda scores: scores - offset,
        "predict": lambda scores: np.where(scores - offset < 0, -1, 1),
    }


def _of_margins(classes: np.ndarray) -> dict[str, Finish]:
    if len(classes) == 2:
        return {
            "decision_function": lambda raw: raw.reshape(-1),
            "predict_proba": lambda raw: pair(raw.reshape(-1)),
            "predict": lambda raw: classes.take((raw.reshape(-1) >= 0).astype(np.intp)),
        }
    return {
        "decision_function": lambda raw: raw.reshape(-1, len(classes)),
        "predict_proba": lambda raw: softmax(raw.reshape(-1, len(classes))),
        "predict": lambda raw: classes.take(raw.reshape(-1, len(classes)).argmax(axis=1)),
    }
