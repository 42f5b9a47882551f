"""The table of failures, first part: bodies, tensors, what the model declares, binary."""

from __future__ import annotations

from modelserver import Code, Tensor
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest
from tests.conformance.calls import OK_X, Failure, Rpc, X, binary, inputs, proto, rpc, tensor, v1, v2

BAD = Code.INVALID_ARGUMENT

IN_TENSORS = [
    # What is no request at all.
    Failure("empty body", BAD, (), {"v1": v1(b""), "v2": v2(b""), "grpc": Rpc(b"")}, {"v1": "body", "v2": "body"}),
    Failure("bad JSON", BAD, ("Unrecognized request format",), {"v1": v1(b"{"), "v2": v2(b'{"inputs": [')}),
    Failure("NaN is no JSON", BAD, ("body",), {"v1": v1(b'{"instances": [NaN]}'), "v2": v2(b'{"inputs": [NaN]}')}),
    Failure("no message", BAD, ("ModelInferRequest",), {"grpc": Rpc(b"\xff\xff\xff")}),
    Failure("a list for an object", BAD, ("body",), {"v1": v1([1]), "v2": v2([1])}),
    Failure("no inputs key", BAD, ("inputs",), {"v1": v1({"x": 1}), "v2": v2({"x": 1})}),
    Failure(
        "no inputs",
        BAD,
        ("inputs",),
        {"v2": v2(inputs()), "grpc": Rpc(ModelInferRequest(model_name="sum").SerializeToString())},
    ),
    Failure("instances are no list", BAD, ('Expected "instances" to be a list',), {"v1": v1({"instances": "abc"})}),
    Failure("an input is no object", BAD, ("inputs[0]", "a number"), {"v2": v2(inputs(1))}),
    # Fields of a tensor.
    Failure("no name", BAD, ("inputs[0].name",), {"v2": v2(inputs(tensor(name=...))), "grpc": proto(name=...)}),
    Failure("a name that is no text", BAD, ("inputs[0].name", "a number"), {"v2": v2(inputs(tensor(name=7)))}),
    Failure(
        "a name twice", BAD, ("inputs[1].name", "twice"), {"v2": v2(inputs(tensor(), tensor())), "grpc": rpc(X, X)}
    ),
    Failure(
        "no datatype",
        BAD,
        ("inputs[0].datatype",),
        {"v2": v2(inputs(tensor(datatype=...))), "grpc": proto(datatype=...)},
    ),
    Failure(
        "an unknown datatype",
        BAD,
        ("inputs[0].datatype", "INT33", "FP32"),
        {"v2": v2(inputs(tensor(datatype="INT33"))), "grpc": proto(datatype="INT33")},
    ),
    Failure("no shape", BAD, ("inputs[0].shape",), {"v2": v2(inputs(tensor(shape=...)))}),
    Failure("a shape that is a number", BAD, ("inputs[0].shape",), {"v2": v2(inputs(tensor(shape=4)))}),
    Failure("a shape of text", BAD, ("inputs[0].shape",), {"v2": v2(inputs(tensor(shape=["4"])))}),
    Failure(
        "a negative size",
        BAD,
        ("inputs[0].shape", "-1"),
        {"v2": v2(inputs(tensor(shape=[-1, 4]))), "grpc": proto(shape=[-1, 4])},
    ),
    Failure(
        "a shape beyond all memory",
        BAD,
        ("inputs[0]",),
        {"v2": v2(inputs(tensor(shape=[2**62, 4]))), "grpc": proto(shape=[2**62, 4])},
    ),
    Failure(
        "a shape that no array can have",
        BAD,
        ("inputs[0].shape",),
        {
            "v2": v2(inputs(tensor(shape=[0, 2**63 - 1, 2**63 - 1], data=[]))),
            "grpc": proto(shape=[0, 2**63 - 1, 2**63 - 1], contents=...),
        },
    ),
    Failure(
        "too many axes",
        BAD,
        ("inputs[0].shape",),
        {
            "v2": v2(inputs(tensor(shape=[1] * 70, data=[1]))),
            "grpc": proto(shape=[1] * 70, contents={"fp32_contents": [1]}),
        },
    ),
    Failure("no data", BAD, ("inputs[0].data",), {"v2": v2(inputs(tensor(data=...)))}),
    Failure("data that is a number", BAD, ("inputs[0].data",), {"v2": v2(inputs(tensor(data=1)))}),
    Failure(
        "wrong element count",
        BAD,
        ("inputs[0]", "3", "4"),
        {"v2": v2(inputs(tensor(data=[1, 2, 3]))), "grpc": proto(contents={"fp32_contents": [1, 2, 3]})},
    ),
    Failure(
        "ragged data",
        BAD,
        (),
        {"v1": v1({"instances": [[1, 2, 3, 4], [1]]}), "v2": v2(inputs(tensor(data=[[1, 2], [3]])))},
        {"v1": "instances[1]", "v2": "inputs[0].data"},
    ),
    Failure(
        "text for a number",
        BAD,
        ('"a"',),
        {"v1": v1({"instances": [[1, 2, 3, "a"]]}), "v2": v2(inputs(tensor(data=[1, 2, 3, "a"])))},
        {"v1": "instances[0]", "v2": "inputs[0].data"},
    ),
    Failure(
        "a boolean for a number",
        BAD,
        ("true",),
        {"v1": v1({"instances": [[1, 2, 3, True]]}), "v2": v2(inputs(tensor(data=[1, 2, 3, True])))},
    ),
    Failure(
        "an object for a number",
        BAD,
        ("an object",),
        {"v1": v1({"instances": [[1, 2, 3, {}]]}), "v2": v2(inputs(tensor(data=[1, 2, 3, {}])))},
    ),
    Failure(
        "a fraction for an integer",
        BAD,
        ("1.5", "INT64"),
        {
            "v1": v1({"instances": [1.5]}, "int64"),
            "v2": v2(inputs(tensor(datatype="INT64", shape=[1], data=[1.5])), "int64"),
        },
    ),
    Failure(
        "out of the datatype's range",
        BAD,
        ("300", "UINT8"),
        {
            "v2": v2(inputs(tensor(datatype="UINT8", shape=[1], data=[300])), "echo"),
            "grpc": proto(model="echo", datatype="UINT8", shape=[1], contents={"uint_contents": [300]}),
        },
    ),
    Failure(
        "contents of another datatype",
        BAD,
        ("inputs[0].contents", "fp64_contents"),
        {"grpc": proto(contents={"fp64_contents": [1] * 4})},
    ),
    Failure(
        "contents beside raw contents",
        BAD,
        ("inputs[0].contents", "raw_input_contents"),
        {"grpc": proto(raw=[bytes(16)])},
    ),
    Failure(
        "raw contents of another number",
        BAD,
        ("raw_input_contents", "2", "1"),
        {"grpc": proto(raw=[b"", b""], contents=...)},
    ),
    Failure("FP16 in typed contents", BAD, ("FP16",), {"grpc": proto(model="echo", datatype="FP16")}),
    # What the model declares.
    Failure(
        "wrong shape",
        BAD,
        ("shape", "[1, 3]", "[-1, 4]"),
        {
            "v1": v1({"instances": [[1, 2, 3]]}),
            "v2": v2(inputs(tensor(shape=[1, 3], data=[1, 2, 3]))),
            "grpc": rpc(Tensor("x", [[1, 2, 3]], "FP32")),
        },
        {"v1": "instances", "v2": "inputs[0]", "grpc": "inputs[0]"},
    ),
    Failure(
        "too few axes",
        BAD,
        ("shape", "[4]", "[-1, 4]"),
        {
            "v1": v1({"instances": [1, 2, 3, 4]}),
            "v2": v2(inputs(tensor(shape=[4]))),
            "grpc": rpc(Tensor("x", [1, 2, 3, 4], "FP32")),
        },
    ),
    Failure(
        "wrong datatype",
        BAD,
        ("inputs[0].datatype", "INT64", "FP32"),
        {"v2": v2(inputs(tensor(datatype="INT64"))), "grpc": rpc(Tensor("x", OK_X, "INT64"))},
    ),
    Failure(
        "unknown input",
        BAD,
        ("inputs[0].name", "'z'", "'x'"),
        {"v2": v2(inputs(tensor(name="z"))), "grpc": rpc(Tensor("z", OK_X, "FP32"))},
    ),
    Failure(
        "unknown input beside the right one",
        BAD,
        ("'z'",),
        {
            "v1": v1({"inputs": {"x": OK_X, "z": [1]}}),
            "v2": v2(inputs(tensor(), tensor(name="z"))),
            "grpc": rpc(X, Tensor("z", OK_X, "FP32")),
        },
    ),
    Failure(
        "missing input",
        BAD,
        ("missing 'b'",),
        {
            "v1": v1({"instances": [{"a": 1.5}]}, "two"),
            "v2": v2(inputs(tensor(name="a", shape=[1], data=[1])), "two"),
            "grpc": rpc(Tensor("a", [1], "FP32"), model="two"),
        },
    ),
    Failure(
        "rows of different keys",
        BAD,
        ("instances[1]", "b"),
        {"v1": v1({"instances": [{"a": 1, "b": 1}, {"a": 1}]}, "two")},
    ),
    # Binary tensors.
    Failure(
        "header length: not a number",
        BAD,
        ("Inference-Header-Content-Length", "abc"),
        {"v2": v2(inputs(binary(16)), length="abc", tail=bytes(16))},
    ),
    Failure(
        "header length: negative",
        BAD,
        ("Inference-Header-Content-Length", "-5"),
        {"v2": v2(inputs(binary(16)), length="-5", tail=bytes(16))},
    ),
    Failure(
        "header length: larger than the body",
        BAD,
        ("Inference-Header-Content-Length", "9999"),
        {"v2": v2(inputs(binary(16)), length="9999", tail=bytes(16))},
    ),
    Failure(
        "header length: endless digits",
        BAD,
        ("Inference-Header-Content-Length",),
        {"v2": v2(inputs(binary(16)), length="9" * 5000)},
    ),
    Failure("header length: into the JSON", BAD, ("body",), {"v2": v2(inputs(tensor()), length="10")}),
    Failure(
        "header length: into the tail", BAD, ("body",), {"v2": v2(inputs(binary(16)), length="auto0", tail=bytes(2000))}
    ),
    Failure(
        "header length 0 and two inputs",
        BAD,
        ("Inference-Header-Content-Length", "2 inputs"),
        {"v2": v2(bytes(16), "two", length="0")},
    ),
    Failure(
        "header length 0 and none declared",
        BAD,
        ("Inference-Header-Content-Length", "0 inputs"),
        {"v2": v2(bytes(16), "echo", length="0")},
    ),
    Failure("header length 0 and a part of a row", BAD, ("body", "15 bytes"), {"v2": v2(bytes(15), length="0")}),
    Failure(
        "header length missing", BAD, ("inputs[0]", "Inference-Header-Content-Length"), {"v2": v2(inputs(binary(16)))}
    ),
    Failure(
        "truncated binary",
        BAD,
        ("15", "16"),
        {"v2": v2(inputs(binary(16)), length="auto", tail=bytes(15)), "grpc": proto(raw=[bytes(15)], contents=...)},
        {"v2": "inputs[0]", "grpc": "raw_input_contents[0]"},
    ),
    Failure(
        "binary of another size",
        BAD,
        ("12", "16"),
        {"v2": v2(inputs(binary(12)), length="auto", tail=bytes(12)), "grpc": proto(raw=[bytes(12)], contents=...)},
    ),
    Failure(
        "bytes left over", BAD, ("4 bytes are left",), {"v2": v2(inputs(binary(16)), length="auto", tail=bytes(20))}
    ),
    Failure(
        "a negative size of binary",
        BAD,
        ("inputs[0].parameters.binary_data_size",),
        {"v2": v2(inputs(binary(-1)), length="auto", tail=bytes(16))},
    ),
    Failure(
        "a size of binary that is text",
        BAD,
        ("inputs[0].parameters.binary_data_size",),
        {"v2": v2(inputs(binary("16")), length="auto", tail=bytes(16))},
    ),
    Failure(
        "data and binary",
        BAD,
        ("inputs[0]", "binary_data_size"),
        {"v2": v2(inputs(tensor(parameters={"binary_data_size": 16})), length="auto", tail=bytes(16))},
    ),
    Failure(
        "BYTES shorter than they say",
        BAD,
        ("[0]", "element 0"),
        {
            "v2": v2(inputs(binary(8, datatype="BYTES", shape=[1])), "echo", "auto", b"\xff\x00\x00\x00abcd"),
            "grpc": proto(raw=[b"\xff\x00\x00\x00abcd"], model="echo", datatype="BYTES", shape=[1], contents=...),
        },
    ),
]
