"""Checks a request's inputs against what the model declares, before the model sees them."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.datatypes import NUMERIC
from modelserver.errors import InvalidInput
from modelserver.messages import InferRequest
from modelserver.metadata import TensorMetadata
from modelserver.model import Model
from modelserver.tensor import Tensor


class InputContract:
    """What one model's inputs must look like; made once, when the model is loaded.

    Declared inputs are checked exactly. Inputs that a runtime detected (``input_check = "compatible"``) are
    checked by name and shape: any numeric datatype will do, a lone input may have any name, and one 2-D tensor
    may stand for all columns of a model whose inputs are columns. Optional inputs are checked where they are there.
    """

    def __init__(self, model: Model) -> None:
        self._required = [metadata for metadata in model.inputs if not metadata.optional]
        self._optional = {metadata.name: metadata for metadata in model.inputs if metadata.optional}
        self._exact = model.input_check == "exact"
        self._by_name = {metadata.name: metadata for metadata in self._required}
        self._columns = len(self._required) > 1 and all(len(metadata.shape) == 1 for metadata in self._required)
        # Datatypes that were only detected must not decide how JSON is read: "" leaves that to the data.
        self._bare_hints = (
            self._required
            if self._exact or not self._columns
            else [TensorMetadata(metadata.name, "", metadata.shape) for metadata in self._required]
        )
        self._hints = [*self._bare_hints, *self._optional.values()]

    def check(self, request: InferRequest) -> None:
        """``InvalidInput`` names the field, what came and what was expected."""
        if not self._hints:
            return
        unnamed = request.lazy_inputs is not None and not request.lazy_inputs.named
        request.declared = self._bare_hints if unnamed else self._hints  # what is optional must be named
        inputs = request.inputs
        if self._optional:
            inputs = self._without_optional(request, inputs)
        required = self._required
        if len(required) == 1 and len(inputs) == 1:
            tensor = inputs[0]
            if tensor.name != required[0].name and self._exact and not unnamed:
                raise InvalidInput(f"inputs[0].name: got {tensor.name!r}, expected {required[0].name!r}")
            self._check_tensor(request, tensor, required[0])
            return
        if not self._exact and self._stands_for_columns(request, inputs):
            return
        self._check_names(request, inputs)
        for tensor in inputs:
            self._check_tensor(request, tensor, self._by_name[tensor.name])

    def _without_optional(self, request: InferRequest, inputs: list[Tensor]) -> list[Tensor]:
        """The inputs that are left when the optional ones are checked and set aside."""
        if len(inputs) <= len(self._required) and not any(tensor.name in self._optional for tensor in inputs):
            return inputs
        left = []
        for tensor in inputs:
            metadata = self._optional.get(tensor.name)
            if metadata is None:
                left.append(tensor)
            else:
                self._check_tensor(request, tensor, metadata)
        return left

    def _check_names(self, request: InferRequest, inputs: Sequence[Tensor]) -> None:
        names = [tensor.name for tensor in inputs]
        for tensor in inputs:
            if tensor.name not in self._by_name:
                index = request.inputs.index(tensor)
                expected = _list([*self._by_name, *self._optional])
                raise InvalidInput(f"inputs[{index}].name: got {tensor.name!r}, expected {expected}")
        missing = [name for name in self._by_name if name not in names]
        if missing:
            raise InvalidInput(f"inputs: missing {_list(missing)}; got {_list(names) or 'none'}")

    def _stands_for_columns(self, request: InferRequest, inputs: Sequence[Tensor]) -> bool:
        """Whether the inputs are another spelling of the detected ones; then the runtime sorts them out."""
        if self._columns and len(inputs) == 1 and inputs[0].name not in self._by_name:
            shape = inputs[0].data.shape
            if len(shape) != 2 or shape[1] != len(self._required):
                raise InvalidInput(
                    f"{_field(request, inputs[0])}.shape: got {list(shape)},"
                    f" expected [-1, {len(self._required)}]: the columns {_list(self._by_name)}"
                )
            return True
        # Columns for a model whose features have no names: as many columns as it has features, in their order.
        return (
            len(self._required) == 1
            and len(self._required[0].shape) == 2
            and len(inputs) == self._required[0].shape[1]
            and all(tensor.data.ndim == 1 or tensor.data.shape[1:] == (1,) for tensor in inputs)
        )

    def _check_tensor(self, request: InferRequest, tensor: Tensor, metadata: TensorMetadata) -> None:
        if tensor.datatype != metadata.datatype and not self._accepts(tensor.datatype, metadata):
            raise InvalidInput(
                f"{_field(request, tensor)}.datatype: got {tensor.datatype}, expected {metadata.datatype}"
            )
        shape, expected = tensor.data.shape, metadata.shape
        if len(shape) == len(expected):
            for size, wanted in zip(shape, expected, strict=True):
                if size != wanted and wanted >= 0:
                    break
            else:
                return
        elif not self._exact and len(expected) == 1 and shape[1:] == (1,):
            return  # a column, as a table of one column
        raise InvalidInput(f"{_field(request, tensor)}.shape: got {list(shape)}, expected {list(expected)}")

    def _accepts(self, datatype: str, metadata: TensorMetadata) -> bool:
        """Whether a tensor of another datatype than the detected one will do; columns are the runtime's to judge."""
        if self._exact:
            return False
        return (self._columns and not metadata.optional) or (datatype in NUMERIC and metadata.datatype in NUMERIC)


def _field(request: InferRequest, tensor: Tensor) -> str:
    """The field as the client wrote it: v1 has instances, the others a list of inputs."""
    if request.lazy_inputs is None:
        return f"inputs[{request.inputs.index(tensor)}]"
    return f"instances[].{tensor.name}" if request.lazy_inputs.named else "instances"


def _list(names: Sequence[str] | dict[str, TensorMetadata]) -> str:
    return ", ".join(repr(name) for name in names)
