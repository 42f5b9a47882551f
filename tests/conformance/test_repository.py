"""A directory of models: versions, load and unload over both protocols, names that are none, reload under traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import joblib
import numpy as np
import pytest
import pytest_asyncio
from sklearn.dummy import DummyRegressor

from modelserver import InferRequest, Tensor
from modelserver.protocols._pb.inference_pb2 import RepositoryIndexResponse, RepositoryModelLoadRequest
from modelserver.protocols.v2_grpc import decode_response, encode_request
from tests.conformance.peers import PEERS, Peer

ROW = [[1.0, 2.0]]
NO_NAMES = [
    "",
    ".",
    "..",
    "../outside",
    "../../outside",
    "alpha/../../outside",
    "alpha/1",
    "/etc",
    "..%2foutside",
    "%2e%2e",
    "%2e%2e%2foutside",
    "nobody",
    ".hidden",
    "alpha\x00",
    "~",
    "a" * 300,
]


def save(directory: Path, value: float) -> None:
    """A model that always answers ``value``; the file is there at once or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    model = DummyRegressor(strategy="constant", constant=value).fit(np.zeros((2, 2)), np.zeros(2))
    joblib.dump(model, directory / "model.new")
    (directory / "model.new").rename(directory / "model.joblib")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``alpha`` with versions 9 and 10, ``beta`` without; a model beside the repository that nobody may reach."""
    root = tmp_path / "repository"
    save(root / "alpha" / "9", 9)
    save(root / "alpha" / "10", 10)
    save(root / "beta", 1)
    save(root / ".hidden", 666)
    save(tmp_path / "outside", 666)
    return root


@pytest_asyncio.fixture(params=list(PEERS))
async def peer(request: pytest.FixtureRequest, root: Path) -> AsyncIterator[Peer]:
    async with PEERS[request.param](str(root)) as server:
        yield server


async def value(peer: Peer, model: str, version: str = "") -> float:
    path = f"/v2/models/{model}" + (f"/versions/{version}" if version else "") + "/infer"
    tensor = {"name": "input-0", "shape": [1, 2], "datatype": "FP64", "data": ROW}
    reply = await peer.rest("POST", path, {"inputs": [tensor]})
    assert reply.status == 200, reply.body
    return float(reply.json()["outputs"][0]["data"][0])


async def grpc_value(peer: Peer, model: str, version: str = "") -> float:
    request = InferRequest(model, [Tensor("input-0", ROW, "FP64")], model_version=version)
    call = await peer.grpc("ModelInfer", encode_request(request))
    assert call.status is grpc.StatusCode.OK, call.message
    return float(decode_response(call.body).outputs[0].data[0])


async def change(peer: Peer, verb: str, model: str) -> int:
    return (await peer.rest("POST", f"/v2/repository/models/{model}/{verb}")).status


async def grpc_change(peer: Peer, verb: str, model: str) -> grpc.StatusCode:
    message = RepositoryModelLoadRequest(model_name=model).SerializeToString()
    return (await peer.grpc(f"RepositoryModel{verb.title()}", message)).status


async def index(peer: Peer) -> dict[tuple[str, str], str]:
    entries: list[dict[str, Any]] = (await peer.rest("POST", "/v2/repository/index")).json()
    found = {(entry["name"], entry.get("version", "")): entry["state"] for entry in entries}
    message = RepositoryIndexResponse.FromString((await peer.grpc("RepositoryIndex")).body)
    assert {(model.name, model.version): model.state for model in message.models} == found
    return found


async def test_the_latest_version_is_the_greatest_number(peer: Peer) -> None:
    assert (await value(peer, "alpha"), await grpc_value(peer, "alpha")) == (10, 10)
    assert (await value(peer, "alpha", "9"), await grpc_value(peer, "alpha", "9")) == (9, 9)
    assert (await value(peer, "beta"), await value(peer, "beta", "1")) == (1, 1)
    assert (await peer.rest("GET", "/v2/models/alpha")).json()["versions"] == ["9", "10"]
    expected = {("alpha", "9"): "READY", ("alpha", "10"): "READY", ("beta", "1"): "READY"}
    assert await index(peer) == expected


async def test_a_child_that_appears_later_is_listed_and_can_be_loaded(peer: Peer, root: Path) -> None:
    save(root / "gamma", 3)
    assert (await index(peer))["gamma", ""] == "UNAVAILABLE"
    assert (await peer.rest("GET", "/v2/health/ready")).status == 200
    assert await change(peer, "load", "gamma") == 200
    assert (await value(peer, "gamma"), await grpc_value(peer, "gamma")) == (3, 3)
    save(root / "delta" / "7", 7)
    assert await grpc_change(peer, "load", "delta") is grpc.StatusCode.OK
    assert await value(peer, "delta", "7") == 7


async def test_a_broken_child_fails_alone(peer: Peer, root: Path) -> None:
    (root / "broken").mkdir()
    (root / "broken" / "model.joblib").write_bytes(b"no pickle")
    reply = await peer.rest("POST", "/v2/repository/models/broken/load")
    assert reply.status == 503
    assert "broken is not ready" in reply.json()["error"]
    assert str(root) not in reply.json()["error"]
    assert await grpc_change(peer, "load", "broken") is grpc.StatusCode.UNAVAILABLE
    assert (await peer.rest("GET", "/v2/models/broken/ready")).status == 503
    assert (await value(peer, "alpha"), await value(peer, "beta")) == (10, 1)
    assert (await peer.rest("GET", "/v2/health/ready")).status == 503

    save(root / "broken", 5)
    assert await change(peer, "load", "broken") == 200
    assert await value(peer, "broken") == 5
    assert (await peer.rest("GET", "/v2/health/ready")).status == 200


@pytest.mark.parametrize("kind", list(PEERS))
async def test_a_child_that_is_broken_from_the_start(kind: str, root: Path) -> None:
    save(root / "broken" / "1", 1)
    (root / "broken" / "2").mkdir()
    (root / "broken" / "2" / "model.joblib").write_bytes(b"no pickle")
    (root / "empty").mkdir()
    async with PEERS[kind](str(root)) as peer:
        assert await index(peer) == {
            ("alpha", "9"): "READY",
            ("alpha", "10"): "READY",
            ("beta", "1"): "READY",
            ("broken", "1"): "READY",
            ("broken", "2"): "UNAVAILABLE",
            ("empty", "1"): "UNAVAILABLE",
        }
        assert await value(peer, "broken") == 1  # the latest version that can serve
        assert (await peer.rest("GET", "/v2/health/ready")).status == 503


async def test_unload_and_load_again(peer: Peer) -> None:
    assert await change(peer, "unload", "beta") == 200
    assert (await index(peer))["beta", "1"] == "UNAVAILABLE"
    assert (await peer.rest("POST", "/v1/models/beta:predict", {"instances": ROW})).status == 503
    assert (await peer.rest("GET", "/v2/health/ready")).status == 200  # nobody expects it any more
    assert await grpc_change(peer, "load", "beta") is grpc.StatusCode.OK
    assert await grpc_value(peer, "beta") == 1
    assert await grpc_change(peer, "unload", "beta") is grpc.StatusCode.OK
    assert await change(peer, "load", "beta") == 200
    assert await value(peer, "beta") == 1


async def test_load_follows_the_versions_in_the_directory(peer: Peer, root: Path) -> None:
    save(root / "alpha" / "11", 11)
    (root / "alpha" / "9" / "model.joblib").unlink()
    (root / "alpha" / "9").rmdir()
    assert (await value(peer, "alpha"), await value(peer, "alpha", "9")) == (10, 9)
    assert await change(peer, "load", "alpha") == 200
    assert await value(peer, "alpha") == 11
    assert (await peer.rest("GET", "/v2/models/alpha/versions/9")).status == 404
    assert (await peer.rest("GET", "/v2/models/alpha")).json()["versions"] == ["10", "11"]


async def test_a_child_that_is_gone_can_be_unloaded_and_not_loaded(peer: Peer, root: Path) -> None:
    (root / "beta" / "model.joblib").unlink()
    (root / "beta").rmdir()
    assert await value(peer, "beta") == 1
    assert await change(peer, "unload", "beta") == 200
    assert await change(peer, "load", "beta") in (404, 503)


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_what_is_no_childs_name_is_refused_on_grpc(peer: Peer, verb: str) -> None:
    expected = {name: grpc.StatusCode.NOT_FOUND if name else grpc.StatusCode.INVALID_ARGUMENT for name in NO_NAMES}
    assert {name: await grpc_change(peer, verb, name) for name in NO_NAMES} == expected
    assert set(await index(peer)) == {("alpha", "9"), ("alpha", "10"), ("beta", "1")}


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_what_is_no_childs_name_is_refused_on_rest(peer: Peer, verb: str) -> None:
    plain = [name.replace("\x00", "%00") for name in NO_NAMES]
    spelt = [*plain, *(name.replace("/", "%2f") for name in plain), *(name.replace(".", "%2e") for name in plain)]
    for name in spelt:
        reply = await peer.rest("POST", f"/v2/repository/models/{name}/{verb}")
        assert (name, reply.status, list(reply.json())) == (name, 404, ["error"])
    assert set(await index(peer)) == {("alpha", "9"), ("alpha", "10"), ("beta", "1")}


async def test_a_link_out_of_the_repository_is_not_followed(peer: Peer, root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    assert await change(peer, "load", "link") in (404, 503)
    assert (await peer.rest("POST", "/v1/models/link:predict", {"instances": ROW})).status in (404, 503)


async def test_a_reload_that_fails_leaves_the_old_one_serving(peer: Peer, root: Path) -> None:
    (root / "beta" / "model.joblib").write_bytes(b"no pickle")
    assert await change(peer, "load", "beta") == 503
    assert (await value(peer, "beta"), await grpc_value(peer, "beta")) == (1, 1)
    assert (await peer.rest("GET", "/v2/models/beta/ready")).status == 200


async def test_a_reload_under_traffic_loses_nothing(peer: Peer, root: Path) -> None:
    last = 1.0
    done = asyncio.Event()
    answers: list[float] = []

    async def client(ask: Any) -> None:
        while not done.is_set():
            before = last
            answer = await ask(peer, "beta")
            assert answer >= before, "an answer of a version older than the last one loaded"
            answers.append(answer)

    clients = [asyncio.create_task(client(ask)) for ask in (value, grpc_value, value, grpc_value)]
    for number in range(2, 12):
        save(root / "beta", number)
        load = change(peer, "load", "beta") if number % 2 else grpc_change(peer, "load", "beta")
        assert await load in (200, grpc.StatusCode.OK)
        last = float(number)
    done.set()
    await asyncio.gather(*clients)
    assert len(set(answers)) > 1
