"""Load from outside: wrk for REST, h2load for gRPC. A run tells how many answers came, and how many failed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Connections, and for gRPC the calls in flight on each.
REST_CONNECTIONS = 16
GRPC_CONNECTIONS, GRPC_STREAMS = 4, 4

_PACKAGES = {"wrk": "wrk", "h2load": "nghttp2-client"}

# What wrk sends, and what it says at the end: one line of JSON, for its own report rounds.
_SCRIPT = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = %s
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests":%%d,"microseconds":%%d,"bytes":%%d,"failed":%%d,"p50":%%.1f,"p99":%%.1f}\\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: requests per second, how many failed, and the latencies in milliseconds (0: not measured)."""

    rate: float
    failed: int
    p50: float = 0.0
    p99: float = 0.0


def require_tools() -> None:
    """Exit with the packages' names when a load generator is missing."""
    missing = [tool for tool in _PACKAGES if shutil.which(tool) is None]
    if missing:
        packages = " ".join(_PACKAGES[tool] for tool in missing)
        raise SystemExit(
            f"This benchmark needs {' and '.join(missing)}, which is not installed.\n"
            f"On Debian or Ubuntu: sudo apt-get install {packages}"
        )


def tool_versions() -> dict[str, str]:
    """The load generators' versions as they name them."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)  # exits with 1
    h2load = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True)
    return {
        "wrk": (wrk.stdout + wrk.stderr).split("[")[0].removeprefix("wrk").strip(),
        "h2load": h2load.stdout.split("/")[-1].strip(),
    }


def post_json(url: str, body: bytes, seconds: int, folder: Path) -> Measured:
    """Post one body again and again; everything but 2xx and 3xx fails, as do connections and time-outs."""
    script = folder / "post.lua"
    script.write_text(_SCRIPT % json.dumps(body.decode()))
    command = ["wrk", "-t1", f"-c{REST_CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    told = json.loads(output.strip().splitlines()[-1])
    rate = told["requests"] / told["microseconds"] * 1e6
    return Measured(rate, told["failed"], told["p50"] / 1e3, told["p99"] / 1e3)


def call_grpc(port: int, method: str, message: bytes, answer: bytes, seconds: int, folder: Path) -> Measured:
    """Call a unary method again and again with one message.

    h2load sees HTTP's status and not gRPC's, which is in the trailers; but a failed call has no message, so bytes
    that are missing from the data received are calls that failed.
    """
    frame = folder / "message.grpc"
    frame.write_bytes(grpc_frame(message))
    command = [
        *("h2load", "-t1", f"-c{GRPC_CONNECTIONS}", f"-m{GRPC_STREAMS}", f"-D{seconds}", "--warm-up-time=1"),
        *("-d", str(frame), "-H", "content-type: application/grpc", "-H", "te: trailers"),
        f"http://127.0.0.1:{port}{method}",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    done = int(_found(r"(\d+) succeeded", output))
    wrong = sum(int(_found(rf"(\d+) {word}", output)) for word in ("failed", "errored", "timeout"))
    data = int(_found(r"\((\d+)\) data", output))
    answered = data // len(grpc_frame(answer))
    # Calls that were under way when the clock started or stopped are counted on one side only.
    empty = max(0, done - answered - GRPC_CONNECTIONS * GRPC_STREAMS)
    return Measured(float(_found(r"finished in [\d.]+m?s, ([\d.]+) req/s", output)), wrong + empty)


def grpc_frame(message: bytes) -> bytes:
    """A message as HTTP/2 data: not compressed, its length in four bytes, itself."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _found(pattern: str, output: str) -> str:
    match = re.search(pattern, output)
    if match is None:
        raise SystemExit(f"h2load said something unexpected (looked for {pattern!r}):\n{output}")
    return match[1]
