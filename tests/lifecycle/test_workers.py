"""Two processes behind the same two ports: they serve, count, load and die as one server."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from modelserver.protocols._pb.inference_pb2 import RepositoryModelLoadRequest
from tests.lifecycle.served import Served, until

SEVERAL = 24  # connections, of which a kernel would give all to one of two workers once in eight million times


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("gate"), "pid", workers=2) as served:
        yield served.until_ready()
        assert served.stop() == 0


def rest_pids(server: Served) -> set[int]:
    return {server.predict("pid").json()["predictions"][0] for _ in range(SEVERAL)}


def grpc_pids(server: Served) -> set[int]:
    return {int(server.infer("pid")) for _ in range(SEVERAL)}


def both(server: Served) -> set[int]:
    found = rest_pids(server)
    return found if len(found) == 2 else set()


def total(server: Served, protocol: str) -> float:
    page = server.rest("GET", "/metrics").body.decode()
    pattern = rf'^modelserver_requests_total\{{[^}}]*model="pid"[^}}]*protocol="{protocol}"[^}}]*\}} (\S+)$'
    return sum(float(value) for value in re.findall(pattern, page, re.MULTILINE))


def test_both_serve_both_protocols(server: Served) -> None:
    pids = until("two workers over REST", lambda: both(server))
    assert server.process.pid not in pids
    assert until("the same two over gRPC", lambda: grpc_pids(server) == pids)


def test_metrics_and_statistics_add_up(server: Served) -> None:
    until("two workers", lambda: both(server))
    before = {protocol: total(server, protocol) for protocol in ("v1", "grpc")}
    for _ in range(SEVERAL):
        assert server.predict("pid").status == 200
        assert server.infer("pid")
    for protocol, count in before.items():
        for _ in range(4):  # whichever worker renders the page
            assert total(server, protocol) == count + SEVERAL
    [statistics] = server.rest("GET", "/v2/models/pid/stats").json()["model_stats"]
    assert statistics["inference_stats"]["success"]["count"] == sum(before.values()) + 2 * SEVERAL


def test_load_and_unload_reach_both(server: Served) -> None:
    until("two workers", lambda: both(server))
    assert server.rest("POST", "/v2/repository/models/pid/unload").status == 200
    assert {server.predict("pid").status for _ in range(SEVERAL)} == {503}
    for _ in range(SEVERAL):
        with pytest.raises(grpc.RpcError) as refused:
            server.infer("pid")
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    server.grpc("RepositoryModelLoad", RepositoryModelLoadRequest(model_name="pid").SerializeToString())
    assert {server.predict("pid").status for _ in range(SEVERAL)} == {200}
    assert server.rest("POST", "/v2/repository/models/nobody/load").status == 404


def test_a_killed_one_is_replaced(server: Served) -> None:
    pids = until("two workers", lambda: both(server))
    killed = min(pids)
    os.kill(killed, signal.SIGKILL)
    server.line(f"pid {killed}.* is replaced")

    def others() -> set[int]:
        try:
            found = both(server)
        except OSError:  # it was killed with a connection of ours in its queue
            return set()
        return found if killed not in found else set()

    assert len(until("two workers again", others) & pids) == 1


def test_a_replacement_knows_what_was_unloaded(server: Served) -> None:
    pids = until("two workers", lambda: both(server))
    assert server.rest("POST", "/v2/repository/models/pid/unload").status == 200
    starts = sum("REST on http" in line for line in server.lines)
    os.kill(min(pids), signal.SIGKILL)
    server.line(f"pid {min(pids)}.* is replaced")
    until("another start", lambda: sum("REST on http" in line for line in server.lines) > starts)
    assert {server.predict("pid").status for _ in range(SEVERAL)} == {503}
    assert server.rest("POST", "/v2/repository/models/pid/load").status == 200
    assert {server.predict("pid").status for _ in range(SEVERAL)} == {200}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_one_stop(tmp_path: Path, number: signal.Signals) -> None:
    with Served(tmp_path, "held", workers=2) as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        flight = pool.submit(server.predict, "held")
        server.entered(1)
        server.signal_group(number)
        until("both workers to stop", lambda: server.log.count("stopping: not ready") == 2)
        server.open("go")
        assert flight.result().status == 200
        assert server.wait() == 0
