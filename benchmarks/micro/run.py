"""How much of a bare server's throughput is left when the server is ours: a model that does nothing, one worker.

    python benchmarks/micro/run.py [--rounds 5] [--seconds 5]

Three pairs: v1 JSON and v2 JSON against a uvicorn application that parses and answers the same JSON, v2 gRPC (raw
contents) against a grpc.aio handler that parses the same message. The two of a pair take turns; medians are compared.
Exits with 1 when a request failed or a ratio is under its target.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import httpx
import numpy as np
from load import (
    GRPC_CONNECTIONS,
    GRPC_STREAMS,
    REST_CONNECTIONS,
    Measured,
    call_grpc,
    post_json,
    require_tools,
    tool_versions,
)

from modelserver import __version__
from modelserver.protocols._pb.inference_pb2 import ModelInferRequest, ModelInferResponse

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "micro.json"
START_SECONDS = 30
METHOD = "/inference.GRPCInferenceService/ModelInfer"
ROW = [5.1, 3.5, 1.4, 0.2]
V1 = json.dumps({"instances": [ROW]}).encode()
V2 = json.dumps(
    {"id": "7", "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}]}, separators=(",", ":")
).encode()


@dataclass(frozen=True, slots=True)
class Ports:
    """Where each server listens."""

    floor_rest: int
    floor_grpc: int
    rest: int
    grpc: int


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: a measurement of the floor, one of ours, and the least ratio."""

    name: str
    target: float
    floor: Callable[[], Measured]
    ours: Callable[[], Measured]


def grpc_message() -> bytes:
    request = ModelInferRequest(model_name="noop", id="7")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(np.array(ROW, np.float32).tobytes())
    return request.SerializeToString()


def free_ports() -> Ports:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(4)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return Ports(*(listener.getsockname()[1] for listener in listeners))


@contextlib.contextmanager
def server(program: str, ports: list[int], folder: Path) -> Iterator[None]:
    """A server in a process of its own, its output in a file, until the block ends."""
    log = folder / f"{program}.log"
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(HERE / program), *map(str, ports)], stdout=output, stderr=output, env=environment
        )
        try:
            for port in ports:
                _wait_for(port, process, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise SystemExit(f"{log.stem} did not start listening; it said:\n{log.read_text()}")


def post(port: int, path: str, body: bytes) -> bytes:
    answer = httpx.post(f"http://127.0.0.1:{port}{path}", content=body, headers={"content-type": "application/json"})
    if answer.status_code != 200:
        raise SystemExit(f"{path}: expected 200, got {answer.status_code}: {answer.text[:500]}")
    return answer.content


def call(port: int) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        answer: bytes = channel.unary_unary(METHOD)(grpc_message(), timeout=10)
        return answer


def check_equal(name: str, floor: object, ours: object) -> None:
    if floor != ours:
        raise SystemExit(f"{name}: the answers differ\nfloor: {floor}\nours:  {ours}")


def wait_until_ready(ports: Ports) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{ports.rest}/v2/health/ready").status_code == 200:
                return
        time.sleep(0.05)
    raise SystemExit(f"our server was not ready within {START_SECONDS} s")


def pairs(ports: Ports, seconds: int, folder: Path, floors_only: bool) -> list[Pair]:
    """What to measure, after both of each pair have given the same answer."""
    message = grpc_message()
    answer = call(ports.floor_grpc)

    def rest(port: int, path: str, body: bytes) -> Callable[[], Measured]:
        return lambda: post_json(f"http://127.0.0.1:{port}{path}", body, seconds, folder)

    def grpc_of(port: int) -> Callable[[], Measured]:
        return lambda: call_grpc(port, METHOD, message, answer, seconds, folder)

    found = []
    for name, path, body in (("v1 JSON", "/v1/models/noop:predict", V1), ("v2 JSON", "/v2/models/noop/infer", V2)):
        expected = post(ports.floor_rest, path, body)
        if not floors_only:
            check_equal(name, expected, post(ports.rest, path, body))
        found.append(Pair(name, 0.6, rest(ports.floor_rest, path, body), rest(ports.rest, path, body)))
    if not floors_only:
        expected, ours = ModelInferResponse.FromString(answer), ModelInferResponse.FromString(call(ports.grpc))
        check_equal("v2 gRPC", expected, ours)
    return [*found, Pair("v2 gRPC raw", 0.75, grpc_of(ports.floor_grpc), grpc_of(ports.grpc))]


def measure(pair: Pair, rounds: int, floors_only: bool) -> dict[str, Any]:
    """The two take turns, so that what else the machine does meets both."""
    floor: list[Measured] = []
    ours: list[Measured] = []
    for number in range(rounds):
        floor.append(pair.floor())
        ours.append(floor[-1] if floors_only else pair.ours())
        print(
            f"{pair.name}, round {number + 1} of {rounds}: floor {floor[-1].rate:,.0f}/s, ours {ours[-1].rate:,.0f}/s",
            flush=True,
        )
    return {
        "name": pair.name,
        "target": pair.target,
        "floor": _summary(floor),
        "ours": _summary(ours),
        "ratio": round(median(run.rate for run in ours) / median(run.rate for run in floor), 3),
    }


def _summary(runs: list[Measured]) -> dict[str, object]:
    return {
        "rate": round(median(run.rate for run in runs), 1),
        "rates": [round(run.rate, 1) for run in runs],
        "failed": sum(run.failed for run in runs),
        "p50_ms": round(median(run.p50 for run in runs), 3),
        "p99_ms": round(median(run.p99 for run in runs), 3),
    }


def machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    cpu = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def versions() -> dict[str, str]:
    packages = ("uvicorn", "uvloop", "httptools", "orjson", "grpcio", "protobuf", "numpy")
    return {
        "modelserver": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        **tool_versions(),
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each server (default 5)")
    parser.add_argument("--seconds", type=int, default=5, help="length of a turn (default 5)")
    parser.add_argument("--output", type=Path, default=RESULT, help="where the result is written (results/micro.json)")
    parser.add_argument("--floors-only", action="store_true", help="try the harness without our server; writes nothing")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    require_tools()
    ports = free_ports()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="modelserver-micro-")))
        stack.enter_context(server("floor_rest.py", [ports.floor_rest], folder))
        stack.enter_context(server("floor_grpc.py", [ports.floor_grpc], folder))
        if not options.floors_only:
            stack.enter_context(server("ours.py", [ports.rest, ports.grpc], folder))
            wait_until_ready(ports)
        compared = pairs(ports, options.seconds, folder, options.floors_only)
        results = [measure(pair, options.rounds, options.floors_only) for pair in compared]
    return report(results, options)


def report(results: list[dict[str, Any]], options: argparse.Namespace) -> int:
    print(f"\n{'':14}{'floor/s':>12}{'ours/s':>12}{'ratio':>8}{'target':>8}{'failed':>8}")
    failures = 0
    for result in results:
        failed = result["floor"]["failed"] + result["ours"]["failed"]
        failures += failed
        print(
            f"{result['name']:14}{result['floor']['rate']:>12,.0f}{result['ours']['rate']:>12,.0f}"
            f"{result['ratio']:>8.2f}{result['target']:>8.2f}{failed:>8}"
        )
    if failures:
        print("\nrequests failed: these are no results, nothing is written")
        return 1
    if options.floors_only:
        return 0
    options.output.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "method": {
            "rounds": options.rounds,
            "seconds": options.seconds,
            "rest_connections": REST_CONNECTIONS,
            "grpc_connections": GRPC_CONNECTIONS,
            "grpc_calls_per_connection": GRPC_STREAMS,
        },
        "results": results,
    }
    options.output.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nwritten to {options.output}; render the page with benchmarks/render.py")
    return 0 if all(result["ratio"] >= result["target"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
