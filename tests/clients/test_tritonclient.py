"""NVIDIA's tritonclient against a running server: HTTP and gRPC, blocking and asyncio."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from conftest import Server
from tritonclient.utils import InferenceServerException

ROWS = np.array([[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]], dtype=np.float32)
BLOCKING = pytest.mark.parametrize("library", [tritonclient.http, tritonclient.grpc], ids=["http", "grpc"])
ASYNCIO = pytest.mark.parametrize("library", [tritonclient.http.aio, tritonclient.grpc.aio], ids=["http", "grpc"])


def connect(library: ModuleType, server: Server) -> Any:
    return library.InferenceServerClient(server.http if "http" in library.__name__ else server.grpc)


def tensor(library: ModuleType, name: str, array: np.ndarray, datatype: str, **how: Any) -> Any:
    made = library.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **how)
    return made


@BLOCKING
def test_life_cycle(library: ModuleType, iris: Server) -> None:
    with connect(library, iris) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("iris")
        assert client.is_model_ready("iris", "1")
        client.unload_model("iris")
        assert not client.is_model_ready("iris")
        client.load_model("iris")
        assert client.is_model_ready("iris")


@pytest.mark.parametrize("name", ["iris"])
def test_metadata_configuration_statistics_and_index_http(name: str, iris: Server) -> None:
    with connect(tritonclient.http, iris) as client:
        assert client.get_server_metadata()["name"] == "modelserver"
        metadata = client.get_model_metadata(name)
        assert metadata["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 4]}]
        assert client.get_model_config(name)["name"] == name
        [statistics] = client.get_inference_statistics(name)["model_stats"]
        assert (statistics["name"], statistics["version"]) == (name, "1")
        [entry] = client.get_model_repository_index()
        assert (entry["name"], entry["version"], entry["state"]) == (name, "1", "READY")


@pytest.mark.parametrize("name", ["iris"])
def test_metadata_configuration_statistics_and_index_grpc(name: str, iris: Server) -> None:
    with connect(tritonclient.grpc, iris) as client:
        assert client.get_server_metadata().name == "modelserver"
        [declared] = client.get_model_metadata(name).inputs
        assert (declared.name, declared.datatype, list(declared.shape)) == ("input-0", "FP64", [-1, 4])
        assert client.get_model_config(name).config.name == name
        [statistics] = client.get_inference_statistics(name).model_stats
        assert (statistics.name, statistics.version) == (name, "1")
        [entry] = client.get_model_repository_index().models
        assert (entry.name, entry.version, entry.state) == (name, "1", "READY")


@BLOCKING
def test_infer(library: ModuleType, iris: Server) -> None:
    with connect(library, iris) as client:
        answer = client.infer("iris", [tensor(library, "input-0", ROWS, "FP32")], request_id="seven")
        assert answer.as_numpy("output-0").tolist() == [1, 1]
        assert client.infer("iris", [tensor(library, "input-0", ROWS, "FP32")], model_version="1").as_numpy(
            "output-0"
        ).tolist() == [1, 1]


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_infer_over_http_in_every_form(
    binary_in: bool, binary_out: bool, compression: str | None, iris: Server
) -> None:
    library = tritonclient.http
    with connect(library, iris) as client:
        answer = client.infer(
            "iris",
            [tensor(library, "input-0", ROWS, "FP32", binary_data=binary_in)],
            outputs=[library.InferRequestedOutput("output-0", binary_data=binary_out)],
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
        )
        assert answer.as_numpy("output-0").tolist() == [1, 1]


ARRAYS = {
    "BOOL": np.array([True, False]),
    "INT8": np.array([-128, 127], np.int8),
    "UINT16": np.array([0, 65535], np.uint16),
    "INT64": np.array([-(2**63), 2**63 - 1]),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "FP16": np.array([0.5, -2.0], np.float16),
    "FP32": np.array([[0.1, -1e30]], np.float32),
    "FP64": np.array([0.1, 1e300]),
    "BYTES": np.array([b"", "snö".encode()], dtype=np.object_),
}


@BLOCKING
@pytest.mark.parametrize("datatype", ARRAYS)
def test_every_datatype_comes_back_as_it_was(library: ModuleType, datatype: str, echo: Server) -> None:
    sent = ARRAYS[datatype]
    with connect(library, echo) as client:
        received = client.infer("echo", [tensor(library, "x", sent, datatype)]).as_numpy("x")
    assert received.shape == sent.shape
    assert received.tolist() == sent.tolist()


@ASYNCIO
async def test_infer_with_asyncio(library: ModuleType, iris: Server) -> None:
    async with connect(library, iris) as client:
        assert await client.is_server_ready()
        answer = await client.infer("iris", [tensor(library, "input-0", ROWS, "FP32")])
        assert answer.as_numpy("output-0").tolist() == [1, 1]


@BLOCKING
def test_a_wrong_request_is_an_error_that_says_why(library: ModuleType, iris: Server) -> None:
    with connect(library, iris) as client:
        with pytest.raises(InferenceServerException, match=r"shape: got \[2, 3\], expected \[-1, 4\]"):
            client.infer("iris", [tensor(library, "input-0", ROWS[:, :3].copy(), "FP32")])
        with pytest.raises(InferenceServerException, match="Model with name nobody does not exist"):
            client.infer("nobody", [tensor(library, "input-0", ROWS, "FP32")])
