"""What an estimator takes, read from the estimator; and a request's tensors as just that."""

from typing import Any

import numpy as np

from modelserver import InferRequest, InvalidInput, Tensor, TensorMetadata
from modelserver_sklearn.text import decoded, known_values


class Table:
    """Rows for one estimator: a DataFrame where it knows its columns by name, else an array.

    ``inputs`` are what the model declares, ``example`` is a row that the estimator should take.
    """

    def __init__(self, estimator: Any) -> None:
        names, count = (getattr(estimator, name, None) for name in ("feature_names_in_", "n_features_in_"))
        self.columns = None if names is None else [str(name) for name in names]
        self._rowwise = count is not None  # else text, one element a row, or an estimator that does not say
        columns = self.columns or [str(index) for index in range(count or 1)]
        known = known_values(estimator, columns)
        self._text = [name for name in columns if isinstance(known.get(name), str)]
        row = [known.get(name, 0.0) for name in columns]
        self.inputs: list[TensorMetadata] = []
        if self.columns:
            self.inputs = [TensorMetadata(n, "BYTES" if n in self._text else "FP64", [-1]) for n in self.columns]
            self.example = [Tensor(name, [value]) for name, value in zip(columns, row, strict=True)]
            return
        if self._rowwise or self._text:
            shape = [-1] if count is None else [-1, count]
            self.inputs = [TensorMetadata("input-0", "BYTES" if len(self._text) == len(columns) else "FP64", shape)]
        self.example = [Tensor("input-0", [row] if self._rowwise or not self._text else row)]

    def rows(self, request: InferRequest) -> Any:
        """The request's rows as the estimator takes them; ``InvalidInput`` names what is missing or wrong."""
        if self.columns is not None:
            return self._frame(request, self.columns)
        if len(request.inputs) > 1 or request.parameters.get("content_type") == "pd":
            frame = request.dataframe()
            return frame.to_numpy() if self._rowwise else frame
        array = request.array()
        if self._rowwise and array.ndim != 2:
            raise InvalidInput(f"inputs[0].shape: got {list(array.shape)}, expected {self.inputs[0].shape}: a row each")
        return decoded(array if self._rowwise else array.reshape(-1)) if array.dtype == object else array

    def _frame(self, request: InferRequest, columns: list[str]) -> Any:
        frame = request.dataframe(columns)
        if len(columns) == 1 and list(frame.columns) == ["input-0"]:
            frame.columns = columns  # a table of one column goes by position, as wider ones do
        if wrong := set(columns).symmetric_difference(frame.columns):
            raise InvalidInput(f"inputs: missing or unknown columns {sorted(wrong)}, expected {columns}")
        if list(frame.columns) != columns:
            frame = frame[columns]
        for name in self._text:
            if frame[name].dtype.kind in "iufb":
                if frame[name].notna().any():
                    raise InvalidInput(f"inputs: got numbers in column {name!r}, expected text")
                frame[name] = frame[name].astype(object)  # nothing but nulls
        for name, dtype in zip(columns, frame.dtypes, strict=True):
            if isinstance(dtype, np.dtype) and dtype.kind == "O" and frame[name].isna().any():
                frame[name] = frame[name].where(frame[name].notna(), np.nan)  # what imputers look for
        return frame
