from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols._pb import health_pb2, inference_pb2
from modelserver.protocols._pb.pool import POOL

ROOT = Path(__file__).parents[2]
OURS = "modelserver.protocols.v2_grpc"
USE = "assert m.ModelInferRequest.FromString(m.ModelInferRequest(id='7').SerializeToString()).id == '7'"


def test_generated_code_is_what_the_sources_say() -> None:
    pytest.importorskip("grpc_tools")

    done = subprocess.run([sys.executable, "protos/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("order", [(OURS, "tritonclient.grpc"), ("tritonclient.grpc", OURS)], ids=" then ".join)
def test_a_process_may_import_a_public_client_too(order: tuple[str, str]) -> None:
    pytest.importorskip("tritonclient.grpc")
    code = f"import {order[0]}, {order[1]}; import {OURS} as m; from tritonclient.grpc import service_pb2 as t;"

    done = subprocess.run([sys.executable, "-c", f"{code} {USE}"], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_our_symbols_are_not_in_the_default_pool() -> None:
    code = (
        "from modelserver.protocols._pb import inference_pb2\n"
        "from google.protobuf import descriptor_pool\n"
        "try: descriptor_pool.Default().FindMessageTypeByName('inference.ModelInferRequest')\n"
        "except KeyError: print('apart')"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("apart\n", "")


@pytest.mark.parametrize("name", ["inference.ModelInferRequest", "inference.ModelConfig", "inference.InferParameter"])
def test_every_field_we_share_with_triton_has_its_number_and_type(name: str) -> None:
    service_pb2 = pytest.importorskip("tritonclient.grpc.service_pb2")
    theirs = service_pb2.DESCRIPTOR.pool.FindMessageTypeByName(name)

    ours = POOL.FindMessageTypeByName(name)

    for field in ours.fields:
        assert (field.number, field.type) == (theirs.fields_by_name[field.name].number, field.type)


def test_all_messages_and_calls_fit_tritons() -> None:
    service_pb2 = pytest.importorskip("tritonclient.grpc.service_pb2")
    theirs = service_pb2.DESCRIPTOR.pool
    added = {"ModelMetadataResponse.properties", "RepositoryModelLoadResponse.model_name"}
    added |= {"RepositoryModelLoadResponse.isLoaded", "RepositoryModelUnloadResponse.model_name"}
    added |= {"RepositoryModelUnloadResponse.isUnloaded"}

    file = POOL.FindFileByName("inference.proto")
    different = set()
    for name, message in file.message_types_by_name.items():
        peer = theirs.FindMessageTypeByName(f"inference.{name}")
        for field in message.fields:
            other = peer.fields_by_name.get(field.name)
            if other is None or (other.number, other.type) != (field.number, field.type):
                different.add(f"{name}.{field.name}")
    service = theirs.FindServiceByName("inference.GRPCInferenceService")
    for method in file.services_by_name["GRPCInferenceService"].methods:
        assert service.methods_by_name[method.name].input_type.name == method.input_type.name

    assert different == added


@pytest.mark.parametrize(
    "wire_form", [b"\x0a\x01m", b"\x12\x01m", b"\x0a\x04repo\x12\x01m"], ids=["kserve", "triton", "both"]
)
def test_repository_calls_take_the_name_as_kserve_and_as_triton_send_it(wire_form: bytes) -> None:
    assert wire.decode_repository_request(wire_form) == "m"


def test_loaded_is_kserves_answer_to_load_and_unload() -> None:
    loaded = wire.encode_loaded("m")

    assert inference_pb2.RepositoryModelLoadResponse.FromString(loaded).isLoaded is True
    assert inference_pb2.RepositoryModelUnloadResponse.FromString(loaded).isUnloaded is True
    assert inference_pb2.RepositoryModelUnloadResponse.FromString(loaded).model_name == "m"


@pytest.mark.parametrize(("serving", "status"), [(True, 1), (False, 2), (None, 3)])
def test_health_statuses_have_the_protocols_numbers(serving: bool | None, status: int) -> None:
    assert health_pb2.HealthCheckResponse.FromString(wire.encode_health(serving)).status == status
