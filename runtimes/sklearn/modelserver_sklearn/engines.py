"""Other engines for an estimator's methods: offered here, proved and timed by ``modelserver.acceleration``.

``gtil``: treelite's tree inference. ``numpy``: the few operations that a linear model is. ``lean``: scikit-learn's own
arithmetic without the checks that its methods begin with. Whether an engine gives the estimator's answers is not
decided here: it is found out on probe rows, so a formula that an estimator does not follow is never used.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from modelserver.acceleration import Accelerated, Engine, accelerated, probe_rows, probes_near
from modelserver_sklearn.linear import LinearModel, steps_of
from modelserver_sklearn.trees import BOOSTED, FORESTS, TREES, gtil, lean_trees, thresholds_of

#: Methods that are accelerated besides the one that answers by default.
_OTHERS = ("predict", "predict_proba", "decision_function")
#: What scikit-learn's linear models are made from.
_LINEAR = frozenset({"LinearClassifierMixin", "LinearModel"})


def accelerate(
    name: str, estimator: Any, calls: dict[str, Callable[[Any], Any]], default: str, asked: str
) -> dict[str, str]:
    """Replace methods in ``calls`` by accelerated ones where there are; what the metadata says of the default one."""
    features = getattr(estimator, "n_features_in_", None)
    if features is None:  # text, or an estimator that does not say what it takes
        return {}
    names = getattr(estimator, "feature_names_in_", None)
    columns = None if names is None else [str(column) for column in names]
    probes = cache(partial(_probes, estimator, features))
    first: Accelerated | None = None
    for method in dict.fromkeys((default, *_OTHERS)):
        if method not in calls or (first is not None and not first.active):
            continue
        framework = calls[method]
        by_array = framework if columns is None else partial(_by_name, framework, columns)
        found = accelerated(f"{name}, {method}", by_array, _makers(estimator, method), probes, asked, first)
        if found.active:
            calls[method] = found if columns is None else Columns(framework, found)
        first = first or found
    return {} if first is None else first.properties


class Columns:
    """A method of an estimator that knows its columns by name: frames of nothing but numbers may go as arrays."""

    def __init__(self, framework: Callable[[Any], Any], fast: Accelerated) -> None:
        self._framework = framework
        self._fast = fast

    def __call__(self, frame: Any) -> Any:
        """The method's answer for a DataFrame with the estimator's columns in their order."""
        rows = frame.to_numpy()
        engine = self._fast.engine_for(rows)
        return self._framework(frame) if engine is None else engine.run(rows)


def _by_name(framework: Callable[[Any], Any], columns: Sequence[str], rows: np.ndarray) -> Any:
    import pandas as pd

    return framework(pd.DataFrame(rows, columns=list(columns)))


def _makers(estimator: Any, method: str) -> dict[str, Callable[[], Engine]]:
    """Engine -> how to build it."""
    *head, last = _unwrapped(estimator)
    steps = steps_of(head)
    # An array given to an estimator that knows names is warned of, each time.
    named = hasattr(estimator, "feature_names_in_")
    found: dict[str, Callable[[], Engine]] = {} if named else {"lean": partial(_lean, getattr(estimator, method))}
    if steps is None:  # one of them is scikit-learn's alone
        return found
    kind = type(last).__name__
    if kind in TREES | FORESTS:
        found["lean"] = partial(lean_trees, last, method, steps)
    if kind in FORESTS | BOOSTED:
        found["gtil"] = partial(gtil, last, method, steps)
    if _LINEAR & {parent.__name__ for parent in type(last).__mro__}:
        found["numpy"] = partial(LinearModel, last, method, steps)
    return found


def _lean(method: Callable[[Any], Any]) -> Engine:
    """scikit-learn's own call with its checks off: the rows are numbers, and finite unless NaN was tried out."""
    from sklearn import config_context

    def run(rows: np.ndarray) -> Any:
        with config_context(assume_finite=True, skip_parameter_validation=True):
            return method(rows)

    return run


def _unwrapped(estimator: Any) -> list[Any]:
    """The steps of a pipeline, or the estimator alone; the best one of a search."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    return [step for step in steps if step is not None and step != "passthrough"]


def _probes(estimator: Any, features: int) -> np.ndarray:
    """Rows where the trees decide, or around what the first step expects."""
    *head, last = _unwrapped(estimator)
    thresholds = thresholds_of(last)
    if thresholds is not None:
        rows = probe_rows(thresholds)
        for step in reversed(head):
            rows = step.inverse_transform(rows)
        return np.ascontiguousarray(rows, np.float64)
    first = head[0] if head else last
    center: Any = getattr(first, "mean_", None)
    scale: Any = getattr(first, "scale_", None)
    fits = np.shape(center) == np.shape(scale) == (features,)
    return probes_near(center, scale) if fits else probes_near(np.zeros(features), np.ones(features))
