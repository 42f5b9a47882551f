from __future__ import annotations

import math
import struct

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from modelserver.datatypes import DTYPES
from modelserver.messages import InferRequest, InferResponse, RequestedOutput
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest, ModelInferResponse
from modelserver.protocols.v2_grpc import decode_request, decode_response, encode_request, encode_response
from modelserver.protocols.v2_grpc_contents import FIELDS, varint
from modelserver.tensor import Tensor

# Written by hand from the field numbers of the protocol: model "m", id "7", one FP32 input x [2] = 1, 2.
HEAD = b"\x0a\x01m" + b"\x1a\x017"
TYPED = (
    HEAD
    + b"\x2a\x18"
    + b"\x0a\x01x"
    + b"\x12\x04FP32"
    + b"\x1a\x01\x02"
    + b"\x2a\x0a\x32\x08"
    + struct.pack("<2f", 1, 2)
)
RAW = HEAD + b"\x2a\x0c" + b"\x0a\x01x" + b"\x12\x04FP32" + b"\x1a\x01\x02" + b"\x3a\x08" + struct.pack("<2f", 1, 2)


@st.composite
def arrays(draw: st.DrawFn, datatypes: list[str]) -> tuple[str, np.ndarray]:
    datatype = draw(st.sampled_from(datatypes))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    if datatype == "BYTES":
        count = math.prod(shape)
        array = np.empty(count, dtype=object)
        array[:] = draw(st.lists(st.binary(max_size=12), min_size=count, max_size=count))
        return datatype, array.reshape(shape)
    if datatype == "BF16":
        return datatype, draw(hnp.arrays(np.uint16, shape)).view(ml_dtypes.bfloat16)
    return datatype, draw(hnp.arrays(DTYPES[datatype], shape))


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the bit, so that NaN is itself."""
    return (
        (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
        and bytes(one.to_buffer()) == bytes(other.to_buffer())
        and dict(one.parameters) == dict(other.parameters)
    )


@pytest.mark.parametrize("wire", [TYPED, RAW], ids=["typed", "raw"])
def test_golden_request_is_decoded(wire: bytes) -> None:
    request = decode_request(wire)

    assert (request.model_name, request.model_version, request.id) == ("m", None, "7")
    assert request.inputs[0].shape == (2,)
    assert request["x"].tolist() == [1.0, 2.0]
    assert request.outputs is None


@pytest.mark.parametrize(("raw", "wire"), [(False, TYPED), (True, RAW)], ids=["typed", "raw"])
def test_golden_request_is_encoded(raw: bool, wire: bytes) -> None:
    request = InferRequest("m", [Tensor("x", [1, 2], "FP32")], id="7")

    assert encode_request(request, raw=raw) == wire


@given(tensors=st.lists(arrays(list(DTYPES)), min_size=1, max_size=3))
def test_every_datatype_and_shape_survives_raw(tensors: list[tuple[str, np.ndarray]]) -> None:
    inputs = [Tensor(f"x{index}", array, datatype) for index, (datatype, array) in enumerate(tensors)]

    decoded = decode_request(encode_request(InferRequest("m", inputs), raw=True))
    answer = decode_response(encode_response(decoded, InferResponse(decoded.inputs)))

    assert all(same(*pair) for pair in zip(inputs, decoded.inputs, strict=True))
    assert all(same(*pair) for pair in zip(inputs, answer.outputs, strict=True))


@given(tensors=st.lists(arrays(list(FIELDS)), min_size=1, max_size=3))
def test_every_datatype_and_shape_survives_typed(tensors: list[tuple[str, np.ndarray]]) -> None:
    inputs = [Tensor(f"x{index}", array, datatype) for index, (datatype, array) in enumerate(tensors)]

    decoded = decode_request(encode_request(InferRequest("m", inputs), raw=False))
    wire = encode_response(decoded, InferResponse(decoded.inputs))

    assert not ModelInferResponse.FromString(wire).raw_output_contents
    assert all(same(*pair) for pair in zip(inputs, decoded.inputs, strict=True))
    assert all(same(*pair) for pair in zip(inputs, decode_response(wire).outputs, strict=True))


def test_raw_input_is_a_view() -> None:
    assert not decode_request(RAW)["x"].flags.owndata
    assert not decode_request(RAW)["x"].flags.writeable


@pytest.mark.parametrize("order", ["F", "strided"])
def test_arrays_that_are_not_contiguous_are_sent_in_row_major_order(order: str) -> None:
    data = np.arange(12, dtype=np.float32).reshape(3, 4)
    array = np.asfortranarray(data) if order == "F" else np.repeat(data, 2, axis=1)[:, ::2]

    for raw in (True, False):
        request = decode_request(encode_request(InferRequest("m", [Tensor("x", array)]), raw=raw))
        assert request["x"].tolist() == data.tolist()


@given(st.integers(0, 2**40))
def test_varint_is_protobufs(value: int) -> None:
    encoded = varint(value)

    assert sum((byte & 127) << 7 * index for index, byte in enumerate(encoded)) == value
    assert [byte >> 7 for byte in encoded] == [1] * (len(encoded) - 1) + [0]


VALUES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8"))
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8).filter(
    lambda name: name not in ("binary_data", "binary_data_size", "binary_data_output")
)


@given(parameters=st.dictionaries(NAMES, VALUES, max_size=4))
def test_parameters_of_every_kind_survive_both_ways(parameters: dict[str, bool | int | float | str]) -> None:
    tensor = Tensor("x", [1.0], "FP32", parameters)
    request = InferRequest("m", [tensor], parameters=parameters, outputs=[RequestedOutput("y", parameters)])

    decoded = decode_request(encode_request(request))
    answer = decode_response(encode_response(decoded, InferResponse([tensor], parameters=parameters)))

    for found in (decoded, decoded.inputs[0], (decoded.outputs or [])[0], answer, answer.outputs[0]):
        assert dict(found.parameters) == parameters
        assert [type(value) for value in found.parameters.values()] == [
            type(parameters[name]) for name in found.parameters
        ]


def test_numpy_scalars_are_parameters_too() -> None:
    parameters = {"b": np.True_, "i": np.int32(3), "u": np.uint64(2**64 - 1), "f": np.float32(0.5), "s": np.str_("t")}
    response = InferResponse(parameters=parameters)  # type: ignore[arg-type]

    answer = decode_response(encode_response(InferRequest("m"), response))

    assert answer.parameters == {"b": True, "i": 3, "u": 2**64 - 1, "f": 0.5, "s": "t"}


@pytest.mark.parametrize("value", [None, [1], 2**64, -(2**63) - 1, b"x"])
def test_a_parameter_that_cannot_be_sent_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="parameter p: got"):
        encode_response(InferRequest("m"), InferResponse(parameters={"p": value}))  # type: ignore[dict-item]


def test_reply_has_the_version_asked_for_and_the_responses_id() -> None:
    request = InferRequest("m", [], model_version="3", id="asked")

    message = ModelInferResponse.FromString(encode_response(request, InferResponse(id="given", model_version="9")))

    assert (message.model_name, message.model_version, message.id) == ("m", "3", "given")


def test_reply_has_no_version_when_none_was_asked_for() -> None:
    message = ModelInferResponse.FromString(encode_response(InferRequest("m"), InferResponse(model_version="1")))

    assert message.model_version == ""


def test_raw_outputs_carry_their_size() -> None:
    request = decode_request(RAW)

    message = ModelInferResponse.FromString(encode_response(request, InferResponse(request.inputs)))

    assert message.outputs[0].parameters["binary_data_size"].int64_param == 8
    assert len(message.raw_output_contents[0]) == 8


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_one_output_without_a_typed_form_makes_all_raw(datatype: str) -> None:
    request = decode_request(TYPED)
    outputs = [Tensor("y", [1.0], "FP32"), Tensor("z", [1.0], datatype)]

    message = ModelInferResponse.FromString(encode_response(request, InferResponse(outputs)))

    assert [len(raw) for raw in message.raw_output_contents] == [4, 2]
    assert not any(output.HasField("contents") for output in message.outputs)


@pytest.mark.parametrize(
    ("wire", "whole", "of_outputs", "raw"),
    [
        (RAW, None, [], True),
        (RAW, False, [], False),
        (RAW, None, [None], True),
        (RAW, None, [False], False),
        (RAW, None, [False, None], True),
        (RAW, False, [None], False),
        (TYPED, None, [], False),
        (TYPED, True, [], True),
        (TYPED, True, [None], True),
        (TYPED, True, [False], False),
        (TYPED, None, [True, False], True),
    ],
)
def test_raw_or_typed_as_output_then_request_then_input_says(
    wire: bytes, whole: bool | None, of_outputs: list[bool | None], raw: bool
) -> None:
    message = ModelInferRequest.FromString(wire)
    if whole is not None:
        message.parameters["binary_data_output"].bool_param = whole
    for index, binary in enumerate(of_outputs):
        added = message.outputs.add(name=f"y{index}")
        if binary is not None:
            added.parameters["binary_data"].bool_param = binary
    request = decode_request(message.SerializeToString())

    answer = ModelInferResponse.FromString(encode_response(request, InferResponse([Tensor("y0", [1.0], "FP32")])))

    assert bool(answer.raw_output_contents) == raw
    assert "binary_data_output" not in request.parameters
    assert [output.name for output in request.outputs or []] == [f"y{index}" for index in range(len(of_outputs))]


def test_binary_data_size_of_an_input_is_the_wires_own() -> None:
    message = ModelInferRequest.FromString(RAW)
    message.inputs[0].parameters["binary_data_size"].int64_param = 8

    assert dict(decode_request(message.SerializeToString()).inputs[0].parameters) == {}


def test_lower_case_datatypes_are_taken() -> None:
    message = ModelInferRequest.FromString(RAW)
    message.inputs[0].datatype = "fp32"

    assert decode_request(message.SerializeToString()).inputs[0].datatype == "FP32"
