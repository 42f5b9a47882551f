"""Checks a request's inputs against what the model declares, before the model sees them."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.datatypes import NUMERIC
from modelserver.errors import InvalidInput
from modelserver.messages import InferRequest, TensorMetadata
from modelserver.model import Model
from modelserver.tensor import Tensor


class InputContract:
    """What one model's inputs must look like; made once, when the model is loaded.

    Declared inputs are checked exactly. Inputs that a runtime detected (``input_check = "compatible"``) are
    checked by name and shape: any numeric datatype will do, a lone input may have any name, and one 2-D tensor
    may stand for all columns of a model whose inputs are columns.
    """

    def __init__(self, model: Model) -> None:
        self._declared = list(model.inputs)
        self._exact = model.input_check == "exact"
        self._by_name = {metadata.name: metadata for metadata in self._declared}
        self._columns = len(self._declared) > 1 and all(len(metadata.shape) == 1 for metadata in self._declared)
        # Datatypes that were only detected must not decide how JSON is read: "" leaves that to the data.
        self._hints = (
            self._declared
            if self._exact or not self._columns
            else [TensorMetadata(metadata.name, "", metadata.shape) for metadata in self._declared]
        )

    def check(self, request: InferRequest) -> None:
        """``InvalidInput`` names the field, what came and what was expected."""
        declared = self._declared
        if not declared:
            return
        request.declared = self._hints
        inputs = request.inputs
        unnamed = request.lazy_inputs is not None and not request.lazy_inputs.named
        if len(declared) == 1 and len(inputs) == 1:
            tensor = inputs[0]
            if tensor.name != declared[0].name and self._exact and not unnamed:
                raise InvalidInput(f"inputs[0].name: got {tensor.name!r}, expected {declared[0].name!r}")
            self._check_tensor(tensor, declared[0], _field(request, 0, tensor))
            return
        if not self._exact and self._stands_for_columns(request, inputs):
            return
        self._check_names(inputs)
        for index, tensor in enumerate(inputs):
            self._check_tensor(tensor, self._by_name[tensor.name], _field(request, index, tensor))

    def _check_names(self, inputs: Sequence[Tensor]) -> None:
        names = [tensor.name for tensor in inputs]
        for index, name in enumerate(names):
            if name not in self._by_name:
                raise InvalidInput(f"inputs[{index}].name: got {name!r}, expected {_list(self._by_name)}")
        missing = [name for name in self._by_name if name not in names]
        if missing:
            raise InvalidInput(f"inputs: missing {_list(missing)}; got {_list(names)}")

    def _stands_for_columns(self, request: InferRequest, inputs: Sequence[Tensor]) -> bool:
        """Whether the inputs are another spelling of the detected ones; then the runtime sorts them out."""
        if self._columns and len(inputs) == 1 and inputs[0].name not in self._by_name:
            shape = inputs[0].data.shape
            if len(shape) != 2 or shape[1] != len(self._declared):
                raise InvalidInput(
                    f"{_field(request, 0, inputs[0])}.shape: got {list(shape)},"
                    f" expected [-1, {len(self._declared)}]: the columns {_list(self._by_name)}"
                )
            return True
        # Columns for a model whose features have no names: as many columns as it has features, in their order.
        return (
            len(self._declared) == 1
            and len(self._declared[0].shape) == 2
            and len(inputs) == self._declared[0].shape[1]
            and all(tensor.data.ndim == 1 or tensor.data.shape[1:] == (1,) for tensor in inputs)
        )

    def _check_tensor(self, tensor: Tensor, metadata: TensorMetadata, field: str) -> None:
        if tensor.datatype != metadata.datatype and not self._accepts(tensor.datatype, metadata.datatype):
            raise InvalidInput(f"{field}.datatype: got {tensor.datatype}, expected {metadata.datatype}")
        shape, expected = tensor.data.shape, metadata.shape
        if len(shape) == len(expected):
            for size, wanted in zip(shape, expected, strict=True):
                if size != wanted and wanted >= 0:
                    break
            else:
                return
        elif not self._exact and len(expected) == 1 and shape[1:] == (1,):
            return  # a column, as a table of one column
        raise InvalidInput(f"{field}.shape: got {list(shape)}, expected {list(expected)}")

    def _accepts(self, datatype: str, expected: str) -> bool:
        return not self._exact and (self._columns or (datatype in NUMERIC and expected in NUMERIC))


def _field(request: InferRequest, index: int, tensor: Tensor) -> str:
    """The field as the client wrote it: v1 has instances, the others a list of inputs."""
    if request.lazy_inputs is None:
        return f"inputs[{index}]"
    return f"instances[].{tensor.name}" if request.lazy_inputs.named else "instances"


def _list(names: Sequence[str] | dict[str, TensorMetadata]) -> str:
    return ", ".join(repr(name) for name in names)
