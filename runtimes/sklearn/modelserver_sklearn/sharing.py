"""Several methods of one estimator for the same rows, without doing the same work twice."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np


class Shared:
    """What the methods of an estimator have in common, where sharing it cannot change an answer.

    The transformers of a pipeline run once; labels are read off the probabilities where ``predict`` does that itself.
    ``calls`` are the estimator's methods; one that was replaced is called as it is.
    """

    def __init__(self, estimator: Any, calls: dict[str, Callable[[Any], Any]]) -> None:
        from sklearn.ensemble import BaggingClassifier, RandomForestClassifier
        from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
        from sklearn.pipeline import Pipeline

        inner = estimator.best_estimator_ if type(estimator) in (GridSearchCV, RandomizedSearchCV) else estimator
        parts = type(inner) is Pipeline and len(inner.steps) > 1
        self._head = inner[:-1] if parts else None
        final = inner.steps[-1][1] if parts else inner
        self._tail: dict[str, Callable[[Any], Any]] = {name: getattr(final, name, call) for name, call in calls.items()}
        if "predict_log_proba" in calls:
            self._tail["predict_log_proba"] = quiet(self._tail["predict_log_proba"])
        self._calls = calls
        self._own = dict(calls)
        reads_off = (RandomForestClassifier.predict, BaggingClassifier.predict)
        single = getattr(final, "n_outputs_", 1) == 1 and getattr(type(final), "predict", None) in reads_off
        self._classes: np.ndarray | None = getattr(final, "classes_", None) if single else None

    def answers(self, wanted: Collection[str], rows: Any) -> dict[str, Any]:
        """Method -> what it returns for ``rows``."""
        calls = self._calls
        if len(wanted) > 1 and self._head is not None and all(calls[name] is self._own[name] for name in wanted):
            rows = self._head.transform(rows)
            calls = self._tail
        if self._classes is None or not {"predict", "predict_proba"}.issubset(wanted):
            return {name: calls[name](rows) for name in wanted}
        answers = {name: calls[name](rows) for name in wanted if name != "predict"}
        return answers | {"predict": self._classes.take(np.argmax(answers["predict_proba"], axis=1))}


def quiet(call: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same call, without a warning that the logarithm of 0 is minus infinity."""

    def run(rows: Any) -> Any:
        with np.errstate(divide="ignore"):
            return call(rows)

    return run
