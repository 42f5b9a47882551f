"""UBJSON as XGBoost writes it, read into plain values; long numeric arrays are stepped over.

The format: Universal Binary JSON, draft 12 (big-endian; an array may say its type and its length in front).
"""

from __future__ import annotations

import struct
from typing import TypeAlias, Union

from modelserver.inspection.findings import Unreadable

Value: TypeAlias = Union[bool, int, float, str, list["Value"], dict[str, "Value"], None]  # noqa: UP007 - recursive

_NUMBERS = {
    b"i": struct.Struct(">b"),
    b"U": struct.Struct(">B"),
    b"I": struct.Struct(">h"),
    b"l": struct.Struct(">i"),
    b"L": struct.Struct(">q"),
    b"d": struct.Struct(">f"),
    b"D": struct.Struct(">d"),
}
_CONSTANTS: dict[bytes, Value] = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 64
#: Longer numeric arrays (weights, splits) become empty lists.
SHORT = 64


def parse(data: bytes) -> dict[str, Value]:
    r"""The object at the beginning of ``data``; ``Unreadable`` where it stops making sense.

    >>> parse(b"{i\x01ai\x05}")
    {'a': 5}
    """
    reader = _Reader(data)
    try:
        value = reader.value(reader.take(1), 0)
    except (IndexError, struct.error, UnicodeDecodeError, KeyError) as exc:
        raise Unreadable(f"UBJSON that makes no sense at byte {reader.position}") from exc
    if not isinstance(value, dict):
        raise Unreadable("UBJSON without an object")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, count: int) -> bytes:
        start = self.position
        end = start + count
        if count < 0 or end > len(self._data):
            raise Unreadable(f"cut short: ends at byte {len(self._data)}, in the middle of a value")
        self.position = end
        return self._data[start:end]

    def value(self, marker: bytes, depth: int) -> Value:
        if depth > _DEEPEST:
            raise Unreadable(f"UBJSON nested deeper than {_DEEPEST}")
        if marker == b"{":
            return self._object(depth)
        if marker == b"[":
            return self._array(depth)
        if marker in (b"S", b"H"):
            return self.take(self._length()).decode()
        if marker == b"C":
            return self.take(1).decode()
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        return self._number(marker)

    def _number(self, marker: bytes) -> int | float:
        number = _NUMBERS[marker]
        value: int | float = number.unpack(self.take(number.size))[0]
        return value

    def _length(self) -> int:
        return int(self._number(self.take(1)))

    def _header(self) -> tuple[bytes, int | None, bytes]:
        """The type and the length that a container says, and the marker behind them."""
        kind, count, marker = b"", None, self.take(1)
        if marker == b"$":
            kind, marker = self.take(1), self.take(1)
        if marker == b"#":
            count, marker = self._length(), b""
            if count > len(self._data):
                raise Unreadable(f"UBJSON that says {count} values, and has {len(self._data)} bytes")
        return kind, count, marker

    def _object(self, depth: int) -> dict[str, Value]:
        kind, count, marker = self._header()
        found: dict[str, Value] = {}
        while count is None or len(found) < count:
            marker = marker or self.take(1)
            if count is None and marker == b"}":
                break
            key = self.take(int(self._number(marker))).decode()
            found[key] = self.value(kind or self.take(1), depth + 1)
            marker = b""
        return found

    def _array(self, depth: int) -> list[Value]:
        kind, count, marker = self._header()
        if kind in _NUMBERS and count is not None:
            number = _NUMBERS[kind]
            raw = self.take(number.size * count)
            return [each[0] for each in number.iter_unpack(raw)] if count <= SHORT else []
        found: list[Value] = []
        while count is None or len(found) < count:
            marker = marker or kind or self.take(1)
            if count is None and marker == b"]":
                break
            found.append(self.value(marker, depth + 1))
            marker = b""
        return found
