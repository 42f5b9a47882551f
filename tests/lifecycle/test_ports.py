"""Two servers on one port: the second one says so in a line, and ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lifecycle.served import Served

APP = f"{Path(__file__).parent / 'app.py'}:Pid"


@pytest.fixture(scope="module", params=[1, 2], ids=["alone", "two workers"])
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("gate"), "pid", workers=request.param) as server:
        yield server.until_ready()
        assert server.stop() == 0


@pytest.mark.parametrize(("taken", "workers"), [("http", "1"), ("grpc", "1"), ("grpc", "2")])
def test_a_taken_port_is_one_line_and_a_code(first: Served, tmp_path: Path, taken: str, workers: str) -> None:
    port = first.http_port if taken == "http" else first.grpc_port
    ports = {"http": "0", "grpc": "0", taken: str(port)}
    argv = ["serve", APP, "--host", "127.0.0.1", "--http-port", ports["http"], "--grpc-port", ports["grpc"]]
    with Served.of_command(tmp_path, [*argv, "--workers", workers]) as second:
        assert second.wait() == 1
        said = [line for line in second.lines if "cannot listen" in line]
        assert len(said) == 1
        assert str(port) in said[0]
    assert first.predict("pid").status == 200
    assert first.infer("pid")
