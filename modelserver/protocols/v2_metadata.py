"""The JSON of everything on v2 REST that is not inference: metadata, configuration, statistics, index.

Configuration and statistics have Triton's shapes, since tritonclient and perf_analyzer read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from modelserver.metadata import Duration, IndexEntry, ModelMetadata, ModelStatistics, ServerMetadata, TensorMetadata

Object: TypeAlias = dict[str, Any]

#: What `extensions` lists: Triton's words for what this server really serves.
EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics")

#: Datatype -> Triton's name of it in a model configuration.
CONFIG_TYPES = {"BYTES": "TYPE_STRING"}


def server_metadata(metadata: ServerMetadata) -> Object:
    """``GET /v2``."""
    return {"name": metadata.name, "version": metadata.version, "extensions": list(metadata.extensions)}


def model_metadata(metadata: ModelMetadata) -> Object:
    """``GET /v2/models/m``, in KServe's order."""
    answer: Object = {
        "name": metadata.name,
        "versions": list(metadata.versions) or None,
        "platform": metadata.platform,
        "inputs": [_tensor(tensor) for tensor in metadata.inputs],
        "outputs": [_tensor(tensor) for tensor in metadata.outputs],
    }
    if metadata.properties:
        answer["properties"] = dict(metadata.properties)
    return answer


def model_config(metadata: ModelMetadata) -> Object:
    """``GET /v2/models/m/config``: the part of Triton's ModelConfig that means something here."""
    return {
        "name": metadata.name,
        "platform": metadata.platform,
        "backend": metadata.platform,
        "version_policy": {"specific": {"versions": [int(v) for v in metadata.versions if v.isdecimal()]}},
        # Triton's clients drop the first dimension of every shape when this is above 0.
        "max_batch_size": metadata.max_batch_size,
        "input": [_config_tensor(tensor, metadata.max_batch_size) for tensor in metadata.inputs],
        "output": [_config_tensor(tensor, metadata.max_batch_size) for tensor in metadata.outputs],
        "model_transaction_policy": {"decoupled": metadata.streams},
    }


def model_statistics(statistics: Sequence[ModelStatistics]) -> Object:
    """``GET /v2/models/m/stats``."""
    return {"model_stats": [_statistics(each) for each in statistics]}


def repository_index(entries: Sequence[IndexEntry]) -> list[Object]:
    """``POST /v2/repository/index``."""
    return [
        {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason}
        for entry in entries
    ]


def config_type(datatype: str) -> str:
    """Triton's name of a datatype in a model configuration."""
    return CONFIG_TYPES.get(datatype, f"TYPE_{datatype}")


def _tensor(metadata: TensorMetadata) -> Object:
    return {"name": metadata.name, "datatype": metadata.datatype, "shape": list(metadata.shape)}


def _config_tensor(metadata: TensorMetadata, max_batch_size: int) -> Object:
    dims = list(metadata.shape)[1:] if max_batch_size else list(metadata.shape)
    config: Object = {"name": metadata.name, "data_type": config_type(metadata.datatype), "dims": dims}
    if metadata.optional:
        config["optional"] = True
    return config


def _statistics(statistics: ModelStatistics) -> Object:
    return {
        "name": statistics.name,
        "version": statistics.version,
        "last_inference": statistics.last_inference,
        "inference_count": statistics.inferences,
        "execution_count": statistics.executions,
        "inference_stats": {
            "success": _duration(statistics.success),
            "fail": _duration(statistics.fail),
            "queue": _duration(statistics.queue),
            "compute_input": _duration(statistics.compute_input),
            "compute_infer": _duration(statistics.compute_infer),
            "compute_output": _duration(statistics.compute_output),
            "cache_hit": _duration(Duration()),
            "cache_miss": _duration(Duration()),
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def _duration(duration: Duration) -> Object:
    return {"count": duration.count, "ns": duration.ns}
