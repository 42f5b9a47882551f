"""A v2 body that is nothing but the model's one input (``Inference-Header-Content-Length: 0``)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from modelserver.datatypes import dtype_of
from modelserver.errors import InvalidInput
from modelserver.metadata import TensorMetadata
from modelserver.tensor import Tensor


class RawInput:
    """Becomes a tensor in the light of the one input that the model declares; a free first axis takes the rest."""

    named = False

    def __init__(self, body: bytes) -> None:
        self._body = body

    def tensors(self, declared: Sequence[TensorMetadata]) -> list[Tensor]:
        """The one tensor, a view of the body; ``InvalidInput`` when the sizes do not fit."""
        if len(declared) != 1:
            raise InvalidInput(
                "Inference-Header-Content-Length: 0 says that the body is the model's only input,"
                f" and the model declares {len(declared)} inputs"
            )
        name, datatype, shape = declared[0].name, declared[0].datatype, list(declared[0].shape)
        if datatype == "BYTES":  # the element is the body: there is no length before it
            element = np.empty(1, dtype=object)
            element[0] = self._body
            return [Tensor(name, element.reshape([1] * len(shape)), datatype)]
        width = dtype_of(datatype).itemsize
        known = width * math.prod(size for size in shape if size >= 0)
        free = [axis for axis, size in enumerate(shape) if size < 0]
        if len(free) > 1:
            for axis in free[1:]:
                shape[axis] = 1
        if free:
            if not known or len(self._body) % known:
                raise InvalidInput(
                    f"body: got {len(self._body)} bytes, expected a multiple of {known}:"
                    f" {datatype} of shape {list(declared[0].shape)}"
                )
            shape[free[0]] = len(self._body) // known
        return [Tensor.from_buffer(name, datatype, shape, self._body, field="body")]
