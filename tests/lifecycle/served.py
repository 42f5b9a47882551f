"""A server in a process of its own, seen as the world sees it: ports, signals, log lines, an exit code."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from modelserver import InferRequest, Tensor
from modelserver.protocols import v2_grpc_metadata as wire
from modelserver.protocols.v2_grpc import decode_response, encode_request
from modelserver.testing import Reply

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: Longer than anything takes, even where many tests share a machine.
PATIENCE = 60.0
SERVICE = "/inference.GRPCInferenceService/"
#: Every channel a connection of its own, as clients on different machines have.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

T = TypeVar("T")


def until(what: str, condition: Callable[[], T], patience: float = PATIENCE) -> T:
    """The condition's first true value; ``AssertionError`` naming what did not come true in time."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {patience} s in vain for {what}"
        time.sleep(0.01)
    return value


class Served:
    """``app.py`` with these models and settings; use it as a context: it is killed at the end if it still lives."""

    def __init__(self, gate: Path, *models: str, **settings: object) -> None:
        quiet = {"http_port": 0, "grpc_port": 0, "host": "127.0.0.1", "lame_duck": 0}
        given = json.dumps({"models": models, "settings": {**quiet, **settings}})
        self._start([sys.executable, "-W", "error", str(HERE / "app.py"), given], gate)

    @classmethod
    def of_command(cls, gate: Path, argv: Sequence[str]) -> Self:
        """``modelserver`` with these arguments."""
        self = cls.__new__(cls)
        self._start([sys.executable, "-W", "error", "-m", "modelserver", *argv], gate)
        return self

    def _start(self, command: list[str], gate: Path) -> None:
        self.gate = gate
        self.lines: list[str] = []
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "GATE": str(gate)}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def line(self, pattern: str) -> re.Match[str]:
        """The first line of the log that has this, once it is there."""

        def find() -> re.Match[str] | None:
            found = next((m for line in list(self.lines) if (m := re.search(pattern, line))), None)
            assert found or self.process.poll() is None, f"it ended before it said {pattern!r}:\n{self.log}"
            return found

        return until(f"a line with {pattern!r}", find)

    @property
    def http_port(self) -> int:
        return int(self.line(r"REST on http://\S+:(\d+)")[1])

    @property
    def grpc_port(self) -> int:
        return int(self.line(r"gRPC on \S+:(\d+)")[1])

    def rest(self, method: str, path: str, body: object = None) -> Reply:
        """One request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, headers, response.read())
        finally:
            connection.close()

    def predict(self, model: str) -> Reply:
        return self.rest("POST", f"/v1/models/{model}:predict", {"instances": [1]})

    def grpc(self, method: str, message: bytes = b"") -> bytes:
        """One call over a connection of its own; ``grpc.RpcError``."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", OWN_CONNECTION) as channel:
            answer: bytes = channel.unary_unary(SERVICE + method)(message, timeout=PATIENCE)
        return answer

    def infer(self, model: str) -> Any:
        """What the model answers over gRPC."""
        message = encode_request(InferRequest(model, [Tensor("x", [1])]))
        return decode_response(self.grpc("ModelInfer", message)).outputs[0].data[0]

    def ready(self) -> bool:
        return self.rest("GET", "/v2/health/ready").status == 200

    def grpc_ready(self) -> bool:
        return wire.decode_ready(self.grpc("ServerReady"))

    def until_ready(self) -> Self:
        """Both protocols say so."""
        until("REST to be ready", self.ready)
        until("gRPC to be ready", self.grpc_ready)
        return self

    def entered(self, count: int) -> None:
        """Wait until so many predicts have begun."""
        until(f"{count} predicts", lambda: len(list(self.gate.glob("entered-*"))) >= count)

    def open(self, name: str) -> None:
        """Let what waits for this go on."""
        (self.gate / name).touch()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """As a terminal does, and ``timeout``: to the server and to its workers."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """The exit code, and no traceback in the log."""
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert "Traceback" not in self.log, self.log
        return code

    def stop(self) -> int:
        self.signal()
        return self.wait()
