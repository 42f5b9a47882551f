from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import numpy as np
import pytest
from grpc_reflection.v1alpha import reflection_pb2

from modelserver.client.grpc import GrpcClient
from modelserver.composition import compose
from modelserver.engine.loader import NoCatalog, sources_of_models
from modelserver.errors import Code, InvalidInput, ModelServerError, ResourceExhausted, Unavailable
from modelserver.messages import Context, InferRequest, TensorMetadata
from modelserver.model import Model
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols._pb import health_pb2, inference_pb2
from modelserver.protocols.v2_grpc import decode_response, encode_request
from modelserver.servers.grpc import STATUS, GrpcDoor
from modelserver.servers.grpc_calls import MODEL_INFER, GrpcCalls
from modelserver.servers.grpc_metadata import metadata_of, status_text
from modelserver.settings import ServerSettings
from modelserver.tensor import Tensor

SERVICE = "/inference.GRPCInferenceService"
ERRORS: dict[str, Callable[[], BaseException]] = {
    "invalid": lambda: InvalidInput("x: is wrong"),
    "unavailable": lambda: Unavailable("later", retry_after=1.2),
    "exhausted": lambda: ResourceExhausted("too many", headers={"X-Limit": "3"}),
    "teapot": lambda: ModelServerError("teapot", status=418),
    "not implemented": lambda: NotImplementedError("not yet"),
    "bug": lambda: KeyError("/secret/path"),
}


class Doubler(Model):
    inputs = (TensorMetadata("x", "FP32", [-1]),)

    def predict(self, request: InferRequest) -> object:
        request.context.response_headers["X-Model"] = "dé 100%"
        return {"y": request["x"] * 2}


class Echo(Model):
    def predict(self, request: InferRequest) -> object:
        return {tensor.name: tensor.data for tensor in request.inputs}


class Raises(Model):
    def predict(self, request: InferRequest) -> object:
        error = ERRORS[str(request.parameters["error"])]()
        raise error


class Counts(Model):
    def predict(self, request: InferRequest) -> object:
        for number in range(int(request["n"][0])):
            if number == 3:
                raise InvalidInput("n: is more than 3")
            yield {"i": np.array([number])}


class Waits(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.entered = asyncio.Event()
        self.release = asyncio.Event()
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def predict(self, request: InferRequest) -> object:
        self.entered.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.outcome.set_result("cancelled")
            raise
        return request["x"]


class Broken(Model):
    def load(self) -> None:
        raise RuntimeError("no weights")


class Seen:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[tuple[str, str, Code | None, int, int]] = []
        self.contexts: list[Context] = []

    def started(self, model: str) -> None:
        self.begun.append(model)

    def finished(
        self, context: Context, model: str, version: str, code: Code | None, seconds: float, request: int, response: int
    ) -> None:
        assert seconds > 0
        self.contexts.append(context)
        self.ended.append((model, version, code, request, response))


class Served:
    """A server's data plane and its gRPC door, on any free port."""

    def __init__(self, models: Sequence[Model], limit: int) -> None:
        self.seen = Seen()
        settings = ServerSettings(
            host="127.0.0.1",
            grpc_port=0,
            access_log=False,
            grpc_max_receive_message_length=limit,
            grpc_max_send_message_length=limit,
        )
        composition = compose(settings, sources_of_models(models), NoCatalog(), [self.seen])
        assert composition.grpc is not None
        self.dataplane = composition.dataplane
        self.door = composition.grpc
        self.target = ""


@asynccontextmanager
async def serving(*models: Model, limit: int = 1 << 20) -> AsyncIterator[Served]:
    served = Served(models, limit)
    await served.dataplane.start()
    served.target = f"127.0.0.1:{await served.door.start()}"
    try:
        yield served
    finally:
        await served.door.stop(0)
        await served.dataplane.stop(0)


@asynccontextmanager
async def connected(*models: Model, limit: int = 1 << 20) -> AsyncIterator[tuple[Served, GrpcClient]]:
    async with serving(*models, limit=limit) as served, GrpcClient(served.target) as client:
        yield served, client


@asynccontextmanager
async def channel(served: Served) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(served.target) as opened:
        yield opened


def asking(model: str, *, name: str = "x", **fields: object) -> InferRequest:
    return InferRequest(model, [Tensor(name, np.array([1, 2], np.float32))], **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("raw", [True, False])
async def test_infer_answers(raw: bool) -> None:
    async with serving(Doubler("d")) as served, GrpcClient(served.target, raw=raw) as client:
        response = await client.infer(asking("d", id="7"))

    assert response["y"].tolist() == [2.0, 4.0]
    assert (response.model_name, response.model_version, response.id) == ("d", None, "7")


async def test_trailing_metadata_has_times_id_and_the_models_headers() -> None:
    async with connected(Doubler("d")) as (_, client):
        request = asking("d")
        await client.infer(request, headers={"X-Request-Id": "abc"})

    headers = request.context.response_headers
    assert headers["x-request-id"] == "abc"
    assert headers["x-model"] == "d%C3%A9 100%25"
    assert re.fullmatch(r"(\w+;dur=\d+\.\d{3}(, )?){4}", headers["server-timing"])


async def test_observers_see_sizes_outcome_and_stages() -> None:
    async with connected(Doubler("d")) as (served, client):
        await client.infer(asking("d", model_version="1"))
        with pytest.raises(ModelServerError):
            await client.infer(asking("missing"))
        with pytest.raises(ModelServerError):
            await client.infer(InferRequest("d", []))

    sent = len(encode_request(asking("d", model_version="1")))
    assert served.seen.begun == ["d", "missing", "d"]
    assert [ended[:3] for ended in served.seen.ended] == [
        ("d", "1", None),
        ("missing", "", Code.NOT_FOUND),
        ("d", "", Code.INVALID_ARGUMENT),
    ]
    assert served.seen.ended[0][3] == sent
    assert served.seen.ended[0][4] > 8
    context = served.seen.contexts[0]
    assert context.protocol == "grpc"
    assert min(context.decode, context.predict, context.encode) > 0


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("invalid", Code.INVALID_ARGUMENT, "x: is wrong"),
        ("unavailable", Code.UNAVAILABLE, "later"),
        ("exhausted", Code.RESOURCE_EXHAUSTED, "too many"),
        ("teapot", Code.INVALID_ARGUMENT, "teapot"),
        ("not implemented", Code.UNIMPLEMENTED, "not yet"),
    ],
)
async def test_what_a_model_raises_has_its_code(error: str, code: Code, message: str) -> None:
    async with connected(Raises("r")) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(asking("r", parameters={"error": error}))

    assert (raised.value.code, raised.value.message) == (code, message)
    assert raised.value.retry_after == (2.0 if error == "unavailable" else None)


async def test_a_models_bug_is_internal_without_a_trace() -> None:
    async with connected(Raises("r")) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(asking("r", parameters={"error": "bug"}))

    assert raised.value.code is Code.INTERNAL
    assert "KeyError" in raised.value.message
    assert "secret" not in raised.value.message
    assert "Traceback" not in raised.value.message


async def test_an_errors_own_headers_are_trailing_metadata() -> None:
    async with serving(Raises("r")) as served:
        wire_form = encode_request(asking("r", parameters={"error": "exhausted"}))
        reply = await served.door.calls.call(MODEL_INFER, wire_form, (("x-request-id", "abc"),))

    assert reply.code is Code.RESOURCE_EXHAUSTED
    assert dict(reply.trailing)["x-limit"] == "3"
    assert dict(reply.trailing)["x-request-id"] == "abc"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (asking("missing"), Code.NOT_FOUND, "Model with name missing does not exist."),
        (asking("d", model_version="9"), Code.NOT_FOUND, "Model with name d and version 9 does not exist."),
        (asking("broken"), Code.UNAVAILABLE, "Model with name broken is not ready. RuntimeError: no weights"),
        (asking("d", name="z"), Code.INVALID_ARGUMENT, "inputs[0].name: got 'z', expected 'x'"),
        (InferRequest("d", []), Code.INVALID_ARGUMENT, "inputs: got none, expected at least one tensor"),
    ],
)
async def test_the_engines_errors_have_their_codes(request_: InferRequest, code: Code, message: str) -> None:
    async with connected(Doubler("d"), Broken("broken")) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(request_)

    assert (raised.value.code, raised.value.message) == (code, message)


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


async def test_a_request_over_the_limit_is_resource_exhausted_and_names_it() -> None:
    big = InferRequest("e", [Tensor("x", np.zeros(2000, np.uint8))])
    async with connected(Echo("e"), limit=1000) as (served, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(big)
        reply = await served.door.calls.call(MODEL_INFER, encode_request(big))

    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert "larger than max" in raised.value.message
    assert "1000" in raised.value.message
    assert STATUS[reply.code or Code.INTERNAL] is grpc.StatusCode.RESOURCE_EXHAUSTED


class Grows(Model):
    def predict(self, request: InferRequest) -> object:
        return {"y": np.zeros(2000, np.uint8)}


async def test_a_response_over_the_limit_is_resource_exhausted_and_names_it() -> None:
    async with connected(Grows("g"), limit=1000) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(asking("g"))
        with pytest.raises(ModelServerError) as streamed:
            await anext(client.stream(asking("g")))

    assert raised.value.code is Code.RESOURCE_EXHAUSTED
    assert "grpc_max_send_message_length, 1000" in raised.value.message
    assert "grpc_max_send_message_length, 1000" in streamed.value.message


async def test_a_long_message_reaches_the_client_cut() -> None:
    async with connected(Doubler("d")) as (_, client):
        with pytest.raises(ModelServerError) as raised:
            await client.infer(asking("ж" * 20_000))

    assert raised.value.code is Code.NOT_FOUND
    assert raised.value.message.startswith("Model with name жж")


async def test_a_deadline_ends_the_call_and_the_predict() -> None:
    model = Waits("w")
    async with connected(model) as (served, client):
        request = asking("w")
        request.context.deadline = time.monotonic() + 0.05
        with pytest.raises(ModelServerError) as raised:
            await client.infer(request)
        outcome = await model.outcome

    assert raised.value.code is Code.DEADLINE_EXCEEDED
    assert outcome == "cancelled"
    assert served.seen.contexts[0].deadline is not None
    assert served.seen.ended[0][2] is Code.DEADLINE_EXCEEDED


async def test_a_client_that_goes_away_cancels_the_predict() -> None:
    model = Waits("w")
    async with connected(model) as (served, client):
        call = asyncio.ensure_future(client.infer(asking("w")))
        await model.entered.wait()
        call.cancel()
        outcome = await model.outcome

    assert outcome == "cancelled"
    assert [ended[2] for ended in served.seen.ended] == [Code.CANCELLED]


async def test_a_deadline_without_a_port_is_honoured_too() -> None:
    async with serving(Waits("w")) as served:
        reply = await served.door.calls.call(MODEL_INFER, encode_request(asking("w")), (), time.monotonic())

    assert reply.code is Code.DEADLINE_EXCEEDED


async def test_a_request_without_a_deadline_gets_the_servers() -> None:
    async with serving(Waits("w")) as served:
        calls = GrpcCalls(served.dataplane, request_timeout=0.01)
        reply = await calls.call(MODEL_INFER, encode_request(asking("w")))

    assert reply.code is Code.DEADLINE_EXCEEDED


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


def counting(number: int, id: str = "") -> InferRequest:
    return InferRequest("c", [Tensor("n", np.array([number]))], id=id)


async def test_a_stream_gives_every_response_in_order() -> None:
    async with connected(Counts("c")) as (served, client):
        numbers = [int(response["i"][0]) async for response in client.stream(counting(3))]

    assert numbers == [0, 1, 2]
    assert [ended[:3] for ended in served.seen.ended] == [("c", "", None)]


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
