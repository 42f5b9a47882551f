from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelserver.errors import InvalidInput
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest
from modelserver.protocols.v2_grpc import decode_request

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


def request_with(change: object, raw: bool = False) -> bytes:
    message = ModelInferRequest.FromString(RAW if raw else TYPED)
    change(message)  # type: ignore[operator]
    return message.SerializeToString()


def set_input(**fields: object) -> object:
    def change(message: ModelInferRequest) -> None:
        for name, value in fields.items():
            if isinstance(value, list):
                del getattr(message.inputs[0], name)[:]
                getattr(message.inputs[0], name).extend(value)
            else:
                setattr(message.inputs[0], name, value)

    return change


def contents(datatype: str, field: str, values: list[object]) -> object:
    def change(message: ModelInferRequest) -> None:
        message.inputs[0].datatype = datatype
        del message.inputs[0].shape[:]
        message.inputs[0].shape.append(len(values))
        message.inputs[0].ClearField("contents")
        getattr(message.inputs[0].contents, field).extend(values)

    return change


MISTAKES = {
    "no protobuf": (b"\xff\xff", "message: 2 bytes are no inference.ModelInferRequest"),
    "json": (b'{"inputs": []}', "message: 14 bytes are no"),
    "empty": (b"", "inputs: got none"),
    "truncated": (RAW[:-1], "message: "),
    "no inputs": (request_with(lambda m: m.ClearField("inputs")), "inputs: got none, expected at least one"),
    "no name": (request_with(set_input(name="")), r"inputs\[0\]\.name: got an empty string"),
    "twice": (request_with(lambda m: m.inputs.append(m.inputs[0])), r"inputs\[1\]\.name: 'x' stands twice"),
    "no datatype": (request_with(set_input(datatype="")), r"inputs\[0\]\.datatype: got '', expected one of BOOL"),
    "unknown datatype": (request_with(set_input(datatype="INT33")), r"inputs\[0\]\.datatype: got 'INT33'"),
    "negative size": (
        request_with(set_input(shape=[-1, 2])),
        r"inputs\[0\]\.shape: got \[-1, 2\], expected sizes of 0",
    ),
    "negative sizes": (request_with(set_input(shape=[-1, -2])), r"inputs\[0\]\.shape: got \[-1, -2\]"),
    "huge size": (request_with(set_input(shape=[2**62, 2**62])), r"fp32_contents: got 2 elements, expected 2126764"),
    "huge empty": (
        request_with(set_input(shape=[0, 2**62, 2**62]), raw=True),
        r"raw_input_contents\[0\]: got 8 bytes, expected 0",
    ),
    "wrong count": (
        request_with(set_input(shape=[3])),
        r"inputs\[0\]\.contents\.fp32_contents: got 2 elements, expected 3 for FP32 of shape \[3\]",
    ),
    "wrong field": (
        request_with(contents("FP32", "int_contents", [1])),
        r"inputs\[0\]\.contents: got int_contents, expected fp32_contents for FP32",
    ),
    "two fields": (
        request_with(lambda m: m.inputs[0].contents.int_contents.append(1)),
        r"inputs\[0\]\.contents: got int_contents, fp32_contents, expected fp32_contents",
    ),
    "no contents": (request_with(lambda m: m.inputs[0].ClearField("contents")), "got 0 elements, expected 2"),
    "INT8 over": (request_with(contents("INT8", "int_contents", [1, 128])), "got 128, expected -128 to 127 for INT8"),
    "INT8 under": (request_with(contents("INT8", "int_contents", [-129])), "got -129, expected -128 to 127 for INT8"),
    "INT16 over": (request_with(contents("INT16", "int_contents", [2**15])), "got 32768, expected -32768 to 32767"),
    "UINT8 over": (request_with(contents("UINT8", "uint_contents", [300])), "got 300, expected 0 to 255 for UINT8"),
    "UINT16 over": (request_with(contents("UINT16", "uint_contents", [2**16])), "got 65536, expected 0 to 65535"),
    "typed FP16": (
        request_with(contents("FP16", "fp32_contents", [1.0])),
        r"inputs\[0\]\.contents: FP16 has no typed contents, expected raw contents",
    ),
    "typed BF16": (request_with(contents("BF16", "bytes_contents", [b"12"])), "BF16 has no typed contents"),
    "too few raw": (
        request_with(lambda m: m.inputs.add(name="y", datatype="FP32"), raw=True),
        "raw_input_contents: got 1 entries, expected one for each of the 2 inputs",
    ),
    "too many raw": (request_with(lambda m: m.raw_input_contents.append(b""), raw=True), "got 2 entries, expected one"),
    "raw and typed": (
        request_with(lambda m: m.raw_input_contents.append(b"12345678")),
        r"inputs\[0\]\.contents: is set beside raw_input_contents, expected one of them",
    ),
    "short raw": (
        request_with(set_input(shape=[3]), raw=True),
        r"raw_input_contents\[0\]: got 8 bytes, expected 12 for FP32 of shape \[3\]",
    ),
    "short BYTES": (
        request_with(set_input(datatype="BYTES", shape=[1]), raw=True),
        r"raw_input_contents\[0\]: element 0 says 1065353216 bytes, 4 are left",
    ),
    "65 axes": (
        request_with(set_input(shape=[1] * 64 + [2]), raw=True),
        r"inputs\[0\]\.shape: got \[1, .*\], which no array can have",
    ),
    "65 typed axes": (request_with(set_input(shape=[1] * 64 + [2])), r"inputs\[0\]\.shape: .* which no array can have"),
    "empty parameter": (request_with(lambda m: m.parameters["p"].SetInParent()), "parameters.p: has no value"),
    "empty input parameter": (
        request_with(lambda m: m.inputs[0].parameters["p"].SetInParent()),
        r"inputs\[0\]\.parameters\.p: has no value",
    ),
    "binary_data no bool": (
        request_with(lambda m: m.outputs.add(name="y").parameters["binary_data"].MergeFromString(b"\x1a\x01x")),
        r"outputs\[0\]\.parameters\.binary_data: got 'x', expected a bool",
    ),
    "binary_data_output no bool": (
        request_with(lambda m: m.parameters["binary_data_output"].MergeFromString(b"\x10\x01")),
        "parameters.binary_data_output: got 1, expected a bool",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_invalid_input_naming_the_field(name: str) -> None:
    wire, message = MISTAKES[name]

    with pytest.raises(InvalidInput, match=message):
        decode_request(wire)


def test_a_zero_size_that_no_array_can_have_is_invalid_input() -> None:
    message = ModelInferRequest(model_name="m", raw_input_contents=[b""])
    message.inputs.add(name="x", datatype="FP64", shape=[0, 2**62, 2**62])

    with pytest.raises(InvalidInput, match=r"inputs\[0\]\.shape: got \[0, .* which no array can have"):
        decode_request(message.SerializeToString())


@given(st.binary(max_size=80))
def test_any_bytes_are_a_request_or_invalid_input(noise: bytes) -> None:
    for wire in (noise, TYPED + noise, RAW + noise):
        with contextlib.suppress(InvalidInput):
            decode_request(wire)


@given(position=st.integers(0, len(RAW) - 1), byte=st.integers(0, 255))
def test_one_wrong_byte_is_a_request_or_invalid_input(position: int, byte: int) -> None:
    for wire in (TYPED, RAW):
        broken = wire[:position] + bytes((byte,)) + wire[position + 1 :]
        with contextlib.suppress(InvalidInput):
            decode_request(broken)
