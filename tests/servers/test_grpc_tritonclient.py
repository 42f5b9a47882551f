"""A client that we did not write, against a real port. The whole of it is in tests/clients."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from modelserver.messages import InferRequest
from modelserver.model import Model
from tests.servers.serving import Counts, Doubler, Echo, serving

tritonclient = pytest.importorskip("tritonclient.grpc.aio")
ARRAYS = {
    "BOOL": np.array([True, False]),
    "INT8": np.array([-128, 127], np.int8),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "FP16": np.array([0.5, 1.5], np.float16),
    "FP64": np.array([[0.1], [0.2]]),
    "FP32": np.zeros((0, 3), np.float32),
    "BYTES": np.array([b"a", b"\xff\x00"], dtype=object),
}


class Multiplies(Model):
    def predict(self, request: InferRequest) -> object:
        return {"y": request["x"] * request.parameters["by"]}


def tensor(name: str, array: np.ndarray, datatype: str) -> Any:
    made = tritonclient.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


@pytest.mark.parametrize("datatype", ARRAYS)
async def test_every_kind_of_tensor_comes_back(datatype: str) -> None:
    async with serving(Echo("e")) as served, tritonclient.InferenceServerClient(served.target) as client:
        answer = await client.infer("e", [tensor("x", ARRAYS[datatype], datatype)], request_id="7")

    assert answer.as_numpy("x").tolist() == ARRAYS[datatype].tolist()
    assert answer.as_numpy("x").shape == ARRAYS[datatype].shape
    assert answer.get_response().id == "7"


async def test_parameters_and_requested_outputs() -> None:
    async with serving(Multiplies("m")) as served, tritonclient.InferenceServerClient(served.target) as client:
        answer = await client.infer(
            "m",
            [tensor("x", ARRAYS["FP64"], "FP64")],
            parameters={"by": 3},
            outputs=[tritonclient.InferRequestedOutput("y")],
        )

    assert answer.as_numpy("y").tolist() == (ARRAYS["FP64"] * 3).tolist()


async def test_metadata_configuration_statistics_and_repository() -> None:
    async with serving(Doubler("d")) as served, tritonclient.InferenceServerClient(served.target) as client:
        assert await client.is_server_ready()
        await client.unload_model("d")
        assert not await client.is_model_ready("d")
        await client.load_model("d")
        assert await client.is_model_ready("d", "1")
        assert (await client.get_model_metadata("d", as_json=True))["inputs"][0]["shape"] == ["-1"]
        assert (await client.get_model_config("d", as_json=True))["config"]["input"][0]["data_type"] == "TYPE_FP32"
        assert (await client.get_inference_statistics("d")).model_stats[0].version == "1"
        assert (await client.get_model_repository_index()).models[0].state == "READY"


async def test_a_stream_of_requests() -> None:
    async def requests() -> Any:
        for number in (1, 9, 2):
            yield {"model_name": "c", "inputs": [tensor("n", np.array([number]), "INT64")], "request_id": str(number)}

    seen = []
    async with serving(Counts("c")) as served, tritonclient.InferenceServerClient(served.target) as client:
        async with asyncio.timeout(20):
            async for result, error in client.stream_infer(requests()):
                seen.append(error.message() if error else (result.get_response().id, result.as_numpy("i").tolist()))

    assert seen == [
        ("1", [0]),
        ("9", [0]), ("9", [1]), ("9", [2]), "n: is more than 3",
        ("2", [0]), ("2", [1]),
    ]  # fmt: skip
