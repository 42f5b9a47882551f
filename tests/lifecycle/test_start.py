"""What a server says of itself from the first moment, whatever its models do."""

from __future__ import annotations

import signal
from pathlib import Path

import grpc
import pytest

from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols._pb.inference_pb2 import RepositoryIndexResponse
from tests.lifecycle.served import Served, until


def test_live_while_it_loads_and_ready_afterwards(tmp_path: Path) -> None:
    with Served(tmp_path, "pid", "slow-load") as server:
        for path in ("/v2/health/live", "/healthz", "/livez", "/"):
            assert server.rest("GET", path).status == 200
        assert wire.decode_ready(server.grpc("ServerLive"))
        until("the first model", lambda: server.rest("GET", "/v2/models/pid/ready").status == 200)
        for path in ("/v2/health/ready", "/readyz", "/v2/models/slow-load/ready", "/v1/models/slow-load"):
            reply = server.rest("GET", path)
            assert reply.status == 503
            assert "slow-load" in reply.json()["error"]
        assert not server.grpc_ready()
        assert server.predict("slow-load").status == 503
        assert server.predict("pid").status == 200
        with pytest.raises(grpc.RpcError) as refused:
            server.infer("slow-load")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        states = {entry["name"]: entry["state"] for entry in server.rest("POST", "/v2/repository/index").json()}
        assert states == {"pid": "READY", "slow-load": "LOADING"}

        server.open("load")
        server.until_ready()
        assert server.predict("slow-load").status == 200
        assert server.stop() == 0


def test_a_failed_load_is_shown_with_its_reason(tmp_path: Path) -> None:
    with Served(tmp_path, "broken", "pid") as server:
        until("the good model", lambda: server.rest("GET", "/v2/models/pid/ready").status == 200)
        reason = "RuntimeError: the weights are missing"
        server.line(reason)
        entries = {entry["name"]: entry for entry in server.rest("POST", "/v2/repository/index").json()}
        assert entries["broken"] == {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": reason}
        index = RepositoryIndexResponse.FromString(server.grpc("RepositoryIndex"))
        assert {model.name: model.reason for model in index.models} == {"broken": reason, "pid": ""}
        ready = server.rest("GET", "/v2/health/ready")
        assert (ready.status, reason in ready.json()["error"]) == (503, True)
        assert not server.grpc_ready()
        assert server.rest("GET", "/v2/health/live").status == 200
        assert server.predict("pid").status == 200
        reply = server.predict("broken")
        assert (reply.status, reason in reply.json()["error"]) == (503, True)
        assert server.stop() == 0


def test_a_server_that_should_exit_when_a_load_fails(tmp_path: Path) -> None:
    with Served(tmp_path, "broken", exit_on_load_failure=True) as server:
        assert server.wait() == 1
        assert "the weights are missing" in server.log


def test_no_models_is_not_ready(tmp_path: Path) -> None:
    with Served(tmp_path) as server:
        server.line("not ready: It has no models")
        assert server.rest("GET", "/v2/health/live").status == 200
        assert server.rest("GET", "/v2/health/ready").json() == {"error": "Server is not ready. It has no models."}
        assert not server.grpc_ready()
        assert server.stop() == 0


def test_no_models_is_ready_where_it_is_asked_for(tmp_path: Path) -> None:
    with Served(tmp_path, allow_no_models=True) as server:
        server.until_ready()
        assert server.stop() == 0


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_signal_while_it_loads(tmp_path: Path, number: int, workers: int) -> None:
    with Served(tmp_path, "slow-load", workers=workers) as server:
        assert server.rest("GET", "/v2/health/live").status == 200
        server.signal(number)
        assert server.wait() == 0
