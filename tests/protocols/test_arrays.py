"""JSON lists <-> arrays of a datatype: exact, strict, and with an error that names the place."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelserver.datatypes import DTYPES, NUMERIC
from modelserver.errors import InvalidInput
from modelserver.protocols.arrays import NotText, array_of, flattened, json_data, natural_datatype
from modelserver.protocols.jsonlib import dumps, loads

FIELD = "inputs[0].data"
MANY = 200  # more than the road for small lists takes
NATIVE = sorted(NUMERIC - {"BF16"})
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.just("b64") | st.text(max_size=2), children, max_size=2)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("data", "datatype", "expected"),
    [
        ([1.5, 2], "FP32", [1.5, 2.0]),
        ([[1, 2], [3, 4]], "FP64", [[1.0, 2.0], [3.0, 4.0]]),
        ([[[1], [2]], [[3], [4]]], "INT8", [[[1], [2]], [[3], [4]]]),
        ([1.0, 2, -3.0], "INT32", [1, 2, -3]),
        ([2**53 + 1, -(2**63)], "INT64", [2**53 + 1, -(2**63)]),
        ([2**63 - 1, 1.0], "INT64", [2**63 - 1, 1]),
        ([2**64 - 1, 0, 2**53 + 1], "UINT64", [2**64 - 1, 0, 2**53 + 1]),
        ([0, 255], "UINT8", [0, 255]),
        ([-128, 127], "INT8", [-128, 127]),
        ([65504, -0.5], "FP16", [65504.0, -0.5]),
        ([65519], "FP16", [65504.0]),  # rounds to the greatest FP16, not to infinity
        ([3.4e38], "FP32", [float(np.float32(3.4e38))]),
        ([1, 2.5], "BF16", [1.0, 2.5]),
        ([2**63, 0.5], "FP64", [2.0**63, 0.5]),
        ([True, False], "BOOL", [True, False]),
        ([[True], [False]], "BOOL", [[True], [False]]),
        (["a", "é"], "BYTES", [b"a", "é".encode()]),
        ([["a"], [{"b64": "/w=="}]], "BYTES", [[b"a"], [b"\xff"]]),
        ([], "FP32", []),
        ([[], []], "INT64", [[], []]),
        ([], "BYTES", []),
    ],
    ids=str,
)
def test_array_of(data: Any, datatype: str, expected: Any) -> None:
    array = array_of(data, datatype, FIELD)
    assert array.dtype == DTYPES[datatype]
    assert array.tolist() == expected


@pytest.mark.parametrize("count", [1, MANY])
@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_null_is_nan_in_floats(datatype: str, count: int) -> None:
    array = array_of([None, *[1.0] * count], datatype, FIELD)
    assert array.dtype == DTYPES[datatype]
    assert np.isnan(array.astype(np.float64)).tolist() == [True, *[False] * count]


def test_null_is_none_in_bytes_where_it_is_allowed() -> None:
    assert array_of(["a", None], "BYTES", FIELD, nulls=True).tolist() == [b"a", None]


@pytest.mark.parametrize("padding", [0, MANY], ids=["few", "many"])
@pytest.mark.parametrize(
    ("datatype", "good", "bad", "message"),
    [
        ("INT32", 7, 1.5, "got 1.5 at [{}], expected an integer from -2147483648 to 2147483647 for INT32"),
        ("INT32", 7, 2**31, "got 2147483648 at [{}], expected an integer from -2147483648 to"),
        ("INT32", 7, 3e9, "got 3000000000.0 at [{}], expected an integer"),
        ("INT32", 7, True, "got true at [{}], expected an integer"),
        ("INT32", 7, None, "got null at [{}], expected an integer"),
        ("INT32", 7, "1", 'got "1" at [{}], expected an integer'),
        ("UINT8", 7, 300, "got 300 at [{}], expected an integer from 0 to 255 for UINT8"),
        ("UINT8", 7, -1, "got -1 at [{}], expected an integer from 0"),
        ("UINT64", 7, -1, "got -1 at [{}], expected an integer from 0"),
        ("UINT64", 7, 1.8446744073709552e19, "got 1.8446744073709552e+19 at [{}], expected an integer"),
        ("INT64", 7, 2**63, "got 9223372036854775808 at [{}], expected an integer"),
        # What a parser makes of -9223372036854775809: it must not pass for -9223372036854775808.
        ("INT64", 7, -9.223372036854775808e18, "got -9.223372036854776e+18 at [{}], expected an integer"),
        ("FP32", 0.5, "a", 'got "a" at [{}], expected a number for FP32'),
        ("FP32", 0.5, "1.5", 'got "1.5" at [{}], expected a number for FP32'),
        ("FP32", 0.5, True, "got true at [{}], expected a number for FP32"),
        ("FP64", 1, False, "got false at [{}], expected a number for FP64"),
        ("FP64", 0, False, "got false at [{}], expected a number for FP64"),
        ("FP32", 0.5, 1e39, "got 1e+39 at [{}], expected a number within the range of FP32"),
        ("FP16", 0.5, 65520, "got 65520 at [{}], expected a number within the range of FP16"),
        ("BF16", 0.5, 3.4e38, "got 3.4e+38 at [{}], expected a number within the range of BF16"),
        ("FP32", 0.5, {}, "got an object at [{}], expected a number for FP32"),
        ("FP32", 0.5, [1], "got a list at [{}], expected a number for FP32"),
        ("BOOL", True, 1, "got 1 at [{}], expected true or false for BOOL"),
        ("BOOL", True, "false", 'got "false" at [{}], expected true or false for BOOL'),
        ("BOOL", True, None, "got null at [{}], expected true or false for BOOL"),
        ("BYTES", "a", 1, 'got 1 at [{}], expected a string or {{"b64": "..."}} for BYTES'),
        ("BYTES", "a", None, "got null at [{}], expected a string"),
        ("BYTES", "a", {"b64": "?"}, "got an object at [{}], expected base64 in b64"),
        ("BYTES", "a", {"b64": 1}, "got an object at [{}], expected a string"),
        ("BYTES", "a", {"b64": "", "x": 1}, "got an object at [{}], expected a string"),
    ],
)
def test_the_first_offending_value_is_named(datatype: str, good: Any, bad: Any, message: str, padding: int) -> None:
    data = [good] * (padding + 1) + [bad, good]
    with pytest.raises(InvalidInput, match=re.escape(f"{FIELD}: {message.format(padding + 1)}")):
        array_of(data, datatype, FIELD)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "inputs[0].data: got 5, expected a list"),
        ("abc", 'inputs[0].data: got "abc", expected a list'),
        (None, "inputs[0].data: got null, expected a list"),
        ({"a": 1}, "inputs[0].data: got an object, expected a list"),
        ([[1, 2], [3]], "inputs[0].data: got a list of 1 at [1], expected a list of 2 like the first"),
        ([[1, 2], 3], "inputs[0].data: got 3 at [1], expected a list of 2 like the first"),
        ([[], [1]], "inputs[0].data: got a list of 1 at [1], expected a list of 0 like the first"),
        ([[[1], [2]], [[3], [4, 5]]], "inputs[0].data: got a list of 2 at [1][1], expected a list of 1"),
        ([[1, 2], [3, "x"]], 'inputs[0].data: got "x" at [1][1], expected a number for FP32'),
    ],
)
def test_ragged_and_scalar_data(data: Any, message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        array_of(data, "FP32", FIELD)


def test_brackets_in_the_field_get_the_index_of_the_row() -> None:
    with pytest.raises(InvalidInput, match=re.escape('instances[2].a: got "x" at [1], expected')):
        array_of([[1, 2], [3, 4], [5, "x"]], "FP32", "instances[].a")
    with pytest.raises(InvalidInput, match=re.escape("instances.a: got 1, expected a list")):
        array_of(1, "FP32", "instances[].a")


def test_more_axes_than_an_array_can_have() -> None:
    data: Any = 1
    for _ in range(65):
        data = [data]
    with pytest.raises(InvalidInput, match="64 axes"):
        array_of(data, "FP32", FIELD)
    assert array_of(data[0], "FP32", FIELD).ndim == 64


def test_an_unknown_datatype() -> None:
    with pytest.raises(InvalidInput, match="INT33"):
        array_of([1], "INT33", FIELD)


def test_a_long_string_among_many_numbers_costs_its_own_length_only() -> None:
    data: list[Any] = [1.5] * 100_000 + ["x" * 1_000_000]  # as fixed-width text these would be 400 GB
    with pytest.raises(InvalidInput, match=r"at \[100000\]"):
        array_of(data, "FP32", FIELD)


@pytest.mark.parametrize("position", [0, 5, MANY - 1])
def test_a_boolean_hidden_among_many_zeros_and_ones_is_found(position: int) -> None:
    data: list[Any] = [0, 1] * (MANY // 2)
    data[position] = bool(data[position])
    with pytest.raises(InvalidInput, match=rf"at \[{position}\]"):
        array_of(data, "INT64", FIELD)


@pytest.mark.parametrize(
    ("data", "datatype"),
    [
        ([], "FP64"),
        ([1, -1], "INT64"),
        ([1, 2**63], "UINT64"),
        ([1, 1.5], "FP64"),
        ([1, None], "FP64"),
        ([None], "FP64"),
        (["a", None], "BYTES"),
        ([{"b64": ""}, "a"], "BYTES"),
        ([True, False], "BOOL"),
        ([True, 1], None),
        ([True, None], None),
        ([1, "a"], None),
        ([[1], 2], None),
    ],
)
def test_natural_datatype(data: Any, datatype: str | None) -> None:
    assert natural_datatype(data) == datatype


def test_flattened() -> None:
    assert flattened([[[1, 2]], [[3, 4]]], FIELD) == ([1, 2, 3, 4], (2, 1, 2))


@given(st.data())
def test_every_numeric_array_comes_back(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(NATIVE))
    elements: Any = {"allow_infinity": False} if datatype.startswith("FP") else None
    array = data.draw(
        hnp.arrays(DTYPES[datatype], hnp.array_shapes(min_dims=1, max_dims=4, min_side=0), elements=elements)
    )
    flat = array_of(loads(dumps(json_data(array, datatype))), datatype, FIELD)
    assert flat.dtype == DTYPES[datatype]
    np.testing.assert_array_equal(flat.reshape(array.shape), array)
    if array.size:
        nested = array_of(loads(dumps(array)), datatype, FIELD)
        np.testing.assert_array_equal(nested, array)
        assert nested.shape == array.shape


@given(hnp.arrays(np.uint16, hnp.array_shapes()))
def test_every_bfloat16_comes_back(bits: np.ndarray) -> None:
    array = bits.view(DTYPES["BF16"])
    array = np.where(np.isinf(array.astype(np.float32)), DTYPES["BF16"].type(0), array)
    back = array_of(loads(dumps(json_data(array, "BF16"))), "BF16", FIELD).reshape(array.shape)
    np.testing.assert_array_equal(back.astype(np.float32), array.astype(np.float32))


@given(st.lists(st.text()))
def test_every_text_comes_back(texts: list[str]) -> None:
    array = array_of(loads(dumps(texts)), "BYTES", FIELD)
    assert json_data(array, "BYTES") == texts


def test_bytes_that_are_no_text_are_reported() -> None:
    with pytest.raises(NotText):
        json_data(np.array([b"a", b"\xff"], object), "BYTES")


@pytest.mark.parametrize(
    "array",
    [np.arange(6).reshape(2, 3).T, np.arange(6, dtype=">i4").reshape(3, 2), np.arange(12)[::2].reshape(3, 2)],
)
def test_json_data_is_row_major_and_native(array: np.ndarray) -> None:
    assert loads(dumps(json_data(array, "INT64"))) == array.ravel().tolist()


def test_json_data_of_a_contiguous_array_is_not_a_copy() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert np.shares_memory(json_data(array, "FP64"), array)  # type: ignore[arg-type]


@given(JSON_VALUES, st.sampled_from(sorted(DTYPES)))
def test_any_json_is_an_array_or_the_clients_mistake(value: Any, datatype: str) -> None:
    try:
        dtype = array_of(value, datatype, FIELD).dtype
    except InvalidInput:
        return
    assert dtype == DTYPES[datatype]
