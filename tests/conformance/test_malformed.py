"""The corpus in tests/golden/malformed: what clients have been seen to send, none of it to be answered with a 5xx."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="package")

CORPUS = Path(__file__).parent.parent / "golden" / "malformed"


def cases(name: str) -> list[Any]:
    table = json.loads((CORPUS / f"{name}.json").read_text())
    return [pytest.param(case, id=title) for title, case in table.items()]


def content(case: dict[str, Any]) -> bytes:
    """A case's body: ``json``, ``text`` or ``base64``; ``repeat`` times ``{"times": n, "text": ...}``."""
    if "repeat" in case:
        return case["repeat"]["text"].encode() * case["repeat"]["times"]
    if "base64" in case:
        return base64.b64decode(case["base64"])
    return case["text"].encode() if "text" in case else json.dumps(case["json"]).encode()


async def refused(peer: Peer, path: str, case: dict[str, Any]) -> None:
    reply = await peer.rest("POST", path, content(case), case.get("headers", {}))
    assert reply.status == case.get("status", 400), reply.body[:200]
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json()) == ["error"]
    assert case.get("says", "") in reply.json()["error"]
    assert len(reply.body) < 1000


@pytest.mark.parametrize("case", cases("v1"))
async def test_v1(peer: Peer, case: dict[str, Any]) -> None:
    await refused(peer, f"/v1/models/{case.get('model', 'sum')}:predict", case)


@pytest.mark.parametrize("case", cases("v2"))
async def test_v2(peer: Peer, case: dict[str, Any]) -> None:
    await refused(peer, f"/v2/models/{case.get('model', 'sum')}/infer", case)


@pytest.mark.parametrize("case", cases("any"))
@pytest.mark.parametrize("path", ["/v1/models/sum:predict", "/v2/models/sum/infer"])
async def test_either(peer: Peer, path: str, case: dict[str, Any]) -> None:
    await refused(peer, path, case)
