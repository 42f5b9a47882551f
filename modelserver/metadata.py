"""What a server says of itself and of its models: metadata, the index, statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """A declared input or output: ``shape`` has -1 where any size will do. A request may leave out an optional input.

    >>> TensorMetadata(name="x", datatype="FP32", shape=[-1, 4]).name
    'x'
    """

    name: str
    datatype: str
    shape: Sequence[int]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What the metadata routes answer for one model; ``properties`` are free text by name."""

    name: str
    versions: Sequence[str] = ()
    platform: str = ""
    inputs: Sequence[TensorMetadata] = ()
    outputs: Sequence[TensorMetadata] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    #: Rows that one call of the model may take when it is batched; 0 when it is not.
    max_batch_size: int = 0
    #: Whether ``predict`` streams several responses for one request (Triton's "decoupled").
    streams: bool = False


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version of one model in the repository's index: state is READY, LOADING, UNLOADING or UNAVAILABLE."""

    name: str
    version: str
    state: str
    reason: str = ""
    #: The model's own, once it is ready.
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Duration:
    """How often something was done, and the nanoseconds it took in all."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """What the statistics routes answer for one version of a model; durations since the server started.

    ``last_inference`` is in milliseconds since the epoch, 0 for never. ``inferences`` counts rows where requests
    are batched and requests otherwise, ``executions`` calls of the model.
    """

    name: str
    version: str
    last_inference: int = 0
    inferences: int = 0
    executions: int = 0
    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """What ``GET /v2`` and ``ServerMetadata`` answer; ``extensions`` are those really served."""

    name: str
    version: str
    extensions: Sequence[str] = ()
