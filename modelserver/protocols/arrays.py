"""JSON data <-> numpy arrays of a protocol datatype, strictly: nothing is truncated, wrapped or guessed.

The fast road is one pass of C over the numbers: ``array.array`` takes exactly integers for its integer codes and
exactly numbers for ``d`` (``numpy.array`` would turn strings and nulls into numbers, and make a long string cost
its length for every element). What it refuses takes the slow road, which finds the first offending value.
"""

from __future__ import annotations

import base64
import binascii
from array import array as typed_array
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from modelserver.datatypes import BFLOAT16, DTYPES, FLOATS, dtype_of
from modelserver.errors import InvalidInput
from modelserver.messages import Json
from modelserver.protocols.jsonlib import shown
from modelserver.protocols.offences import EXPECTED, RANGES, offence, ragged, whole

#: A JSON list laid out flat, and the shape it had.
Flat: TypeAlias = tuple[list[Any], tuple[int, ...]]


#: How ``array.array`` calls each datatype; floating-point datatypes start as doubles.
_CODES = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "d",
    "BF16": "d",
    "FP32": "d",
    "FP64": "d",
}
_NARROW = frozenset({"FP16", "BF16", "FP32"})
#: numpy's own limit on axes.
_MOST_AXES = 64
#: Doubles are exact integers up to here; beyond, a literal with a point may have been another integer.
_EXACT = 2**53
#: Up to this many numbers, looking at every type first is quicker than asking numpy afterwards.
FEW = 64

_NUMBERS = frozenset({int, float})
FEW_TAKES = {name: _NUMBERS if code == "d" else frozenset({int}) for name, code in _CODES.items()}


class NotText(ValueError):
    """BYTES elements that are not UTF-8: JSON has no place for them as they are."""


def array_of(data: Json, datatype: str, field: str, *, nulls: bool = False) -> np.ndarray:
    """A JSON list as an array of ``datatype``, of the shape in which the lists nest.

    Floating-point datatypes take numbers and null (NaN); integers take integers, and other numbers that are whole;
    BOOL takes booleans; BYTES takes strings and ``{"b64": "..."}``, and with ``nulls`` also null (``None``).
    ``InvalidInput`` names ``field``, the first offending value, where it is, and what was expected. In a
    ``field`` such as ``instances[].a`` the brackets get the index of the row.

    >>> array_of([[1, 2.5], [None, 4]], "FP32", "inputs[0].data").tolist()
    [[1.0, 2.5], [nan, 4.0]]
    """
    flat, shape = flattened(data, field)
    return array_of_flat(flat, shape, datatype, field, nulls=nulls)


def array_of_flat(
    flat: list[Any], shape: tuple[int, ...], datatype: str, field: str, *, nulls: bool = False
) -> np.ndarray:
    """The same for a list that ``flattened`` has laid out."""
    if not flat:
        return np.empty(shape, dtype_of(datatype))
    takes = FEW_TAKES.get(datatype)
    if takes is None:
        array = _booleans(flat, shape, field) if datatype == "BOOL" else _bytes(flat, shape, datatype, field, nulls)
    elif len(flat) <= FEW and takes.issuperset(map(type, flat)):
        array = _few(flat, shape, datatype, field)
    else:
        array = _many(flat, shape, datatype, field)
    return array if len(shape) == 1 else array.reshape(shape)


def flattened(data: Json, field: str) -> Flat:
    """Nested lists as one flat list and their shape; ``InvalidInput`` when they are ragged, or no list at all."""
    if type(data) is not list:
        raise InvalidInput(f"{whole(field)}: got {shown(data)}, expected a list")
    level: list[Any] = data
    shape = [len(level)]
    while level and type(level[0]) is list:
        if len(shape) == _MOST_AXES:
            raise InvalidInput(f"{whole(field)}: nests deeper than the {_MOST_AXES} axes an array can have")
        if len(level) == 1:
            level = level[0]
            shape.append(len(level))
            continue
        width = len(level[0])
        rows = level
        level = []
        for row in rows:
            if type(row) is not list or len(row) != width:
                raise ragged(rows, tuple(shape), field)
            level += row
        shape.append(width)
    return level, tuple(shape)


def natural_datatype(flat: Sequence[Any]) -> str | None:
    """The datatype that JSON values have by themselves; ``None`` when they are of several kinds.

    Integers are INT64 (UINT64 where one needs it), other numbers and numbers with nulls FP64, strings (with or
    without nulls) and ``{"b64": ...}`` BYTES, booleans BOOL; nothing at all is FP64.
    """
    types = set(map(type, flat))
    if types == {int}:
        return "UINT64" if max(flat) > 0x7FFFFFFFFFFFFFFF else "INT64"
    if types <= {int, float, type(None)}:
        return "FP64"
    if types <= {str, dict, type(None)}:
        return "BYTES"
    return "BOOL" if types == {bool} else None


def json_data(array: np.ndarray, datatype: str) -> np.ndarray | list[str]:
    """The elements, flat in row-major order, as something ``jsonlib.dumps`` writes; NaN becomes null there.

    Raises ``NotText`` for BYTES that are not UTF-8, which the codec has to carry in some other way.
    """
    if datatype == "BYTES":
        try:
            return [element.decode() for element in array.ravel().tolist()]
        except UnicodeDecodeError as exc:
            raise NotText(str(exc)) from None
    if array.dtype == BFLOAT16:
        array = array.astype(np.float32)
    # ravel copies only what is not contiguous; the JSON library reads native byte order.
    flat = array.ravel()
    return flat if flat.dtype.isnative else flat.astype(flat.dtype.newbyteorder("="))


def _few(flat: list[Any], shape: tuple[int, ...], datatype: str, field: str) -> np.ndarray:
    """A few numbers that are known to be of the right type."""
    if datatype in _NARROW:
        low, high = RANGES[datatype]
        if min(flat) < low or max(flat) > high:  # it may still round to a number within the range
            return _many(flat, shape, datatype, field)
    try:
        return np.array(flat, DTYPES[datatype])
    except OverflowError:
        return _many(flat, shape, datatype, field)


def _many(flat: list[Any], shape: tuple[int, ...], datatype: str, field: str) -> np.ndarray:
    """Many numbers, or some that the shortest road does not take."""
    code = _CODES[datatype]
    try:
        array = np.frombuffer(typed_array(code, flat), DTYPES["FP64" if code == "d" else datatype])
    except (TypeError, OverflowError):
        array = _numbers(flat, shape, datatype, field)
    else:
        if _hides_booleans(flat, array):
            _refuse(flat, shape, datatype, field, _number if code == "d" else _integer)
    return _narrowed(array, flat, shape, datatype, field) if datatype in _NARROW else array


def _hides_booleans(flat: list[Any], array: np.ndarray) -> bool:
    """Whether a ``true`` or ``false`` was taken for 1 or 0: only elements of these two values need a look."""
    suspects = np.flatnonzero((array == 0) | (array == 1))
    if suspects.size * 8 > array.size:
        return bool in set(map(type, flat))
    return any(type(flat[index]) is bool for index in suspects.tolist())


@np.errstate(over="raise", invalid="ignore")
def _cast(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return array.astype(dtype)


def _narrowed(array: np.ndarray, flat: list[Any], shape: tuple[int, ...], datatype: str, field: str) -> np.ndarray:
    try:
        narrow = _cast(array, DTYPES[datatype])
    except FloatingPointError:
        narrow = None
    # A cast to bfloat16 says nothing when it ends at infinity.
    if narrow is not None and (datatype != "BF16" or not np.isinf(narrow).any()):
        return narrow
    with np.errstate(over="ignore"):
        index = int(np.flatnonzero(np.isinf(array.astype(DTYPES[datatype])))[0])
    raise offence(flat, index, shape, datatype, field, f"a number within the range of {datatype}")


def _booleans(flat: list[Any], shape: tuple[int, ...], field: str) -> np.ndarray:
    if set(map(type, flat)) != {bool}:
        _refuse(flat, shape, "BOOL", field, _boolean)
    return np.array(flat, dtype=np.bool_)


def _numbers(flat: list[Any], shape: tuple[int, ...], datatype: str, field: str) -> np.ndarray:
    """The slow road for numbers: nulls, whole floats for integers, and everything that is refused."""
    if datatype in FLOATS:
        if not set(map(type, flat)) <= {int, float, type(None)}:
            _refuse(flat, shape, datatype, field, _number)
        return np.array(flat, dtype=np.float64)  # numpy's own: None is NaN
    if not set(map(type, flat)) <= {int, float}:
        _refuse(flat, shape, datatype, field, _integer)
    try:
        whole = [value if type(value) is int else _whole(value) for value in flat]
        return np.frombuffer(typed_array(_CODES[datatype], whole), DTYPES[datatype])
    except (ValueError, OverflowError):
        low, high = RANGES[datatype]
        _refuse(flat, shape, datatype, field, lambda value: _integer(value) and low <= value <= high)
        raise


def _bytes(flat: list[Any], shape: tuple[int, ...], datatype: str, field: str, nulls: bool) -> np.ndarray:
    dtype = dtype_of(datatype)  # an unknown datatype ends here
    array = np.empty(len(flat), dtype)
    if set(map(type, flat)) == {str}:
        array[:] = [text.encode() for text in flat]
        return array
    for index, value in enumerate(flat):
        if type(value) is str:
            array[index] = value.encode()
        elif is_base64(value):
            try:
                array[index] = base64.b64decode(value["b64"], validate=True)
            except (binascii.Error, ValueError):
                refusal = offence(flat, index, shape, datatype, field, "base64 in b64")
                raise refusal from None
        elif value is not None or not nulls:
            raise offence(flat, index, shape, datatype, field, EXPECTED["BYTES"])
    return array


def is_base64(value: Json) -> bool:
    """Whether ``value`` is v1's object for bytes that are no text: ``{"b64": "..."}``."""
    return type(value) is dict and len(value) == 1 and type(value.get("b64")) is str


def _number(value: Json) -> bool:
    return value is None or type(value) in (int, float)


def _integer(value: Json) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer() and abs(value) <= _EXACT)


def _boolean(value: Json) -> bool:
    return type(value) is bool


def _whole(value: float) -> int:
    if not _integer(value):
        raise ValueError
    return int(value)


def _refuse(
    flat: list[Any], shape: tuple[int, ...], datatype: str, field: str, accepts: Callable[[Json], bool]
) -> None:
    """Raises for the first element that is not accepted."""
    for index, value in enumerate(flat):
        if not accepts(value):
            raise offence(flat, index, shape, datatype, field, EXPECTED[datatype])
