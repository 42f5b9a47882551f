from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.conformance.models import models
from tests.conformance.peers import PEERS, Peer


@pytest_asyncio.fixture(loop_scope="package", scope="package", params=list(PEERS))
async def peer(request: pytest.FixtureRequest) -> AsyncIterator[Peer]:
    """Every model of ``models.py``, in memory and behind real ports."""
    limits = {"http_max_body_bytes": 1_000_000, "grpc_max_receive_message_length": 1_000_000}
    async with PEERS[request.param](models(), **limits) as server:
        yield server
