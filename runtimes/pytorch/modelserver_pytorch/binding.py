"""A request's tensors as the arguments of a model that declares no inputs: by name, else by position."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from modelserver import InferRequest, InvalidInput, Tensor, TensorMetadata
from modelserver_pytorch.reasons import REFUSALS, refusal
from modelserver_pytorch.tensors import arrays_of

TENSOR, NUMBER, TEXT, LIST, DICT = "tensor", "number", "text", "list", "dict"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a model's ``forward``. ``kind`` is what it takes: a tensor, a number, a list or a dict of them."""

    name: str
    required: bool = True
    kind: str = TENSOR


@dataclass(frozen=True, slots=True)
class Parameters:
    """All of them; ``more`` says that positional arguments beyond them are taken, ``named`` that any name is."""

    each: Sequence[Parameter]
    more: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Numbers:
    """How numbers that come without a datatype, as v1's do, become what the model computes with.

    ``floats`` is the model's only floating-point type, ``None`` when it has several or none. ``integers`` says
    whether whole numbers may be meant as such (indices into an embedding), and are not just short for floats.
    """

    floats: torch.dtype | None = None
    integers: bool = True


class Caller:
    """Calls ``function`` with a request's tensors and names what it returns."""

    def __init__(
        self,
        function: Callable[..., Any],
        parameters: Parameters,
        convert: Callable[[np.ndarray], torch.Tensor],
        device: torch.device,
        numbers: Numbers,
    ) -> None:
        self._function = function
        self._parameters = parameters
        self._by_name = {parameter.name: parameter for parameter in parameters.each}
        self._convert = convert
        self._device = None if device.type == "cpu" else device
        self._numbers = numbers
        first = parameters.each[0] if parameters.each else None
        self._simple = first is not None and first.kind == TENSOR and not any(p.required for p in parameters.each[1:])

    def answer(self, request: InferRequest) -> dict[str, np.ndarray]:
        """What the function returns, by name; ``InvalidInput`` when it refuses the tensors."""
        inputs = request.inputs
        untyped = request.lazy_inputs is not None
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        if self._simple and len(inputs) == 1 and (inputs[0].name not in self._by_name or self._is_first(inputs[0])):
            args = [self._tensor(inputs[0], untyped)]
        else:
            self._bind(_ordered(inputs, request.declared), untyped, args, kwargs)
        try:
            with torch.inference_mode():
                return arrays_of(self._function(*args, **kwargs))
        except REFUSALS as exc:
            raise refusal(exc) from exc

    def _is_first(self, tensor: Tensor) -> bool:
        return tensor.name == self._parameters.each[0].name

    def _tensor(self, tensor: Tensor, untyped: bool) -> torch.Tensor:
        if tensor.data.dtype == object:
            raise InvalidInput(f"inputs[{tensor.name!r}].datatype: got BYTES, expected numbers")
        value = self._convert(tensor.data)
        floats = self._numbers.floats
        if floats is not None and value.dtype is not floats and value.dtype is not torch.bool:
            whole = not value.dtype.is_floating_point
            if not whole or (untyped and not self._numbers.integers):
                value = value.to(floats)
        return value if self._device is None else value.to(self._device)

    def _bind(self, inputs: Sequence[Tensor], untyped: bool, args: list[Any], kwargs: dict[str, Any]) -> None:
        strangers = []
        for tensor in inputs:
            head, _, rest = tensor.name.partition(".")
            if tensor.name in self._by_name:
                kwargs[tensor.name] = self._value(self._by_name[tensor.name], tensor, untyped)
            elif rest and head in self._by_name:
                kwargs.setdefault(head, {})[rest] = self._tensor(tensor, untyped)
            elif self._parameters.named:
                kwargs[tensor.name] = self._tensor(tensor, untyped)
            else:
                strangers.append(tensor)
        if strangers and not self._by_position(strangers, untyped, args, kwargs):
            raise self._unknown(strangers)
        for name, value in kwargs.items():
            if isinstance(value, dict) and self._by_name[name].kind == LIST:
                kwargs[name] = list(value.values())
        missing = [p.name for p in self._parameters.each[len(args) :] if p.required and p.name not in kwargs]
        if missing:
            raise InvalidInput(f"inputs: missing {', '.join(map(repr, missing))}")

    def _by_position(self, strangers: Sequence[Tensor], untyped: bool, args: list[Any], kwargs: dict[str, Any]) -> bool:
        """Tensors under names that are not the model's: all of them in its order, or none."""
        each = self._parameters.each
        if kwargs:
            return False
        if len(each) == 1 and each[0].kind in (LIST, DICT):
            tensors = {tensor.name: self._tensor(tensor, untyped) for tensor in strangers}
            args.append(tensors if each[0].kind == DICT else list(tensors.values()))
            return True
        if len(strangers) > len(each) and not self._parameters.more:
            return False
        args += [self._value(p, tensor, untyped) for p, tensor in zip(each, strangers, strict=False)]
        args += [self._tensor(tensor, untyped) for tensor in strangers[len(each) :]]
        return True

    def _value(self, parameter: Parameter, tensor: Tensor, untyped: bool) -> Any:
        if parameter.kind not in (NUMBER, TEXT):
            return self._tensor(tensor, untyped)
        if tensor.data.size != 1:
            raise InvalidInput(
                f"inputs[{tensor.name!r}].shape: got {list(tensor.shape)}, expected one {parameter.kind}"
            )
        value = tensor.data.item()
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def _unknown(self, strangers: Sequence[Tensor]) -> InvalidInput:
        names = ", ".join(repr(p.name) + ("" if p.required else " (optional)") for p in self._parameters.each)
        return InvalidInput(f"inputs: got {', '.join(repr(t.name) for t in strangers)}, expected {names or 'none'}")


def _ordered(inputs: Sequence[Tensor], declared: Sequence[TensorMetadata]) -> Sequence[Tensor]:
    """In the order in which somebody declared them, if anybody did: it is the model's."""
    places = {metadata.name: index for index, metadata in enumerate(declared)}
    return sorted(inputs, key=lambda tensor: places.get(tensor.name, len(places))) if places else inputs


def parameters_of(function: Callable[..., Any]) -> Parameters:
    """A Python function's parameters; what annotations say of their kind is taken by its words alone."""
    each, more, named = [], False, False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            more = True
        elif parameter.kind is parameter.VAR_KEYWORD:
            named = True
        else:
            annotation = parameter.annotation
            words = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
            words = "" if annotation is parameter.empty else str(words if "[" not in str(annotation) else annotation)
            each.append(Parameter(parameter.name, parameter.default is parameter.empty, kind_of(words)))
    return Parameters(each, more, named)


def kind_of(words: str) -> str:
    """What an annotation, or a type of TorchScript's, lets in: ``Optional[Dict[str, Tensor]]`` is a dict."""
    words = words.lower().replace("typing.", "").replace("collections.abc.", "")
    words = words.removeprefix("optional[").partition("|")[0].strip()
    for start, kind in (
        (("dict", "mapping"), DICT),
        (("list", "tuple", "sequence"), LIST),
        (("int", "float", "bool", "number"), NUMBER),
        (("str",), TEXT),
    ):
        if words.startswith(start):
            return kind
    return TENSOR
