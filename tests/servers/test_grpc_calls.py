from __future__ import annotations

import grpc
import pytest

from modelserver.errors import Code, ModelServerError
from modelserver.metadata import TensorMetadata
from modelserver.protocols._pb import inference_pb2
from modelserver.protocols.v2_grpc import decode_response, encode_request
from modelserver.servers.grpc import STATUS
from modelserver.servers.grpc_calls import MODEL_INFER
from modelserver.servers.grpc_metadata import metadata_of, status_text
from tests.servers.serving import (
    SERVICE,
    Broken,
    Doubler,
    asking,
    channel,
    connected,
    serving,
)


def test_every_code_has_a_status() -> None:
    assert set(STATUS) == set(Code)


async def test_noise_is_invalid_argument() -> None:
    async with serving(Doubler("d")) as served, channel(served) as opened:
        for method in served.door.calls.unary_methods:
            if method.rsplit("/", 1)[1] in ("ServerLive", "ServerReady", "ServerMetadata"):
                continue  # their requests are empty and are not looked at
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await opened.unary_unary(method)(b"\xff\xff")
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT, method


async def test_unknown_methods_are_unimplemented() -> None:
    async with serving() as served, channel(served) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await opened.unary_unary(f"{SERVICE}/TraceSetting")(b"")
        reply = await served.door.calls.call(f"{SERVICE}/TraceSetting", b"")

    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert reply.code is Code.UNIMPLEMENTED


async def test_a_long_message_reaches_the_client_cut() -> None:
    async with connected(Doubler("d")) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(asking("ж" * 20_000))

    assert raised.value.code is Code.NOT_FOUND
    assert raised.value.message.startswith("Model with name жж")


async def test_server_and_model_calls() -> None:
    async with connected(Doubler("d")) as (_, client):
        assert await client.live() is True
        assert await client.ready() is True
        assert await client.model_ready("d") is True
        assert await client.model_ready("d", "1") is True
        assert (await client.server_metadata()).name == "modelserver"
        metadata = await client.model_metadata("d")
        with pytest.raises(ModelServerError) as raised:
            await client.model_ready("missing")

    assert (metadata.name, metadata.versions) == ("d", ["1"])
    assert metadata.inputs == [TensorMetadata("x", "FP32", [-1])]
    assert raised.value.code is Code.NOT_FOUND


async def test_a_model_that_failed_to_load_is_not_ready() -> None:
    async with connected(Doubler("d"), Broken("b")) as (_, client):
        assert await client.ready() is False
        assert await client.model_ready("b") is False
        assert await client.model_ready("d") is True
        assert await client.live() is True


@pytest.mark.parametrize("wire_form", [b"\x0a\x01d", b"\x12\x01d"], ids=["kserve", "triton"])
async def test_unload_and_load(wire_form: bytes) -> None:
    async with connected(Doubler("d")) as (served, client):
        calls = served.door.calls
        unloaded = await calls.call(f"{SERVICE}/RepositoryModelUnload", wire_form)
        assert await client.model_ready("d") is False
        loaded = await calls.call(f"{SERVICE}/RepositoryModelLoad", wire_form)
        assert await client.model_ready("d") is True
        missing = await calls.call(f"{SERVICE}/RepositoryModelLoad", b"\x0a\x04../x")

    assert inference_pb2.RepositoryModelUnloadResponse.FromString(unloaded.body).isUnloaded is True
    assert inference_pb2.RepositoryModelLoadResponse.FromString(loaded.body).isLoaded is True
    assert missing.code is Code.NOT_FOUND


async def test_index_config_and_statistics() -> None:
    async with serving(Doubler("d"), Broken("b")) as served, channel(served) as opened:
        every = inference_pb2.RepositoryIndexResponse.FromString(
            await opened.unary_unary(f"{SERVICE}/RepositoryIndex")(b"")
        )
        ready = inference_pb2.RepositoryIndexResponse.FromString(
            await opened.unary_unary(f"{SERVICE}/RepositoryIndex")(b"\x10\x01")
        )
        config = inference_pb2.ModelConfigResponse.FromString(
            await opened.unary_unary(f"{SERVICE}/ModelConfig")(b"\x0a\x01d")
        ).config
        statistics = inference_pb2.ModelStatisticsResponse.FromString(
            await opened.unary_unary(f"{SERVICE}/ModelStatistics")(b"")
        )

    assert [(entry.name, entry.state) for entry in every.models] == [("d", "READY"), ("b", "UNAVAILABLE")]
    assert [entry.name for entry in ready.models] == ["d"]
    assert [(tensor.name, tensor.data_type) for tensor in config.input] == [("x", 11)]
    assert [model.name for model in statistics.model_stats] == ["d", "b"]


@pytest.mark.parametrize("binary", [True, False])
async def test_the_same_bytes_without_a_port(binary: bool) -> None:
    async with serving(Doubler("d")) as served:
        reply = await served.door.calls.call(MODEL_INFER, encode_request(asking("d"), raw=binary))

    assert reply.code is None
    assert decode_response(reply.body)["y"].tolist() == [2.0, 4.0]


def test_headers_that_cannot_be_metadata_are_left_out() -> None:
    headers = {"X-A": "b", "grpc-status": "0", "Content-Type": "text/plain", "sp ace": "x", "": "x", "x-bin": "ü"}

    assert metadata_of(headers) == (("x-a", "b"), ("x-bin", "ü".encode()))


def test_a_status_text_fits_a_header() -> None:
    assert status_text("short\ud800") == "short?"
    assert status_text("a" * 5000) == "a" * 4096 + "..."
    assert status_text("%" * 5000) == "%" * 1365 + "..."
