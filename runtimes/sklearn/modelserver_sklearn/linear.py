"""Scalers, imputers and linear models as the few operations they are, in scikit-learn's order and datatypes."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

#: Rows of floats [n, features] -> new rows; the given ones are never written to.
Step: TypeAlias = Callable[[np.ndarray], np.ndarray]


def steps_of(transformers: Sequence[Any]) -> list[Step] | None:
    """Fitted transformers as plain functions; ``None`` when one of them is not known here."""
    steps = []
    for transformer in transformers:
        make = _STEPS.get(type(transformer).__name__)
        try:
            step = None if make is None else make(transformer)
        except (AttributeError, TypeError, ValueError):  # fitted by another version, or for something else than numbers
            return None
        if step is None:
            return None
        steps.append(step)
    return steps


class LinearModel:
    """A method of an estimator with ``coef_`` and ``intercept_``, after the steps before it.

    ``ValueError`` when it has no such method, or weights of another form.
    """

    def __init__(self, estimator: Any, method: str, steps: Sequence[Step]) -> None:
        self._steps = list(steps)
        self._weights = estimator.coef_.T
        self._intercept = estimator.intercept_
        self._classes = getattr(estimator, "classes_", None)
        self._finish: Callable[[np.ndarray], Any]
        if self._classes is None:
            finish = {"predict": _as_it_is}.get(method)
        else:
            # Of several classes: one against each other, or all against one another, as the estimator says.
            several = _shares if getattr(estimator, "solver", "liblinear") == "liblinear" else softmax
            proba = pair if len(self._classes) == 2 else several
            finish = {"predict": self._label, "predict_proba": proba, "decision_function": _as_it_is}.get(method)
        if finish is None:
            raise ValueError(f"no {method}")
        self._finish = finish

    def __call__(self, rows: np.ndarray) -> Any:
        """The method's answer."""
        if rows.dtype.kind != "f":
            rows = rows.astype(np.float64)
        for step in self._steps:
            rows = step(rows)
        scores = rows @ self._weights + self._intercept
        if scores.ndim == 2 and scores.shape[1] == 1 and self._classes is not None:
            scores = scores.reshape(-1)
        return self._finish(scores)

    def _label(self, scores: np.ndarray) -> np.ndarray:
        places = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self._classes.take(places, axis=0)  # type: ignore[no-any-return, union-attr]


def _as_it_is(scores: np.ndarray) -> np.ndarray:
    return scores


def pair(scores: np.ndarray) -> np.ndarray:
    """Probabilities [n, 2] of two classes from the margins [n] of the second."""
    from scipy.special import expit

    answer = np.empty((len(scores), 2), scores.dtype)
    expit(scores, out=answer[:, 1])
    np.subtract(1, answer[:, 1], out=answer[:, 0])
    return answer


def _shares(scores: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    each = expit(scores)
    each /= each.sum(axis=1, keepdims=True)
    return each  # type: ignore[no-any-return]


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities [n, classes] from margins."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    powers /= powers.sum(axis=1, keepdims=True)
    return powers  # type: ignore[no-any-return]


class _Affine:
    """(rows - center) / scale, in the datatype of the rows, as StandardScaler and RobustScaler do it."""

    def __init__(self, center: np.ndarray | None, scale: np.ndarray | None) -> None:
        kinds = (np.float64, np.float32)
        self._centers = {np.dtype(kind): None if center is None else center.astype(kind) for kind in kinds}
        self._scales = {np.dtype(kind): None if scale is None else scale.astype(kind) for kind in kinds}

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        center, scale = self._centers[rows.dtype], self._scales[rows.dtype]
        rows = rows.copy() if center is None else rows - center
        if scale is not None:
            rows /= scale
        return rows


def _standard(scaler: Any) -> Step:
    return _Affine(scaler.mean_ if scaler.with_mean else None, scaler.scale_)


def _robust(scaler: Any) -> Step:
    return _Affine(scaler.center_ if scaler.with_centering else None, scaler.scale_ if scaler.with_scaling else None)


def _largest(scaler: Any) -> Step:
    return _Affine(None, scaler.scale_)


def _least_and_most(scaler: Any) -> Step | None:
    if scaler.clip:
        return None
    scale, least = scaler.scale_, scaler.min_

    def step(rows: np.ndarray) -> np.ndarray:
        rows = rows * scale.astype(rows.dtype)
        rows += least.astype(rows.dtype)
        return rows

    return step


def _imputer(imputer: Any) -> Step | None:
    values = imputer.statistics_
    known = values.dtype.kind == "f" and np.isfinite(values).all()
    if imputer.add_indicator or not known or not np.isnan(imputer.missing_values):
        return None

    def step(rows: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(rows), values.astype(rows.dtype), rows)

    return step


def _components(pca: Any) -> Step | None:
    if pca.whiten:
        return None
    weights = pca.components_.T
    offset = pca.mean_.reshape(1, -1) @ weights
    return lambda rows: rows @ weights - offset


#: By the name of the class, so that nothing of scikit-learn is imported to look.
_STEPS: dict[str, Callable[[Any], Step | None]] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MaxAbsScaler": _largest,
    "MinMaxScaler": _least_and_most,
    "SimpleImputer": _imputer,
    "PCA": _components,
}
