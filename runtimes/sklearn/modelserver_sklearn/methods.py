"""The methods of an estimator: which there are, which of them a request asks for, and their answers as outputs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelserver import InferRequest, InvalidInput
from modelserver_sklearn.settings import METHODS, SklearnSettings
from modelserver_sklearn.sharing import Shared, quiet

#: ``output-0``: what the model's own method, or the one that the request names, returns.
DEFAULT_OUTPUT = "output"
#: Other outputs that a request may ask for by name, and the method that gives each.
OUTPUTS = {
    "label": "predict",
    "probabilities": "predict_proba",
    "log_probabilities": "predict_log_proba",
    "decision": "decision_function",
    "scores": "score_samples",
    "transformed": "transform",
}


class Methods:
    """``calls`` has the estimator's methods by name; whoever knows a quicker way to the same answer may replace one."""

    def __init__(self, estimator: Any, settings: SklearnSettings) -> None:
        found = {name: getattr(estimator, name, None) for name in METHODS}
        self.calls: dict[str, Callable[[Any], Any]] = {name: call for name, call in found.items() if callable(call)}
        if not self.calls or type(estimator).__module__ == "xgboost.core":  # a Booster takes XGBoost's own matrices
            raise TypeError(f"expected an estimator with {' or '.join(METHODS)}, got {_kind(estimator)}")
        if "predict_log_proba" in self.calls:
            self.calls["predict_log_proba"] = quiet(self.calls["predict_log_proba"])
        self._shared = Shared(estimator, self.calls)
        #: The method that answers a request which names none.
        self.default: str = settings.predict_method or next(
            name for name in ("predict", "transform", *METHODS) if name in self.calls
        )
        if settings.predict_method is None and settings.predict_proba and "predict_proba" in self.calls:
            self.default = "predict_proba"
        if self.default not in self.calls:
            raise ValueError(f"predict_method: got {self.default}, {type(estimator).__name__} has {self._list()}")

    def answers(self, wanted: Mapping[str, str], rows: Any) -> dict[str, np.ndarray]:
        """The outputs that are wanted, each method called once."""
        if len(wanted) == 1:
            [(name, method)] = wanted.items()
            return _outputs(name, self.calls[method](rows))
        answers = self._shared.answers(set(wanted.values()), rows)
        return {key: array for name, method in wanted.items() for key, array in _outputs(name, answers[method]).items()}

    def wanted(self, request: InferRequest) -> Mapping[str, str]:
        """Output -> its method, of those that a request asks for; ``InvalidInput`` for what the model does not have."""
        if not request.parameters and not request.outputs:
            return {DEFAULT_OUTPUT: self.default}
        method = request.parameters.get("predict_method", self.default)
        if method not in self.calls:
            raise InvalidInput(f"parameters.predict_method: got {method!r}, the model has {self._list()}")
        wanted = {}
        for index, output in enumerate(request.outputs or ()):
            name, _, number = output.name.rpartition("-")
            name = name if number.isdecimal() else output.name  # of several targets: probabilities-0, probabilities-1
            wanted[name] = str(method) if name == DEFAULT_OUTPUT else OUTPUTS.get(name, "")
            if wanted[name] not in self.calls:
                names = ["output-0", *(name for name, method in OUTPUTS.items() if method in self.calls)]
                raise InvalidInput(f"outputs[{index}].name: got {output.name!r}, the model has {', '.join(names)}")
        return wanted or {DEFAULT_OUTPUT: str(method)}

    def _list(self) -> str:
        return ", ".join(self.calls)


def _outputs(name: str, answer: Any) -> dict[str, np.ndarray]:
    """One output, or one for each target where a classifier answers for several; never sparse."""
    answers = answer if isinstance(answer, list) else [answer]
    arrays = [np.asarray(array.toarray() if hasattr(array, "toarray") else array) for array in answers]
    if name != DEFAULT_OUTPUT and not isinstance(answer, list):
        return {name: arrays[0]}
    return {f"{name}-{index}": array for index, array in enumerate(arrays)}


def _kind(thing: Any) -> str:
    if type(thing).__module__ == "xgboost.core":
        return f"a bare XGBoost {type(thing).__name__}: save it with save_model('model.ubj')"
    return type(thing).__name__
