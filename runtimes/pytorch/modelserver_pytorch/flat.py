"""Calls a function of flattened arguments with a request's tensors: what exported and compiled programs are."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import torch

from modelserver import InferRequest, ModelServerError, Tensor
from modelserver_pytorch.reasons import REFUSALS, refusal
from modelserver_pytorch.signature import Signature, Value
from modelserver_pytorch.tensors import array_of, private_tensor_of, tensor_of

log = logging.getLogger("modelserver.pytorch")

#: Takes the values of all arguments, flattened, and returns those of all results, flattened.
Flat = Callable[..., Sequence[Any]]
# How many different shapes are remembered as checked. Beyond it, requests take the checked way.
_REMEMBERED = 4096
# The batch sizes that code is warmed with. The second is where vectorised and parallel code begins to differ.
_WARM_BATCHES = (1, 2)
_ANY_SIZE = 8


class FlatModel:
    """``flat`` with its ``signature``. Shapes that were not seen before go through ``checked``, which looks closer.

    ``written`` are the indices of arguments that the function writes to: they get copies. ``stateful`` functions
    write to tensors of their own and take one request at a time. ``examples`` are arguments that it was made with.
    """

    def __init__(
        self,
        signature: Signature,
        flat: Flat,
        device: torch.device,
        *,
        checked: Flat | None = None,
        written: Collection[int] = (),
        stateful: bool = False,
        examples: Sequence[Any] = (),
    ) -> None:
        self.signature = signature
        self._flat = flat
        self._checked = checked or flat
        self._device = None if device.type == "cpu" else device
        self._examples = examples
        self._names = [value.metadata.name for value in signature.inputs]
        self._converters = [_converter(value, value.index in written) for value in signature.inputs]
        self._results = [(value.metadata.name, value.index) for value in signature.outputs]
        self._lock = threading.Lock() if stateful else None
        # Constants among the arguments stay in their places; the others are filled in.
        self._places = [value.index for value in signature.inputs]
        total = len(self._places) + len(signature.constants)
        self._constants = [signature.constants.get(index) for index in range(total)] if signature.constants else None
        self._accepted: set[tuple[tuple[int, ...], ...]] = set()

    def answer(self, request: InferRequest) -> dict[str, np.ndarray]:
        """The outputs by name; ``InvalidInput`` for sizes that the function was not made for."""
        inputs = request.inputs
        if len(self._names) == 1:
            arrays = [inputs[0].data]
        else:
            by_name = {tensor.name: tensor.data for tensor in inputs}
            arrays = [by_name[name] for name in self._names]
        shapes = tuple([array.shape for array in arrays])
        new = shapes not in self._accepted
        if new:
            self.signature.check(shapes)
        arguments = [convert(array) for convert, array in zip(self._converters, arrays, strict=True)]
        if self._device is not None:
            arguments = [each.to(self._device) if type(each) is torch.Tensor else each for each in arguments]
        if self._constants is not None:
            arguments = self._with_constants(arguments)
        with torch.inference_mode():
            if new:
                results = self._call_checked(arguments, shapes)
            elif self._lock is None:
                results = self._call(arguments)
            else:
                with self._lock:
                    results = self._call(arguments)
        return {name: array_of(results[index]) for name, index in self._results}

    def warm_up(self) -> None:
        """Answer zeros in the shapes of the example, and in batches of one and two where batches are free."""
        warm = False
        refused = ""
        for batch in (None, *_WARM_BATCHES):
            shapes = self.example_shapes(batch)
            inputs = [_zeros(value, shape) for value, shape in zip(self.signature.inputs, shapes, strict=True)]
            try:
                for _ in range(2):  # the checked way, and the one that requests will go
                    self.answer(InferRequest(inputs=inputs))
                warm = True
            except ModelServerError as exc:
                refused = str(exc)
        if not warm:
            log.info("not warmed up, requests of zeros were refused: %s", refused)

    def example_shapes(self, batch: int | None) -> list[list[int]]:
        """The shapes of the arguments that the function was made with, else made-up sizes; ``batch`` rows of them."""
        shapes = []
        for value in self.signature.inputs:
            given = self._examples[value.index] if value.index < len(self._examples) else None
            sizes = list(given.shape) if isinstance(given, torch.Tensor) else [_ANY_SIZE] * len(value.sizes)
            shape = []
            for axis, (size, expected) in enumerate(zip(sizes, value.sizes, strict=True)):
                low, high = self.signature.ranges.get(expected, (0, None))
                wanted = size if axis or batch is None else batch
                free = max(low, wanted if high is None else min(wanted, high))
                shape.append(expected if isinstance(expected, int) else free)
            shapes.append(shape)
        return shapes

    def _with_constants(self, arguments: Sequence[Any]) -> list[Any]:
        assert self._constants is not None
        full = self._constants.copy()
        for place, argument in zip(self._places, arguments, strict=True):
            full[place] = argument
        return full

    def _call(self, arguments: Sequence[Any]) -> Sequence[Any]:
        try:
            return self._flat(*arguments)
        except IndexError as exc:  # an index out of its table's range
            raise refusal(exc) from exc
        except RuntimeError as exc:
            if isinstance(exc, torch.OutOfMemoryError) or "assert" in str(exc) or "index" in str(exc):
                raise refusal(exc) from exc
            raise

    def _call_checked(self, arguments: Sequence[Any], shapes: tuple[tuple[int, ...], ...]) -> Sequence[Any]:
        try:
            results = self._checked(*arguments)
        except REFUSALS as exc:
            raise refusal(exc) from exc
        if len(self._accepted) < _REMEMBERED:
            self._accepted.add(shapes)
        return results


def _converter(value: Value, written: bool) -> Callable[[np.ndarray], Any]:
    if value.dtype is None:
        return lambda array: array.item()
    return private_tensor_of if written else tensor_of


def _zeros(value: Value, shape: Sequence[int]) -> Tensor:
    return Tensor(value.metadata.name, np.zeros(shape), value.metadata.datatype)
