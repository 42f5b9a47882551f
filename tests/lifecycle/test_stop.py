"""What SIGTERM does: not ready first, serving on, then the ports close, what is in flight ends, exit code 0."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from modelserver import InferRequest, Tensor
from modelserver.protocols.v2_grpc import encode_request
from tests.lifecycle.served import PATIENCE, SERVICE, Served, until

V1 = json.dumps({"instances": [1]}).encode()
V2 = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}).encode()


def test_a_long_predict_holds_up_nothing_else(tmp_path: Path) -> None:
    with Served(tmp_path, "held", "pid") as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        answer = pool.submit(server.predict, "held")
        server.entered(1)
        for _ in range(20):
            assert server.rest("GET", "/v2/health/live").status == 200
            assert server.ready()
        assert server.grpc_ready()
        assert server.rest("GET", "/metrics").status == 200
        assert server.predict("pid").status == 200
        assert server.infer("pid")
        assert not answer.done()
        server.open("go")
        assert answer.result().status == 200
        assert server.stop() == 0


def test_at_least_four_sync_predicts_at_once(tmp_path: Path) -> None:
    with Served(tmp_path, "held") as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        answers = [pool.submit(server.predict, "held") for _ in range(4)]
        server.entered(4)
        server.open("go")
        assert [answer.result().status for answer in answers] == [200] * 4
        assert server.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_is_not_ready_first_and_serves_on(tmp_path: Path, workers: int) -> None:
    with (
        Served(tmp_path, "held", "pid", "unloads", lame_duck=3, workers=workers) as server,
        ThreadPoolExecutor() as pool,
    ):
        server.until_ready()
        flights = [pool.submit(server.predict, "held"), pool.submit(server.infer, "held")]
        server.entered(2)
        server.signal()
        until("REST not to be ready", lambda: not server.ready())
        until("gRPC not to be ready", lambda: not server.grpc_ready())
        assert server.rest("GET", "/v2/health/live").status == 200
        assert server.rest("GET", "/v2/models/pid/ready").status == 503
        reply = server.predict("pid")  # over a connection of its own
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert server.infer("pid")
        assert not any(flight.done() for flight in flights)
        server.open("go")
        assert flights[0].result().status == 200
        assert flights[1].result()
        assert server.wait() == 0
        assert len(list(tmp_path.glob("unloaded-*"))) == workers


def test_what_is_in_flight_ends_after_the_ports_have_closed(tmp_path: Path) -> None:
    with Served(tmp_path, "held") as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        flights = [pool.submit(server.predict, "held"), pool.submit(server.infer, "held")]
        server.entered(2)
        server.signal()
        until("the REST port to close", lambda: refused(server.http_port))
        until("the gRPC port to close", lambda: refused(server.grpc_port))
        assert not any(flight.done() for flight in flights)
        server.open("go")
        assert flights[0].result().status == 200
        assert flights[1].result()
        assert server.wait() == 0


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with Served(tmp_path, "endless", lame_duck=600, grace_period=600) as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        flight = pool.submit(server.predict, "endless")
        server.entered(1)
        server.signal()
        server.line("stopping: not ready")
        server.signal(signal.SIGINT)
        assert server.wait() == 1
        assert isinstance(flight.exception(), (http.client.HTTPException, OSError))


def test_the_grace_period_cuts_predicts_that_never_end(tmp_path: Path) -> None:
    models = ["endless", "endless-async"]
    with Served(tmp_path, *models, grace_period=1) as server, ThreadPoolExecutor() as pool:
        server.until_ready()
        rest = [pool.submit(server.predict, model) for model in models]
        rpcs = [pool.submit(server.infer, model) for model in models]
        server.entered(4)
        server.signal()
        assert server.wait() == 0
        for flight in rest:
            reply = flight.result()
            assert reply.status == 503
            assert reply.json() == {"error": "Server is not ready. It stopped before this request was answered."}
        assert all(isinstance(flight.exception(), grpc.RpcError) for flight in rpcs)


def test_five_hundred_in_flight_and_none_is_lost(tmp_path: Path) -> None:
    """A client that sends until it hears "not ready", as a load balancer does: whatever it sent is answered."""
    with Served(tmp_path, "held-async", lame_duck=3) as server:
        server.until_ready()
        failed, answered = asyncio.run(_traffic(server))
        assert failed == []
        assert answered >= 500
        assert server.wait() == 0


async def _traffic(server: Served) -> tuple[list[str], int]:
    port, grpc_port = server.http_port, server.grpc_port
    failed: list[str] = []
    answered = 0

    async def rest(path: str, body: bytes) -> None:
        nonlocal answered
        try:
            status = await _post(port, path, body)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            failed.append(f"{path}: {error!r}")
            return
        if status != 200:
            failed.append(f"{path}: {status}")
        answered += 1

    async with grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        infer = channel.unary_unary(SERVICE + "ModelInfer")
        message = encode_request(InferRequest("held-async", [Tensor("x", [1])]))

        async def rpc() -> None:
            nonlocal answered
            try:
                await infer(message, timeout=PATIENCE)
                answered += 1
            except grpc.aio.AioRpcError as error:
                failed.append(f"gRPC: {error.code()} {error.details()}")

        def one_more(number: int) -> asyncio.Task[None]:
            if number % 5 == 4:
                return asyncio.create_task(rpc())
            path = ("/v1/models/held-async:predict", "/v2/models/held-async/infer")[number % 2]
            return asyncio.create_task(rest(path, (V1, V2)[number % 2]))

        flights = [one_more(number) for number in range(500)]
        await _in_flight(server, 500)
        server.signal()
        number = 500
        while await asyncio.to_thread(server.ready):
            flights.append(one_more(number))
            number += 1
        server.open("go")
        await asyncio.gather(*flights)
    return failed, answered


async def _in_flight(server: Served, count: int) -> None:
    def enough() -> bool:
        page = server.rest("GET", "/metrics").body.decode()
        return f'modelserver_in_flight{{model="held-async"}} {float(count)}' in page

    await asyncio.to_thread(until, f"{count} requests in flight", enough)


async def _post(port: int, path: str, body: bytes) -> int:
    """The status of one request over a connection of its own, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(
            next(line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        )
        await reader.readexactly(length)
        return int(head.split(b" ")[1])
    finally:
        writer.close()
        await writer.wait_closed()
