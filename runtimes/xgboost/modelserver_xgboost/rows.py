"""A request's tensors -> the table [rows, features] of numbers that XGBoost reads."""

from collections.abc import Sequence

import numpy as np

from modelserver import InvalidInput, Tensor
from modelserver_xgboost.schema import Column, Schema

#: What XGBoost reads as it is, without a copy; everything else becomes FP32, as it would inside.
_READ_AS_IS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


def table_of(inputs: Sequence[Tensor], schema: Schema) -> np.ndarray:
    """One 2-D tensor as it is, or columns (by name where the model has names, else by position) put together.

    Missing values are NaN. ``InvalidInput`` for columns of different lengths, text where a number is expected, and
    a category that the model does not know.
    """
    if len(inputs) == 1 and inputs[0].data.ndim == 2 and not (schema.columns and inputs[0].data.shape[1:] == (1,)):
        data = inputs[0].data
        if data.dtype == object:
            raise InvalidInput("inputs[0].datatype: got BYTES, expected numbers")
        if data.shape[1] != schema.features:
            raise InvalidInput(f"inputs[0].shape: got {list(data.shape)}, expected [-1, {schema.features}]")
        return data if data.dtype in _READ_AS_IS else data.astype(np.float32)
    columns = schema.columns or tuple(Column(tensor.name, "FP32") for tensor in inputs)
    if len(columns) != len(inputs) or len(columns) != schema.features:
        raise InvalidInput(f"inputs: got {len(inputs)} columns, expected {schema.features}")
    by_name = {tensor.name: tensor.data for tensor in inputs}
    if len(columns) == 1:  # a lone input may have any name
        by_name = {columns[0].name: inputs[0].data}
    table = np.empty((inputs[0].data.shape[0] if inputs[0].data.ndim else 0, len(columns)), np.float32)
    for index, column in enumerate(columns):
        if column.name not in by_name:
            raise InvalidInput(f"inputs: missing {column.name!r}; got {', '.join(map(repr, by_name))}")
        data = by_name[column.name]
        if data.ndim == 0 or data.size != data.shape[0]:
            raise InvalidInput(f"inputs: {column.name!r} has shape {list(data.shape)}, expected [-1]")
        if len(data) != len(table):
            raise InvalidInput(f"inputs: {column.name!r} has {len(data)} rows, expected {len(table)}")
        table[:, index] = _numbers(data.reshape(-1), column)
    return table


def _numbers(values: np.ndarray, column: Column) -> np.ndarray:
    """A column's values as XGBoost's numbers: codes for categories, NaN for what is missing."""
    known = column.categories
    if values.dtype == object:
        if not isinstance(known, list):
            raise InvalidInput(f"inputs: {column.name!r} has BYTES, expected numbers")
        return _codes_of_texts(values, column.name, known)
    with np.errstate(over="ignore"):  # beyond FP32 is infinite, as inside XGBoost
        if isinstance(known, np.ndarray):
            return _codes_of_numbers(values, column.name, known)
        return values.astype(np.float32)


def _codes_of_texts(values: np.ndarray, name: str, known: list[str]) -> np.ndarray:
    codes: dict[object, float] = {None: np.nan, b"": np.nan}
    codes |= {text.encode(): float(code) for code, text in enumerate(known)}
    try:
        return np.array([codes[value] for value in values.tolist()], np.float32)
    except KeyError as exc:
        raise _unknown(name, str(exc.args[0], "utf-8", "replace"), known) from None


def _codes_of_numbers(values: np.ndarray, name: str, known: np.ndarray) -> np.ndarray:
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known, values, sorter=order), len(known) - 1)
    codes = order[places]
    missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    wrong = (known[codes] != values) & ~missing
    if wrong.any():
        raise _unknown(name, values[wrong][0].item(), known.tolist())
    return np.where(missing, np.float32(np.nan), codes.astype(np.float32))


def _unknown(name: str, value: object, known: list[str]) -> InvalidInput:
    few = ", ".join(repr(category) for category in known[:20]) + (", ..." if len(known) > 20 else "")
    return InvalidInput(f"inputs: {name!r} has the unknown category {value!r}, expected one of {few}")
