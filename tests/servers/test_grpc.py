from __future__ import annotations

import asyncio
import re
import time

import grpc
import numpy as np
import pytest

from modelserver.client.grpc import GrpcClient
from modelserver.errors import Code, ModelServerError
from modelserver.messages import InferRequest
from modelserver.model import Model
from modelserver.protocols.v2_grpc import encode_request
from modelserver.servers.grpc import STATUS
from modelserver.servers.grpc_calls import MODEL_INFER, GrpcCalls
from modelserver.tensor import Tensor
from tests.servers.serving import (
    Broken,
    Doubler,
    Echo,
    Raises,
    Waits,
    asking,
    connected,
    serving,
)


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
