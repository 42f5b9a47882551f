"""Batched answers are the unbatched ones; what must not mix does not; a mistake is its author's alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver import (
    BatchSettings,
    Code,
    InferRequest,
    InferResponse,
    InvalidInput,
    Model,
    ModelServerError,
    RequestedOutput,
    Tensor,
)
from modelserver.engine.batch import rows_of, signature_of, split, stack
from modelserver.engine.batcher import Batcher
from modelserver.testing import WIRES, InMemoryServer


class Recorder(Model):
    """Doubles its rows, remembers the size of each call, and can be held up from outside."""

    batching = BatchSettings(max_batch_size=8)
    execution = "thread"

    def __init__(self, name: str = "recorder") -> None:
        super().__init__(name)
        self.calls: list[int] = []

    def predict(self, request: InferRequest) -> Any:
        array = request["x"]
        self.calls.append(len(array))
        if (array == 13).any():
            raise InvalidInput("x: 13 is not welcome")
        if request.parameters.get("negate"):
            array = -array
        return {"y": array * 2, "n": array.sum(axis=1)}


def a_request(rows: list[list[float]], datatype: str = "FP64", **kwargs: Any) -> InferRequest:
    return InferRequest("recorder", [Tensor("x", np.array(rows), datatype)], **kwargs)


class Held:
    """A run function that waits until it is let go, and remembers what it was given."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.called = asyncio.Event()
        self.rows: list[int] = []

    async def __call__(self, request: InferRequest) -> InferResponse:
        self.rows.append(len(request.inputs[0].data))
        self.called.set()
        await self.go.wait()
        return InferResponse([Tensor("y", request.inputs[0].data * 2)])


async def together(batcher: Batcher, requests: list[InferRequest]) -> list[Any]:
    return await asyncio.gather(*(batcher.infer(request) for request in requests), return_exceptions=True)


async def test_what_arrives_in_one_turn_goes_as_one_call():
    run = Held()
    run.go.set()

    answers = await together(Batcher(run, 8), [a_request([[float(i)]]) for i in range(5)])

    assert run.rows == [5]
    assert [answer["y"].tolist() for answer in answers] == [[[2.0 * i]] for i in range(5)]


async def test_what_gathers_while_the_model_is_busy_is_the_next_call_and_none_is_above_the_limit():
    run = Held()
    batcher = Batcher(run, 8)
    first = asyncio.ensure_future(batcher.infer(a_request([[0.0]])))
    await run.called.wait()
    others = [asyncio.ensure_future(batcher.infer(a_request([[1.0]] * 3))) for _ in range(4)]
    await asyncio.sleep(0)
    run.go.set()
    await asyncio.gather(first, *others)

    assert run.rows == [1, 6, 6]


async def test_a_request_of_more_rows_than_the_limit_goes_alone():
    run = Held()
    run.go.set()

    await together(Batcher(run, 4), [a_request([[1.0]] * 9), a_request([[1.0]]), a_request([[2.0]])])

    assert sorted(run.rows) == [2, 9]


async def test_a_latency_is_waited_for_unless_the_batch_is_full():
    run = Held()
    run.go.set()
    batcher = Batcher(run, 4, max_latency=60.0)
    first = asyncio.ensure_future(batcher.infer(a_request([[1.0]] * 2)))
    await asyncio.sleep(0)

    await asyncio.wait_for(batcher.infer(a_request([[1.0]] * 2)), 10)

    assert (await first)["y"].shape == (2, 1)
    assert run.rows == [4]


async def test_a_client_that_went_away_is_not_computed():
    run = Held()
    batcher = Batcher(run, 8)
    first = asyncio.ensure_future(batcher.infer(a_request([[0.0]])))
    await run.called.wait()
    gone = asyncio.ensure_future(batcher.infer(a_request([[1.0]])))
    stays = asyncio.ensure_future(batcher.infer(a_request([[2.0]])))
    await asyncio.sleep(0)
    gone.cancel()
    run.go.set()
    await first

    assert (await stays)["y"].tolist() == [[4.0]]
    assert run.rows == [1, 1]


@pytest.mark.parametrize(
    "other",
    [
        a_request([[1.0]], parameters={"negate": True}),
        a_request([[1.0]], outputs=[RequestedOutput("y")]),
        a_request([[1.0]], datatype="FP32"),
        a_request([[1.0, 2.0]]),
        InferRequest("recorder", [Tensor("z", np.ones((1, 1)))]),
    ],
    ids=["parameters", "outputs", "datatype", "shape", "name"],
)
def test_what_differs_never_mixes(other: InferRequest):
    assert signature_of(a_request([[1.0]])) != signature_of(other)


async def test_a_mistake_in_a_batch_fails_alone():
    model = Recorder()
    async with InMemoryServer([model]) as server:
        answers = await asyncio.gather(
            *(server.infer("grpc-raw", a_request([[value]])) for value in (1.0, 13.0, 2.0)), return_exceptions=True
        )

    assert [answers[0]["y"].tolist(), answers[2]["y"].tolist()] == [[[2.0]], [[4.0]]]
    assert isinstance(answers[1], ModelServerError)
    assert answers[1].code is Code.INVALID_ARGUMENT
    assert model.calls[0] == 3


async def test_all_wires_share_one_batch():
    model = Recorder()
    async with InMemoryServer([model]) as server:
        answers = await asyncio.gather(*(server.infer(wire, a_request([[3.0, 4.0]])) for wire in WIRES[1:]))

    assert [answer["y"].tolist() for answer in answers] == [[[6.0, 8.0]]] * 4
    assert model.calls == [4]


async def test_a_deadline_is_kept_in_the_queue():
    run = Held()
    batcher = Batcher(run, 8)
    first = asyncio.ensure_future(batcher.infer(a_request([[0.0]])))
    await run.called.wait()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(batcher.infer(a_request([[1.0]])), 0.01)
    run.go.set()
    await first

    assert run.rows == [1]


class Totals(Model):
    batching = BatchSettings()

    def predict(self, request: InferRequest) -> Any:
        return {"total": np.array([request["x"].sum()])}


async def test_a_model_whose_answers_have_no_rows_is_not_batched_any_more(caplog: pytest.LogCaptureFixture):
    async with InMemoryServer([Totals("recorder")]) as server:
        answers = await asyncio.gather(*(server.infer("grpc-raw", a_request([[v], [v]])) for v in (1.0, 2.0)))

    assert [answer["total"].tolist() for answer in answers] == [[2.0], [4.0]]
    assert "is not batched any more" in caplog.text


async def test_stages_and_batch_size_reach_every_request():
    async with InMemoryServer([Recorder()]) as server:
        dataplane = server.composition.dataplane
        requests = [a_request([[1.0], [2.0]]), a_request([[3.0]])]
        await asyncio.gather(*(dataplane.infer(request) for request in requests))

    assert [request.context.batch_size for request in requests] == [3, 3]
    assert all(request.context.predict > 0 for request in requests)


ROWS = st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=2), min_size=1, max_size=5)


def test_nulls_among_texts_stay_nulls_when_stacked():
    texts = Tensor("x", [b"a", b""])
    texts.data[1] = None  # as v1's codec hands over a null

    assert stack([InferRequest("m", [texts])] * 2)["x"].tolist() == [b"a", None, b"a", None]


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=6))
def test_split_undoes_stack(batches: list[list[list[float]]]):
    requests = [a_request(rows) for rows in batches]
    stacked = stack(requests)
    answer = InferResponse([Tensor("y", stacked["x"] * 2), Tensor("text", stacked["x"][:, 0].astype(str))])

    shares = split(answer, requests, [rows_of(request) for request in requests])

    assert [share["y"].tolist() for share in shares] == [(request["x"] * 2).tolist() for request in requests]
    assert [len(share["text"]) for share in shares] == [len(rows) for rows in batches]


@settings(max_examples=25, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=12))
def test_batched_answers_are_the_unbatched_ones(batches: list[list[list[float]]]):
    async def answers(batching: BatchSettings | None) -> list[Any]:
        model = Recorder()
        model.batching = batching
        async with InMemoryServer([model]) as server:
            replies = await asyncio.gather(
                *(server.infer("grpc-raw", a_request(rows)) for rows in batches), return_exceptions=True
            )
        return [r.message if isinstance(r, ModelServerError) else (r["y"].tolist(), r["n"].tolist()) for r in replies]

    assert asyncio.run(answers(BatchSettings(max_batch_size=8))) == asyncio.run(answers(None))


async def test_a_lone_request_waits_for_no_timer():
    run = Held()
    run.go.set()
    before = time.monotonic()

    await Batcher(run, 8).infer(a_request([[1.0]]))

    assert run.rows == [1]
    assert time.monotonic() - before < 5
