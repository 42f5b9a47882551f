"""The floor for gRPC: a grpc.aio handler of raw bytes that parses a request, serialises an answer, and no more."""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop

from modelserver.protocols._pb.inference_pb2 import ModelInferRequest, ModelInferResponse


async def model_infer(wire: bytes, context: grpc.aio.ServicerContext) -> bytes:
    """Answer with the request's raw contents."""
    request = ModelInferRequest.FromString(wire)
    tensor = request.inputs[0]
    response = ModelInferResponse(model_name="noop", id=request.id)
    output = response.outputs.add(name="y", datatype=tensor.datatype, shape=tensor.shape)
    raw = request.raw_input_contents[0]
    output.parameters["binary_data_size"].int64_param = len(raw)
    response.raw_output_contents.append(raw)
    return response.SerializeToString()


async def serve(port: int) -> None:
    server = grpc.aio.server()
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(model_infer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers)])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
