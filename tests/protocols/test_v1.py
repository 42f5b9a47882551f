"""The v1 codec: bodies to requests, instances to tensors, answers to bodies, and the client's side of both."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelserver.datatypes import DTYPES
from modelserver.errors import InvalidInput
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import TensorMetadata
from modelserver.protocols import v1
from modelserver.protocols.jsonlib import dumps, loads
from modelserver.tensor import Tensor

MALFORMED: dict[str, str] = json.loads((Path(__file__).parents[1] / "golden" / "malformed_json.json").read_text())
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "b64"]), children, max_size=2)
    ),
    max_leaves=15,
)


def declare(**inputs: tuple[str, list[int]]) -> list[TensorMetadata]:
    return [TensorMetadata(name, datatype, shape) for name, (datatype, shape) in inputs.items()]


def tensors(body: object, declared: list[TensorMetadata] | None = None) -> list[tuple[str, str, list[Any]]]:
    """Name, datatype and nested data of each input of a body."""
    request = v1.decode_request(dumps(body), v1.JSON, "m")
    request.declared = declared or []
    return [(tensor.name, tensor.datatype, tensor.data.tolist()) for tensor in request.inputs]


# --- content types --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/JSON;charset=UTF-8",
        "application/vnd.kserve+json",
        "application/cloudevents+json; charset=utf-8",
        "application/ld+json",
        "text/json",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
    ],
)
def test_json_by_its_content_type(content_type: str | None) -> None:
    request = v1.decode_request(b'{"instances": [1, 2]}', content_type, "m")
    assert request.json == {"instances": [1, 2]}
    assert request.body is None
    assert request.model_name == "m"
    assert request.array().tolist() == [1, 2]


@pytest.mark.parametrize("content_type", ["text/plain", "image/png", "multipart/form-data; boundary=x", "text/csv"])
def test_other_content_types_are_bytes_even_when_they_look_like_json(content_type: str) -> None:
    request = v1.decode_request(b'{"instances": [1]}', content_type, "m")
    assert request.body == b'{"instances": [1]}'
    assert request.json is None
    with pytest.raises(InvalidInput, match="not JSON"):
        _ = request.inputs


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/x-www-form-urlencoded;charset=x"])
def test_undecided_content_types_are_bytes_when_they_are_no_json(content_type: str) -> None:
    assert v1.decode_request(b"\x00\x01", content_type, "m").body == b"\x00\x01"


@pytest.mark.parametrize("content_type", [None, "application/json", "application/problem+json"])
@pytest.mark.parametrize("name", MALFORMED)
def test_bad_json_is_the_clients_mistake(name: str, content_type: str | None) -> None:
    with pytest.raises(InvalidInput, match="Unrecognized request format: "):
        v1.decode_request(MALFORMED[name].encode("latin-1"), content_type, "m")


@pytest.mark.parametrize("instances", ["abc", None, 1, {"a": [1]}, True])
def test_instances_must_be_a_list(instances: object) -> None:
    with pytest.raises(InvalidInput, match=r'^Expected "instances" to be a list$'):
        v1.decode_request(dumps({"instances": instances}), v1.JSON, "m")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], 'body: got a list, expected an object with "instances" or "inputs"'),
        (None, 'body: got null, expected an object with "instances" or "inputs"'),
        ({"foo": 1, "bar": 2}, 'body: got an object with "foo", "bar", expected "instances" or "inputs"'),
        ({}, 'body: got an object with no key, expected "instances" or "inputs"'),
        ({"inputs": "What is this?"}, 'Expected "inputs" to be a list or an object, got "What is this?"'),
    ],
)
def test_any_other_json_is_left_to_the_model(value: object, message: str) -> None:
    request = v1.decode_request(dumps(value), v1.JSON, "m")
    assert request.json == value
    with pytest.raises(InvalidInput, match=re.escape(message)):
        _ = request.inputs


# --- instances as tensors -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([1, 2], [("instances", "INT64", [1, 2])]),
        ([[1, 2], [3, 4.5]], [("instances", "FP64", [[1.0, 2.0], [3.0, 4.5]])]),
        ([2**63, 1], [("instances", "UINT64", [2**63, 1])]),
        ([2**53 + 1], [("instances", "INT64", [2**53 + 1])]),
        ([True, False], [("instances", "BOOL", [True, False])]),
        (["a", None, "é"], [("instances", "BYTES", [b"a", None, "é".encode()])]),
        ([["a"], ["b"]], [("instances", "BYTES", [[b"a"], [b"b"]])]),
        ([{"b64": "aGk="}, {"b64": "/w=="}], [("instances", "BYTES", [b"hi", b"\xff"])]),
        ([], [("instances", "FP64", [])]),
        ([[1, "a"], [2, "b"]], [("0", "INT64", [1, 2]), ("1", "BYTES", [b"a", b"b"])]),
        ([[1, [2, 3]], [4, [5, 6]]], [("0", "INT64", [1, 4]), ("1", "INT64", [[2, 3], [5, 6]])]),
        (
            [{"a": 1, "b": "x"}, {"b": None, "a": 2.5}],
            [("a", "FP64", [1.0, 2.5]), ("b", "BYTES", [b"x", None])],
        ),
        ([{"image": {"b64": "aGk="}}], [("image", "BYTES", [b"hi"])]),
        ([{"v": [1, 2], "n": 1}, {"v": [3, 4], "n": 2}], [("v", "INT64", [[1, 2], [3, 4]]), ("n", "INT64", [1, 2])]),
        # KServe's rows that are tables of one row; longer lists are vectors for a model that declares nothing.
        ([{"a": [1], "b": ["x"]}, {"a": [2], "b": ["y"]}], [("a", "INT64", [1, 2]), ("b", "BYTES", [b"x", b"y"])]),
        ([{"v": [1, 2]}, {"v": [3, 4]}], [("v", "INT64", [[1, 2], [3, 4]])]),
        ([{"m": [[1], [2]]}], [("m", "INT64", [[[1], [2]]])]),
    ],
    ids=str,
)
def test_instances_of_a_model_that_declares_nothing(instances: object, expected: object) -> None:
    assert tensors({"instances": instances}) == expected
    assert tensors({"inputs": instances}) == expected


def test_nulls_among_numbers_are_nan() -> None:
    request = v1.decode_request(b'{"instances": [[1, null], [null, 2]]}', v1.JSON, "m")
    np.testing.assert_array_equal(request.array(), [[1.0, np.nan], [np.nan, 2.0]])


def test_inputs_may_be_columns() -> None:
    assert tensors({"inputs": {"a": [1, 2], "b": ["x", "y"], "c": [[True], [False]]}}) == [
        ("a", "INT64", [1, 2]),
        ("b", "BYTES", [b"x", b"y"]),
        ("c", "BOOL", [[True], [False]]),
    ]


def test_inputs_win_over_instances() -> None:
    assert tensors({"instances": [1], "inputs": [2]}) == [("instances", "INT64", [2])]
    assert tensors({"instances": [{"a": 1}], "inputs": []}) == [("instances", "FP64", [])]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"instances": [1]}, False),
        ({"instances": []}, False),
        ({"instances": [{"b64": ""}]}, False),
        ({"instances": [{"a": 1}]}, True),
        ({"inputs": {"a": [1]}}, True),
        ({"inputs": [], "instances": [{"a": 1}]}, False),
        ([1], False),
        ({"foo": 1}, False),
    ],
)
def test_named(body: object, named: bool) -> None:
    request = v1.decode_request(dumps(body), v1.JSON, "m")
    assert request.lazy_inputs is not None
    assert request.lazy_inputs.named is named


@pytest.mark.parametrize(
    ("body", "declared", "expected"),
    [
        ({"instances": [[1, 2]]}, declare(x=("FP32", [-1, 2])), [("x", "FP32", [[1.0, 2.0]])]),
        ({"instances": []}, declare(x=("FP32", [-1, 2])), [("x", "FP32", [])]),
        ({"instances": [1.0, 2]}, declare(x=("UINT8", [-1])), [("x", "UINT8", [1, 2])]),
        ({"instances": ["a"]}, declare(x=("BYTES", [-1])), [("x", "BYTES", [b"a"])]),
        ({"instances": ["a", None]}, declare(x=("BYTES", [-1])), [("x", "BYTES", [b"a", None])]),
        # An axis of one that is declared need not be written.
        ({"instances": [1, 2]}, declare(x=("FP32", [-1, 1])), [("x", "FP32", [[1.0], [2.0]])]),
        ({"instances": [1, 2]}, declare(x=("FP32", [-1, 2])), [("x", "FP32", [1.0, 2.0])]),
        # An empty datatype is left to the data.
        ({"instances": [1, 2]}, declare(x=("", [-1])), [("x", "INT64", [1, 2])]),
        # Rows of one value an input are columns in the order of the declaration.
        (
            {"instances": [[1, 2], [3, 4]]},
            declare(a=("FP32", [-1]), b=("INT8", [-1, 1])),
            [("a", "FP32", [1.0, 3.0]), ("b", "INT8", [[2], [4]])],
        ),
        (
            {"instances": [[1, "x"], [3, "y"]]},
            declare(a=("", [-1]), b=("", [-1])),
            [("a", "INT64", [1, 3]), ("b", "BYTES", [b"x", b"y"])],
        ),
        (
            {"instances": [[1, 2], [3, 4]]},
            declare(a=("", [-1]), b=("", [-1])),
            [("instances", "INT64", [[1, 2], [3, 4]])],
        ),
        (
            {"instances": [{"b": "x", "a": 1}]},
            declare(a=("FP32", [-1]), b=("BYTES", [-1, 1])),
            [("b", "BYTES", [[b"x"]]), ("a", "FP32", [1.0])],
        ),
        # Lists in rows: vectors where vectors are declared, else KServe's tables one after another.
        ({"instances": [{"v": [1]}, {"v": [3]}]}, declare(v=("FP32", [-1, 2])), [("v", "FP32", [[1.0], [3.0]])]),
        ({"instances": [{"v": [1, 2]}, {"v": [3]}]}, declare(v=("FP32", [-1])), [("v", "FP32", [1.0, 2.0, 3.0])]),
        ({"instances": [{"v": [1, 2]}]}, declare(v=("FP32", [-1, 1])), [("v", "FP32", [[1.0], [2.0]])]),
        ({"instances": [{"a": [1, 2], "b": ["x", "y"]}]}, declare(x=("FP32", [-1, 2])),
         [("a", "INT64", [1, 2]), ("b", "BYTES", [b"x", b"y"])]),
        # A lone input is what it is under any name: the engine says whether the name will do.
        ({"instances": [{"other": [1, 2]}]}, declare(x=("FP32", [-1, 2])), [("other", "FP32", [[1.0, 2.0]])]),
        ({"inputs": {"other": [1]}}, declare(x=("FP32", [-1])), [("other", "FP32", [1.0])]),
        ({"inputs": {"a": [1], "z": [1]}}, declare(a=("FP32", [-1])), [("a", "FP32", [1.0]), ("z", "INT64", [1])]),
    ],
)  # fmt: skip
def test_declared_inputs_decide(body: object, declared: list[TensorMetadata], expected: object) -> None:
    assert tensors(body, declared) == expected


@pytest.mark.parametrize(
    ("body", "declared", "message"),
    [
        ({"instances": [[1, 2], [3]]}, [], "instances[1]: got a list of 1, expected a list of 2 like the first"),
        ({"instances": [[1, 2], 3]}, [], "instances[1]: got 3, expected a list of 2"),
        ({"instances": [1, [2]]}, [], "instances[1]: got a list, expected a number"),
        ({"instances": [1, "a"]}, [], 'instances[1]: got "a", expected a number like the values before it'),
        ({"instances": [True, 1]}, [], "instances[1]: got 1, expected a boolean"),
        ({"instances": [True, None]}, [], "instances[1]: got null, expected a boolean"),
        ({"instances": [1, 2, {"a": 1}]}, [], "instances[2]: got an object, expected a number"),
        ({"instances": [[1, 2], [3, "x"]]}, [], 'instances[1][1]: got "x", expected a number'),
        ({"instances": [[[1, "x"]]]}, [], 'instances[0]: got "x" at [0][1], expected a number'),
        ({"instances": [2**63, -1]}, [], "instances[1]: got -1, expected an integer from 0"),
        ({"instances": [{"a": 1}, {"b": 1}]}, [], 'instances[1]: missing "a", unexpected "b"; expected the keys of'),
        ({"instances": [{"a": 1, "b": 2}, {"a": 1}]}, [], 'instances[1]: missing "b"; expected the keys of'),
        ({"instances": [{"a": 1}, 2]}, [], "instances[1]: got 2, expected an object like instances[0]"),
        ({"instances": [{}]}, [], "instances[0]: got an empty object"),
        ({"instances": [{"a": 1}, {"a": "x"}]}, [], 'instances[1].a: got "x", expected a number'),
        ({"instances": [{"a": [1, 2]}, {"a": [3]}]}, [], "instances[1].a: got a list of 1, expected a list of 2"),
        ({"instances": [{"b64": "?"}]}, [], "instances[0]: got an object, expected base64 in b64"),
        ({"instances": [{"a": {"c": 1}}]}, [], "instances[0].a: got an object, expected a string"),
        ({"inputs": {}}, [], "inputs: got an empty object"),
        ({"inputs": {"a": 1}}, [], "inputs.a: got 1, expected a list"),
        ({"inputs": {"a": [1, "x"]}}, [], 'inputs.a: got "x" at [1], expected a number'),
        ({"instances": [{"a": 0}] * 3 + [{"a": 300}]}, declare(a=("UINT8", [-1])),
         "instances[3].a: got 300, expected an integer from 0 to 255 for UINT8"),
        ({"instances": [[1, 1.5]]}, declare(x=("INT32", [-1, 2])), "instances[0]: got 1.5 at [1], expected an integer"),
        ({"instances": [1]}, declare(x=("BYTES", [-1])), "instances[0]: got 1, expected a string"),
        ({"instances": [1]}, declare(x=("BOOL", [-1])), "instances[0]: got 1, expected true or false"),
        ({"instances": [[1, 2]]}, declare(a=("INT8", [-1]), b=("BYTES", [-1, 1])), "instances[0][1]: got 2, expected"),
        ({"instances": [[1, "x"]]}, declare(a=("INT8", [-1]), b=("FP32", [-1])), 'instances[0][1]: got "x", expected'),
    ],
)  # fmt: skip
def test_what_cannot_be_a_tensor_is_named(body: object, declared: list[TensorMetadata], message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)):
        tensors(body, declared)


@given(JSON_VALUES, st.sampled_from(["instances", "inputs"]), st.sampled_from(["", "FP32", "INT8", "BYTES", "BOOL"]))
def test_any_json_is_tensors_or_the_clients_mistake(value: Any, key: str, datatype: str) -> None:
    for declared in ([], declare(a=(datatype, [-1])), declare(a=(datatype, [-1, 2]), b=(datatype, [-1]))):
        try:
            request = v1.decode_request(dumps({key: value}), v1.JSON, "m")
            request.declared = declared
            names = [tensor.name for tensor in request.inputs]
        except InvalidInput:
            continue
        assert names


# --- answers --------------------------------------------------------------------------------------


def encoded(response: InferResponse, verb: str = "predict") -> tuple[str, str]:
    request = InferRequest("m")
    request.context.verb = verb
    body, content_type = v1.encode_response(request, response)
    return body.decode(), content_type


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (np.array([1, 1]), "[1,1]"),
        (np.array([[0.1, np.nan]], np.float32), "[[0.1,null]]"),
        (np.array([1.5], ml_dtypes.bfloat16), "[1.5]"),
        (np.array([True]), "[true]"),
        (np.array(["setosa", "virginica"]), '["setosa","virginica"]'),
        (np.array([["a", b"\xff"]], object), '[["a",{"b64":"/w=="}]]'),
        (np.zeros((2, 0)), "[[],[]]"),
        (np.array(["2024-01-01"], "M8[D]"), '["2024-01-01"]'),
        (np.arange(4).reshape(2, 2).T, "[[0,2],[1,3]]"),
        (np.array(1.5), "1.5"),
    ],
    ids=str,
)
def test_one_output(data: np.ndarray, text: str) -> None:
    response = InferResponse([Tensor("y", data)])
    assert encoded(response) == (f'{{"predictions":{text}}}', "application/json")
    assert encoded(response, "explain") == (f'{{"explanations":{text}}}', "application/json")


def test_several_outputs_with_rows_in_common_are_row_objects() -> None:
    outputs = [
        Tensor("label", np.array(["a", "b"])),
        Tensor("score", np.array([0.1, 0.2], np.float32)),
        Tensor("half", np.array([1, 2], ml_dtypes.bfloat16)),
        Tensor("n", np.array([1, 2])),
        Tensor("probabilities", np.array([[0.5, np.nan], [1, 0]])),
        Tensor("names", np.array([["x"], ["y"]])),
    ]
    assert encoded(InferResponse(outputs))[0] == (
        '{"predictions":['
        '{"label":"a","score":0.1,"half":1.0,"n":1,"probabilities":[0.5,null],"names":["x"]},'
        '{"label":"b","score":0.2,"half":2.0,"n":2,"probabilities":[1.0,0.0],"names":["y"]}]}'
    )


@pytest.mark.parametrize(
    ("outputs", "verb", "text"),
    [
        ({"predictions": [1], "scores": [0.5]}, "predict", '{"predictions":[1],"scores":[0.5]}'),
        ({"a": [1, 2], "b": [3]}, "predict", '{"a":[1,2],"b":[3]}'),
        ({"a": [1], "b": [3]}, "explain", '{"a":[1],"b":[3]}'),
        ({"a": np.array(1), "b": [3]}, "predict", '{"a":1,"b":[3]}'),
        ({"a": np.zeros(0), "b": np.zeros((0, 2))}, "predict", '{"predictions":[]}'),
        ({}, "predict", '{"predictions":[]}'),
    ],
)
def test_other_outputs_are_an_object_of_arrays(outputs: dict[str, Any], verb: str, text: str) -> None:
    response = InferResponse([Tensor(name, data) for name, data in outputs.items()])
    assert encoded(response, verb)[0] == text


@pytest.mark.parametrize(
    ("value", "text", "content_type"),
    [
        ({"predictions": np.array([1.5]), "m": {"n": np.float32(0.1)}}, '{"predictions":[1.5],"m":{"n":0.1}}', v1.JSON),
        ([1, float("nan")], "[1,null]", v1.JSON),
        (None, "null", v1.JSON),
        ("text", '"text"', v1.JSON),
        (b"raw", "raw", "application/octet-stream"),
        (bytearray(b"raw"), "raw", "application/octet-stream"),
    ],
)
def test_a_json_answer_is_sent_as_it_is(value: object, text: str, content_type: str) -> None:
    assert encoded(InferResponse.from_json(value)) == (text, content_type)


@pytest.mark.parametrize(
    ("response", "chunk"),
    [
        (InferResponse([Tensor("y", np.array([1]))]), b'{"predictions":[1]}\n'),
        (InferResponse.from_json({"token": "a"}), b'{"token":"a"}\n'),
        (InferResponse.from_json("a token"), b"a token"),
        (InferResponse.from_json(b"\x00"), b"\x00"),
        (InferResponse.from_json(None), b"null\n"),
    ],
)
def test_chunks_of_a_stream(response: InferResponse, chunk: bytes) -> None:
    assert v1.encode_chunk(InferRequest("m"), response) == chunk


def test_errors() -> None:
    assert v1.encode_error('bad "x"') == b'{"error":"bad \\"x\\""}'


# --- the client's side ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "body", "content_type"),
    [
        (InferRequest("m", [Tensor("x", [[1.5, 2]])]), '{"instances":[[1.5,2.0]]}', v1.JSON),
        (InferRequest("m", [Tensor("x", ["a"]), Tensor("n", [1])]), '{"instances":[{"x":["a"],"n":[1]}]}', v1.JSON),
        (InferRequest("m", [Tensor("x", [[1]]), Tensor("n", [1])]), '{"inputs":{"x":[[1]],"n":[1]}}', v1.JSON),
        (InferRequest("m", [Tensor("x", []), Tensor("n", [])]), '{"inputs":{"x":[],"n":[]}}', v1.JSON),
        (InferRequest("m", json={"instances": [1]}), '{"instances":[1]}', v1.JSON),
        (v1.decode_request(b"null", v1.JSON, "m"), "null", v1.JSON),
        (InferRequest("m", body=b"raw"), "raw", "application/octet-stream"),
    ],
)
def test_encode_request(request_: InferRequest, body: str, content_type: str) -> None:
    wire = v1.encode_request(request_)
    assert wire.body.decode() == body
    assert wire.headers["content-type"] == content_type


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        (b'{"predictions":[1,2]}', [("predictions", "INT64", [1, 2])]),
        (b'{"explanations":[[0.5]]}', [("explanations", "FP64", [[0.5]])]),
        (b'{"predictions":[{"a":1,"b":"x"}]}', [("a", "INT64", [1]), ("b", "BYTES", [b"x"])]),
        (b'{"predictions":{"a":[1]}}', [("a", "INT64", [1])]),
        (b'{"predictions":[1],"scores":[0.5]}', [("predictions", "INT64", [1]), ("scores", "FP64", [0.5])]),
        (b'{"a":[1],"b":[true,false]}', [("a", "INT64", [1]), ("b", "BOOL", [True, False])]),
        (b'{"predictions":"text"}', []),
        (b'{"a":[1],"note":"text"}', []),
        (b"[1]", []),
        (b"null", []),
    ],
)
def test_decode_response(body: bytes, outputs: object) -> None:
    response = v1.decode_response(body)
    assert response.json == loads(body)
    assert response.json_is_set
    assert [(tensor.name, tensor.datatype, tensor.data.tolist()) for tensor in response.outputs] == outputs


def test_a_bad_answer_is_invalid() -> None:
    with pytest.raises(InvalidInput, match="Unrecognized"):
        v1.decode_response(b"<html>")


@given(st.data())
def test_numeric_tensors_come_back_through_requests(data: st.DataObject) -> None:
    datatype = data.draw(st.sampled_from(["BOOL", "UINT8", "UINT64", "INT16", "INT64", "FP16", "FP32", "FP64"]))
    elements: Any = {"allow_infinity": False} if datatype.startswith("FP") else None
    shape = hnp.array_shapes(min_dims=1, max_dims=4)
    arrays = [
        data.draw(hnp.arrays(DTYPES[datatype], shape, elements=elements)) for _ in range(data.draw(st.integers(1, 3)))
    ]
    sent = [Tensor(f"x{index}", array) for index, array in enumerate(arrays)]
    wire = v1.encode_request(InferRequest("m", sent))
    request = v1.decode_request(wire.body, wire.headers["content-type"], "m")
    request.declared = [TensorMetadata(t.name, datatype, [-1] * t.data.ndim) for t in sent]
    assert [tensor.name for tensor in request.inputs] == [tensor.name for tensor in sent]
    for tensor, array in zip(request.inputs, arrays, strict=True):
        assert tensor.data.dtype == array.dtype
        np.testing.assert_array_equal(tensor.data, array)


@given(hnp.arrays(object, hnp.array_shapes(min_dims=1, max_dims=3), elements=st.binary(max_size=5)))
def test_bytes_come_back_through_requests_and_answers(array: np.ndarray) -> None:
    tensor = Tensor("x", array, "BYTES")
    wire = v1.encode_request(InferRequest("m", [tensor]))
    assert v1.decode_request(wire.body, v1.JSON, "m").array().tolist() == array.tolist()
    body, _ = v1.encode_response(InferRequest("m"), InferResponse([tensor]))
    assert v1.decode_response(body).outputs[0].data.tolist() == array.tolist()
