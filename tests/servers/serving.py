"""Models and a server around them, for the tests of the gRPC door."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import grpc
import numpy as np

from modelserver.client.grpc import GrpcClient
from modelserver.composition import compose
from modelserver.engine.loader import NoCatalog, sources_of_models
from modelserver.errors import Code, InvalidInput, ModelServerError, ResourceExhausted, Unavailable
from modelserver.messages import Context, InferRequest
from modelserver.metadata import TensorMetadata
from modelserver.model import Model
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
