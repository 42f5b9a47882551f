"""Tensors, parameters and JSON documents of every kind, for hypothesis."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelserver import Tensor
from modelserver.datatypes import DTYPES

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)
elements = st.one_of(st.binary(max_size=8), st.text(max_size=4).map(lambda text: text.encode(errors="replace")))
parameters = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=6).filter(
        lambda name: name not in {"binary_data", "binary_data_size", "binary_data_output", "content_type", "timeout"}
    ),
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(codec="utf-8"), max_size=6),
    ),
    max_size=3,
)


def arrays(datatype: str, *, finite: bool = False) -> st.SearchStrategy[np.ndarray]:
    """Arrays of a datatype; floats by their bits, so that every NaN and denormal comes up, unless ``finite``."""
    dtype = DTYPES[datatype]
    if datatype == "BYTES":
        return shapes.flatmap(_bytes_arrays)
    if dtype.kind in "iub":
        return hnp.arrays(dtype, shapes)
    bits = hnp.arrays(np.dtype(f"u{dtype.itemsize}"), shapes).map(lambda array: array.view(dtype))
    return bits.map(_without_specials) if finite else bits


def _bytes_arrays(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    size = int(np.prod(shape))

    def array(values: list[bytes]) -> np.ndarray:
        flat = np.empty(size, object)
        flat[:] = values
        return flat.reshape(shape)

    return st.lists(elements, min_size=size, max_size=size).map(array)


def _without_specials(array: np.ndarray) -> np.ndarray:
    wide = array.astype(np.float64)
    return np.where(np.isfinite(wide), wide, 0).astype(array.dtype).reshape(array.shape)


def tensors(*, finite: bool = False, datatypes: list[str] | None = None) -> st.SearchStrategy[Tensor]:
    """One tensor of any datatype and shape, with parameters."""
    return st.sampled_from(datatypes or list(DTYPES)).flatmap(
        lambda datatype: st.builds(
            Tensor, name=names, data=arrays(datatype, finite=finite), datatype=st.just(datatype), parameters=parameters
        )
    )


def several(**options: Any) -> st.SearchStrategy[list[Tensor]]:
    """One to three tensors of different names."""
    return st.lists(tensors(**options), min_size=1, max_size=3, unique_by=lambda tensor: tensor.name)


_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["FP32", "BYTES", "x", "b64", "", -1, 0, 1, 2**63]),
)
_keys = st.sampled_from(
    [
        "instances", "inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data", "x", "b64",
        "binary_data_size", "binary_data", "binary_data_output", "specversion", "source", "type", "timeout",
        "content_type",
    ]
) | st.text(max_size=3)  # fmt: skip
#: Any JSON, with the protocols' own words often where they matter, and often where they do not.
documents = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=5), max_leaves=25
)

_any = st.one_of(documents, _scalars)
_tensor_entries = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("x") | _any,
        "shape": st.lists(st.integers(-1, 4), max_size=3) | _any,
        "datatype": st.sampled_from(list(DTYPES)) | _any,
        "data": st.lists(_scalars, max_size=4) | _any,
        "parameters": st.dictionaries(_keys, _scalars, max_size=3) | _any,
    },
)
#: Bodies that are nearly v2's.
v2_bodies = st.fixed_dictionaries(
    {"inputs": st.lists(_tensor_entries, max_size=3) | _any},
    optional={
        "id": _any,
        "parameters": st.dictionaries(_keys, _scalars, max_size=3) | _any,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.just("y") | _any}), max_size=2) | _any,
    },
)
_rows = st.lists(
    st.lists(_scalars, max_size=5) | st.dictionaries(st.sampled_from("xab"), _any, max_size=3) | _any, max_size=4
)
#: Bodies that are nearly v1's.
v1_bodies = st.fixed_dictionaries({"instances": _rows | _any}, optional={"inputs": _rows | _any})
