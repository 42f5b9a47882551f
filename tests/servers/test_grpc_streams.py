from __future__ import annotations

import asyncio

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from modelserver.errors import Code, ModelServerError
from modelserver.messages import InferRequest
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols._pb import health_pb2, inference_pb2
from modelserver.protocols.v2_grpc import encode_request
from modelserver.servers.grpc import GrpcDoor
from modelserver.tensor import Tensor
from tests.servers.serving import (
    SERVICE,
    Broken,
    Counts,
    Doubler,
    Waits,
    asking,
    channel,
    connected,
    serving,
)


def counting(number: int, id: str = "") -> InferRequest:
    return InferRequest("c", [Tensor("n", np.array([number]))], id=id)


async def test_a_stream_gives_every_response_in_order() -> None:
    async with connected(Counts("c")) as (served, client):
        numbers = [int(response["i"][0]) async for response in client.stream(counting(3))]

    assert numbers == [0, 1, 2]
    assert [ended[:3] for ended in served.seen.ended] == [("c", "1", None)]


async def test_an_error_in_a_stream_is_its_requests_own() -> None:
    answers = []
    async with serving(Counts("c"), Doubler("d")) as served, channel(served) as opened:
        call = opened.stream_stream(f"{SERVICE}/ModelStreamInfer")()
        requests = [encode_request(counting(9, "first")), b"\xff\xff", encode_request(asking("missing", id="third"))]
        for message in (*requests, encode_request(asking("d", id="last"))):
            await call.write(message)
        await call.done_writing()
        async for message in call:
            error, body = wire.decode_stream(message)
            answers.append((error, inference_pb2.ModelInferResponse.FromString(body).id))

    assert answers == [
        ("", "first"),
        ("", "first"),
        ("", "first"),
        ("n: is more than 3", "first"),
        ("message: 2 bytes are no inference.ModelInferRequest", ""),
        ("Model with name missing does not exist.", "third"),
        ("", "last"),
    ]


@pytest.mark.parametrize("number", [0, 2])
async def test_model_infer_of_a_stream_without_exactly_one_response_is_unimplemented(number: int) -> None:
    async with connected(Counts("c")) as (served, client):
        with pytest.raises(ModelServerError, match="ModelStreamInfer") as raised:
            await client.infer(counting(number))
        await served.dataplane.unload("c")  # waits for what is in flight: nothing must be

    assert raised.value.code is Code.UNIMPLEMENTED


async def test_model_infer_of_a_stream_with_one_response_answers() -> None:
    async with connected(Counts("c")) as (_, client):
        assert (await client.infer(counting(1)))["i"].tolist() == [0]


async def test_a_client_that_leaves_a_stream_ends_it() -> None:
    model = Waits("w")
    async with connected(model) as (_, client):
        reading = asyncio.ensure_future(anext(client.stream(asking("w"))))
        await model.entered.wait()
        reading.cancel()
        assert await model.outcome == "cancelled"


def status(body: bytes) -> str:
    message = health_pb2.HealthCheckResponse.FromString(body)
    return str(message.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[message.status].name)


def service(name: str) -> bytes:
    return bytes(health_pb2.HealthCheckRequest(service=name).SerializeToString())


async def test_health_check_follows_server_and_models() -> None:
    async with serving(Doubler("d"), Broken("b")) as served, channel(served) as opened:
        check = opened.unary_unary("/grpc.health.v1.Health/Check")
        statuses = {name: status(await check(service(name))) for name in ("", SERVICE[1:], "d", "b")}
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await check(service("missing"))

    assert statuses == {"": "NOT_SERVING", SERVICE[1:]: "NOT_SERVING", "d": "SERVING", "b": "NOT_SERVING"}
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND


async def test_health_watch_tells_every_change() -> None:
    async with serving(Doubler("d")) as served, channel(served) as opened:
        watch = opened.unary_stream("/grpc.health.v1.Health/Watch")
        model, unknown, whole = watch(service("d")), watch(service("missing")), watch(service(""))
        assert status(await model.read()) == "SERVING"
        assert status(await unknown.read()) == "SERVICE_UNKNOWN"
        assert status(await whole.read()) == "SERVING"
        await served.dataplane.unload("d")
        assert [status(await watched.read()) for watched in (model, whole)] == ["NOT_SERVING", "NOT_SERVING"]
        await served.dataplane.load("d")
        assert [status(await watched.read()) for watched in (model, whole)] == ["SERVING", "SERVING"]
        served.dataplane.stopping = True
        assert [status(await watched.read()) for watched in (model, whole)] == ["NOT_SERVING", "NOT_SERVING"]
        model.cancel()
        unknown.cancel()
        whole.cancel()


async def test_stop_finishes_what_is_in_flight_and_ends_what_only_waits() -> None:
    model = Waits("w")
    async with connected(model) as (served, client), channel(served) as opened:
        in_flight = asyncio.ensure_future(client.infer(asking("w")))
        await model.entered.wait()
        idle = opened.stream_stream(f"{SERVICE}/ModelStreamInfer")()
        await idle.write(b"\xff\xff")
        await idle.read()
        watching = opened.unary_stream("/grpc.health.v1.Health/Watch")(service(""))
        await watching.read()

        stopping = asyncio.ensure_future(served.door.stop(60))
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await idle.read()
        last = status(await watching.read())
        assert not stopping.done()
        model.release.set()
        response = await in_flight
        await stopping

    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert last == "NOT_SERVING"
    assert response.outputs[0].data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_serves_our_descriptors(version: str) -> None:
    async with serving() as served, channel(served) as opened:
        call = opened.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()
        answers = []
        for request in (
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService.ModelInfer"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        ):
            await call.write(request.SerializeToString())
            answers.append(reflection_pb2.ServerReflectionResponse.FromString(await call.read()))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF

    services = [entry.name for entry in answers[0].list_services_response.service]
    assert services == ["grpc.health.v1.Health", "inference.GRPCInferenceService"]
    assert b"ModelStreamInfer" in answers[1].file_descriptor_response.file_descriptor_proto[0]
    assert b"HealthCheckResponse" in answers[2].file_descriptor_response.file_descriptor_proto[0]


async def test_workers_share_a_port() -> None:
    async with serving() as served:
        limits = {"max_receive_message_length": -1, "max_send_message_length": -1}
        first = GrpcDoor(served.dataplane, [], host="127.0.0.1", port=0, share_port=True, **limits)
        port = await first.start()
        second = GrpcDoor(served.dataplane, [], host="127.0.0.1", port=port, share_port=True, **limits)
        assert await second.start() == port
        alone = GrpcDoor(served.dataplane, [], host="127.0.0.1", port=port, **limits)
        with pytest.raises(OSError, match="cannot listen on"):
            await alone.start()
        await first.stop(0)
        await second.stop(0)
