"""JSON in and out: what is taken, what is refused, and how numpy, pandas and Python values are written."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import OrderedDict, deque
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.errors import InvalidInput
from modelserver.protocols.jsonlib import dumps, dumps_spaced, loads, shown

MALFORMED: dict[str, str] = json.loads((Path(__file__).parents[1] / "golden" / "malformed_json.json").read_text())

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@dataclasses.dataclass
class Box:
    label: str
    score: np.float32


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_bodies_are_the_clients_mistake(name: str) -> None:
    with pytest.raises(
        InvalidInput, match=r"^body: Unrecognized request format: .+: line \d+ column \d+ \(char \d+\)$"
    ):
        loads(MALFORMED[name].encode("latin-1"))


def test_nesting_beyond_the_parser_is_the_clients_mistake() -> None:
    with pytest.raises(InvalidInput, match="depth"):
        loads(b"[" * 5000 + b"]" * 5000)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"null", None),
        (b" [1, 2.5] ", [1, 2.5]),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b'"\xc3\xa9"', "é"),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b"9007199254740993", 2**53 + 1),
        (memoryview(b"[true]"), [True]),
    ],
)
def test_loads(body: bytes, value: object) -> None:
    assert loads(body) == value


def test_a_byte_order_mark_alone_is_an_empty_body() -> None:
    with pytest.raises(InvalidInput, match="Unrecognized"):
        loads(b"\xef\xbb\xbf")


@given(JSON_VALUES)
def test_plain_json_comes_back(value: object) -> None:
    assert loads(dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.arange(4).reshape(2, 2).T, "[[0,2],[1,3]]"),
        (np.arange(6)[::2], "[0,2,4]"),
        (np.array([0.1], np.float32), "[0.1]"),
        (np.array([0.5, np.nan, np.inf, -np.inf]), "[0.5,null,null,null]"),
        (np.array([1.5], np.float16), "[1.5]"),
        (np.array([1.5, np.nan], ml_dtypes.bfloat16), "[1.5,null]"),
        (np.array([1, 2], ">i4"), "[1,2]"),
        (np.array([1.5], ">f8"), "[1.5]"),
        (np.array([1.5], np.longdouble), "[1.5]"),
        (np.array([True, False]), "[true,false]"),
        (np.array(["a", "é"]), '["a","é"]'),
        (np.array([b"a", b"bc"]), '["a","bc"]'),
        (np.array([b"a", "b", None, 1, {"x": b"y"}], object), '["a","b",null,1,{"x":"y"}]'),
        (np.array(["2024-01-01", "NaT"], "M8[D]"), '["2024-01-01",null]'),
        ({"t": {"u": np.array(["2024-01-01", "NaT"], "M8[D]")}, "n": 1}, '{"t":{"u":["2024-01-01",null]},"n":1}'),
        (np.array(1.5), "1.5"),
        (np.array("a"), '"a"'),
        (np.array({"a": 1}, object), '{"a":1}'),
        (np.zeros((0, 3)), "[]"),
        (np.zeros((2, 0)), "[[],[]]"),
        (np.float32(0.1), "0.1"),
        (np.float64("nan"), "null"),
        (np.int64(2**62), str(2**62)),
        (np.bool_(True), "true"),
        (np.longdouble(2), "2.0"),
        (np.array([1.5], ml_dtypes.bfloat16)[0], "1.5"),
        (np.datetime64("NaT"), "null"),
        (float("nan"), "null"),
        ([float("inf"), -float("inf")], "[null,null]"),
        (b"text", '"text"'),
        (bytearray(b"\xff"), '{"b64":"/w=="}'),
        ({"a"}, '["a"]'),
        (frozenset({1}), "[1]"),
        ((1, (2,)), "[1,[2]]"),
        (deque([1, 2]), "[1,2]"),
        ({"a": 1}.keys(), '["a"]'),
        ({"a": 1}.values(), "[1]"),
        (MappingProxyType({"a": 1}), '{"a":1}'),
        (OrderedDict(a=1), '{"a":1}'),
        ({1: 2, None: 3, 1.5: 4, False: 5}, '{"1":2,"null":3,"1.5":4,"false":5}'),
        ({np.int64(7): np.array([1]), b"k": {np.str_("s"): {2: ()}}}, '{"7":[1],"k":{"s":{"2":[]}}}'),
        ({datetime.date(2024, 1, 2): 1, (1, 2): 2}, '{"2024-01-02":1,"[1,2]":2}'),
        ({1: np.array(["NaT"], "M8[s]"), 2: {1, }, 3: np.float32(0.5)}, '{"1":[null],"2":[1],"3":0.5}'),
        (datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.UTC), '"2024-01-02T03:00:00+00:00"'),
        (Box("cat", np.float32(0.5)), '{"label":"cat","score":0.5}'),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_dumps(value: object, text: str) -> None:
    assert dumps(value).decode() == text


def test_a_data_frame_is_a_list_of_row_objects() -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2],
            "text": ["x", None],
            "time": pd.to_datetime(["2024-01-01", None]),
            "kind": pd.Categorical(["u", "v"]),
            "maybe": pd.array([1, None], dtype="Int64"),
        }
    )
    assert loads(dumps(frame)) == [
        {"n": 1, "text": "x", "time": "2024-01-01T00:00:00", "kind": "u", "maybe": 1},
        {"n": 2, "text": None, "time": None, "kind": "v", "maybe": None},
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pd.Series([1.5, None]), "[1.5,null]"),
        (pd.Index(["a", "b"]), '["a","b"]'),
        (pd.Series(["u"], dtype="category"), '["u"]'),
        (pd.Categorical(["u"]), '["u"]'),
        (pd.Timestamp("2024-01-01"), '"2024-01-01T00:00:00"'),
        (pd.NaT, "null"),
        (pd.NA, "null"),
        ({"a": pd.DataFrame({"b": [1]}), 1: pd.NA}, '{"a":[{"b":1}],"1":null}'),
    ],
)
def test_pandas_objects_inside_json(value: object, text: str) -> None:
    assert dumps(value).decode() == text


class Foreign:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array([1, 2])


def test_what_offers_an_array_is_one() -> None:
    assert dumps({"x": Foreign()}) == b'{"x":[1,2]}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3j, "complex"),
        ({"a": object()}, "object"),
        ({1: {2: 3j}}, "complex"),
        (np.array([3j]), "complex128"),
        ({1: np.array([3j])}, "complex128"),
        (np.complex64(1), "complex64"),
        (2**70, "64-bit"),
        ("\ud800", "surrogates"),
        (dumps, "function"),
    ],
)
def test_what_cannot_be_json_is_a_type_error(value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        dumps(value)


def test_a_value_that_holds_itself_is_a_type_error() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="nested too deeply"):
        dumps(value)


def test_spaced_json_is_what_python_writes() -> None:
    assert dumps_spaced({"predictions": [[1, 2]]}) == b'{"predictions": [[1, 2]]}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1.5, "1.5"),
        ("é", '"é"'),
        ([1], "a list"),
        ({}, "an object"),
        ("x" * 99, '"' + "x" * 39 + "..."),
    ],
)
def test_shown(value: object, text: str) -> None:
    assert shown(value) == text
