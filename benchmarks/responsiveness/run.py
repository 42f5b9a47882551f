"""Whether the server answers while it is busy and while it stops.

    python benchmarks/responsiveness/run.py

1. One request sits in a sync predict that sleeps for 2 seconds; meanwhile 1,000 health requests are made one after
   another. The same again while a predict computes for 2 seconds and holds the GIL.
2. 500 requests are in flight when SIGTERM arrives; the client goes on until the server says that it is not ready.
   Counted: the requests without an answer of 200.

Exits with 1 when the sleeping p99 is not under 10 ms, or a request is lost. The result is
results/responsiveness.json.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
RESULT = HERE.parent / "results" / "responsiveness.json"
HEALTH_REQUESTS = 1000
IN_FLIGHT = 500
TARGET_MS = 10.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def start() -> tuple[subprocess.Popen[bytes], int]:
    port = free_port()
    command = [sys.executable, str(HERE / "server.py"), str(port), str(free_port())]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/v2/health/ready").status_code == 200:
                return process, port
        except httpx.TransportError:
            time.sleep(0.05)
    raise SystemExit("the server was not ready within 30 s")


def health_while(port: int, model: str) -> dict[str, float]:
    """Milliseconds that health requests take while one request is in ``model``; all end before it does."""
    body = json.dumps({"instances": [2.0]})
    answered = threading.Event()

    def predict() -> None:
        httpx.post(f"http://127.0.0.1:{port}/v1/models/{model}:predict", content=body, timeout=60)
        answered.set()

    thread = threading.Thread(target=predict)
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    while len(times) < HEALTH_REQUESTS:
        begin = time.perf_counter()
        connection.request("GET", "/v2/health/live")
        connection.getresponse().read()
        times.append((time.perf_counter() - begin) * 1e3)
        if answered.is_set():
            # The predict is over: another one, so that every health request is made while one runs.
            thread.join()
            answered.clear()
            thread = threading.Thread(target=predict)
            thread.start()
    thread.join()
    times.sort()
    return {
        "requests": len(times),
        "p50_ms": round(times[len(times) // 2], 3),
        "p99_ms": round(times[int(len(times) * 0.99)], 3),
        "max_ms": round(times[-1], 3),
    }


async def stop_under_load(process: subprocess.Popen[bytes], port: int) -> dict[str, int]:
    """Keep requests in flight, send SIGTERM, stop on not ready; how many were sent, and how many failed."""
    base = f"http://127.0.0.1:{port}"
    ready = True
    sent = failed = 0
    errors: dict[str, int] = {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=IN_FLIGHT)

    async def one(client: httpx.AsyncClient) -> None:
        nonlocal sent, failed
        while ready:
            sent += 1
            try:
                reply = await client.post(f"{base}/v1/models/sleep:predict", json={"instances": [0.2]})
                problem = "" if reply.status_code == 200 else str(reply.status_code)
            except httpx.TransportError as exc:
                problem = type(exc).__name__
            if problem:
                failed += 1
                errors[problem] = errors.get(problem, 0) + 1

    async with httpx.AsyncClient(limits=limits, timeout=60) as client, httpx.AsyncClient(timeout=60) as probe:
        workers = [asyncio.create_task(one(client)) for _ in range(IN_FLIGHT)]
        while sent < 2 * IN_FLIGHT:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        while ready:
            ready = (await probe.get(f"{base}/v2/health/ready")).status_code == 200
        await asyncio.gather(*workers)
    code = await asyncio.to_thread(process.wait, 60)
    return {"in_flight": IN_FLIGHT, "sent": sent, "failed": failed, "exit_code": code, **errors}


def machine() -> dict[str, object]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def main() -> int:
    process, port = start()
    sleeping = health_while(port, "sleep")
    computing = health_while(port, "compute")
    print(f"health while a predict sleeps:   {sleeping}")
    print(f"health while a predict computes: {computing}")
    stopping = asyncio.run(stop_under_load(process, port))
    print(f"SIGTERM under load: {stopping}")
    result: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": {"python": platform.python_version(), "modelserver": version("modelserver")},
        "sleeping": sleeping,
        "computing": computing,
        "stopping": stopping,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if sleeping["p99_ms"] < TARGET_MS and not stopping["failed"] and not stopping["exit_code"] else 1


if __name__ == "__main__":
    sys.exit(main())
