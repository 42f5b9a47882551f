"""The REST door: an ASGI application that answers inference itself and hands everything else to FastAPI.

Matching a path and calling an async function is what FastAPI's routing costs most of; see
``docs/architecture``. User middleware wraps this whole application, so nothing goes round it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import Code, ModelServerError
from modelserver.messages import Context
from modelserver.protocols.headers import request_id
from modelserver.servers.answers import STATUS, Send, standard_headers
from modelserver.servers.bodies import Receive
from modelserver.servers.exchange import Exchange, RestOptions, Route, Scope
from modelserver.telemetry.observer import Observer

Asgi: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_INFERENCE = re.compile(
    r"/(?:v1/models/(?P<v1>[^/:]+):(?P<verb>predict|explain)"
    r"|v2/models/(?P<v2>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer)/?"
)
#: What asks for health, and is asked every few seconds: no line in the log.
_PROBE = re.compile(r"/|/(v2/health/(live|ready)|healthz|livez|readyz)|/v1/models/[^/]+|/v2/models/[^/]+(/.*)?/ready")
_VERBS = frozenset({"metrics", "config", "stats", "index", "load", "unload", "docs"})
MOST_ROUTES = 1024
#: Bodies of load, unload and index are a few parameters.
MANAGEMENT_BODY_BYTES = 1024 * 1024
_CODES = {status: code for code, status in reversed(STATUS.items())}


class RestDoor:
    """The ASGI application of one server."""

    def __init__(self, dataplane: DataPlane, rest: Asgi, observers: Sequence[Observer], options: RestOptions) -> None:
        self._dataplane = dataplane
        self._rest = rest
        self._observers = observers
        self._options = options
        self._routes: dict[str, Route] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry: http only; lifespan and websockets are not ours."""
        if scope["type"] != "http":
            return
        route = (self._routes.get(scope["path"]) or self._route(scope["path"])) if scope["method"] == "POST" else None
        if route is None:
            await self._other(scope, receive, send)
        else:
            await Exchange(self._dataplane, self._observers, self._options, scope, receive, send).answer(route)

    def _route(self, path: str) -> Route | None:
        """What an inference path means; kept for the next time, as long as clients do not make too many up."""
        match = _INFERENCE.fullmatch(path)
        if match is None:
            return None
        v1, verb, v2, version = match.groups()
        route = ("v1", verb, v1, None) if v1 else ("v2", "predict", v2, version)
        if len(self._routes) < MOST_ROUTES:
            self._routes[path] = route
        return route

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Everything that is not inference: FastAPI answers; id, timing and the record are added here."""
        start = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        context = Context(id=request_id(given.decode("latin-1") if given else None), protocol="rest")
        context.verb = _verb(scope["path"])
        code: Code | None = None
        size = received = 0

        async def receiving() -> MutableMapping[str, Any]:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MANAGEMENT_BODY_BYTES:
                text = f"body: got more than the {MANAGEMENT_BODY_BYTES} bytes that this route takes"
                raise ModelServerError(text, code=Code.PAYLOAD_TOO_LARGE)
            return message

        async def sending(message: MutableMapping[str, Any]) -> None:
            nonlocal code, size
            if message["type"] == "http.response.start":
                code = _CODES.get(message["status"]) if message["status"] >= 400 else None
                context.predict = time.perf_counter() - start
                message["headers"] = [*message["headers"], *standard_headers(context, self._dataplane)]
            else:
                size += len(message.get("body", b""))
            await send(message)

        await self._rest(scope, receiving, sending)
        if not _PROBE.fullmatch(scope["path"]):
            for observer in self._observers:
                observer.started("")
                observer.finished(context, "", "", code, time.perf_counter() - start, received, size)


def _verb(path: str) -> str:
    """What a management route does, in one word, for logs and metrics."""
    last = path.rstrip("/").rpartition("/")[2]
    if last in _VERBS:
        return last
    return "metadata" if path.startswith(("/v1/models", "/v2/models", "/v2")) else "other"
