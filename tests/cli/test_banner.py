"""The banner's calls: their bodies are what the codecs of the server read."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
from google.protobuf import json_format

from modelserver.cli import banner
from modelserver.metadata import ModelMetadata, TensorMetadata
from modelserver.protocols import v2_rest

REST, GRPC = "http://localhost:8080", "localhost:8081"
IMAGE = TensorMetadata("image", "FP32", [-1, 3, 224, 224])


def calls(inputs: list[TensorMetadata], grpc: str | None = GRPC) -> list[str]:
    text = banner.banner([ModelMetadata("m", ["1"], "sklearn", inputs)], REST, grpc)
    return [line for line in text.splitlines() if line.startswith(("curl", "grpcurl", "modelserver", "python3"))]


def body(call: str, flag: str = "-d") -> bytes:
    """The body that a call sends, as the shell would give it."""
    made, _, piped = call.partition(" | ")
    if piped:
        program, option, source = shlex.split(made)
        assert (program, option) == ("python3", "-c")
        return subprocess.run([sys.executable, "-c", source], capture_output=True, check=True).stdout
    words = shlex.split(call)
    return words[words.index(flag) + 1].encode()


@pytest.mark.parametrize(
    "inputs",
    [
        [TensorMetadata("x", "FP64", [-1, 4])],
        [TensorMetadata("a", "BYTES", [-1]), TensorMetadata("b", "INT64", [-1, 1])],
        [TensorMetadata("flag", "BOOL", [2])],
        [TensorMetadata("it's", "UINT8", [-1, 2])],
        [IMAGE],
        [TensorMetadata('"odd" $name', "FP32", [-1, 100])],
    ],
)
def test_the_v2_call_is_a_request_for_the_declared_inputs(inputs: list[TensorMetadata]) -> None:
    request = v2_rest.decode_request(body(calls(inputs)[1]), None, "m")

    assert [(t.name, t.datatype, [abs(size) for size in t.shape]) for t in inputs] == [
        (t.name, t.datatype, list(t.shape)) for t in request.inputs
    ]


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([TensorMetadata("x", "FP64", [-1, 2])], {"instances": [[1.0, 1.0]]}),
        ([TensorMetadata("x", "BYTES", [-1])], {"instances": ["text"]}),
        (
            [TensorMetadata("a", "BYTES", [-1]), TensorMetadata("b", "INT64", [-1, 1])],
            {"instances": [{"a": "text", "b": [1]}]},
        ),
        (
            [TensorMetadata("a", "BOOL", [2]), TensorMetadata("b", "INT64", [-1])],
            {"inputs": {"a": [True, True], "b": [1]}},
        ),
        ([], {"instances": [[1.0, 1.0, 1.0]]}),
    ],
)
def test_the_v1_call(inputs: list[TensorMetadata], expected: object) -> None:
    assert expected == json.loads(body(calls(inputs)[0]))


@pytest.mark.parametrize(
    "inputs",
    [
        [TensorMetadata("x", "FP64", [-1, 4])],
        [TensorMetadata("a", "BYTES", [-1]), TensorMetadata("b", "UINT16", [-1, 1])],
        [TensorMetadata("half", "FP16", [-1, 2]), TensorMetadata("s", "BYTES", [-1])],
        [IMAGE],
        [TensorMetadata("big", "BF16", [100])],
    ],
)
def test_the_grpc_call_is_a_request_for_the_declared_inputs(inputs: list[TensorMetadata]) -> None:
    from modelserver.protocols import v2_grpc
    from modelserver.protocols._pb import inference_pb2 as pb

    message = json_format.Parse(body(calls(inputs)[2]), pb.ModelInferRequest())
    request = v2_grpc.decode_request(message.SerializeToString())

    assert request.model_name == "m"
    for metadata, tensor in zip(inputs, request.inputs, strict=True):
        assert (metadata.name, metadata.datatype) == (tensor.name, tensor.datatype)
        assert np.all(tensor.data == (b"text" if tensor.datatype == "BYTES" else 1))


def test_a_server_without_grpc_shows_no_grpc_call() -> None:
    assert not any("grpc" in call for call in calls([IMAGE], None))


def test_the_summary_has_names_versions_datatypes_and_shapes() -> None:
    text = banner.banner(
        [ModelMetadata("iris", ["1", "2"], "sklearn", [TensorMetadata("x", "FP64", [-1, 4])])], REST, None
    )

    assert "iris  version 1, 2  sklearn" in text
    assert "  input  x  FP64 [-1, 4]" in text


def test_an_optional_input_is_told_and_left_out_of_the_calls() -> None:
    inputs = [TensorMetadata("x", "FP32", [-1, 2]), TensorMetadata("margin", "FP32", [-1], optional=True)]
    text = banner.banner([ModelMetadata("m", inputs=inputs)], "http://localhost:8080", None)
    assert text.count("margin") == 1
    assert "  input  margin  FP32 [-1]  optional\n" in text


def test_many_models_are_cut() -> None:
    text = banner.banner([ModelMetadata(f"m{n}") for n in range(25)], REST, None)

    assert "and 5 models more" in text
    assert "m20" not in text
