"""The KServe SDK's own clients against a running server: v1, v2 and gRPC."""

from __future__ import annotations

import grpc
import httpx
import numpy as np
import pytest
from conftest import Server
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, InferResponse, RESTConfig

ROWS = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]


def rows(binary: bool = False) -> InferRequest:
    tensor = InferInput("input-0", [2, 4], "FP32")
    tensor.set_data_from_numpy(np.array(ROWS, dtype=np.float32), binary_data=binary)
    return InferRequest("iris", [tensor])


def predictions(response: InferResponse) -> list[int]:
    return list(response.get_output_by_name("output-0").as_numpy().tolist())


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_rest_life_cycle(protocol: str, iris: Server) -> None:
    async with InferenceRESTClient(RESTConfig(protocol=protocol)) as client:
        url = f"http://{iris.http}"
        assert await client.is_server_live(url)
        assert await client.is_model_ready(url, "iris")
        if protocol == "v2":  # KServe's client has no such question on v1
            assert await client.is_server_ready(url)


async def test_v1(iris: Server) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        answer = await client.infer(f"http://{iris.http}", {"instances": ROWS}, model_name="iris")
    assert answer == {"predictions": [1, 1]}


@pytest.mark.parametrize("binary", [False, True])
async def test_v2(binary: bool, iris: Server) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        answer = await client.infer(f"http://{iris.http}", rows(binary), model_name="iris")
    assert isinstance(answer, InferResponse)
    assert predictions(answer) == [1, 1]


async def test_v2_with_a_binary_answer(iris: Server) -> None:
    request = rows(binary=True)
    request.parameters = {"binary_data_output": True}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        answer = await client.infer(f"http://{iris.http}", request, model_name="iris")
    assert isinstance(answer, InferResponse)
    assert predictions(answer) == [1, 1]


@pytest.mark.parametrize("binary", [False, True])
async def test_grpc(binary: bool, iris: Server) -> None:
    async with InferenceGRPCClient(iris.grpc) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("iris")
        assert predictions(await client.infer(rows(binary))) == [1, 1]


async def test_a_wrong_request_is_a_400_that_says_why(iris: Server) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as client:
        with pytest.raises(httpx.HTTPStatusError, match=r"got \[1, 3\], expected \[-1, 4\]") as failure:
            await client.infer(f"http://{iris.http}", {"instances": [[1.0, 2.0, 3.0]]}, model_name="iris")
    assert failure.value.response.status_code == 400


async def test_a_model_that_is_not_there_is_not_found(iris: Server) -> None:
    request = rows()
    request.model_name = "nobody"
    async with InferenceGRPCClient(iris.grpc) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await client.infer(request)
    assert failure.value.code() is grpc.StatusCode.NOT_FOUND
