"""The table of failures, second part: options, models, limits, authors' errors."""

from __future__ import annotations

from modelserver import Code, Tensor
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest
from tests.conformance.calls import OK_X, Failure, Rest, Rpc, everywhere, inputs, rpc, tensor, v1, v2

BAD = Code.INVALID_ARGUMENT
LARGE = [[1.5] * 4] * 60_000

IN_REQUESTS = [
    # The rest of a request.
    Failure("an id that is a number", BAD, ("id",), {"v2": v2(inputs(tensor(), id=7))}),
    Failure(
        "a parameter that is a list",
        BAD,
        ("parameters.p", "a list"),
        {"v2": v2(inputs(tensor(), parameters={"p": [1]}))},
    ),
    Failure(
        "a tensor's parameter that is an object",
        BAD,
        ("inputs[0].parameters.p",),
        {"v2": v2(inputs(tensor(parameters={"p": {}})))},
    ),
    Failure("outputs that are no list", BAD, ("outputs",), {"v2": v2(inputs(tensor(), outputs={"name": "y"}))}),
    Failure("an output without a name", BAD, ("outputs[0].name",), {"v2": v2(inputs(tensor(), outputs=[{}]))}),
    Failure(
        "unknown output",
        BAD,
        ("outputs[0].name", "'zzz'", "'y'"),
        {
            "v2": v2(inputs(tensor(), outputs=[{"name": "zzz"}])),
            "grpc": Rpc(
                ModelInferRequest(
                    model_name="sum",
                    inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 4], "contents": {"fp32_contents": [1] * 4}}],
                    outputs=[{"name": "zzz"}],
                ).SerializeToString()
            ),
        },
    ),
    Failure(
        "binary_data that is text",
        BAD,
        ("outputs[0].parameters.binary_data",),
        {"v2": v2(inputs(tensor(), outputs=[{"name": "y", "parameters": {"binary_data": "yes"}}]))},
    ),
    Failure(
        "binary_data_output that is text",
        BAD,
        ("parameters.binary_data_output",),
        {
            "v2": v2(inputs(tensor(), parameters={"binary_data_output": "yes"})),
            "grpc": rpc(parameters={"binary_data_output": "yes"}),
        },
    ),
    Failure(
        "not gzip",
        BAD,
        ("gzip",),
        {
            "v1": v1(b"{}", **{"Content-Encoding": "gzip"}),
            "v2": Rest("/v2/models/sum/infer", b"{}", {"Content-Encoding": "gzip"}),
        },
    ),
    # What is not there.
    Failure("unknown model", Code.NOT_FOUND, ("Model with name nobody does not exist.",), everywhere("nobody")),
    Failure(
        "unknown model before the body is read",
        Code.NOT_FOUND,
        ("nobody",),
        {"v1": v1(b"{", "nobody"), "v2": v2(b"{", "nobody")},
    ),
    Failure(
        "unknown version",
        Code.NOT_FOUND,
        ("sum", "version 7"),
        {"v2": v2(inputs(tensor()), "sum/versions/7"), "grpc": rpc(model_version="7")},
    ),
    Failure(
        "a version that is no number",
        Code.NOT_FOUND,
        ("version one",),
        {"v2": v2(inputs(tensor()), "sum/versions/one"), "grpc": rpc(model_version="one")},
    ),
    Failure("no model's name", Code.NOT_FOUND, (), {"v2": v2(b"{}", ""), "grpc": rpc(model="")}),
    # What cannot be done.
    Failure(
        "not ready, with its reason",
        Code.UNAVAILABLE,
        ("Model with name broken is not ready.", "RuntimeError: no weights in weights.bin"),
        everywhere("broken"),
    ),
    Failure("no explain", Code.UNIMPLEMENTED, ("sum", "explain"), {"v1": v1({"instances": OK_X}, verb="explain")}),
    Failure(
        "a stream where one answer goes",
        Code.UNIMPLEMENTED,
        ("stream",),
        {
            "v2": v2(inputs(tensor(name="n", datatype="INT64", shape=[1], data=[2])), "counts"),
            "grpc": rpc(Tensor("n", [2], "INT64"), model="counts"),
        },
    ),
    Failure(
        "body over its limit",
        Code.PAYLOAD_TOO_LARGE,
        ("1000000",),
        {
            "v1": v1({"instances": LARGE}),
            "v2": v2(inputs(tensor(shape=[60_000, 4], data=LARGE))),
            "grpc": rpc(Tensor("x", LARGE * 2, "FP32"), raw=True),
        },
        {"v1": "http_max_body_bytes", "v2": "http_max_body_bytes"},
    ),
    Failure(
        "deadline",
        Code.DEADLINE_EXCEEDED,
        (),
        {
            "v2": v2(inputs(tensor(), parameters={"timeout": 50_000}), "stuck"),
            "grpc": Rpc(everywhere("stuck")["grpc"].message, timeout=0.2),
        },
    ),  # type: ignore[union-attr]
    # What an author raises.
    Failure("InvalidInput", BAD, ("x: is out of the model's range",), everywhere("raises-invalid")),
    Failure("Unavailable", Code.UNAVAILABLE, ("warming up",), everywhere("raises-unavailable")),
    Failure("ResourceExhausted", Code.RESOURCE_EXHAUSTED, ("over the quota",), everywhere("raises-exhausted")),
    Failure("a status of the author's", BAD, ("cannot be processed",), everywhere("raises-422"), http=422),
    Failure("NotImplementedError", Code.UNIMPLEMENTED, ("not in this edition",), everywhere("raises-not-implemented")),
    Failure("any other", Code.INTERNAL, ("KeyError", "request id"), everywhere("raises-a-bug")),
]
