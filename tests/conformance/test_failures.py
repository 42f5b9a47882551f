"""One table of failures, each over three protocols: one meaning, whatever the protocol calls it."""

from __future__ import annotations

import re

import pytest

from tests.conformance.calls import Failure, Rest, Rpc
from tests.conformance.failures_of_requests import IN_REQUESTS
from tests.conformance.failures_of_tensors import IN_TENSORS
from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

FAILURES = [*IN_TENSORS, *IN_REQUESTS]
CASES = [
    pytest.param(failure, protocol, id=f"{failure.name}-{protocol}")
    for failure in FAILURES
    for protocol in failure.calls
]
#: What no client is ever told.
SECRETS = re.compile(r"Traceback|/secret|password|site-packages|\.py\b|line \d+, in|0x[0-9a-f]{6}")


@pytest.mark.parametrize(("failure", "protocol"), CASES)
async def test_a_failure_means_the_same_everywhere(peer: Peer, failure: Failure, protocol: str) -> None:
    call = failure.calls[protocol]
    if isinstance(call, Rest):
        reply = await peer.rest("POST", call.path, call.body, call.headers)
        assert failure.status == reply.status, reply.body
        assert reply.headers["content-type"] == "application/json"
        assert list(reply.json()) == ["error"]
        message = reply.json()["error"]
        assert int(reply.headers["content-length"]) == len(reply.body)
    else:
        answer = await peer.grpc("ModelInfer", call.message, timeout=call.timeout)
        assert failure.grpc_status is answer.status, answer.message
        message = answer.message
    for fragment in (*failure.says, failure.also.get(protocol, "")):
        assert fragment in message
    assert message
    assert not SECRETS.search(message)


async def test_an_author_asks_to_come_back_later(peer: Peer) -> None:
    [failure] = [failure for failure in FAILURES if failure.name == "Unavailable"]
    for call in failure.calls.values():
        assert await _header(peer, call, "retry-after") == "7"


async def test_an_error_may_have_headers_of_its_own(peer: Peer) -> None:
    [failure] = [failure for failure in FAILURES if failure.name == "ResourceExhausted"]
    for call in failure.calls.values():
        assert await _header(peer, call, "x-quota") == "3"


async def _header(peer: Peer, call: Rest | Rpc, name: str) -> str:
    if isinstance(call, Rest):
        return (await peer.rest("POST", call.path, call.body, call.headers)).headers[name]
    return (await peer.grpc("ModelInfer", call.message)).trailing[name]
