"""Train a classifier on the iris data, serve it with one command, and ask it the same over every protocol.

Run it with ``make demo``. Exit code 0: all answers agree, and the server stopped cleanly.
"""

from __future__ import annotations

import json
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.svm import SVC

ROWS = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]
EXPECTED = [1, 1]
START_SECONDS = 60
STOP_SECONDS = 40


def main() -> int:
    """Run the demo; 0 when everything is as it should be."""
    http_port, grpc_port = free_ports(2)
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model.joblib"
        iris = load_iris()
        joblib.dump(SVC().fit(iris.data, iris.target), model)
        print(f"trained a support vector classifier on {len(iris.data)} flowers\n")

        ports = ["--http-port", str(http_port), "--grpc-port", str(grpc_port)]
        print(f"$ modelserver serve {model.name} {shlex.join(ports)}", flush=True)
        server = subprocess.Popen([sys.executable, "-m", "modelserver", "serve", str(model), *ports])
        try:
            url = f"http://127.0.0.1:{http_port}"
            wait_until_ready(server, url)
            answers = {
                "v1 REST": v1(url),
                "v2 REST, JSON": v2_json(url),
                "v2 REST, binary": v2_binary(url),
                "v2 gRPC": grpc(f"127.0.0.1:{grpc_port}"),
            }
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(STOP_SECONDS)
    print(f"\nThe flowers {ROWS} are of kind")
    for protocol, answer in answers.items():
        print(f"  {protocol:16} {answer}")
    print(f"stopped by SIGTERM with exit code {code}")
    wrong = [protocol for protocol, answer in answers.items() if answer != EXPECTED]
    if wrong:
        print(f"expected {EXPECTED} from {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong or code else 0


def v1(url: str) -> Any:
    """KServe's first protocol: rows in, predictions out."""
    body = post(f"{url}/v1/models/model:predict", json.dumps({"instances": ROWS}).encode())[1]
    return json.loads(body)["predictions"]


def v2_json(url: str) -> Any:
    """The Open Inference Protocol: named tensors, as JSON."""
    tensor = {"name": "input-0", "datatype": "FP64", "shape": [2, 4], "data": ROWS}
    body = post(f"{url}/v2/models/model/infer", json.dumps({"inputs": [tensor]}).encode())[1]
    return json.loads(body)["outputs"][0]["data"]


def v2_binary(url: str) -> Any:
    """The same with its binary extension: a JSON head, then the tensors' bytes, both ways."""
    tail = np.array(ROWS, dtype="<f4").tobytes()
    tensor = {
        "name": "input-0",
        "datatype": "FP32",
        "shape": [2, 4],
        "parameters": {"binary_data_size": len(tail)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    answer, body = post(f"{url}/v2/models/model/infer", head + tail, headers)
    return np.frombuffer(body[int(answer["Inference-Header-Content-Length"]) :], dtype="<i8").tolist()


def grpc(target: str) -> Any:
    """gRPC, from the command line."""
    command = ["infer", target, "--protocol", "grpc", "--model", "model", "--data", json.dumps(ROWS)]
    print(f"$ modelserver {shlex.join(command)}", flush=True)
    done = subprocess.run([sys.executable, "-m", "modelserver", *command], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["outputs"][0]["data"]


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> tuple[Any, bytes]:
    """The headers and the body of the answer."""
    print(f"POST {url}", flush=True)
    request = urllib.request.Request(url, body, headers or {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.headers, response.read()


def wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    """Ask the server until it says that its model is loaded."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/v2/health/ready", timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if server.poll() is not None or time.monotonic() > give_up:
                raise SystemExit(f"the server is not ready: {error}") from error
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


if __name__ == "__main__":
    sys.exit(main())
