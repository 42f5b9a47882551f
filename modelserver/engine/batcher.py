"""Dynamic batching: requests that wait while the model is busy go to it as one call.

Work-conserving: a free model takes what there is at once, so a lone request waits for nobody, and no timer is
needed. The clock and the queue are here; how requests become one is in ``batch``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass

from modelserver.engine.batch import NotRowWise, rows_of, signature_of, split, stack
from modelserver.errors import ModelServerError
from modelserver.messages import InferRequest, InferResponse

log = logging.getLogger("modelserver.engine")

#: Runs the model once.
Run = Callable[[InferRequest], Awaitable[InferResponse]]


@dataclass(slots=True)
class _Waiting:
    request: InferRequest
    rows: int
    since: float
    answer: asyncio.Future[InferResponse]


class Batcher:
    """The queue before one model. ``max_batch_size`` in rows, ``max_latency`` in seconds (0: wait for nothing)."""

    def __init__(self, run: Run, max_batch_size: int, max_latency: float = 0.0) -> None:
        self._run = run
        self._most = max_batch_size
        self._latency = max_latency
        self._queues: dict[Hashable, list[_Waiting]] = {}
        self._busy = False
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        #: False once the model has shown that its answers cannot be split.
        self.row_wise = True

    async def infer(self, request: InferRequest) -> InferResponse:
        """The answer to one request, which may have been computed together with others."""
        rows = rows_of(request) if self.row_wise else 0
        if rows == 0 or rows > self._most:
            return await self._run(request)  # larger than a batch, or no rows to speak of: it goes alone
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, rows, time.perf_counter(), loop.create_future())
        self._queues.setdefault(signature_of(request), []).append(waiting)
        if not self._busy and not self._scheduled:
            # Not at once: whatever else has arrived in this turn of the loop comes along.
            self._scheduled = True
            if self._latency and rows < self._most:
                self._timer = loop.call_later(self._latency, self._flush)
            else:
                loop.call_soon(self._flush)
        elif self._timer is not None and self._rows_waiting() >= self._most:
            self._timer.cancel()
            self._flush()
        return await waiting.answer

    def _rows_waiting(self) -> int:
        return max(sum(each.rows for each in queue) for queue in self._queues.values())

    def _flush(self) -> None:
        self._scheduled = False
        self._timer = None
        batch = self._next()
        if batch:
            self._busy = True
            self._task = asyncio.get_running_loop().create_task(self._work(batch))

    async def _work(self, batch: list[_Waiting]) -> None:
        """Until nobody waits: what gathered while one batch ran is the next."""
        try:
            while batch:
                await self._answer(batch)
                batch = self._next()
        finally:
            self._busy = False

    def _next(self) -> list[_Waiting]:
        """The oldest queue's next batch: never above the limit; who has gone away is left out."""
        while self._queues:
            signature = min(self._queues, key=lambda key: self._queues[key][0].since)
            queue = self._queues.pop(signature)
            batch: list[_Waiting] = []
            rows = 0
            for index, waiting in enumerate(queue):
                if waiting.answer.done():
                    continue
                if rows + waiting.rows > self._most:
                    self._queues[signature] = queue[index:]
                    break
                batch.append(waiting)
                rows += waiting.rows
            if batch:
                return batch
        return []

    async def _answer(self, batch: list[_Waiting]) -> None:
        now = time.perf_counter()
        rows = sum(waiting.rows for waiting in batch)
        for waiting in batch:
            waiting.request.context.queue = now - waiting.since
            waiting.request.context.batch_size = rows
        if len(batch) == 1:
            await self._alone(batch[0])
            return
        try:
            stacked = stack([waiting.request for waiting in batch])
            response = await self._run(stacked)
            shares = split(response, [w.request for w in batch], [w.rows for w in batch])
        except NotRowWise as exc:
            self.row_wise = False
            log.warning("model %s is not batched any more: %s", batch[0].request.model_name, exc)
            await self._one_by_one(batch)
        except Exception:  # noqa: BLE001 - one of them may be at fault, and must fail alone
            await self._one_by_one(batch)
        else:
            for waiting, share in zip(batch, shares, strict=True):
                _copy_stages(stacked, waiting.request)
                if not waiting.answer.done():
                    waiting.answer.set_result(share)

    async def _one_by_one(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                await self._alone(waiting)

    async def _alone(self, waiting: _Waiting) -> None:
        waiting.request.context.batch_size = waiting.rows
        try:
            response = await self._run(waiting.request)
        except asyncio.CancelledError:
            waiting.answer.cancel()
            raise
        except Exception as exc:
            if not waiting.answer.done():
                waiting.answer.set_exception(exc)
            if not isinstance(exc, ModelServerError):
                log.debug("a request failed in its batch", exc_info=exc)
        else:
            if not waiting.answer.done():
                waiting.answer.set_result(response)


def _copy_stages(source: InferRequest, target: InferRequest) -> None:
    """The stages of the common call are each request's own, and so is what the model wrote into its headers."""
    one, other = source.context, target.context
    other.preprocess, other.predict, other.postprocess = one.preprocess, one.predict, one.postprocess
    other.queue += one.queue
    other.response_headers.update(one.response_headers)
