"""Golden rows: inputs with the outputs that a model must give for them, one JSON object a line.

::

    {"inputs": {"x": [[1.0, 2.0]]}, "outputs": {"y": [3.0]}, "rtol": 1e-6}
    {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}], "outputs": {"y": [3.0]}}
    {"instances": [[1.0, 2.0]], "predictions": [3.0]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from modelserver.datatypes import DTYPES
from modelserver.errors import InvalidInput
from modelserver.messages import Context, InferRequest, InferResponse, Json
from modelserver.metadata import TensorMetadata
from modelserver.tensor import Tensor

#: Relative differences that are let through where a row says nothing: machines round differently in the last digits.
TOLERANCES = {"FP64": 1e-9, "FP32": 1e-5, "FP16": 1e-2, "BF16": 2e-2}
_KEYS = frozenset({"inputs", "instances", "outputs", "predictions", "parameters", "rtol", "atol"})
_UNNAMED = "instances"


@dataclass(frozen=True, slots=True)
class GoldenRow:
    """One request, as tensors (``inputs``) or as v1 instances, and what must come back if the row says it."""

    #: ``row 3``: for messages.
    where: str
    inputs: Mapping[str, Json] | Sequence[Mapping[str, Json]] | None = None
    instances: Sequence[Json] | None = None
    outputs: Mapping[str, Json] | None = None
    predictions: Json = None
    parameters: Mapping[str, bool | int | float | str] | None = None
    rtol: float | None = None
    atol: float = 0.0

    def request(self, model_name: str, declared: Sequence[TensorMetadata] = ()) -> InferRequest:
        """The request; what ``declared`` says of an input gives its datatype. ``InvalidInput`` names the input."""
        if self.instances is not None:
            return InferRequest(
                model_name,
                json={"instances": list(self.instances)},
                lazy_inputs=_Instances(self.instances),
                parameters=self.parameters,
                context=Context(protocol="v1"),
            )
        return InferRequest(
            model_name, self._tensors(declared), parameters=self.parameters, context=Context(protocol="v2")
        )

    def _tensors(self, declared: Sequence[TensorMetadata]) -> list[Tensor]:
        datatypes = {metadata.name: metadata.datatype for metadata in declared}
        if isinstance(self.inputs, Mapping):
            return [_tensor(name, data, datatypes.get(name), None) for name, data in self.inputs.items()]
        return [
            _tensor(
                str(entry["name"]),
                entry["data"],
                entry.get("datatype") or datatypes.get(str(entry["name"])),
                entry.get("shape"),
            )
            for entry in self.inputs or ()
        ]

    def difference(self, response: InferResponse) -> str:
        """The first difference between what came and what the row says; empty when there is none."""
        if self.outputs is None and self.predictions is None:
            return ""
        if self.outputs is not None:
            return self._outputs_difference(self.outputs, response)
        if response.json_is_set:
            body = response.json
            got = body["predictions"] if isinstance(body, dict) and "predictions" in body else body
            return _difference("predictions", self.predictions, got, self._within("FP64"))
        if len(response.outputs) == 1:
            tensor = response.outputs[0]
            return _difference("predictions", self.predictions, tensor.data.tolist(), self._within(tensor.datatype))
        rows = zip(*(tensor.data.tolist() for tensor in response.outputs), strict=True)
        got = [dict(zip((tensor.name for tensor in response.outputs), row, strict=True)) for row in rows]
        return _difference("predictions", self.predictions, got, self._within("FP32"))

    def _outputs_difference(self, outputs: Mapping[str, Json], response: InferResponse) -> str:
        came = {tensor.name: tensor for tensor in response.outputs}
        for name, value in outputs.items():
            tensor = came.get(name)
            if tensor is None:
                return f"outputs: expected {name!r}, got {', '.join(map(repr, came)) or 'none'}"
            array, expected = tensor.data, value
            if isinstance(value, dict):  # v2's form, its data flat
                shape = value.get("shape")
                if shape is not None and list(array.shape) != shape:
                    return f"{name}: got shape {list(array.shape)}, expected {shape}"
                expected = value.get("data")
                if isinstance(expected, list) and not any(isinstance(each, list) for each in expected):
                    array = array.reshape(-1)
            if found := _difference(name, expected, array.tolist(), self._within(tensor.datatype)):
                return found
        return ""

    def _within(self, datatype: str) -> _Within:
        rtol = TOLERANCES.get(datatype, 0.0) if self.rtol is None else self.rtol
        return _Within(rtol, self.atol, DTYPES[datatype])


def read_rows(path: Path) -> list[GoldenRow]:
    """The rows of a file, empty lines left out; ``ValueError`` names the file and the row."""
    rows = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path.name} row {number}"
            try:
                value = json.loads(line)
            except ValueError as exc:
                raise ValueError(f"{where}: not JSON: {exc}") from None
            rows.append(row_of(value, where))
    return rows


def row_of(value: Json, where: str) -> GoldenRow:
    """One parsed row; ``ValueError`` names ``where`` and the key."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object with inputs or instances, got {type(value).__name__}")  # noqa: TRY004 - one error for all
    if unknown := sorted(set(value) - _KEYS):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}, expected {', '.join(sorted(_KEYS))}")
    if ("inputs" in value) == ("instances" in value):
        raise ValueError(f"{where}: expected one of inputs and instances")
    if "instances" in value and not isinstance(value["instances"], list):
        raise ValueError(f"{where}: instances: expected a list")
    outputs = value.get("outputs")
    if isinstance(outputs, list):  # v2's form
        outputs = {entry["name"]: entry for entry in outputs if isinstance(entry, dict) and "name" in entry}
    if outputs is not None and not isinstance(outputs, dict):
        raise ValueError(f"{where}: outputs: expected an object of lists by name, or a list of tensors")
    for key in ("rtol", "atol"):
        if type(value.get(key, 0)) not in (int, float) or not 0 <= value.get(key, 0) < math.inf:
            raise ValueError(f"{where}: {key}: got {value[key]!r}, expected a number, at least 0")
    return GoldenRow(
        where,
        inputs=_inputs(value.get("inputs"), where),
        instances=value.get("instances"),
        outputs=outputs,
        predictions=value.get("predictions"),
        parameters=value.get("parameters"),
        rtol=None if "rtol" not in value else float(value["rtol"]),
        atol=float(value.get("atol", 0.0)),
    )


def _inputs(inputs: Json, where: str) -> Json:
    if inputs is None or isinstance(inputs, dict):
        return inputs
    if not isinstance(inputs, list) or not all(isinstance(e, dict) and {"name", "data"} <= e.keys() for e in inputs):
        raise ValueError(f"{where}: inputs: expected an object of lists by name, or a list of tensors: name, data")
    return inputs


class _Instances:
    """v1 instances as tensors: dict rows by name, bare ones as the only declared input, or as columns."""

    def __init__(self, instances: Sequence[Json]) -> None:
        self._instances = instances
        self.named = bool(instances) and isinstance(instances[0], dict)

    def tensors(self, declared: Sequence[TensorMetadata]) -> list[Tensor]:
        datatypes = {metadata.name: metadata.datatype for metadata in declared}
        rows = self._instances
        if self.named:
            return [_tensor(name, [row.get(name) for row in rows], datatypes.get(name), None) for name in rows[0]]
        if len(declared) == 1:
            return [_tensor(declared[0].name, rows, declared[0].datatype, None)]
        if declared and all(isinstance(row, list) and len(row) == len(declared) for row in rows):
            columns = zip(*rows, strict=True)
            return [_tensor(m.name, column, m.datatype, None) for m, column in zip(declared, columns, strict=True)]
        return [_tensor(_UNNAMED, rows, None, None)]


def _tensor(name: str, data: Json, datatype: str | None, shape: Sequence[int] | None) -> Tensor:
    try:
        dtype = DTYPES.get(datatype or "")
        array = np.asarray(data, dtype)
        if dtype is not None and dtype.kind in "iu" and not np.array_equal(array, np.asarray(data)):
            array = np.asarray(data)  # a fraction: the model, not this, says what it thinks of it
        return Tensor(name, array if shape is None else array.reshape(tuple(shape)))
    except (TypeError, ValueError, OverflowError) as exc:
        raise InvalidInput(f"inputs: {name}: {exc}") from exc


class _Within(NamedTuple):
    """How far a number may be from the expected one, which is rounded to the output's own dtype before."""

    rtol: float
    atol: float
    dtype: np.dtype


def _difference(path: str, expected: Json, got: Json, within: _Within) -> str:
    if isinstance(got, np.ndarray):
        got = got.tolist()
    if isinstance(got, np.generic):
        got = got.item()
    if isinstance(got, bytes):
        got = got.decode(errors="replace")
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        if len(expected) != len(got):
            return f"{path}: got {len(got)} values, expected {len(expected)}"
        pairs = ((f"{path}[{index}]", one, other) for index, (one, other) in enumerate(zip(expected, got, strict=True)))
    elif isinstance(expected, dict) and isinstance(got, dict):
        if missing := [key for key in expected if key not in got]:
            return f"{path}: expected {missing[0]!r}, got {', '.join(map(repr, got)) or 'nothing'}"
        pairs = ((f"{path}.{key}", one, got[key]) for key, one in expected.items())
    else:
        return "" if _same(expected, got, within) else f"{path}: got {got!r}, expected {expected!r}"
    return next((found for where, one, other in pairs if (found := _difference(where, one, other, within))), "")


def _same(expected: Json, got: Json, within: _Within) -> bool:
    if expected is None and isinstance(got, float):  # JSON has no NaN
        return math.isnan(got)
    if isinstance(expected, bool) or isinstance(got, bool) or not isinstance(got, (int, float)):
        return bool(expected == got)
    if not isinstance(expected, (int, float)):
        return False
    if math.isnan(got) or math.isnan(expected):
        return math.isnan(got) and math.isnan(expected)
    if within.dtype.kind not in "iub":
        expected = float(np.asarray(expected, within.dtype))
    return bool(got == expected or abs(got - expected) <= within.atol + within.rtol * abs(expected))
