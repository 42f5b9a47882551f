"""What requests and responses of the gRPC codec have in common: parameters, and tensors typed or raw.

A tensor's elements travel in the one field of ``contents`` that its datatype has (typed), or as bytes in
``raw_input_contents`` or ``raw_output_contents`` (raw). FP16 and BF16 have no field and are always raw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import numpy as np

from modelserver.datatypes import DTYPES
from modelserver.errors import InvalidInput
from modelserver.protocols._pb.inference_pb2 import InferParameter, InferTensorContents
from modelserver.tensor import Parameter, Parameters, Tensor

#: Datatype -> the field of its typed contents.
FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
# Narrower than their field: the values are checked against the datatype's range.
_NARROW = {"INT8": np.dtype("<i4"), "INT16": np.dtype("<i4"), "UINT8": np.dtype("<u4"), "UINT16": np.dtype("<u4")}
# Fields that are packed on the wire just as the array lies in memory, and their tags (length-delimited).
_PACKED_TAGS = {"FP32": b"\x32", "FP64": b"\x3a"}
_SMALL = 16 * 1024
_KINDS = "bool_param, int64_param, string_param, double_param, uint64_param"
# Set by the wire's own binary form; not the author's business.
BINARY_DATA_SIZE = "binary_data_size"


def decode_tensors(tensors: Sequence[Any], raw: Sequence[bytes], field: str, raw_field: str) -> list[Tensor]:
    """The tensors of a message; raw elements are views, not copies. ``InvalidInput`` names the field."""
    count = len(tensors)
    has_raw = len(raw) > 0
    if has_raw and len(raw) != count:
        raise InvalidInput(f"{raw_field}: got {len(raw)} entries, expected one for each of the {count} {field}")
    decoded: list[Tensor] = []
    # By index, and the shape by a slice: protobuf's containers are slow to iterate.
    for index in range(count):
        tensor = tensors[index]
        where = f"{field}[{index}]"
        name = tensor.name
        if not name:
            raise InvalidInput(f"{where}.name: got an empty string, expected the name of a tensor")
        if index and any(name == before.name for before in decoded):
            raise InvalidInput(f"{where}.name: {name!r} stands twice in {field}")
        datatype = tensor.datatype
        if datatype not in DTYPES:
            datatype = _datatype(datatype, where)
        shape = tensor.shape[:]
        if shape and min(shape) < 0:
            raise InvalidInput(f"{where}.shape: got {shape}, expected sizes of 0 or more")
        given = tensor.parameters
        parameters = decode_parameters(given, f"{where}.parameters") if given else None
        if parameters is not None:
            parameters.pop(BINARY_DATA_SIZE, None)
        try:
            if not has_raw:
                data = decode_contents(tensor.contents, datatype, shape, where)
                decoded.append(Tensor(name, data, datatype, parameters))
                continue
            if tensor.HasField("contents") and tensor.contents.ListFields():
                raise InvalidInput(f"{where}.contents: is set beside {raw_field}, expected one of them")
            decoded.append(
                Tensor.from_buffer(
                    name, datatype, shape, raw[index], field=f"{raw_field}[{index}]", parameters=parameters
                )
            )
        except (ValueError, OverflowError) as exc:
            if isinstance(exc, InvalidInput):
                raise
            raise InvalidInput(f"{where}.shape: got {shape}, which no array can have") from exc
    return decoded


def _datatype(given: str, where: str) -> str:
    upper = given.upper()  # KServe's clients may write fp32
    if upper not in DTYPES:
        raise InvalidInput(f"{where}.datatype: got {given[:40]!r}, expected one of {', '.join(DTYPES)}")
    return upper


def decode_contents(contents: InferTensorContents, datatype: str, shape: Sequence[int], where: str) -> np.ndarray:
    """Typed elements as an array of ``shape``; ``InvalidInput`` for the wrong field, count or range."""
    field = FIELDS.get(datatype)
    if field is None:
        raise InvalidInput(f"{where}.contents: {datatype} has no typed contents, expected raw contents")
    count = math.prod(shape)
    given = [descriptor.name for descriptor, _ in contents.ListFields()]
    if given and given != [field]:
        raise InvalidInput(f"{where}.contents: got {', '.join(given)}, expected {field} for {datatype}")
    values = getattr(contents, field)
    if len(values) != count:
        raise InvalidInput(
            f"{where}.contents.{field}: got {len(values)} elements, expected {count}"
            f" for {datatype} of shape {list(shape)}"
        )
    if datatype == "BYTES":
        return np.fromiter(values, dtype=object, count=count).reshape(shape)
    array = np.array(values, dtype=_NARROW.get(datatype, DTYPES[datatype]))
    if datatype in _NARROW and count:
        limits = np.iinfo(DTYPES[datatype])
        for value in (int(array.min()), int(array.max())):
            if not limits.min <= value <= limits.max:
                raise InvalidInput(
                    f"{where}.contents.{field}: got {value}, expected {limits.min} to {limits.max} for {datatype}"
                )
    return array.reshape(shape)


def encode_contents(tensor: Tensor, contents: InferTensorContents) -> None:
    """Fill the field of the tensor's datatype with its elements, row-major."""
    tag = _PACKED_TAGS.get(tensor.datatype)
    if tag is not None:
        buffer = tensor.to_buffer()
        contents.MergeFromString(b"".join((tag, varint(len(buffer)), buffer)))
    else:
        getattr(contents, FIELDS[tensor.datatype]).extend(tensor.data.ravel().tolist())


def encode_typed(tensors: Sequence[Tensor], target: Any) -> None:
    """Add ``tensors`` with typed contents to a repeated field of a message."""
    for tensor in tensors:
        added = target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.data.shape)
        if tensor.parameters:
            encode_parameters(tensor.parameters, added.parameters)
        encode_contents(tensor, added.contents)


def encode_raw(
    tensors: Sequence[Tensor], describe: Callable[[str, str, Sequence[int], int, Parameters], bytes], tag: bytes
) -> list[bytes | memoryview]:
    """What follows a serialised message without tensors: their descriptions, then their raw contents under ``tag``.

    Messages are merged by joining their bytes, and raw contents that were set in the message would be copied twice.
    ``describe`` gives a message with the one tensor of this name, datatype, shape, size in bytes and parameters.
    """
    heads: list[bytes | memoryview] = []
    contents: list[bytes | memoryview] = []
    for tensor in tensors:
        data = tensor.data
        # Copying a few bytes is quicker than making a view of them.
        small = data.nbytes <= _SMALL and tensor.datatype != "BYTES"
        buffer = data.tobytes() if small else tensor.to_buffer()
        size = len(buffer)
        heads.append(describe(tensor.name, tensor.datatype, data.shape, size, tensor.parameters))
        contents += (tag, varint(size), buffer)
    return heads + contents


def must_be_raw(tensors: Sequence[Tensor]) -> bool:
    """Whether a tensor has no typed form."""
    return any(tensor.datatype not in FIELDS for tensor in tensors)


def varint(value: int) -> bytes:
    """Protobuf's variable-length form of a length: seven bits a byte, the lowest first, the top bit for "more"."""
    if value < 128:
        return bytes((value,))
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_parameters(given: MutableMapping[str, InferParameter], field: str) -> dict[str, Parameter]:
    """Plain values by name; ``InvalidInput`` for a parameter without a value."""
    decoded: dict[str, Parameter] = {}
    for name, value in given.items():
        kind = value.WhichOneof("parameter_choice")
        if kind is None:
            raise InvalidInput(f"{field}.{name}: has no value, expected one of {_KINDS}")
        decoded[name] = getattr(value, kind)
    return decoded


def encode_parameters(parameters: Parameters, target: MutableMapping[str, InferParameter]) -> None:
    """Set ``target`` from plain values, numpy's scalars among them; ``TypeError`` for any other value."""
    for name, value in parameters.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, bool):
            target[name].bool_param = plain
        elif isinstance(plain, int) and -(2**63) <= plain < 2**64:
            setattr(target[name], "int64_param" if plain < 2**63 else "uint64_param", plain)
        elif isinstance(plain, float):
            target[name].double_param = plain
        elif isinstance(plain, str):
            target[name].string_param = plain
        else:
            raise TypeError(f"parameter {name}: got {plain!r:.80}, expected a bool, a 64-bit integer, a float or a str")
