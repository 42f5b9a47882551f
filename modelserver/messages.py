"""The one internal request and response, whatever protocol they came by, and the metadata of models.

``request[...]`` and ``request.array()`` give numpy arrays. A v1 body has no tensors of its own: its codec hands
over a ``LazyInputs``, which makes them when somebody asks, in the light of what the model declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from modelserver.errors import InvalidInput
from modelserver.metadata import TensorMetadata
from modelserver.tensor import NO_PARAMETERS, Parameters, Tensor

if TYPE_CHECKING:
    import pandas

#: What a v1 body may hold: any JSON.
Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output the client asks for by name; ``parameters`` without the wire's own ``binary_data``."""

    name: str
    parameters: Parameters = field(default_factory=dict)
    #: The wire's preference for this output: binary, JSON or typed (False), or as the request says (None).
    binary: bool | None = None


class Context:
    """What surrounds a request: headers both ways, id, deadline, and the seconds each stage took.

    ``request_headers`` (gRPC: metadata) are read-only with lower-case names. What a model writes into
    ``response_headers`` is sent with the answer. ``id`` is the request id (``x-request-id``). ``deadline`` is
    in the seconds of ``time.monotonic()``, ``None`` when there is none. Stage times are in seconds.
    """

    __slots__ = (
        "batch_size",
        "deadline",
        "decode",
        "encode",
        "id",
        "model_version",
        "parameters",
        "postprocess",
        "predict",
        "preprocess",
        "protocol",
        "queue",
        "request_headers",
        "response_headers",
        "verb",
    )

    def __init__(
        self,
        request_headers: Mapping[str, str] | None = None,
        id: str = "",
        deadline: float | None = None,
        protocol: str = "",
    ) -> None:
        self.request_headers: Mapping[str, str] = {} if request_headers is None else request_headers
        self.response_headers: dict[str, str] = {}
        self.id = id
        self.deadline = deadline
        self.protocol = protocol
        self.parameters: Parameters = NO_PARAMETERS
        #: The version that answers; set by the engine, also where the client named none.
        self.model_version = ""
        self.verb = "predict"
        self.decode = self.queue = self.preprocess = self.predict = self.postprocess = self.encode = 0.0
        self.batch_size = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """The request's headers: a shorter name for ``request_headers``."""
        return self.request_headers


class LazyInputs(Protocol):
    """A body that becomes tensors when asked (the v1 codec's)."""

    #: Whether the client named its inputs (columns, dict rows) or sent bare instances.
    named: bool

    def tensors(self, declared: Sequence[TensorMetadata]) -> list[Tensor]:
        """The body's tensors, of the declared datatypes where ``declared`` has them; else ``InvalidInput``."""


class InferRequest:
    """One inference request, the same from every protocol.

    ``outputs`` are the requested outputs, ``None`` when the client left the choice to the model. ``json`` is the
    parsed v1 body, ``None`` on v2 and gRPC and when the body is no JSON; then ``body`` has its bytes.
    """

    __slots__ = (
        "_inputs",
        "binary_outputs",
        "body",
        "context",
        "declared",
        "id",
        "json",
        "lazy_inputs",
        "model_name",
        "model_version",
        "outputs",
        "parameters",
    )

    def __init__(
        self,
        model_name: str = "",
        inputs: list[Tensor] | None = None,
        *,
        model_version: str | None = None,
        id: str = "",
        parameters: Parameters | None = None,
        outputs: Sequence[RequestedOutput] | None = None,
        json: Json = None,
        body: bytes | None = None,
        lazy_inputs: LazyInputs | None = None,
        context: Context | None = None,
    ) -> None:
        self.model_name = model_name
        self.model_version = model_version
        self.id = id
        self.parameters: Parameters = NO_PARAMETERS if parameters is None else parameters
        self.outputs = outputs
        self.json = json
        self.body = body
        self.lazy_inputs = lazy_inputs
        self.context = Context() if context is None else context
        self.declared: Sequence[TensorMetadata] = ()
        #: The wire's preference for outputs that do not have their own: raw or binary rather than JSON or typed.
        self.binary_outputs = False
        self._inputs = inputs

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors, in the client's order. ``InvalidInput`` when the body cannot be read as tensors."""
        if self._inputs is None:
            if self.lazy_inputs is None:
                raise InvalidInput("body: expected JSON with instances or inputs, got a body that is not JSON")
            self._inputs = self.lazy_inputs.tensors(self.declared)
        return self._inputs

    @inputs.setter
    def inputs(self, tensors: list[Tensor]) -> None:
        self._inputs = tensors

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of the input called ``name``; bare v1 instances answer to any name when they are alone."""
        inputs = self.inputs
        for tensor in inputs:
            if tensor.name == name:
                return tensor.data
        if len(inputs) == 1 and self.lazy_inputs is not None and not self.lazy_inputs.named:
            return inputs[0].data
        names = ", ".join(repr(tensor.name) for tensor in inputs) or "none"
        raise InvalidInput(f"inputs: expected an input named {name!r}, got {names}")

    def __contains__(self, name: object) -> bool:
        return any(tensor.name == name for tensor in self.inputs)

    def array(self) -> np.ndarray:
        """The only input's array; on v1 the instances. ``InvalidInput`` when there are several."""
        inputs = self.inputs
        if len(inputs) != 1:
            names = ", ".join(repr(tensor.name) for tensor in inputs) or "none"
            raise InvalidInput(f"inputs: expected exactly one input, got {names}")
        return inputs[0].data

    def dataframe(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """The inputs as columns by name; a single 2-D tensor is split into ``columns`` by position.

        BYTES become ``str`` where they are UTF-8. ``InvalidInput`` when columns have different lengths.
        """
        from modelserver.frames import dataframe_of  # pandas is optional and slow to import

        return dataframe_of(self, columns)


class InferResponse:
    """A full answer: ``outputs`` and ``parameters``, or on v1 any JSON value in ``json``.

    ``json_is_set`` tells an answer of JSON ``null`` from one that has tensors.
    """

    __slots__ = ("id", "json", "json_is_set", "model_name", "model_version", "outputs", "parameters")

    def __init__(
        self,
        outputs: Sequence[Tensor] = (),
        *,
        parameters: Parameters | None = None,
        model_name: str = "",
        model_version: str | None = None,
        id: str = "",
    ) -> None:
        self.outputs = outputs
        self.parameters: Parameters = NO_PARAMETERS if parameters is None else parameters
        self.model_name = model_name
        self.model_version = model_version
        self.id = id
        self.json: Json = None
        self.json_is_set = False

    @classmethod
    def from_json(cls, value: Json) -> InferResponse:
        """An answer that is a JSON value, for v1."""
        response = cls()
        response.json = value
        response.json_is_set = True
        return response

    def __getitem__(self, name: str) -> np.ndarray:
        """The array of the output called ``name``; ``KeyError`` when there is none."""
        for tensor in self.outputs:
            if tensor.name == name:
                return tensor.data
        raise KeyError(name)
