"""A model server: v1 REST, v2 REST and v2 gRPC over one ``Model`` base class.

The public names are looked up when they are first used, so that importing this package does nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelserver.cpus import cpu_quota, cpu_share
    from modelserver.declaration import setting
    from modelserver.errors import (
        Code,
        DeadlineExceeded,
        InvalidInput,
        ModelNotFound,
        ModelNotReady,
        ModelServerError,
        ResourceExhausted,
        Unavailable,
        Unimplemented,
    )
    from modelserver.messages import Context, InferRequest, InferResponse, RequestedOutput
    from modelserver.metadata import ModelMetadata, ServerMetadata, TensorMetadata
    from modelserver.model import Model
    from modelserver.server import ModelServer
    from modelserver.settings import BatchSettings, ModelSettings, RuntimeSettings, ServerSettings
    from modelserver.tensor import Tensor

__version__ = "0.1.0"

_HOMES = {
    "BatchSettings": "settings",
    "Code": "errors",
    "Context": "messages",
    "DeadlineExceeded": "errors",
    "InferRequest": "messages",
    "InferResponse": "messages",
    "InvalidInput": "errors",
    "Model": "model",
    "ModelMetadata": "metadata",
    "ModelNotFound": "errors",
    "ModelNotReady": "errors",
    "ModelServer": "server",
    "ModelServerError": "errors",
    "ModelSettings": "settings",
    "RequestedOutput": "messages",
    "ResourceExhausted": "errors",
    "RuntimeSettings": "settings",
    "ServerMetadata": "metadata",
    "ServerSettings": "settings",
    "Tensor": "tensor",
    "TensorMetadata": "metadata",
    "Unavailable": "errors",
    "Unimplemented": "errors",
    "cpu_quota": "cpus",
    "cpu_share": "cpus",
    "setting": "declaration",
}

__all__ = [
    "BatchSettings",
    "Code",
    "Context",
    "DeadlineExceeded",
    "InferRequest",
    "InferResponse",
    "InvalidInput",
    "Model",
    "ModelMetadata",
    "ModelNotFound",
    "ModelNotReady",
    "ModelServer",
    "ModelServerError",
    "ModelSettings",
    "RequestedOutput",
    "ResourceExhausted",
    "RuntimeSettings",
    "ServerMetadata",
    "ServerSettings",
    "Tensor",
    "TensorMetadata",
    "Unavailable",
    "Unimplemented",
    "cpu_quota",
    "cpu_share",
    "setting",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
