"""v1's ``instances`` and ``inputs`` as tensors, in the light of what the model declares.

======================================  ==========================================================
``[1, 2]``, ``[[1, 2], [3, 4]]``        one tensor, named by the only declared input
``["a", "b"]``, ``[{"b64": "aGk="}]``   one tensor of BYTES
``[[1, "a"], [2, "b"]]``                a tensor a column, named by the declared inputs, else "0", "1"
``[{"x": 1, "y": "a"}, ...]``           a tensor a key
``[{"x": [1, 2], "y": ["a", "b"]}]``    the same: KServe's rows that are small tables of their own
``{"x": [1, 2], "y": ["a", "b"]}``      the same, under ``inputs`` only
======================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelserver.errors import InvalidInput
from modelserver.messages import Json
from modelserver.metadata import TensorMetadata
from modelserver.protocols.arrays import array_of_flat, flattened, is_base64, natural_datatype
from modelserver.protocols.jsonlib import shown
from modelserver.protocols.offences import place
from modelserver.tensor import Tensor

#: The name of bare instances that no declared input gives a name to.
UNNAMED = "instances"

_KINDS: dict[type, str] = {int: "a number", float: "a number", str: "a string", dict: "a string", bool: "a boolean"}


class Instances:
    """A v1 body that becomes tensors when somebody asks: the ``LazyInputs`` of ``InferRequest``."""

    __slots__ = ("_body", "named")

    def __init__(self, body: Json) -> None:
        self._body = body
        data = None
        if type(body) is dict:
            data = body["inputs"] if "inputs" in body else body.get("instances")
        #: Whether the client named its inputs: columns or dict rows, and not bare instances.
        self.named: bool = type(data) is dict or (type(data) is list and bool(data) and _is_row(data[0]))

    def tensors(self, declared: Sequence[TensorMetadata]) -> list[Tensor]:
        """The tensors in the client's order, of the declared datatypes; an empty datatype is left to the data.

        ``InvalidInput`` names the row and the column (``instances[3].x``), what came, what was expected.
        """
        key, data = self._data()
        if type(data) is list:
            if data and _is_row(data[0]):
                return _rows(data, declared, key)
            return _bare(data, declared, key)
        if not data:
            raise InvalidInput(f"{key}: got an empty object, expected one list an input")
        by_name = _by_name(declared, data)
        return [_tensor(name, column, by_name.get(name), f"{key}.{name}") for name, column in data.items()]

    def _data(self) -> tuple[str, Any]:
        body = self._body
        if type(body) is not dict:
            raise InvalidInput(f'body: got {shown(body)}, expected an object with "instances" or "inputs"')
        if "inputs" in body:  # KServe: inputs win over instances
            data = body["inputs"]
            if type(data) not in (list, dict):
                raise InvalidInput(f'Expected "inputs" to be a list or an object, got {shown(data)}')
            return "inputs", data
        if "instances" not in body:
            names = ", ".join(shown(name) for name in list(body)[:8]) or "no key"
            raise InvalidInput(f'body: got an object with {names}, expected "instances" or "inputs"')
        if type(body["instances"]) is not list:
            raise InvalidInput('Expected "instances" to be a list')
        return "instances", body["instances"]


def _is_row(instance: Json) -> bool:
    return type(instance) is dict and not is_base64(instance)


def _bare(data: list[Any], declared: Sequence[TensorMetadata], key: str) -> list[Tensor]:
    """Instances without names."""
    field = f"{key}[]"
    if len(declared) == 1:
        return [_tensor(declared[0].name, data, declared[0], field)]
    flat, shape = flattened(data, field)
    datatype = natural_datatype(flat)
    if len(shape) == 2 and flat and (datatype is None or _are_columns(declared, shape[1])):
        width = shape[1]
        known: Sequence[TensorMetadata | None] = declared if len(declared) == width else [None] * width
        return [
            _tensor(metadata.name if metadata else str(index), flat[index::width], metadata, f"{field}[{index}]")
            for index, metadata in enumerate(known)
        ]
    if datatype is None:
        raise _mixed(flat, shape, field)
    return [_made(UNNAMED, flat, shape, datatype, field)]


def _are_columns(declared: Sequence[TensorMetadata], width: int) -> bool:
    """Whether rows of ``width`` values are one value for each declared input.

    Inputs whose datatype is left open can stay together in one tensor.
    """
    return len(declared) == width and all(metadata.datatype and not _holds_vectors(metadata) for metadata in declared)


def _holds_vectors(metadata: TensorMetadata) -> bool:
    """Whether one row of this input is more than one value."""
    return any(size != 1 for size in metadata.shape[1:])


def _rows(rows: list[Any], declared: Sequence[TensorMetadata], key: str) -> list[Tensor]:
    """Rows that are objects: a tensor a key."""
    names = rows[0].keys()
    if not names:
        raise InvalidInput(f"{key}[0]: got an empty object, expected one value an input")
    for index, row in enumerate(rows):
        if type(row) is not dict or row.keys() != names:
            raise _other_keys(rows, index, key)
    by_name = _by_name(declared, rows[0])
    if _are_tables(rows, by_name):
        field = key + "[].{}" if all(len(next(iter(row.values()))) == 1 for row in rows) else key + ".{}"
        return [
            _tensor(name, [value for row in rows for value in row[name]], by_name.get(name), field.format(name))
            for name in names
        ]
    return [_tensor(name, [row[name] for row in rows], by_name.get(name), f"{key}[].{name}") for name in names]


def _by_name(declared: Sequence[TensorMetadata], names: Mapping[str, Json]) -> dict[str, TensorMetadata]:
    """What is declared for each name; a lone input is what it is under any name."""
    if len(declared) == len(names) == 1:
        return {next(iter(names)): declared[0]}
    return {metadata.name: metadata for metadata in declared}


def _are_tables(rows: list[dict[str, Any]], by_name: Mapping[str, TensorMetadata]) -> bool:
    """Whether the rows are KServe's: small tables ``{"x": [1], "y": ["a"]}`` that follow each other.

    They are when every value of a row is a flat list of one length, and no column is declared to hold vectors.
    For a model that declares nothing, lists of several values are vectors: ``{"image": [0, 1, 2]}``.
    """
    if any(name in by_name and _holds_vectors(by_name[name]) for name in rows[0]):
        return False
    for row in rows:
        length = -1
        for value in row.values():
            if type(value) is not list or (value and type(value[0]) is list):
                return False
            if length not in (-1, len(value)):
                return False
            length = len(value)
        if length != 1 and not by_name:
            return False
    return True


def _tensor(name: str, data: Json, metadata: TensorMetadata | None, field: str) -> Tensor:
    flat, shape = flattened(data, field)
    datatype = (metadata.datatype if metadata else "") or natural_datatype(flat)
    if datatype is None:
        raise _mixed(flat, shape, field)
    tensor = _made(name, flat, shape, datatype, field)
    declared = metadata.shape if metadata else ()
    if shape == (0,) and len(declared) > 1:  # no rows: JSON cannot say how wide they would be
        tensor.data = tensor.data.reshape(0, *(max(size, 0) for size in declared[1:]))
    elif len(declared) > len(shape) and all(size == 1 for size in declared[len(shape) :]):
        # One value a row of [-1, 1]: axes of one need not be written.
        tensor.data = tensor.data.reshape(shape + (1,) * (len(declared) - len(shape)))
    return tensor


def _made(name: str, flat: list[Any], shape: tuple[int, ...], datatype: str, field: str) -> Tensor:
    array = array_of_flat(flat, shape, datatype, field, nulls=True)
    if datatype != "BYTES":
        return Tensor(name, array, datatype)
    tensor = Tensor(name, array[:0], datatype)  # Tensor would make "" of a null, which DataFrames tell apart
    tensor.data = array
    return tensor


def _other_keys(rows: list[Any], index: int, key: str) -> InvalidInput:
    row = rows[index]
    if type(row) is not dict:
        return InvalidInput(f"{key}[{index}]: got {shown(row)}, expected an object like {key}[0]")
    first = rows[0]
    missing = ", ".join(shown(name) for name in first if name not in row)
    extra = ", ".join(shown(name) for name in row if name not in first)
    parts = [f"{words} {names}" for words, names in (("missing", missing), ("unexpected", extra)) if names]
    return InvalidInput(f"{key}[{index}]: {', '.join(parts)}; expected the keys of {key}[0]")


def _mixed(flat: list[Any], shape: tuple[int, ...], field: str) -> InvalidInput:
    """The error for values of several kinds where one tensor was expected."""
    kinds = [_KINDS.get(type(value)) for value in flat]
    first = next((kind for kind in kinds if kind), "a number")
    other = next((i for i, value in enumerate(flat) if value is not None and kinds[i] != first), None)
    if other is None:  # nulls among booleans
        other = flat.index(None)
    where, position = place(field, other, shape)
    return InvalidInput(f"{where}: got {shown(flat[other])}{position}, expected {first} like the values before it")
