"""The v2 gRPC codec of every call but inference: health, metadata, configuration, statistics, repository, stream.

Requests are decoded to plain values and responses encoded from the words in ``messages``; bytes on the other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from modelserver.errors import InvalidInput
from modelserver.metadata import Duration, IndexEntry, ModelMetadata, ModelStatistics, ServerMetadata, TensorMetadata
from modelserver.protocols._pb import health_pb2 as health
from modelserver.protocols._pb import inference_pb2 as pb
from modelserver.protocols.v2_grpc_contents import varint

# Field 2 of ModelStreamInferResponse, length-delimited.
_INFER_RESPONSE_TAG = b"\x12"


def decode_model(wire: bytes) -> tuple[str, str | None]:
    """Name and version in the request of ModelReady, ModelMetadata, ModelConfig or ModelStatistics: alike in all."""
    message: pb.ModelReadyRequest = parsed(pb.ModelReadyRequest, wire)
    return message.name, message.version or None


def encode_model(name: str, version: str | None = None) -> bytes:
    """The client's side of ``decode_model``."""
    return pb.ModelReadyRequest(name=name, version=version or "").SerializeToString()


def encode_live(live: bool) -> bytes:
    """A ServerLiveResponse."""
    return pb.ServerLiveResponse(live=live).SerializeToString()


def encode_ready(ready: bool) -> bytes:
    """A ServerReadyResponse, or a ModelReadyResponse, which is the same on the wire."""
    return pb.ServerReadyResponse(ready=ready).SerializeToString()


def decode_ready(wire: bytes) -> bool:
    """The client's side of ``encode_ready`` and of ``encode_live``."""
    message: pb.ServerReadyResponse = parsed(pb.ServerReadyResponse, wire)
    return message.ready


def encode_server_metadata(metadata: ServerMetadata) -> bytes:
    """A ServerMetadataResponse."""
    return pb.ServerMetadataResponse(
        name=metadata.name, version=metadata.version, extensions=metadata.extensions
    ).SerializeToString()


def decode_server_metadata(wire: bytes) -> ServerMetadata:
    """The client's side of ``encode_server_metadata``."""
    message: pb.ServerMetadataResponse = parsed(pb.ServerMetadataResponse, wire)
    return ServerMetadata(message.name, message.version, list(message.extensions))


def encode_model_metadata(metadata: ModelMetadata) -> bytes:
    """A ModelMetadataResponse."""
    message = pb.ModelMetadataResponse(
        name=metadata.name, versions=metadata.versions, platform=metadata.platform, properties=metadata.properties
    )
    for tensors, target in ((metadata.inputs, message.inputs), (metadata.outputs, message.outputs)):
        for tensor in tensors:
            target.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return message.SerializeToString()


def decode_model_metadata(wire: bytes) -> ModelMetadata:
    """The client's side of ``encode_model_metadata``."""
    message: pb.ModelMetadataResponse = parsed(pb.ModelMetadataResponse, wire)
    return ModelMetadata(
        name=message.name,
        versions=list(message.versions),
        platform=message.platform,
        inputs=[TensorMetadata(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in message.inputs],
        outputs=[TensorMetadata(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in message.outputs],
        properties=dict(message.properties),
    )


def encode_model_config(metadata: ModelMetadata) -> bytes:
    """A ModelConfigResponse. Where the model is batched the first axis is the batch's and is left out, as in Triton."""
    batched = metadata.max_batch_size > 0
    config = pb.ModelConfig(
        name=metadata.name,
        platform=metadata.platform,
        backend=metadata.platform,
        max_batch_size=metadata.max_batch_size,
        model_transaction_policy=pb.ModelTransactionPolicy(decoupled=metadata.streams),
    )
    if batched:
        config.dynamic_batching.SetInParent()
    for tensors, target in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
        for tensor in tensors:
            target.add(
                name=tensor.name,
                data_type=_config_type(tensor.datatype),
                dims=tensor.shape[1:] if batched else tensor.shape,
                **({"optional": True} if tensor.optional else {}),  # outputs have no such field
            )
    return pb.ModelConfigResponse(config=config).SerializeToString()


def encode_statistics(statistics: Sequence[ModelStatistics]) -> bytes:
    """A ModelStatisticsResponse."""
    message = pb.ModelStatisticsResponse()
    for model in statistics:
        message.model_stats.add(
            name=model.name,
            version=model.version,
            last_inference=model.last_inference,
            inference_count=model.inferences,
            execution_count=model.executions,
            inference_stats=pb.InferStatistics(
                success=_duration(model.success),
                fail=_duration(model.fail),
                queue=_duration(model.queue),
                compute_input=_duration(model.compute_input),
                compute_infer=_duration(model.compute_infer),
                compute_output=_duration(model.compute_output),
            ),
        )
    return message.SerializeToString()


def decode_index_request(wire: bytes) -> bool:
    """Whether a RepositoryIndexRequest asks for what is ready only."""
    message: pb.RepositoryIndexRequest = parsed(pb.RepositoryIndexRequest, wire)
    return message.ready


def encode_index(entries: Sequence[IndexEntry]) -> bytes:
    """A RepositoryIndexResponse."""
    message = pb.RepositoryIndexResponse()
    for entry in entries:
        message.models.add(name=entry.name, version=entry.version, state=entry.state, reason=entry.reason)
    return message.SerializeToString()


def decode_repository_request(wire: bytes) -> str:
    """The model of a load or unload request: field 2 (Triton), else field 1 (KServe); ``InvalidInput`` for neither."""
    message: pb.RepositoryModelLoadRequest = parsed(pb.RepositoryModelLoadRequest, wire)
    name = message.model_name or message.repository_name
    if not name:
        raise InvalidInput("model_name: got an empty string, expected the name of a model")
    return name


def encode_loaded(name: str) -> bytes:
    """A RepositoryModelLoadResponse, or a RepositoryModelUnloadResponse, which is the same on the wire."""
    return pb.RepositoryModelLoadResponse(model_name=name, isLoaded=True).SerializeToString()


def encode_stream_response(response: bytes) -> bytes:
    """A ModelStreamInferResponse around a serialised ModelInferResponse."""
    return b"".join((_INFER_RESPONSE_TAG, varint(len(response)), response))


def encode_stream_error(error: str, model: str, id: str) -> bytes:
    """A ModelStreamInferResponse for a request that failed; ``id`` tells the client which."""
    return pb.ModelStreamInferResponse(
        error_message=error, infer_response=pb.ModelInferResponse(model_name=model, id=id)
    ).SerializeToString()


def decode_stream(wire: bytes) -> tuple[str, bytes]:
    """The client's side: the error (empty: none) and the serialised ModelInferResponse."""
    message: pb.ModelStreamInferResponse = parsed(pb.ModelStreamInferResponse, wire)
    return message.error_message, message.infer_response.SerializeToString()


def decode_health_request(wire: bytes) -> str:
    """The service that a HealthCheckRequest asks for."""
    message: health.HealthCheckRequest = parsed(health.HealthCheckRequest, wire)
    return message.service


def encode_health(serving: bool | None) -> bytes:
    """A HealthCheckResponse: SERVING, NOT_SERVING, or with ``None`` SERVICE_UNKNOWN."""
    status = "SERVICE_UNKNOWN" if serving is None else "SERVING" if serving else "NOT_SERVING"
    return health.HealthCheckResponse(status=status).SerializeToString()


def parsed(kind: Any, wire: bytes) -> Any:
    """A message of a protobuf class; ``InvalidInput`` when the bytes are none."""
    try:
        return kind.FromString(wire)
    except DecodeError as exc:
        raise InvalidInput(f"message: {len(wire)} bytes are no {kind.__name__}") from exc


def _duration(duration: Duration) -> pb.StatisticDuration:
    return pb.StatisticDuration(count=duration.count, ns=duration.ns)


def _config_type(datatype: str) -> str:
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}" if datatype else "TYPE_INVALID"
