"""Tensors as pandas columns and back. Imported only where a DataFrame is asked for: pandas is optional."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from modelserver.errors import InvalidInput
from modelserver.tensor import Tensor

if TYPE_CHECKING:
    import pandas

    from modelserver.messages import InferRequest


def dataframe_of(request: InferRequest, columns: Sequence[str] | None = None) -> pandas.DataFrame:
    """The request's inputs as a DataFrame; see ``InferRequest.dataframe``."""
    import pandas

    inputs = request.inputs
    if len(inputs) == 1 and inputs[0].data.ndim == 2 and inputs[0].data.shape[1:] != (1,):
        array = inputs[0].data
        if columns is not None and len(columns) != array.shape[1]:
            raise InvalidInput(
                f"inputs[0].shape: got {array.shape[1]} columns, expected {len(columns)}: {', '.join(columns)}"
            )
        return pandas.DataFrame(_text(array), columns=list(columns) if columns is not None else None)
    return pandas.DataFrame(_columns(inputs))


def tensors_of(frame: pandas.DataFrame) -> list[Tensor]:
    """One tensor [rows] a column, named as the column."""
    return [Tensor(str(name), column.to_numpy()) for name, column in frame.items()]


def _columns(inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    columns: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(inputs):
        array = tensor.data
        if array.ndim != 1 and array.shape[1:] != (1,) * (array.ndim - 1):
            raise InvalidInput(
                f"inputs[{index}].shape: got {list(array.shape)}, expected [-1] or [-1, 1]: one value a row"
                f" in the column {tensor.name!r}"
            )
        column = _text(array.reshape(-1))
        if columns and len(column) != (rows := len(next(iter(columns.values())))):
            raise InvalidInput(f"inputs[{index}].shape: {tensor.name!r} has {len(column)} rows, expected {rows}")
        columns[tensor.name] = column
    return columns


def _text(array: np.ndarray) -> np.ndarray:
    if array.dtype != object:
        return array
    flat = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.flat):
        flat[index] = _decoded(element) if isinstance(element, bytes) else element
    return flat.reshape(array.shape)


def _decoded(element: bytes) -> str | bytes:
    try:
        return element.decode()
    except UnicodeDecodeError:
        return element
