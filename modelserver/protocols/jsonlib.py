"""JSON in and out: the one place that knows which library does it.

``loads`` takes what RFC 8259 allows and nothing else. ``dumps`` takes what a model may return: numpy arrays and
scalars, text, bytes, times, sets and pandas objects included. NaN and the infinities, which JSON does not have,
become ``null``.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Mapping, Set, ValuesView
from typing import Any, TypeAlias

import numpy as np
import orjson

from modelserver.datatypes import BFLOAT16
from modelserver.errors import InvalidInput
from modelserver.messages import Json

#: What ``dumps`` takes: JSON, and the Python, numpy and pandas values that have one obvious JSON.
Jsonable: TypeAlias = object

_BOM = b"\xef\xbb\xbf"
_LONGEST_SHOWN = 40


def loads(body: bytes | bytearray | memoryview) -> Json:
    """The JSON value of ``body`` (UTF-8, a byte order mark is skipped).

    ``InvalidInput`` with the position for anything else: no JSON, NaN, numbers beyond a double, an empty body.
    Integers beyond 64 bits come back as ``float``.

    >>> loads(b'{"instances": [1]}')
    {'instances': [1]}
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        view = bytes(body)
        if view.startswith(_BOM):  # RFC 8259, 8.1: a parser may ignore it; PowerShell writes it
            return loads(view[len(_BOM) :])
        raise InvalidInput(f"body: Unrecognized request format: {exc}") from None


def dumps(value: Jsonable) -> bytes:
    """``value`` as JSON, without spaces. ``TypeError`` saying which type cannot be JSON.

    Arrays are written by the JSON library itself, not through lists. Bytes are text where they are UTF-8 and
    v1's ``{"b64": "..."}`` where they are not; a DataFrame is a list of row objects; times are ISO 8601.

    >>> dumps({"predictions": np.array([[1.5, np.nan]])})
    b'{"predictions":[[1.5,null]]}'
    """
    try:
        return orjson.dumps(_without_times(value), _default, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as exc:
        first = exc
    # Keys that are not text, foreign byte orders and missing times are refused without asking _default.
    try:
        return orjson.dumps(_plain(value), _default, orjson.OPT_SERIALIZE_NUMPY)
    except RecursionError:
        raise TypeError("this value cannot be JSON: it is nested too deeply, or holds itself") from first
    except TypeError as exc:
        raise TypeError(f"this value cannot be JSON: {exc.__cause__ or exc}") from first


def dumps_message(value: Jsonable) -> bytes:
    """``dumps`` for what a codec made of tensors: there are no times in it, so nobody looks for them."""
    try:
        return orjson.dumps(value, _default, orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:
        return dumps(value)


def dumps_spaced(value: Json) -> bytes:
    """Plain JSON as Python's own library writes it: a space after commas and colons, everything ASCII."""
    return json.dumps(value).encode()


def shown(value: Json) -> str:
    """A JSON value as an error message shows it: scalars as they were sent (cut when long), containers by kind.

    >>> shown(None), shown("a"), shown([1])
    ('null', '"a"', 'a list')
    """
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."


def text_of(element: bytes) -> str | dict[str, str]:
    """One BYTES element in v1's JSON: text where it is UTF-8, else ``{"b64": "..."}``."""
    try:
        return element.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(element).decode()}


def _default(value: object) -> object:
    """What the JSON library does not know itself; ``TypeError`` when nobody does."""
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return text_of(bytes(value))
    if isinstance(value, (Set, ValuesView, deque)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if type(value).__module__.partition(".")[0] == "pandas":
        return _pandas(value)
    if isinstance(value, np.generic):
        return _scalar(value)
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return isoformat()
    if hasattr(value, "__array__"):  # torch, jax and their like
        return _array(np.asarray(value))
    raise TypeError(f"got {type(value).__module__}.{type(value).__qualname__}, expected a JSON value")


def _array(array: np.ndarray) -> object:
    """An array that the JSON library refused as one that it takes, or as lists."""
    if array.ndim == 0:
        return array.item() if array.dtype.kind == "O" else _scalar(array[()])
    kind = array.dtype.kind
    if array.dtype == BFLOAT16:
        return np.ascontiguousarray(array, dtype=np.float32)
    if kind in "biuf" and array.dtype.itemsize <= 8:
        return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if kind == "f":  # long doubles: JSON readers have doubles
        return np.ascontiguousarray(array, dtype=np.float64)
    if kind in "Mm":
        text = array.astype(str).astype(object)
        text[np.isnat(array)] = None
        return text.tolist()
    if kind in "USTO":
        return array.tolist()
    raise TypeError(f"got an array of {array.dtype}, expected numbers, booleans, text or times")


def _scalar(scalar: Any) -> object:
    kind = scalar.dtype.kind
    if scalar.dtype == BFLOAT16 or kind == "f":
        return float(scalar)
    if kind in "Mm":
        return None if np.isnat(scalar) else str(scalar)
    if kind in "biuUS":
        return scalar.item()
    raise TypeError(f"got a scalar of {scalar.dtype}, expected a number, a boolean, text or a time")


def _pandas(value: object) -> object:
    if hasattr(value, "columns"):
        return value.to_dict("records")  # type: ignore[attr-defined]
    if hasattr(value, "to_numpy") and hasattr(value, "tolist"):  # Series and Index
        return value.tolist()
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def _without_times(value: object) -> object:
    """``value`` with its arrays of times as text: the JSON library would write NaT as 1970 without asking."""
    if isinstance(value, np.ndarray):
        return _array(value) if value.dtype.kind == "M" else value
    if type(value) is dict:
        for element in value.values():
            if type(element) is dict or (isinstance(element, np.ndarray) and element.dtype.kind == "M"):
                return {key: _without_times(element) for key, element in value.items()}
    return value


def _plain(value: object) -> object:
    """``value`` again with text keys and native arrays, all the way down: the slow road for rare values."""
    if isinstance(value, Mapping):
        return {_key(key): _plain(element) for key, element in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(element) for element in value]
    if isinstance(value, np.ndarray):
        plain = _array(value)
        return [_plain(element) for element in plain] if isinstance(plain, list) else plain
    if isinstance(value, np.generic):
        return _scalar(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    try:
        converted = _default(value)
    except TypeError:
        return value  # the JSON library knows more than _default does: dataclasses, enums, UUIDs
    return converted if isinstance(converted, str) else _plain(converted)


def _key(key: object) -> str:
    if isinstance(key, str):
        return str.__str__(key)  # the JSON library takes no subclass for a key
    if isinstance(key, (bytes, bytearray)):
        return bytes(key).decode(errors="replace")
    text = dumps(key).decode()
    return text[1:-1] if text.startswith('"') else text
