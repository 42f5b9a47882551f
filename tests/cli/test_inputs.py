"""Inputs of `modelserver infer`: CSV and .npy as tensors."""

from __future__ import annotations

import io

import numpy as np
import pytest

from modelserver.cli import inputs
from modelserver.errors import InvalidInput
from modelserver.metadata import TensorMetadata
from modelserver.tensor import Tensor

MATRIX = [TensorMetadata("x", "FP32", [-1, 2])]


def shown(tensors: list[Tensor]) -> list[tuple[str, str, list[object]]]:
    return [(t.name, t.datatype, t.data.tolist()) for t in tensors]


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("text", "declared", "expected"),
    [
        ("1,2\n3,4\n", [], [("input-0", "INT64", [[1, 2], [3, 4]])]),
        ("1,2.5\n3,4\n", [], [("input-0", "FP64", [[1, 2.5], [3, 4]])]),
        ("1,2\n3,4\n", MATRIX, [("x", "FP32", [[1, 2], [3, 4]])]),
        ("a,b\n1,2\n", MATRIX, [("x", "FP32", [[1, 2]])]),
        ("a,b\n1,u\n2,v\n", [], [("a", "INT64", [1, 2]), ("b", "BYTES", [b"u", b"v"])]),
        ("\ufeffa,b\r\n1,\r\n2,3\r\n", [], [("a", "INT64", [1, 2]), ("b", "FP64", [1, 3])]),
        (
            "b,a\n1,u\n",
            [TensorMetadata("a", "BYTES", [-1]), TensorMetadata("b", "FP64", [-1, 1])],
            [("b", "FP64", [[1.0]]), ("a", "BYTES", [b"u"])],
        ),
        ("price\n7\n", [TensorMetadata("y", "INT32", [-1])], [("y", "INT32", [7])]),
        ('t\n"a, ""b"""\n', [], [("t", "BYTES", [b'a, "b"'])]),
        ("u,v\nk,l\n", [TensorMetadata("s", "BYTES", [-1, 2])], [("s", "BYTES", [[b"k", b"l"]])]),
    ],
)
def test_csv(text: str, declared: list[TensorMetadata], expected: list[tuple[str, str, list[object]]]) -> None:
    found = shown(inputs.csv_tensors(text.encode(), declared))

    if "\ufeff" in text:  # the empty cell is NaN, which equals nothing
        assert np.isnan(found[1][2][0])
        found[1][2][0] = 1
    assert expected == found


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "input: the CSV has no rows"),
        (b"a,b\n", "input: the CSV has no rows"),
        (b"a,b\n1\n", "input: row 1 has 1 cells, expected 2"),
        (b"a\n\xff\n", "input: cannot be read as CSV"),
    ],
)
def test_wrong_csv(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        inputs.csv_tensors(body, [])


def test_npy_takes_the_declared_name_and_datatype() -> None:
    assert shown(inputs.npy_tensors(npy(np.array([[1, 2]])), MATRIX)) == [("x", "FP32", [[1.0, 2.0]])]
    assert shown(inputs.npy_tensors(npy(np.array([[1, 2]])), [])) == [("input-0", "INT64", [[1, 2]])]


def test_a_value_is_never_changed_to_fit() -> None:
    with pytest.raises(InvalidInput, match="input: n has values that INT32 cannot hold"):
        inputs.npy_tensors(npy(np.array([1.5])), [TensorMetadata("n", "INT32", [-1])])


@pytest.mark.parametrize("body", [b"\x93NUMPY", b"no array", npy(np.array([{}]))])
def test_wrong_npy(body: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"input: cannot be read as \.npy"):
        inputs.npy_tensors(body, [])


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("a.csv", b"", "csv"),
        ("a.NPY", b"", "npy"),
        ("a.json", b"", "json"),
        ("-", b"[1]", "json"),
        ("-", b"\x93NUMPY...", "npy"),
    ],
)
def test_form(path: str, body: bytes, expected: str) -> None:
    assert expected == inputs.form_of(path, body)
