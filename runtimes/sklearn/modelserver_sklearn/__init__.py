"""scikit-learn models for modelserver: what an estimator takes and gives is read from the estimator itself."""

import logging
import re
import warnings

import numpy as np

from modelserver import BatchSettings, InferRequest, InferResponse, InvalidInput, Model, Tensor, TensorMetadata
from modelserver_sklearn.engines import accelerate
from modelserver_sklearn.files import read_estimator
from modelserver_sklearn.methods import DEFAULT_OUTPUT, Methods
from modelserver_sklearn.settings import SklearnSettings
from modelserver_sklearn.table import Table

__all__ = ["SklearnModel", "SklearnSettings"]
__version__ = "0.1.0"

#: How XGBoost begins an error: the time, a place in its source, the condition that failed.
_PREFIX = re.compile(r"^\[[\d:]+\] \S+:\d+: (Check failed: .*?: (?=\S))?")

log = logging.getLogger("modelserver.sklearn")


class SklearnModel(Model):
    """A fitted estimator. Loading a pickle runs the code in it: serve only files that you trust, or ``.skops``."""

    artifacts = ("*.joblib", "*.pkl", "*.pickle", "*.skops")
    platform = "sklearn"
    input_check = "compatible"
    batching = BatchSettings()
    settings: SklearnSettings = SklearnSettings()

    def load(self) -> None:
        """Read the estimator and what it takes; answer one row, so that the outputs are known and the code is warm."""
        from sklearn.exceptions import NotFittedError

        estimator = read_estimator(self.artifact(*self.artifacts), self.settings.skops_trusted)
        self._methods = Methods(estimator, self.settings)
        calls, default = self._methods.calls, self._methods.default
        self.properties = accelerate(self.name, estimator, calls, default, self.settings.accelerate)
        self._table = Table(estimator)
        self.inputs = self._table.inputs
        try:
            with warnings.catch_warnings(action="ignore"):  # a made-up row may well look odd to the estimator
                example = InferRequest(self.name, self._table.example)
                answers = self._methods.answers(self._methods.wanted(example), self._table.rows(example))
            self.outputs = [TensorMetadata(n, Tensor(n, a).datatype, [-1, *a.shape[1:]]) for n, a in answers.items()]
        except NotFittedError:
            raise
        except Exception as exc:  # noqa: BLE001 - an estimator may refuse a made-up row in any way it likes
            log.info("model %s: the outputs are not known, a made-up row was refused: %s", self.name, exc)

    def predict(self, request: InferRequest) -> dict[str, np.ndarray] | InferResponse:
        """``output-0``: what the model's method returns, a row each; or the method and the outputs asked for."""
        wanted = self._methods.wanted(request)
        rows = self._table.rows(request)
        try:
            answers = self._methods.answers(wanted, rows)
        except (ValueError, TypeError) as exc:
            # XGBoost's wrappers say where in its source, and append a stack.
            reason = _PREFIX.sub("", str(exc).partition("\nStack trace")[0].strip())
            raise InvalidInput(f"inputs: {reason}") from exc
        if wanted.get(DEFAULT_OUTPUT, self._methods.default) == self._methods.default:
            return answers
        # Not a dictionary: its output-0 would be made what the metadata say of another method's.
        return InferResponse([Tensor(name, array) for name, array in answers.items()])
