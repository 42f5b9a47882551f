"""scikit-learn models for modelserver: what an estimator takes and gives is read from the estimator itself."""

import logging
import os
import warnings
from typing import Any

import numpy as np

from modelserver import BatchSettings, InferRequest, InvalidInput, Model, Tensor, TensorMetadata
from modelserver_sklearn.text import decoded, text_columns

__all__ = ["SklearnModel"]
__version__ = "0.1.0"


class SklearnModel(Model):
    """A fitted estimator from a pickle. Loading one runs the code in it: serve only files that you trust."""

    artifacts = ("*.joblib", "*.pkl", "*.pickle")
    platform = "sklearn"
    input_check = "compatible"
    batching = BatchSettings()

    def load(self) -> None:
        """Read the estimator and what it takes; answer one row, so that the outputs are known and the code is warm."""
        import joblib
        from sklearn.exceptions import NotFittedError

        estimator = joblib.load(self.artifact(*self.artifacts))
        if not callable(getattr(estimator, "predict", None)):
            raise TypeError(f"expected an estimator with a predict method, got {type(estimator).__name__}")
        probabilities = os.environ.get("PREDICT_PROBA", "").lower() == "true" and hasattr(estimator, "predict_proba")
        self._method = estimator.predict_proba if probabilities else estimator.predict
        names, count = (getattr(estimator, name, None) for name in ("feature_names_in_", "n_features_in_"))
        self._columns = None if names is None else [str(name) for name in names]
        self._rowwise = count is not None  # else text, one element a row, or an estimator that does not say
        columns = self._columns or [str(index) for index in range(count or 1)]
        text = text_columns(estimator, columns)
        if self._columns:
            self.inputs = [TensorMetadata(name, "BYTES" if name in text else "FP64", [-1]) for name in columns]
        elif count is not None or text:
            shape = [-1] if count is None else [-1, count]
            self.inputs = [TensorMetadata("input-0", "BYTES" if len(text) == len(columns) else "FP64", shape)]
        row = [text.get(column, 0.0) for column in columns]
        if self._columns:
            example = [Tensor(name, [value]) for name, value in zip(columns, row, strict=True)]
        else:
            example = [Tensor("input-0", [row] if self._rowwise or not text else row)]
        try:
            with warnings.catch_warnings(action="ignore"):  # a row of zeros may well look odd to the estimator
                answers = _named(self._method(self._rows(InferRequest(self.name, example))))
            self.outputs = [TensorMetadata(n, Tensor(n, a).datatype, [-1, *a.shape[1:]]) for n, a in answers.items()]
        except NotFittedError:
            raise
        except Exception as exc:  # noqa: BLE001 - an estimator may refuse a made-up row in any way it likes
            log = logging.getLogger("modelserver.sklearn")
            log.info("model %s: the outputs are not known, a row of zeros was refused: %s", self.name, exc)

    def predict(self, request: InferRequest) -> dict[str, np.ndarray]:
        """``output-0``: what the estimator's ``predict`` (or ``predict_proba``) returns, a row each."""
        rows = self._rows(request)
        try:
            return _named(self._method(rows))
        except (ValueError, TypeError) as exc:
            raise InvalidInput(f"inputs: {exc}") from exc

    def _rows(self, request: InferRequest) -> Any:
        if self._columns is not None:
            frame = request.dataframe(self._columns)
            if len(self._columns) == 1 and list(frame.columns) == ["input-0"]:
                frame.columns = self._columns  # a table of one column goes by position, as wider ones do
            if wrong := set(self._columns).symmetric_difference(frame.columns):
                raise InvalidInput(f"inputs: missing or unknown columns {sorted(wrong)}, expected {self._columns}")
            return frame if list(frame.columns) == self._columns else frame[self._columns]
        if len(request.inputs) > 1 or request.parameters.get("content_type") == "pd":
            frame = request.dataframe()
            return frame.to_numpy() if self._rowwise else frame
        array = request.array()
        if self._rowwise and array.ndim != 2:
            raise InvalidInput(f"inputs[0].shape: got {list(array.shape)}, expected {self.inputs[0].shape}: a row each")
        return decoded(array if self._rowwise else array.reshape(-1)) if array.dtype == object else array


def _named(answer: Any) -> dict[str, np.ndarray]:
    """One output, or one for each target where a classifier gives the probabilities of several."""
    answers = answer if isinstance(answer, list) else [answer]
    dense = (array.toarray() if hasattr(array, "toarray") else array for array in answers)  # multi-label may be sparse
    return {f"output-{index}": np.asarray(array) for index, array in enumerate(dense)}
