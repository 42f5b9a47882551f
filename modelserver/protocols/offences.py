"""What is wrong with JSON data that cannot be an array: the field, the value, where it is, what was expected."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from modelserver.datatypes import DTYPES, FLOATS, NUMERIC
from modelserver.errors import InvalidInput
from modelserver.protocols.jsonlib import shown


def _range_of(dtype: np.dtype) -> tuple[float, float]:
    limits = np.iinfo(dtype) if dtype.kind in "iu" else ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    convert = int if dtype.kind in "iu" else float
    return convert(limits.min), convert(limits.max)


#: Numeric datatype -> its least and its greatest number.
RANGES = {name: _range_of(DTYPES[name]) for name in NUMERIC - {"BOOL"}}
#: Datatype -> what JSON it takes, in words.
EXPECTED = {
    "BOOL": "true or false for BOOL",
    "BYTES": 'a string or {"b64": "..."} for BYTES',
    **{name: f"a number for {name}" for name in FLOATS},
    **{
        name: f"an integer from {RANGES[name][0]} to {RANGES[name][1]} for {name}"
        for name in NUMERIC - FLOATS - {"BOOL"}
    },
}


def offence(
    flat: list[Any], index: int, shape: tuple[int, ...], datatype: str, field: str, expected: str
) -> InvalidInput:
    """The error for ``flat[index]`` of a list that had ``shape``."""
    where, position = place(field, index, shape)
    return InvalidInput(f"{where}: got {shown(flat[index])}{position}, expected {expected}")


def ragged(level: list[Any], shape: tuple[int, ...], field: str) -> InvalidInput:
    """The error for the first of these rows that is no list, or not as long as the first."""
    width = len(level[0])
    index = next(i for i, row in enumerate(level) if type(row) is not list or len(row) != width)
    row = level[index]
    where, position = place(field, index, shape)
    got = f"a list of {len(row)}" if type(row) is list else shown(row)
    return InvalidInput(f"{where}: got {got}{position}, expected a list of {width} like the first")


def place(field: str, index: int, shape: tuple[int, ...]) -> tuple[str, str]:
    """The field with the row's index in its brackets, and where in it the element stands: `` at [1][2]``."""
    indices = [int(i) for i in np.unravel_index(index, shape)]
    if "[]" in field:
        field = field.replace("[]", f"[{indices.pop(0)}]", 1)
    path = "".join(f"[{i}]" for i in indices)
    return field, f" at {path}" if path else ""


def whole(field: str) -> str:
    """The field as a whole, when the mistake is in no row of its own."""
    return field.replace("[]", "", 1)
