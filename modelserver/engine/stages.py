"""preprocess -> predict or explain -> postprocess of one model: what is called, in which order, and for how long."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from modelserver.engine.results import to_response
from modelserver.messages import InferRequest
from modelserver.model import Model

#: Runs a sync function off the loop.
InThread = Callable[..., Awaitable[Any]]


class Stages:
    """The stages behind one verb, with what is known of them from the class: sync or async, streaming or not."""

    def __init__(self, model: Model, verb: str) -> None:
        self._model = model
        self._preprocess = model.preprocess if _overridden(model, "preprocess") else None
        self._main: Callable[[InferRequest], Any] = getattr(model, verb)
        self._postprocess = model.postprocess if _overridden(model, "postprocess") else None
        stages = [stage for stage in (self._preprocess, self._main, self._postprocess) if stage]
        self.streams = inspect.isgeneratorfunction(self._main) or inspect.isasyncgenfunction(self._main)
        self.all_sync = not any(inspect.iscoroutinefunction(stage) for stage in stages)

    def run(self, request: InferRequest) -> Any:
        """All stages, here and now, each timed in seconds; a response, or the generator of a stream."""
        context = request.context
        clock = time.perf_counter
        start = clock()
        if self._preprocess is not None:
            request = self._preprocess(request)
            now = clock()
            context.preprocess = now - start
            start = now
        result = self._main(request)
        now = clock()
        context.predict = now - start
        if self._postprocess is not None:
            result = self._postprocess(result)
            context.postprocess = clock() - now
        return self._respond(result, request)

    def run_in_thread(self, request: InferRequest, submitted: float) -> Any:
        """``run`` in a thread: the time until a thread was free is the queue's."""
        request.context.queue += time.perf_counter() - submitted
        try:
            return self.run(request)
        except (StopIteration, SystemExit, KeyboardInterrupt) as exc:
            # A future cannot carry the first, and the others would end the server for one request's sake.
            raise RuntimeError(f"{type(exc).__name__} left the model") from exc

    async def run_mixed(self, request: InferRequest, in_thread: InThread) -> Any:
        """Stages of which some are coroutines: those on the loop, the others in a thread."""
        context = request.context
        clock = time.perf_counter

        async def run(stage: Callable[[Any], Any], value: Any) -> Any:
            if inspect.iscoroutinefunction(stage) or inspect.isasyncgenfunction(stage):
                result = stage(value)
                return await result if inspect.isawaitable(result) else result
            return await in_thread(stage, value)

        start = clock()
        if self._preprocess is not None:
            request = await run(self._preprocess, request)
            context.preprocess = clock() - start
            start = clock()
        result = await run(self._main, request)
        now = clock()
        context.predict = now - start
        if self._postprocess is not None:
            result = await run(self._postprocess, result)
            context.postprocess = clock() - now
        return self._respond(result, request)

    def _respond(self, result: Any, request: InferRequest) -> Any:
        """The response, made where the model ran; a generator stays what it is."""
        kind = type(result)
        if kind is GeneratorType or kind is AsyncGeneratorType:
            return result
        return to_response(result, request, self._model.outputs)


def _overridden(model: Model, method: str) -> bool:
    return getattr(type(model), method) is not getattr(Model, method) or method in vars(model)
