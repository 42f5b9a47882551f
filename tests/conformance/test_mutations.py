"""gRPC messages with bytes changed, cut and doubled: answered, or refused as the client's mistake."""

from __future__ import annotations

import random

import grpc
import numpy as np
import pytest

from modelserver import InferRequest, Model, RequestedOutput, Tensor
from modelserver.protocols import v2_grpc_metadata as metadata
from modelserver.protocols.v2_grpc import encode_request
from modelserver.protocols.v2_grpc_metadata import decode_stream
from tests.conformance.models import Declared, Echo, Sum, TwoInTwoOut
from tests.conformance.peers import MemoryPeer

pytestmark = pytest.mark.asyncio

MUTATIONS = 400
ALLOWED = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}


def valid() -> dict[str, bytes]:
    two = [Tensor("a", [0.5, 1.5], "FP32"), Tensor("b", [2, 3], "INT64")]
    many = [Tensor("i", np.arange(5, dtype="i1")), Tensor("s", ["ä", "日本", ""]), Tensor("h", np.ones(2, "f2"))]
    requests = {
        "sum": InferRequest("sum", [Tensor("x", [[1, 2, 3, 4]], "FP32")], id="7", parameters={"p": 1.5}),
        "two": InferRequest("two", two, outputs=[RequestedOutput("text", {}, True)], model_version="1"),
        "echo": InferRequest("echo", many, parameters={"a": True, "b": 2**63, "c": "text"}),
        "bytes": InferRequest("bytes", [Tensor("x", [b"\xff", b""])]),
    }
    return {
        f"{name} {'raw' if raw else 'typed'}": encode_request(request, raw=raw)
        for name, request in requests.items()
        for raw in (False, True)
    }


def mutated(message: bytes, rng: random.Random) -> bytes:
    """One to four changes: a byte, a bit, a cut, a doubled part, a part of itself elsewhere."""
    data = bytearray(message)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(5)
        if not data:
            return bytes(data)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at : at + rng.randint(1, 8)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 16)]
        else:
            data[at:at] = rng.randbytes(rng.randint(1, 4))
    return bytes(data)


def models() -> list[Model]:
    return [Sum("sum"), TwoInTwoOut("two"), Echo("echo"), Declared("BYTES", [-1], "bytes")]


@pytest.mark.parametrize("name", valid())
async def test_a_mutated_request_is_never_a_fault_of_the_servers(name: str) -> None:
    message, rng = valid()[name], random.Random(name)
    async with MemoryPeer(models()) as peer:
        for _ in range(MUTATIONS):
            changed = mutated(message, rng)
            call = await peer.grpc("ModelInfer", changed)
            assert call.status in ALLOWED, (call.status, call.message, changed)


@pytest.mark.parametrize("name", ["sum raw", "echo typed"])
async def test_nor_in_a_stream(name: str) -> None:
    message, rng = valid()[name], random.Random(name)
    async with MemoryPeer(models()) as peer:
        changed = [mutated(message, rng) for _ in range(MUTATIONS)]
        errors = [decode_stream(answer)[0] for answer in await peer.stream(changed)]
    assert len(errors) == MUTATIONS
    assert not [error for error in errors if "request id" in error or "Error in" in error]


@pytest.mark.parametrize(
    "method",
    [
        "ServerLive",
        "ServerReady",
        "ServerMetadata",
        "ModelReady",
        "ModelMetadata",
        "ModelConfig",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
    ],
)
async def test_nor_in_the_other_calls(method: str) -> None:
    rng = random.Random(method)
    async with MemoryPeer(models()) as peer:
        for _ in range(MUTATIONS // 4):
            changed = mutated(metadata.encode_model("sum", "1"), rng)
            call = await peer.grpc(method, changed)
            assert call.status in ALLOWED | {grpc.StatusCode.UNAVAILABLE}, (call.status, call.message, changed)
