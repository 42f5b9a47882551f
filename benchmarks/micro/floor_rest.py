"""The floor for REST: a uvicorn application that parses the JSON, builds the same answer, and does no more."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvicorn

_HEADERS = [(b"content-type", b"application/json")]


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[..., Awaitable[None]]
) -> None:
    """Answer v1 and v2 bodies with their own data, whatever the path."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    request = orjson.loads(body) if body else {}
    headers = [*_HEADERS]
    if "instances" in request:
        answer = orjson.dumps({"predictions": request["instances"]})
    elif "inputs" in request:
        [tensor] = request["inputs"]
        output = {"name": "y", "shape": tensor["shape"], "datatype": tensor["datatype"], "parameters": None}
        answer = orjson.dumps(
            {
                "model_name": "noop",
                "model_version": None,
                "id": request["id"],
                "parameters": None,
                "outputs": [{**output, "data": tensor["data"]}],
            }
        )
    else:
        answer = b"{}"
    headers.append((b"content-length", str(len(answer)).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
