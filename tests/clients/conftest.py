"""Servers for the public clients: real processes of the project's own environment, on free ports.

``MODELSERVER`` is the path of the ``modelserver`` command; ``make test`` sets it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = Path(os.environ.get("MODELSERVER", ".venv/bin/modelserver")).absolute()
START_SECONDS = 60

TRAIN = """
import sys, joblib
from sklearn.datasets import load_iris
from sklearn.svm import SVC
joblib.dump(SVC().fit(*load_iris(return_X_y=True)), sys.argv[1])
"""

ECHO = """
from modelserver import Model

class Echo(Model):
    def predict(self, request):
        return {tensor.name: tensor.data for tensor in request.inputs}
"""


@dataclass(frozen=True)
class Server:
    """Where a running server listens."""

    http: str
    grpc: str


@pytest.fixture(scope="session")
def iris(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A repository with KServe's iris example, called ``iris``."""
    repository = tmp_path_factory.mktemp("models")
    (repository / "iris" / "1").mkdir(parents=True)
    subprocess.run([COMMAND.parent / "python", "-c", TRAIN, repository / "iris" / "1" / "model.joblib"], check=True)
    with serving(str(repository)) as server:
        yield server


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A model called ``echo`` that gives back what it gets, whatever the datatype."""
    file = tmp_path_factory.mktemp("echo") / "echo.py"
    file.write_text(ECHO)
    with serving(f"{file}:Echo") as server:
        yield server


@contextmanager
def serving(path: str) -> Iterator[Server]:
    """``modelserver serve`` until the block ends; it must stop cleanly."""
    http_port, grpc_port = _free_ports()
    command = [COMMAND, "serve", path, f"--http-port={http_port}", f"--grpc-port={grpc_port}", "--lame-duck=0"]
    process = subprocess.Popen(command)
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{http_port}/v2/health/ready")
        yield Server(f"127.0.0.1:{http_port}", f"127.0.0.1:{grpc_port}")
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(40)
    assert code == 0


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the server is not ready: {error}") from error
            time.sleep(0.05)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
