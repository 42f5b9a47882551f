"""``Tensor``: a named, typed, shaped array; raw buffers in and out without a copy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from modelserver.datatypes import DTYPES, datatype_of, dtype_of, pack_bytes, to_bytes_array, unpack_bytes
from modelserver.errors import InvalidInput

#: The values that request, tensor and response parameters may have.
Parameter: TypeAlias = bool | int | float | str
Parameters: TypeAlias = Mapping[str, Parameter]

NO_PARAMETERS: Parameters = {}


class Tensor:
    """A named tensor. ``data`` is a numpy array, or anything ``numpy.asarray`` takes.

    ``datatype`` is the protocol's name and follows from the array when not given; an array of another dtype
    is converted to it. Text and date-times become BYTES: an object array of ``bytes``. ``ValueError`` or
    ``TypeError`` when the data cannot be that datatype.

    >>> Tensor(name="y", datatype="FP32", data=[1, 2]).shape
    (2,)
    """

    __slots__ = ("data", "datatype", "name", "parameters")

    def __init__(
        self,
        name: str,
        data: object,
        datatype: str | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        array = data if type(data) is np.ndarray else as_array(data)
        if datatype is None:
            datatype = datatype_of(array.dtype)
        wanted = DTYPES.get(datatype)
        if wanted is None:
            wanted = dtype_of(datatype)
        if datatype == "BYTES":
            array = _bytes_array(array)
        elif array.dtype is not wanted and array.dtype != wanted:
            array = array.astype(wanted)
        self.name = name
        self.data: np.ndarray = array
        self.datatype = datatype
        self.parameters: Parameters = NO_PARAMETERS if parameters is None else parameters

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes per axis; never -1, which stands in metadata only."""
        return self.data.shape

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; of BYTES elements their packed length."""
        if self.datatype != "BYTES":
            return self.data.nbytes
        return sum(4 + len(element) for element in self.data.flat)

    @classmethod
    def from_buffer(
        cls,
        name: str,
        datatype: str,
        shape: Sequence[int],
        buffer: bytes | memoryview,
        *,
        field: str = "data",
        parameters: Parameters | None = None,
    ) -> Tensor:
        """A read-only view of ``buffer`` (row-major, little-endian), not a copy; ``InvalidInput`` names ``field``."""
        dtype = dtype_of(datatype)
        count = math.prod(shape)
        if datatype == "BYTES":
            data = unpack_bytes(buffer, field, count).reshape(tuple(shape))
        else:
            expected = count * dtype.itemsize
            if len(buffer) != expected:
                raise InvalidInput(
                    f"{field}: got {len(buffer)} bytes, expected {expected} for {datatype} of shape {list(shape)}"
                )
            data = np.ndarray(tuple(shape), dtype, buffer)  # half the price of frombuffer and reshape
        return cls(name, data, datatype, parameters)

    def to_buffer(self) -> bytes | memoryview:
        """The elements as they travel in binary: a view of the array's memory where it is contiguous."""
        if self.datatype == "BYTES":
            return pack_bytes(self.data.flat)
        array = np.ascontiguousarray(self.data)
        # bfloat16 has no code in the buffer protocol, so every array is shown as bytes.
        return memoryview(array.reshape(-1).view(np.uint8).data)

    def __repr__(self) -> str:
        return f"Tensor(name={self.name!r}, datatype={self.datatype!r}, shape={list(self.shape)})"


def as_array(data: object) -> np.ndarray:
    r"""``data`` as numpy has it, but for lists of text: numpy's own text ends at the last character that is not NUL.

    >>> Tensor("x", [b"a\x00"]).data.tolist()
    [b'a\x00']
    """
    array = np.asarray(data)
    if array.dtype.kind in "SU" and isinstance(data, (list, tuple, bytes, str)):
        return np.array(data, dtype=object)
    return array


def _bytes_array(array: np.ndarray) -> np.ndarray:
    if array.dtype == object and all(type(element) is bytes for element in array.flat):
        return array
    return to_bytes_array(array)
