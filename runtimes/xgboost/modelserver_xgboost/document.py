"""The document in an XGBoost model file, JSON or UBJSON, read without XGBoost.

Source of the layout: XGBoost's "Introduction to Model IO" and the model schema there; UBJSON draft 12, of which
XGBoost writes objects, strings, numbers, and arrays whose length (and often type) stands in front. Numbers are
big-endian. Typed arrays become numpy arrays that share the file's bytes.
"""

import json
import struct
from typing import Any, TypeAlias

import numpy as np

#: A JSON value; arrays of numbers may be numpy's.
Value: TypeAlias = Any

_DTYPES = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
_NUMBERS = {"i": ">b", "U": ">B", "I": ">h", "l": ">i", "L": ">q", "d": ">f", "D": ">d"}
_CONSTANTS = {"T": True, "F": False, "Z": None}
#: A model nests about ten deep; what nests much deeper is no model.
_DEEPEST = 64


def read_document(data: bytes | bytearray) -> dict[str, Value]:
    """The object in a model file; ``ValueError`` says where and why it is none."""
    if not data:
        raise ValueError("the file is empty")
    if data.startswith(b"binf"):
        raise ValueError(
            "XGBoost's binary format, which XGBoost 3.1 dropped: load it with XGBoost 3.0 or older"
            " and save it again, save_model('model.ubj')"
        )
    if data[:1] != b"{":
        raise ValueError(f"expected JSON or UBJSON, which begin with {{, got {bytes(data[:8])!r}")
    if data[1:2] != b'"' and not data[1:2].isspace():
        return _Reader(data).document()
    try:
        document = json.loads(data)
    except RecursionError:
        raise ValueError("JSON that nests too deep for a model") from None
    except ValueError as exc:
        raise ValueError(f"the JSON is broken or cut short: {exc}") from None
    assert isinstance(document, dict)
    return document


class _Reader:
    """Walks over UBJSON; every length is held against what is left of the file."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._position = 0

    def document(self) -> dict[str, Value]:
        try:
            document = self._value(self._marker(), 0)
        except ValueError as exc:
            raise ValueError(f"the UBJSON is broken or cut short: {exc} at byte {self._position}") from None
        assert isinstance(document, dict)
        return document

    def _value(self, marker: str, depth: int) -> Value:
        if depth > _DEEPEST:
            raise ValueError("it nests too deep for a model")
        if marker == "{":
            return self._object(depth + 1)
        if marker == "[":
            return self._array(depth + 1)
        if marker in _NUMBERS:
            return self._number(marker)
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == "S":
            return self._text(self._marker())
        raise ValueError(f"no type is marked {marker!r}")

    def _object(self, depth: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while (marker := self._marker()) != "}":
            key = self._text(marker)
            found[key] = self._value(self._marker(), depth)
        return found

    def _array(self, depth: int) -> list[Value] | np.ndarray:
        marker = self._marker()
        kind = ""
        if marker == "$":
            kind, marker = self._marker(), self._marker()
        if marker == "#":
            count = self._length(self._marker())
            if kind in _DTYPES:
                dtype = np.dtype(_DTYPES[kind])
                return np.frombuffer(self._take(count * dtype.itemsize), dtype)
            if count > len(self._data) - self._position:
                raise ValueError(f"an array of {count} is longer than the file")
            return [self._value(kind or self._marker(), depth) for _ in range(count)]
        if kind:
            raise ValueError("an array with a type and no length")
        values = []
        while marker != "]":
            values.append(self._value(marker, depth))
            marker = self._marker()
        return values

    def _text(self, marker: str) -> str:
        return str(self._take(self._length(marker)), "utf-8")

    def _length(self, marker: str) -> int:
        if marker not in "iUIlL":
            raise ValueError(f"expected a length, got {marker!r}")
        length = int(self._number(marker))
        if length < 0:
            raise ValueError(f"a length of {length}")
        return length

    def _number(self, marker: str) -> int | float:
        form = struct.Struct(_NUMBERS[marker])
        number: int | float = form.unpack(self._take(form.size))[0]
        return number

    def _marker(self) -> str:
        return chr(self._take(1)[0])

    def _take(self, count: int) -> memoryview:
        end = self._position + count
        if end > len(self._data):
            raise ValueError(f"{count} bytes expected, {len(self._data) - self._position} are left")
        taken = memoryview(self._data)[self._position : end]
        self._position = end
        return taken
