"""Golden rows: how they are written, what they ask, and the first difference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelserver import InferResponse, InvalidInput, Tensor, TensorMetadata
from modelserver.golden import read_rows, row_of
from modelserver.sample import sample_inputs

X = [TensorMetadata("x", "FP32", [-1, 2])]


def asked(row: dict[str, Any], declared: list[TensorMetadata]) -> list[tuple[str, str, object]]:
    request = row_of(row, "row 1").request("m", declared)
    request.declared = declared
    return [(tensor.name, tensor.datatype, tensor.data.tolist()) for tensor in request.inputs]


@pytest.mark.parametrize(
    ("row", "declared", "expected"),
    [
        ({"inputs": {"x": [[1, 2]]}}, X, [("x", "FP32", [[1.0, 2.0]])]),
        ({"inputs": {"x": [[1, 2]]}}, [], [("x", "INT64", [[1, 2]])]),
        ({"inputs": {"t": ["a"]}}, [], [("t", "BYTES", [b"a"])]),
        (
            {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2, 1], "data": [1, 2]}]},
            X,
            [("x", "FP64", [[1.0], [2.0]])],
        ),
        ({"inputs": [{"name": "x", "data": [[1, 2]]}]}, X, [("x", "FP32", [[1.0, 2.0]])]),
        ({"instances": [[1, 2]]}, X, [("x", "FP32", [[1.0, 2.0]])]),
        ({"instances": [[1, 2]]}, [], [("instances", "INT64", [[1, 2]])]),
        (
            {"instances": [{"a": 1, "b": "u"}, {"a": 2, "b": "v"}]},
            [TensorMetadata("a", "FP64", [-1])],
            [("a", "FP64", [1.0, 2.0]), ("b", "BYTES", [b"u", b"v"])],
        ),
        (
            {"instances": [[1, "u"], [2, "v"]]},
            [TensorMetadata("a", "FP64", [-1]), TensorMetadata("b", "BYTES", [-1])],
            [("a", "FP64", [1.0, 2.0]), ("b", "BYTES", [b"u", b"v"])],
        ),
    ],
)
def test_what_a_row_asks(row: dict[str, Any], declared: list[TensorMetadata], expected: object) -> None:
    assert asked(row, declared) == expected


def test_v1s_form_is_v1s_request() -> None:
    request = row_of({"instances": [1]}, "row 1").request("m")
    assert (request.json, request.context.protocol) == ({"instances": [1]}, "v1")


def test_a_fraction_for_an_integer_is_left_to_the_model() -> None:
    assert asked({"inputs": {"x": [1.5]}}, [TensorMetadata("x", "INT64", [-1])]) == [("x", "FP64", [1.5])]


def test_data_that_is_no_tensor() -> None:
    with pytest.raises(InvalidInput, match="inputs: x: "):
        asked({"inputs": {"x": [[1], [2, 3]]}}, X)


def found(row: dict[str, Any], *outputs: Tensor) -> str:
    return row_of({"inputs": {}, **row}, "row 1").difference(InferResponse(outputs))


SHAPE = "y: got shape [2], expected [1, 2]"
FP32 = Tensor("y", np.array([0.1, 0.2], np.float32))
LABELS = Tensor("label", np.array(["a", "b"]))


@pytest.mark.parametrize(
    ("row", "outputs", "difference"),
    [
        ({}, [FP32], ""),
        ({"outputs": {"y": [0.1, 0.2]}, "rtol": 0}, [FP32], ""),
        ({"outputs": {"y": [0.1, 0.2000001]}}, [FP32], ""),
        ({"outputs": {"y": [0.1, 0.2001]}}, [FP32], "y[1]: got 0.20000000298023224, expected 0.2001"),
        ({"outputs": {"y": [0.1, 0.21]}, "atol": 0.02}, [FP32], ""),
        ({"outputs": {"y": [0.1]}}, [FP32], "y: got 2 values, expected 1"),
        ({"outputs": {"y": [[0.1], [0.2]]}}, [FP32], "y[0]: got 0.10000000149011612, expected [0.1]"),
        ({"outputs": {"z": [1]}}, [FP32, LABELS], "outputs: expected 'z', got 'y', 'label'"),
        ({"outputs": {"label": ["a", "b"]}}, [FP32, LABELS], ""),
        ({"outputs": {"label": ["a", "c"]}}, [LABELS], "label[1]: got 'b', expected 'c'"),
        ({"outputs": [{"name": "y", "shape": [2], "data": [0.1, 0.2]}]}, [FP32], ""),
        ({"outputs": [{"name": "y", "shape": [1, 2], "data": [0.1, 0.2]}]}, [FP32], SHAPE),
        ({"outputs": [{"name": "m", "data": [1, 2]}]}, [Tensor("m", np.array([[1, 2]]))], ""),
        ({"outputs": {"m": [1, 3]}}, [Tensor("m", np.array([1, 2]))], "m[1]: got 2, expected 3"),
        ({"outputs": {"m": [None, "NaN"]}}, [Tensor("m", np.array([np.nan, 1.0]))], "m[1]: got 1.0, expected 'NaN'"),
        ({"outputs": {"m": [True]}}, [Tensor("m", np.array([False]))], "m[0]: got False, expected True"),
        ({"predictions": [0.1, 0.2]}, [FP32], ""),
        ({"predictions": [{"y": 0.1, "label": "a"}, {"y": 0.2, "label": "b"}]}, [FP32, LABELS], ""),
        (
            {"predictions": [{"y": 9}, {"y": 9}]},
            [FP32, LABELS],
            "predictions[0].y: got 0.10000000149011612, expected 9",
        ),
    ],
)
def test_the_first_difference(row: dict[str, Any], outputs: list[Tensor], difference: str) -> None:
    assert found(row, *outputs) == difference


def test_json_of_the_models_own() -> None:
    row = row_of({"instances": [1], "predictions": [{"a": 1.0}]}, "row 1")
    assert row.difference(InferResponse.from_json({"predictions": [{"a": 1}]})) == ""
    assert row.difference(InferResponse.from_json([{"b": 1}])) == "predictions[0]: expected 'a', got 'b'"


def test_a_file_of_rows(tmp_path: Path) -> None:
    path = tmp_path / "model.golden.jsonl"
    path.write_text('{"inputs": {"x": [1]}}\n\n{"instances": [1], "predictions": [2]}\n')
    assert [row.where for row in read_rows(path)] == ["model.golden.jsonl row 1", "model.golden.jsonl row 3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "g.jsonl row 1: not JSON"),
        ("[]", "g.jsonl row 1: expected an object with inputs or instances, got list"),
        ("{}", "g.jsonl row 1: expected one of inputs and instances"),
        ('{"inputs": {}, "instances": []}', "g.jsonl row 1: expected one of inputs and instances"),
        ('{"inputs": 3}', "g.jsonl row 1: inputs: expected an object of lists by name, or a list of tensors"),
        ('{"instances": 3}', "g.jsonl row 1: instances: expected a list"),
        ('{"inputs": {}, "outputs": 3}', "g.jsonl row 1: outputs: expected an object of lists by name"),
        ('{"inputs": {}, "rtol": -1}', "g.jsonl row 1: rtol: got -1, expected a number, at least 0"),
        ('{"inputs": {}, "output": {}}', "g.jsonl row 1: unknown key 'output', expected atol, inputs"),
    ],
)
def test_mistakes_name_the_row(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "g.jsonl").write_text(line)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rows(tmp_path / "g.jsonl")


def test_made_up_inputs() -> None:
    declared = [
        TensorMetadata("f", "BF16", [-1, 3]),
        TensorMetadata("i", "INT64", [2]),
        TensorMetadata("t", "BYTES", [-1]),
        TensorMetadata("b", "BOOL", [2]),
        TensorMetadata("o", "FP32", [-1], optional=True),
    ]
    made = {tensor.name: tensor.data.tolist() for tensor in sample_inputs(declared, 1)}
    assert made == {"f": [[0.125, 0.25, 0.375]], "i": [1, 0], "t": [b"text"], "b": [True, False]}
