"""``Model``: the base class of everything that answers a request, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from modelserver.errors import InvalidInput, Unimplemented
from modelserver.messages import InferRequest
from modelserver.metadata import TensorMetadata
from modelserver.settings import BatchSettings, RuntimeSettings
from modelserver.tensor import NO_PARAMETERS, Parameters


class Model:
    """Subclass it and write ``predict``; everything else is optional.

    ``inputs`` and ``outputs`` are what the model declares; requests are checked against ``inputs`` before they
    reach ``predict``. ``input_check`` says how: ``"exact"`` (names, datatypes, shapes), or ``"compatible"`` for
    inputs that a runtime detected (names and shapes; any numeric datatype; a lone input under any name).
    ``execution`` says where ``predict`` runs. ``batching`` turns dynamic batching on.

    >>> class Doubler(Model):
    ...     def predict(self, request):
    ...         return request["x"] * 2
    >>> Doubler("doubler").name
    'doubler'
    """

    name: str = ""
    inputs: Sequence[TensorMetadata] = ()
    outputs: Sequence[TensorMetadata] = ()
    platform: str = ""
    input_check: Literal["exact", "compatible"] = "exact"
    execution: Literal["auto", "inline", "thread"] = "auto"
    batching: BatchSettings | None = None
    #: Free text by name for the metadata and the metrics, such as which engine serves which batch sizes.
    properties: Mapping[str, str] = MappingProxyType({})
    #: What a runtime can be told. The fields of this instance's class are flags; the loader gives each model its own.
    settings: RuntimeSettings | None = None
    #: What ``parameters`` in ``model-settings.json`` say, of this one model.
    parameters: Parameters = NO_PARAMETERS
    #: The directory or the file the model was made for; ``None`` for a model made in code.
    path: Path | None = None

    def __init__(self, name: str | None = None) -> None:
        if name is not None:
            self.name = name

    def load(self) -> None:
        """Make the model ready to predict. Raise, and the model is not ready, with that as the reason."""

    def unload(self) -> None:
        """Give back what ``load`` took."""

    def preprocess(self, request: InferRequest) -> InferRequest:
        """Change or replace the request before ``predict``."""
        return request

    def predict(self, request: InferRequest) -> Any:
        """Answer a request; sync, async, or a generator (streamed).

        Returns an array, ``{name: array}``, an ``InferResponse``, a DataFrame, strings, or on v1 any JSON value.
        """
        raise Unimplemented(f"Model {self.name} does not implement predict.")

    def postprocess(self, response: Any) -> Any:
        """Change or replace what ``predict`` returned before it is sent."""
        return response

    def explain(self, request: InferRequest) -> Any:
        """Explain a prediction; returns what ``predict`` may return."""
        raise Unimplemented(f"Model {self.name} does not implement explain.")

    def artifact(self, *patterns: str) -> Path:
        """The one file of the model that matches a pattern, e.g. ``self.artifact("*.joblib", "*.pkl")``.

        ``path`` itself when it is a file. ``FileNotFoundError`` when none matches, ``InvalidInput`` when several do.
        """
        if self.path is None:
            raise FileNotFoundError(f"model {self.name} has no path to look for {', '.join(patterns)} in")
        if self.path.is_file():
            return self.path
        found = sorted({file for pattern in patterns for file in self.path.glob(pattern) if file.is_file()})
        if not found:
            raise FileNotFoundError(f"no file matches {', '.join(patterns)}")
        if len(found) > 1:
            raise InvalidInput(
                f"expected exactly one file matching {', '.join(patterns)}, got {', '.join(f.name for f in found)}"
            )
        return found[0]
