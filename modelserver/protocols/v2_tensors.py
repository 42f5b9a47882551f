"""Tensors out of a v2 REST body: JSON data, or a stretch of the binary tail.

Fields are named from the tensor inwards (``data``, ``shape``); which tensor it is, is only worked out for an error.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np

from modelserver.datatypes import DTYPES
from modelserver.errors import InvalidInput
from modelserver.protocols.arrays import FEW, FEW_TAKES, array_of
from modelserver.protocols.offences import RANGES
from modelserver.protocols.v2_fields import datatype_field, kind_of, name_field, parameters_field, shape_field
from modelserver.tensor import Parameters, Tensor

#: Of more axes than every numpy has, the long road speaks.
FEWEST_AXES = 32


def read_tensors(entries: list[Any], tail: memoryview | None, field: str) -> list[Tensor]:
    """The tensors in a list called ``field``; binary ones are views of ``tail``. ``InvalidInput`` names the field."""
    tensors: list[Tensor] = []
    position = 0
    for index, entry in enumerate(entries):
        try:
            tensor, size = _tensor(entry, tail, position)
        except InvalidInput as exc:
            raise InvalidInput(f"{field}[{index}]{exc.message}") from exc
        if index and any(tensor.name == other.name for other in tensors):
            raise InvalidInput(f"{field}[{index}].name: {tensor.name!r} stands twice in {field}")
        tensors.append(tensor)
        position += size
    if tail is not None and position != len(tail):
        raise InvalidInput(f"body: {len(tail) - position} bytes are left after the {field} that say binary_data_size")
    return tensors


def _tensor(entry: Any, tail: memoryview | None, position: int) -> tuple[Tensor, int]:
    """One tensor, and how many bytes of the tail it took."""
    if type(entry) is not dict:
        raise InvalidInput(f": got {kind_of(entry)}, expected an object with name, shape, datatype and data")
    if len(entry) == 4 and (plain := _plain(entry)) is not None:
        return plain, 0
    get = entry.get
    name = name_field(get("name"), "")
    datatype = datatype_field(get("datatype"), "")
    shape = shape_field(get("shape"), "")
    given = get("parameters")
    if not given:
        return _from_json(name, datatype, shape, entry, None), 0
    parameters = parameters_field(given, ".parameters")
    size = parameters.pop("binary_data_size", None)
    if size is None:
        return _from_json(name, datatype, shape, entry, parameters), 0
    buffer = _stretch(entry, tail, position, size)
    try:
        return Tensor.from_buffer(name, datatype, shape, buffer, field="", parameters=parameters), size
    except (ValueError, OverflowError) as exc:
        raise _shape_error(exc, shape) from exc


def _plain(entry: dict[str, Any]) -> Tensor | None:
    """What nearly everybody sends, by the shortest road: a few numbers in a flat list, no parameters.

    ``None`` for everything else, right or wrong: the long road reads it, or says what is wrong with it.
    """
    datatype, shape, data, name = entry.get("datatype"), entry.get("shape"), entry.get("data"), entry.get("name")
    if type(datatype) is not str or (takes := FEW_TAKES.get(datatype)) is None:
        return None
    if type(data) is not list or type(shape) is not list or type(name) is not str or not name:
        return None
    if not 0 < len(data) <= FEW or len(shape) > FEWEST_AXES or not takes.issuperset(map(type, data)):
        return None
    count = 1
    for size in shape:
        if type(size) is not int or size < 0:
            return None
        count *= size
    low, high = RANGES[datatype]
    if count != len(data) or min(data) < low or max(data) > high:
        return None
    return Tensor(name, np.array(data, DTYPES[datatype]).reshape(shape), datatype)


def _stretch(entry: dict[str, Any], tail: memoryview | None, position: int, size: Any) -> memoryview:
    where = ".parameters.binary_data_size"
    if tail is None:
        raise InvalidInput(f"{where}: the Inference-Header-Content-Length header is missing")
    if type(size) is not int or size < 0:
        raise InvalidInput(f"{where}: got {size!r}, expected a number of bytes")
    if "data" in entry:
        raise InvalidInput(": has data and a binary_data_size, expected one of them")
    if position + size > len(tail):
        raise InvalidInput(f"{where}: got {size}, only {len(tail) - position} bytes are left")
    return tail[position : position + size]


def _from_json(
    name: str, datatype: str, shape: list[int], entry: dict[str, Any], parameters: Parameters | None
) -> Tensor:
    data = entry.get("data")
    if type(data) is not list:
        if "data" not in entry:
            raise InvalidInput(".data: missing; expected a list, or parameters.binary_data_size")
        raise InvalidInput(f".data: got {kind_of(data)}, expected a list")
    if parameters and datatype == "BYTES" and parameters.get("content_type") == "base64":
        data = _from_base64(data)
    array = array_of(data, datatype, ".data")
    if array.shape == tuple(shape):
        return Tensor(name, array, datatype, parameters)
    count = math.prod(shape)
    if array.size != count:
        raise InvalidInput(f".data: got {array.size} elements, expected {count} for shape {shape}")
    if array.ndim != 1 and array.size:
        raise InvalidInput(f".data: is nested as {list(array.shape)}, expected {shape} or a flat list")
    try:
        return Tensor(name, array.reshape(shape), datatype, parameters)
    except (ValueError, OverflowError) as exc:
        raise _shape_error(exc, shape) from exc


def _shape_error(exc: Exception, shape: list[int]) -> InvalidInput:
    if isinstance(exc, InvalidInput):
        return exc
    return InvalidInput(f".shape: got {shape}, which no array can have")


def _from_base64(data: Any) -> Any:
    if type(data) is list:
        return [_from_base64(item) for item in data]
    if type(data) is not str:
        return data  # array_of refuses it and names the field
    try:
        # array_of takes v1's form of base64; text that is not base64 must be told apart here.
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise InvalidInput(f".data: got {data[:40]!r}, expected base64") from exc
    return {"b64": data}
