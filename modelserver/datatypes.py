"""Datatypes of the Open Inference Protocol: name, numpy dtype, width in bytes; and the packing of BYTES.

Source of the names and widths: Open Inference Protocol, "Tensor Data Types". BYTES elements are packed as a
4-byte little-endian length followed by that many bytes (Triton's binary tensor data extension).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import ml_dtypes
import numpy as np

from modelserver.errors import InvalidInput

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

#: Protocol name -> numpy dtype. BYTES is an object array whose elements are ``bytes``.
DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "BF16": BFLOAT16,
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(object),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
NUMERIC = frozenset(DTYPES) - {"BYTES"}
FLOATS = frozenset({"FP16", "BF16", "FP32", "FP64"})


def dtype_of(datatype: str) -> np.dtype:
    """The numpy dtype of a protocol datatype; ``InvalidInput`` for a name the protocol does not have."""
    try:
        return DTYPES[datatype]
    except (KeyError, TypeError):
        raise InvalidInput(f"datatype: got {datatype!r}, expected one of {', '.join(DTYPES)}") from None


def datatype_of(dtype: np.dtype) -> str:
    """The protocol datatype of a numpy dtype: text, objects and date-times are BYTES.

    Raises ``TypeError`` for what the protocol cannot carry (complex numbers, structures, long doubles).
    """
    name = _NAMES.get(dtype)
    if name is not None:
        return name
    if dtype.kind in "USOMmT":
        return "BYTES"
    little = _NAMES.get(dtype.newbyteorder("<"))
    if little is not None:
        return little
    raise TypeError(f"an array of {dtype} has no datatype in the protocol")


def pack_bytes(elements: Iterable[bytes]) -> bytes:
    """BYTES elements as they travel: each with its length in four bytes before it."""
    return b"".join(part for element in elements for part in (struct.pack("<I", len(element)), element))


def unpack_bytes(buffer: bytes | memoryview, field: str, count: int) -> np.ndarray:
    """``count`` BYTES elements out of ``buffer``, as an object array [count] of ``bytes``.

    Raises ``InvalidInput`` naming ``field`` when the lengths do not add up to the buffer.
    """
    view = memoryview(buffer)
    end = len(view)
    if count > end // 4:  # every element costs four bytes at least: no array is made for a lie
        raise InvalidInput(f"{field}: {end} bytes hold fewer than the {count} BYTES elements of the shape")
    elements = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        start = position + 4
        if start > end:
            raise InvalidInput(f"{field}: ends after {index} of {count} BYTES elements")
        position = start + int.from_bytes(view[start - 4 : start], "little")
        if position > end:
            raise InvalidInput(f"{field}: element {index} says {position - start} bytes, {end - start} are left")
        elements[index] = bytes(view[start:position])
    if position != end:
        raise InvalidInput(f"{field}: {end - position} bytes are left after its {count} BYTES elements")
    return elements


def to_bytes_array(array: np.ndarray) -> np.ndarray:
    """An array of text, date-times or objects as an object array of ``bytes`` (UTF-8; ISO 8601 for times)."""
    if array.dtype.kind in "Mm":
        array = array.astype(str)
    flat = np.empty(array.size, dtype=object)
    for index, element in enumerate(array.ravel().tolist()):
        flat[index] = _as_bytes(element)
    return flat.reshape(array.shape)


def _as_bytes(element: object) -> bytes:
    if isinstance(element, bytes):
        return element
    if isinstance(element, str):
        return element.encode()
    kind = type(element)
    plain = kind.__repr__ is object.__repr__ and kind.__str__ is object.__str__  # it would only say where it lies
    if plain or issubclass(kind, (dict, list, tuple, set)):
        raise TypeError(f"got {kind.__name__} in BYTES, expected text, bytes, a number or a time")
    isoformat = getattr(element, "isoformat", None)
    return (isoformat() if isoformat else "" if element is None else str(element)).encode()
