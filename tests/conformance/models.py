"""The models that the conformance tests serve: small, and each odd in one way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from modelserver import (
    InferRequest,
    InferResponse,
    InvalidInput,
    Model,
    ModelServerError,
    ResourceExhausted,
    Tensor,
    TensorMetadata,
    Unavailable,
)


class Echo(Model):
    """Answers its inputs and its parameters; declares nothing."""

    def predict(self, request: InferRequest) -> InferResponse:
        return InferResponse(list(request.inputs), parameters=request.parameters)


class Declared(Model):
    """Answers its one declared input, of any datatype and shape."""

    def __init__(self, datatype: str, shape: list[int], name: str | None = None) -> None:
        super().__init__(name or datatype.lower())
        self.inputs = [TensorMetadata("x", datatype, shape)]
        self.outputs = [TensorMetadata("y", datatype, shape)]

    def predict(self, request: InferRequest) -> dict[str, np.ndarray]:
        return {"y": request["x"]}


class Sum(Model):
    inputs = (TensorMetadata("x", "FP32", [-1, 4]),)
    outputs = (TensorMetadata("y", "FP32", [-1]),)

    def predict(self, request: InferRequest) -> dict[str, np.ndarray]:
        return {"y": request["x"].sum(1)}


class TwoInTwoOut(Model):
    inputs = (
        TensorMetadata("a", "FP32", [-1]),
        TensorMetadata("b", "INT64", [-1]),
    )
    outputs = (
        TensorMetadata("sum", "FP64", [-1]),
        TensorMetadata("text", "BYTES", [-1]),
    )

    def predict(self, request: InferRequest) -> dict[str, np.ndarray]:
        return {"sum": request["a"].astype(float) + request["b"], "text": request["b"].astype(str)}


class Returns(Model):
    """Answers what it was made with, whatever it is asked."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(name)
        self._value = value

    def predict(self, request: InferRequest) -> object:
        return self._value


class Raises(Model):
    """Raises what it was made with, from ``predict``."""

    def __init__(self, name: str, error: Callable[[], BaseException]) -> None:
        super().__init__(name)
        self._error = error

    def predict(self, request: InferRequest) -> object:
        error = self._error()
        raise error


class Broken(Model):
    def load(self) -> None:
        raise RuntimeError("no weights in /secret/models/weights.bin")


class Stuck(Model):
    """Waits in ``predict`` until it is cancelled."""

    async def predict(self, request: InferRequest) -> object:
        await asyncio.Event().wait()
        return None


class Meeting(Model):
    """Answers only when four predicts are in it at once."""

    execution = "thread"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._barrier = threading.Barrier(4, timeout=30)

    def predict(self, request: InferRequest) -> np.ndarray:
        self._barrier.wait()
        return np.array([self._barrier.n_waiting])


class Surroundings(Model):
    """Answers on v1 and v2 alike what it sees around the request, and sets response headers."""

    def predict(self, request: InferRequest) -> InferResponse:
        context = request.context
        context.response_headers["X-Model"] = "seen"
        context.response_headers["Content-Length"] = "1"  # not a model's to set
        return InferResponse(
            [
                Tensor("header", [context.headers.get("x-color", "")]),
                Tensor("id", [context.id]),
                Tensor("deadline", [context.deadline is not None]),
                Tensor("request", [request.id]),
            ]
        )


class Counts(Model):
    """Streams ``0 .. n - 1``; refuses to go on after two, and to begin with a negative n."""

    inputs = (TensorMetadata("n", "INT64", [1]),)

    def predict(self, request: InferRequest) -> Iterator[dict[str, np.ndarray]]:
        count = int(request["n"][0])
        if count < 0:
            raise InvalidInput(f"n: got {count}, expected 0 or more")
        for number in range(count):
            if number == 2:
                raise Unavailable("two is enough", retry_after=1)
            yield {"i": np.array([number])}


class CountsAsync(Counts):
    async def predict(self, request: InferRequest) -> AsyncIterator[dict[str, np.ndarray]]:  # type: ignore[override]
        for item in super().predict(request):
            await asyncio.sleep(0)
            yield item


class StreamsNonsense(Model):
    """Streams something that can be sent, and something that cannot."""

    def predict(self, request: InferRequest) -> Iterator[object]:
        yield {"i": np.array([0])}
        yield {"i": object()}


class Explains(Sum):
    def explain(self, request: InferRequest) -> dict[str, np.ndarray]:
        return {"weights": request["x"] / 2}


def _secretive() -> BaseException:
    return KeyError("password in /secret/models/config.yaml")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "raises-invalid": lambda: InvalidInput("x: is out of the model's range"),
    "raises-unavailable": lambda: Unavailable("warming up", retry_after=7),
    "raises-exhausted": lambda: ResourceExhausted("over the quota", headers={"X-Quota": "3"}),
    "raises-422": lambda: ModelServerError("cannot be processed", status=422),
    "raises-not-implemented": lambda: NotImplementedError("not in this edition"),
    "raises-a-bug": _secretive,
}

FRAME = pd.DataFrame({"kind": ["setosa", "virginica"], "p": [0.25, 0.75]})

RESULTS: dict[str, object] = {
    "array": np.array([1.5, 2.5]),
    "unicode": np.array(["ä", "日本"]),
    "objects": np.array(["a", None, 3], dtype=object),
    "times": np.array(["2026-11-22T10:00:00", "2026-11-22T11:30:00"], dtype="datetime64[s]"),
    "strings": ["yes", "no"],
    "string": "yes",
    "list": [1, 2, 3],
    "scalar": 7,
    "numpy-scalar": np.float32(0.5),
    "frame": FRAME,
    "dict-of-lists": {"a": [1, 2], "b": ["x", "y"]},
    "nan": np.array([np.nan, 1.0, np.inf]),
    "beyond-2-53": np.array([2**53 + 1, -(2**63), 2**63 - 1]),
    "empty": np.empty((0, 3), np.float32),
    "tensor": Tensor("named", [1, 2], datatype="UINT8"),
    "json": {"when": datetime(2026, 11, 22, 10, tzinfo=UTC), "n": np.int64(3), "none": None, "nan": float("nan")},
    "nested": {"a": {"b": [1, 2]}},
    "ragged": [[1], [2, 3]],
    "nothing": None,
}


def models() -> list[Model]:
    """One of each; ``broken`` keeps the server not ready."""
    return [
        Echo("echo"),
        Sum("sum"),
        TwoInTwoOut("two"),
        Explains("explains"),
        Surroundings("surroundings"),
        Counts("counts"),
        CountsAsync("counts-async"),
        StreamsNonsense("nonsense"),
        Stuck("stuck"),
        Broken("broken"),
        Declared("FP32", [-1, 2], "raw"),
        Declared("BYTES", [1], "raw-bytes"),
        Declared("INT64", [-1]),
        *(Raises(name, error) for name, error in ERRORS.items()),
        *(Returns(f"returns-{name}", value) for name, value in RESULTS.items()),
    ]
