"""Made-up inputs for a model, from what it declares: for warm-up, and for trying it out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modelserver.datatypes import DTYPES
from modelserver.metadata import TensorMetadata
from modelserver.tensor import Tensor


def sample_inputs(declared: Sequence[TensorMetadata], first: int = 0) -> list[Tensor]:
    """One tensor a declared input, sizes that are free taken as 1; another ``first`` gives other values.

    Numbers are small and not all equal, integers 0 or 1 (they may be an index), text is ``"text"``.

    >>> sample_inputs([TensorMetadata("x", "INT64", [-1, 2])])[0].data.tolist()
    [[0, 1]]
    """
    return [_sample(metadata, first) for metadata in declared if not metadata.optional]


def _sample(metadata: TensorMetadata, first: int) -> Tensor:
    shape = tuple(1 if size < 0 else size for size in metadata.shape)
    count = math.prod(shape)
    if metadata.datatype == "BYTES":
        data = np.empty(count, object)
        data[:] = b"text"
        return Tensor(metadata.name, data.reshape(shape), "BYTES")
    dtype = DTYPES.get(metadata.datatype, DTYPES["FP64"])
    steps = np.arange(first, first + count)
    values = steps % 2 if dtype.kind in "iub" else steps % 7 / 8  # eighths: exact in every floating-point datatype
    return Tensor(metadata.name, values.astype(dtype).reshape(shape))
