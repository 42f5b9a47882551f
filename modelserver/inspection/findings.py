"""What reading an artifact found out, without executing any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelserver.metadata import TensorMetadata


class Unreadable(ValueError):
    """The bytes are not what they claim to be: one line that says where they stop making sense."""


@dataclass(slots=True)
class Findings:
    """What the bytes of one artifact say. An empty text, mapping or list: they do not say it.

    A datatype of ``""`` is not known, and a tensor with the shape ``()`` and no datatype has only a name.
    """

    #: What kind of file: ``joblib (zlib)``, ``pickle, protocol 4``, ``XGBoost UBJSON``, ...
    format: str
    #: The distribution that made it: scikit-learn, xgboost, torch, ...
    framework: str = ""
    #: The class of the model, or what else it calls itself.
    model: str = ""
    #: Distribution -> version that it was saved with. numpy's is only its major version.
    saved_with: Mapping[str, str] = field(default_factory=dict)
    inputs: Sequence[TensorMetadata] = ()
    outputs: Sequence[TensorMetadata] = ()
    #: More facts by name: objective, number of tensors, handler, ...
    details: Mapping[str, str] = field(default_factory=dict)
    #: The modules that loading it imports, outside of the standard library: loading runs their code.
    imports: Sequence[str] = ()
    #: What could not be read, and why.
    notes: Sequence[str] = ()
    #: Why no runtime can load it: empty, cut short, of another framework.
    damage: str = ""
