from __future__ import annotations

from collections.abc import Callable

import pytest

from modelserver.errors import InvalidInput
from modelserver.metadata import Duration, IndexEntry, ModelMetadata, ModelStatistics, ServerMetadata, TensorMetadata
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols._pb import inference_pb2 as pb

METADATA = ModelMetadata(
    name="m",
    versions=["1", "2"],
    platform="sklearn",
    inputs=[TensorMetadata("x", "FP32", [-1, 4]), TensorMetadata("t", "BYTES", [-1])],
    outputs=[TensorMetadata("y", "BF16", [-1])],
    properties={"sha256": "abc"},
)


def test_model_metadata_survives() -> None:
    assert wire.decode_model_metadata(wire.encode_model_metadata(METADATA)) == METADATA


def test_server_metadata_survives() -> None:
    metadata = ServerMetadata("modelserver", "1.0", ["binary_tensor_data"])

    assert wire.decode_server_metadata(wire.encode_server_metadata(metadata)) == metadata


def test_model_and_version_survive() -> None:
    assert wire.decode_model(wire.encode_model("m", "3")) == ("m", "3")
    assert wire.decode_model(wire.encode_model("m")) == ("m", None)


def test_config_has_whole_shapes_when_the_model_is_not_batched() -> None:
    config = pb.ModelConfigResponse.FromString(wire.encode_model_config(METADATA)).config

    assert (config.name, config.platform, config.max_batch_size) == ("m", "sklearn", 0)
    assert [(i.name, i.data_type, list(i.dims)) for i in config.input] == [("x", 11, [-1, 4]), ("t", 13, [-1])]
    assert [(o.name, o.data_type, list(o.dims)) for o in config.output] == [("y", 14, [-1])]
    assert not config.HasField("dynamic_batching")
    assert config.model_transaction_policy.decoupled is False


def test_config_leaves_the_batch_axis_out_when_the_model_is_batched() -> None:
    batched = ModelMetadata("m", inputs=METADATA.inputs, outputs=METADATA.outputs, max_batch_size=64, streams=True)

    config = pb.ModelConfigResponse.FromString(wire.encode_model_config(batched)).config

    assert [list(tensor.dims) for tensor in (*config.input, *config.output)] == [[4], [], []]
    assert config.HasField("dynamic_batching")
    assert config.model_transaction_policy.decoupled is True


def test_statistics_have_every_duration() -> None:
    statistics = ModelStatistics(
        "m", "1", 5, 6, 7, Duration(1, 10), Duration(2, 20), Duration(3, 30), Duration(4, 40), Duration(5, 50),
        Duration(6, 60),
    )  # fmt: skip

    (model,) = pb.ModelStatisticsResponse.FromString(wire.encode_statistics([statistics])).model_stats

    assert (model.name, model.version) == ("m", "1")
    assert (model.last_inference, model.inference_count, model.execution_count) == (5, 6, 7)
    stats = model.inference_stats
    durations = [stats.success, stats.fail, stats.queue, stats.compute_input, stats.compute_infer, stats.compute_output]
    assert [(d.count, d.ns) for d in durations] == [(n, 10 * n) for n in range(1, 7)]


def test_index_has_every_entry() -> None:
    message = pb.RepositoryIndexResponse.FromString(
        wire.encode_index([IndexEntry("m", "1", "READY"), IndexEntry("n", "", "UNAVAILABLE", "not loaded")])
    )

    assert [(m.name, m.version, m.state, m.reason) for m in message.models] == [
        ("m", "1", "READY", ""),
        ("n", "", "UNAVAILABLE", "not loaded"),
    ]


def test_stream_response_and_error() -> None:
    response = pb.ModelInferResponse(model_name="m", id="x" * 200).SerializeToString()

    assert wire.decode_stream(wire.encode_stream_response(response)) == ("", response)
    error, empty = wire.decode_stream(wire.encode_stream_error("no", "m", "7"))
    assert (error, pb.ModelInferResponse.FromString(empty).id) == ("no", "7")


def test_a_repository_call_without_a_name_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="model_name: got an empty string"):
        wire.decode_repository_request(b"")


@pytest.mark.parametrize(
    "decode",
    [wire.decode_model, wire.decode_index_request, wire.decode_repository_request, wire.decode_health_request],
)
def test_noise_is_invalid_input(decode: Callable[[bytes], object]) -> None:
    with pytest.raises(InvalidInput, match=r"message: 2 bytes are no \w+Request"):
        decode(b"\xff\xff")
