"""``ModelRunner``: one version of one model; where and how its methods run, its deadlines and its stages."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from modelserver.declaration import SettingError
from modelserver.engine.admission import Admission
from modelserver.engine.batch import NotRowWise
from modelserver.engine.batcher import Batcher
from modelserver.engine.contract import InputContract
from modelserver.engine.dispatch import Dispatch
from modelserver.engine.results import to_response
from modelserver.engine.stages import Stages
from modelserver.errors import Code, DeadlineExceeded, ModelNotReady, ModelServerError, Unimplemented
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import IndexEntry, ModelMetadata
from modelserver.model import Model

log = logging.getLogger("modelserver.engine")

READY, LOADING, UNLOADING, UNAVAILABLE = "READY", "LOADING", "UNLOADING", "UNAVAILABLE"


class ModelRunner:
    """Loads, runs and unloads one model. Sync or async is settled once, when it is loaded."""

    def __init__(self, model: Model, name: str, version: str, threads: int) -> None:
        self.model = model
        self.name = name
        self.version = version
        self.state = UNAVAILABLE
        self.reason = ""
        self.in_flight = 0
        self._idle: asyncio.Event | None = None
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._dispatch = Dispatch(model.execution)
        self._contract = InputContract(model)
        self._predict = Stages(model, "predict")
        self._explain = Stages(model, "explain")
        self._batcher = self._make_batcher()

    def metadata(self, versions: list[str]) -> ModelMetadata:
        """What the model says of itself, with the versions that the repository knows."""
        model = self.model
        return ModelMetadata(
            name=self.name,
            versions=versions,
            platform=model.platform,
            inputs=list(model.inputs),
            outputs=list(model.outputs),
            properties=dict(model.properties),
            max_batch_size=0,
            streams=self._predict.streams,
        )

    def entry(self) -> IndexEntry:
        """This version in the repository's index."""
        properties = self.model.properties if self.state == READY else {}
        return IndexEntry(self.name, self.version, self.state, self.reason, properties)

    async def load(self, admission: Admission | None = None) -> None:
        """Run the model's ``load`` off the loop. A failure is the state's reason, and is raised as not ready.

        ``admission`` is what the model must pass besides.
        """
        self.state, self.reason = LOADING, "loading"
        try:
            if inspect.iscoroutinefunction(self.model.load):
                await self.model.load()
            else:
                await asyncio.get_running_loop().run_in_executor(self._executor(), self.model.load)
            if admission is not None:
                admission.declare(self.model)
            self._contract = InputContract(self.model)
            self._batcher = self._make_batcher()
            if admission is not None:
                await admission.check(self.model, self._try)
        except Exception as exc:  # whatever an author's code raises is the reason, not a crash
            reason = reason_of(exc)
            if admission is not None:
                reason = await asyncio.to_thread(admission.reason, exc, reason)
            self.state, self.reason = UNAVAILABLE, reason
            log.error("model %s version %s failed to load: %s", self.name, self.version, self.reason)
            log.debug("the failure in full", exc_info=exc)
            raise ModelNotReady(self.name, self.reason) from exc
        self.state, self.reason = READY, ""

    async def unload(self, grace: float | None = None) -> None:
        """Refuse what comes, wait ``grace`` seconds for what is in flight, run the model's ``unload``."""
        was_ready = self.state == READY
        self.state, self.reason = UNLOADING, "unloading"
        try:
            if self.in_flight:
                self._idle = asyncio.Event()
                await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            log.warning("model %s: %d requests are unfinished after %s s", self.name, self.in_flight, grace)
        try:
            if not was_ready:
                pass
            elif inspect.iscoroutinefunction(self.model.unload):
                await self.model.unload()
            else:
                await asyncio.get_running_loop().run_in_executor(self._executor(), self.model.unload)
        except Exception:
            log.exception("model %s failed to unload", self.name)
        finally:
            self.state, self.reason = UNAVAILABLE, "unloaded"
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    def infer(self, request: InferRequest) -> Awaitable[InferResponse | AsyncIterator[InferResponse]]:
        """Answer by ``predict``; an iterator when the model streams."""
        return self._answer(request, self._predict)

    def explain(self, request: InferRequest) -> Awaitable[InferResponse | AsyncIterator[InferResponse]]:
        """Answer by ``explain``."""
        return self._answer(request, self._explain)

    async def _try(self, request: InferRequest) -> InferResponse | AsyncIterator[InferResponse]:
        """Answer a request of the server's own, before the model is ready."""
        request.context.model_version = self.version
        self._contract.check(request)
        return await self._run(request, self._predict)

    async def _answer(self, request: InferRequest, stages: Stages) -> InferResponse | AsyncIterator[InferResponse]:
        if self.state != READY:
            raise ModelNotReady(self.name, self.reason)
        request.context.model_version = self.version
        self.in_flight += 1
        streaming = False
        try:
            self._contract.check(request)
            deadline = request.context.deadline
            if deadline is None:
                response = await self._run(request, stages)
            else:
                response = await self._run_until(deadline, request, stages)
            if type(response) is not InferResponse:
                streaming = True
            return response
        except ModelServerError:
            raise
        except NotImplementedError as exc:
            raise Unimplemented(str(exc) or f"Model {self.name} does not implement {request.context.verb}.") from exc
        except Exception as exc:
            raise self._failure(exc, request) from exc
        finally:
            if not streaming:
                self._end()

    async def _run_until(
        self, deadline: float, request: InferRequest, stages: Stages
    ) -> InferResponse | AsyncIterator[InferResponse]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"the deadline passed before model {self.name} was asked")
        scope = asyncio.timeout(left)
        try:
            async with scope:
                return await self._run(request, stages)
        except TimeoutError as exc:
            if not scope.expired():
                raise  # the model's own
            raise DeadlineExceeded(f"the deadline passed before model {self.name} had answered") from exc

    async def _run(self, request: InferRequest, stages: Stages) -> InferResponse | AsyncIterator[InferResponse]:
        if self._batcher is not None and stages is self._predict:
            return await self._batcher.infer(request)
        result = await self._call(request, stages)
        if type(result) is InferResponse:
            return result
        return await self._stream(result, request)

    async def _call(self, request: InferRequest, stages: Stages) -> Any:
        """One call of the model. One hop to a thread at most for all stages; none while it has proved to be short."""
        if not stages.all_sync:
            return await stages.run_mixed(request, self._in_thread)
        if self._dispatch.inline:
            result = stages.run(request)
        else:
            result = await self._in_thread(stages.run_in_thread, request, time.perf_counter())
        context = request.context
        self._dispatch.observe(context.preprocess + context.predict + context.postprocess)
        return result

    async def _call_batch(self, request: InferRequest) -> InferResponse:
        result = await self._call(request, self._predict)
        if not isinstance(result, InferResponse):
            raise NotRowWise("it streams")
        return result

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor(), function, *arguments)

    async def _stream(self, items: Any, request: InferRequest) -> AsyncIterator[InferResponse]:
        """The first item is fetched here, so that a failure before it is an error with a status."""
        source = items if type(items) is AsyncGeneratorType else _from_thread(items, self._in_thread)
        first = await anext(source, _END)
        return self._responses(first, source, request)

    async def _responses(
        self, first: Any, source: AsyncIterator[Any], request: InferRequest
    ) -> AsyncIterator[InferResponse]:
        try:
            item = first
            while item is not _END:
                yield to_response(item, request, self.model.outputs)
                item = await anext(source, _END)
        except ModelServerError:
            raise
        except Exception as exc:
            raise self._failure(exc, request) from exc
        finally:
            self._end()
            await source.aclose()  # type: ignore[attr-defined]

    def _failure(self, exc: Exception, request: InferRequest) -> ModelServerError:
        """What the client is told of an exception of the model's own: its kind and where to look, no more."""
        log.error(
            "model %s failed in %s, request id %s", self.name, request.context.verb, request.context.id, exc_info=exc
        )
        return ModelServerError(
            f"{type(exc).__name__} in {request.context.verb} of model {self.name};"
            f" the server's log has it under request id {request.context.id}",
            code=Code.INTERNAL,
        )

    def _make_batcher(self) -> Batcher | None:
        batching = self.model.batching
        if batching is None or self._predict.streams or batching.max_batch_size < 2:
            return None
        return Batcher(self._call_batch, batching.max_batch_size, batching.max_latency)

    def _executor(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=f"model-{self.name}")
        return self._pool

    def _end(self) -> None:
        self.in_flight -= 1
        if self._idle is not None and not self.in_flight:
            self._idle.set()


_END = object()
_DIRECTORIES = re.compile(r"(?<![\w:/])/(?:[^\s/'\":,]+/)+")


async def _from_thread(items: GeneratorType[Any, None, None], in_thread: Callable[..., Any]) -> AsyncIterator[Any]:
    """A sync generator, advanced in a thread so that a slow step holds nothing up."""
    advance = functools.partial(next, items, _END)
    try:
        while (item := await in_thread(advance)) is not _END:
            yield item
    finally:
        if not items.gi_running:
            items.close()


def reason_of(exc: Exception) -> str:
    """The first line of what went wrong, with file names in place of paths: the index shows it to anybody."""
    text = _DIRECTORIES.sub("", str(exc).splitlines()[0]) if str(exc) else ""
    if text and isinstance(exc, (ModelServerError, SettingError)):  # a line of our own, which needs no kind
        return text
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__
