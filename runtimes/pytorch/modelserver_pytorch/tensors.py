"""Arrays of requests as torch's tensors and back, without a copy where that is safe; names of nested tensors.

A request's array is often a read-only view of the very bytes that came over the wire, and a tensor over it has no
way to be read-only. Two conversions: ``tensor_of`` for inputs that the model is known not to write to, and
``private_tensor_of`` for the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch

#: torch's name of each datatype of the protocol that it has.
DATATYPES = {
    torch.bool: "BOOL",
    torch.uint8: "UINT8",
    torch.uint16: "UINT16",
    torch.uint32: "UINT32",
    torch.uint64: "UINT64",
    torch.int8: "INT8",
    torch.int16: "INT16",
    torch.int32: "INT32",
    torch.int64: "INT64",
    torch.float16: "FP16",
    torch.bfloat16: "BF16",
    torch.float32: "FP32",
    torch.float64: "FP64",
}
# What numpy's and Python's own memory begins at a multiple of, and the widest loads of matrix products want.
_ALIGNMENT = 16
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def datatype_of(dtype: torch.dtype, name: str) -> str:
    """The protocol's datatype; ``TypeError`` naming the tensor ``name`` for what the protocol cannot carry."""
    try:
        return DATATYPES[dtype]
    except KeyError:
        raise TypeError(f"{name} is of {dtype}, which the protocol cannot carry") from None


def allow_read_only() -> None:
    """Spend torch's warning about read-only arrays, which it gives once a process: here it is no news."""
    with warnings.catch_warnings(action="ignore"):
        torch.from_numpy(np.frombuffer(b"\0", np.uint8))


def tensor_of(array: np.ndarray) -> torch.Tensor:
    """A tensor over the array's own memory, which it must not write to.

    Copied only when that memory does not begin at a multiple of 16 bytes, as behind a JSON header of any length:
    matrix products there differ in their last bits, and vectorised loops over odd addresses may fault.
    """
    if array.dtype == _BFLOAT16:
        return tensor_of(array.view(np.int16)).view(torch.bfloat16)
    tensor = torch.from_numpy(array)
    return tensor if not tensor.data_ptr() % _ALIGNMENT else torch.from_numpy(array.copy())


def private_tensor_of(array: np.ndarray) -> torch.Tensor:
    """A tensor that a model may write to: of a copy, unless the array is nobody else's."""
    return tensor_of(array if array.flags.writeable else array.copy())


def array_of(value: Any) -> np.ndarray:
    """An array over the tensor's own memory (from a GPU: a copy); of a single value, one element [1]."""
    if not isinstance(value, torch.Tensor):
        plain = np.asarray(value)
        return plain if plain.ndim else plain.reshape(1)
    if not value.ndim:
        value = value.reshape(1)
    if value.layout is not torch.strided:
        value = value.to_dense()
    if value.dtype is torch.bfloat16:
        shown: np.ndarray = value.view(torch.int16).numpy(force=True)
        return shown.view(_BFLOAT16)
    array: np.ndarray = value.numpy(force=True)
    return array


def named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values inside of nested dicts, tuples, lists, named tuples and dataclasses, each by its path: ``"a.0"``.

    Positions at the top are KServe's ``output-0``, ``output-1``. ``None`` is no value.

    >>> list(named({"a": (1, 2), "b": 3}))
    [('a.0', 1), ('a.1', 2), ('b', 3)]
    """
    if value is None:
        return
    for key, part in _parts(value, name):
        if part is value:
            yield key, value
        else:
            yield from named(part, key)


def _parts(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    prefix = f"{name}." if name else ""
    if isinstance(value, Mapping):
        yield from ((f"{prefix}{key}", part) for key, part in value.items())
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f"{prefix}{key}", part) for key, part in zip(value._fields, value, strict=True))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((f"{prefix}{field.name}", getattr(value, field.name)) for field in fields(value))
    elif isinstance(value, (tuple, list)) and not _is_plain(value):
        yield from ((f"{name}.{index}" if name else f"output-{index}", part) for index, part in enumerate(value))
    else:
        yield name or "output-0", value


def _is_plain(value: tuple[Any, ...] | list[Any]) -> bool:
    """A list of numbers or of texts is one tensor."""
    return (
        bool(value)
        and all(type(element) is type(value[0]) for element in value)
        and isinstance(value[0], (bool, int, float, str))
    )


def arrays_of(value: Any) -> dict[str, np.ndarray]:
    """What a model returned, whatever its structure: an array by name."""
    if type(value) is torch.Tensor:
        return {"output-0": array_of(value)}
    return {name: array_of(part) for name, part in named(value)}
