"""The REST client: against our own REST door, and against servers that answer oddly."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest

from modelserver.client.rest import RestClient, RestProtocol
from modelserver.errors import Code, DeadlineExceeded, ModelServerError, Unavailable
from modelserver.messages import Context, InferRequest
from modelserver.metadata import TensorMetadata
from modelserver.model import Model
from modelserver.tensor import Tensor
from modelserver.testing import InMemoryServer

PROTOCOLS: list[RestProtocol] = ["v1", "v2", "v2-binary"]


class Doubler(Model):
    inputs = (TensorMetadata("x", "FP64", [-1, 2]),)
    outputs = (TensorMetadata("y", "FP64", [-1, 2]),)
    platform = "test"

    def predict(self, request: InferRequest) -> Any:
        request.context.response_headers["x-seen"] = request.context.request_headers.get("x-mine", "")
        return {"y": request["x"] * 2}

    def explain(self, request: InferRequest) -> Any:
        return {"explanations": [1]}


class Broken(Model):
    def load(self) -> None:
        raise RuntimeError("no weights")


class Busy(Model):
    def predict(self, request: InferRequest) -> Any:
        raise ModelServerError("later, please", status=429, retry_after=7)


def client(server: InMemoryServer, protocol: RestProtocol = "v2") -> RestClient:
    return RestClient("http://server", protocol, transport=httpx.ASGITransport(server.composition.rest))


def asking(model: str = "doubler", version: str | None = None, context: Context | None = None) -> InferRequest:
    tensor = Tensor("x", np.array([[1.0, 2.5]]))
    return InferRequest(model, [tensor], model_version=version, context=context)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_over_every_protocol(protocol: RestProtocol) -> None:
    async with InMemoryServer([Doubler("doubler")]) as server, client(server, protocol) as rest:
        response = await rest.infer(asking())

    if protocol == "v1":
        assert response.json == {"predictions": [[2.0, 5.0]]}
    else:
        assert response["y"].tolist() == [[2.0, 5.0]]
    assert response.model_name == "doubler"


async def test_versions_headers_and_ids_travel() -> None:
    context = Context(id="my-id")

    async with InMemoryServer([Doubler("doubler")]) as server, client(server) as rest:
        response = await rest.infer(asking(version="1", context=context), {"x-mine": "here"})

    assert response["y"].shape == (1, 2)
    assert context.response_headers["x-seen"] == "here"
    assert context.response_headers["x-request-id"] == "my-id"


async def test_explain_is_v1s_other_verb() -> None:
    context = Context()
    context.verb = "explain"

    async with InMemoryServer([Doubler("doubler")]) as server, client(server, "v1") as rest:
        response = await rest.infer(asking(context=context))

    assert response.json == {"explanations": [1]}


async def test_metadata() -> None:
    async with InMemoryServer([Doubler("doubler")]) as server, client(server) as rest:
        metadata = await rest.model_metadata("doubler")

    assert (metadata.name, metadata.platform) == ("doubler", "test")
    assert [(t.name, t.datatype, list(t.shape)) for t in metadata.inputs] == [("x", "FP64", [-1, 2])]
    assert [t.name for t in metadata.outputs] == ["y"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_readiness(protocol: RestProtocol) -> None:
    async with InMemoryServer([Doubler("doubler"), Broken("broken")]) as server, client(server, protocol) as rest:
        assert not await rest.ready()
        assert await rest.model_ready("doubler")
        assert not await rest.model_ready("broken")
        with pytest.raises(ModelServerError) as error:
            await rest.model_ready("none")

    assert error.value.code is Code.NOT_FOUND


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("model", "code", "text"),
    [
        ("none", Code.NOT_FOUND, "Model with name none does not exist."),
        ("a/b", Code.NOT_FOUND, "no route"),
        ("broken", Code.UNAVAILABLE, "no weights"),
        ("busy", Code.RESOURCE_EXHAUSTED, "later, please"),
    ],
)
async def test_errors_keep_code_and_text(protocol: RestProtocol, model: str, code: Code, text: str) -> None:
    async with InMemoryServer([Broken("broken"), Busy("busy")]) as server, client(server, protocol) as rest:
        with pytest.raises(ModelServerError) as error:
            await rest.infer(asking(model))

    assert error.value.code is code
    assert text in error.value.message
    assert error.value.retry_after == (7 if model == "busy" else None)


def answering(status: int, body: bytes, headers: dict[str, str] | None = None) -> RestClient:
    """A client of a server that gives this answer to everything."""

    async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body})

    return RestClient("http://server", "v2", transport=httpx.ASGITransport(app))


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        (502, b"<html>bad\ngateway", Code.INTERNAL, "HTTP 502 Bad Gateway: <html>bad"),
        (503, b"", Code.UNAVAILABLE, "HTTP 503 Service Unavailable"),
        (422, b'{"detail": []}', Code.INVALID_ARGUMENT, 'HTTP 422 Unprocessable Entity: {"detail": []}'),
        (302, b"", Code.INTERNAL, "the server answered 302, expected 200"),
        (200, b"not json", Code.INTERNAL, "the server's answer cannot be read"),
        (200, b"[]", Code.INTERNAL, "the server's answer cannot be read"),
    ],
)
async def test_odd_answers_are_errors_in_one_line(status: int, body: bytes, code: Code, text: str) -> None:
    async with answering(status, body) as rest:
        with pytest.raises(ModelServerError) as error:
            await rest.infer(asking())

    assert error.value.code is code
    assert error.value.message.startswith(text)


async def test_odd_metadata_is_an_error() -> None:
    async with answering(200, b'{"name": "m", "inputs": [{"name": "x"}]}') as rest:
        with pytest.raises(ModelServerError, match="expected name, datatype and shape"):
            await rest.model_metadata("m")


async def test_no_connection_is_unavailable_and_names_no_url() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused
        port = closed.getsockname()[1]
        async with RestClient(f"http://127.0.0.1:{port}", "v2") as rest:
            with pytest.raises(Unavailable, match="no connection to the server") as error:
                await rest.infer(asking())

    assert str(port) not in error.value.message


async def test_no_answer_before_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with RestClient(f"http://127.0.0.1:{silent.getsockname()[1]}", "v2") as rest:
            with pytest.raises(DeadlineExceeded, match="no answer within"):
                await rest.infer(asking(context=Context(deadline=time.monotonic() + 0.05)))
            with pytest.raises(DeadlineExceeded, match="before the request was sent"):
                await rest.infer(asking(context=Context(deadline=time.monotonic())))


async def test_a_path_before_the_protocols_own_is_kept() -> None:
    seen: list[str] = []

    async def app(scope: dict[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async with RestClient("http://server/prefix/", "v2", transport=httpx.ASGITransport(app)) as rest:
        assert await rest.ready()

    assert seen == ["/prefix/v2/health/ready"]


@pytest.mark.parametrize("url", ["server:8080", "ftp://server", "http://", ""])
def test_a_wrong_url_is_named(url: str) -> None:
    with pytest.raises(ValueError, match="base_url: got"):
        RestClient(url)
