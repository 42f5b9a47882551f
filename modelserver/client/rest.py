"""``RestClient``: a model on another server, over v1 or v2 REST."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import quote

import httpx

from modelserver.errors import DeadlineExceeded, InvalidInput, ModelServerError, Unavailable
from modelserver.messages import InferRequest, InferResponse
from modelserver.metadata import ModelMetadata, TensorMetadata
from modelserver.protocols import jsonlib, v1, v2_rest
from modelserver.protocols.codec import Wire

RestProtocol: TypeAlias = Literal["v1", "v2", "v2-binary"]


class RestClient:
    """An async client of ``base_url`` (scheme, host, and a path before the protocol's own where there is one).

    ``timeout`` in seconds bounds every call; a request's own deadline bounds it further. ``headers`` go
    with every request. Use it as an async context manager or call ``close``.

    Errors of the server are ``ModelServerError`` with its status and text; no connection is ``Unavailable`` and no
    answer in time ``DeadlineExceeded``, neither of which names the URL: a transformer passes them on to its clients.

    >>> async def ask() -> None:
    ...     async with RestClient("http://localhost:8080", "v2") as client:
    ...         response = await client.infer(InferRequest("iris", [Tensor("x", [[1.0, 2.0]])]))
    """

    def __init__(
        self,
        base_url: str,
        protocol: RestProtocol = "v1",
        *,
        timeout: float | None = 60.0,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError(f"base_url: got {base_url!r}, expected http://host or https://host")
        self._base = str(url).rstrip("/")
        self._protocol = protocol
        self._timeout = timeout
        # Without it httpx adds a */* and a user agent of its own, which is fine; redirects are not followed.
        self._http = httpx.AsyncClient(headers=dict(headers or {}), timeout=timeout, transport=transport)

    async def infer(self, request: InferRequest, headers: Mapping[str, str] | None = None) -> InferResponse:
        """Answer one request.

        Its context gives the verb (v1's explain), the deadline and the request id, and takes the answer's headers.
        """
        if self._protocol == "v1":
            wire = v1.encode_request(request)
            verb = request.context.verb
            path = f"/v1/models/{quote(request.model_name, safe='')}:{verb}"
        else:
            wire = v2_rest.encode_request(request, self._protocol == "v2-binary")
            path = _model_path(request.model_name, request.model_version) + "/infer"
        sent = {**wire.headers, **(headers or {})}
        if request.context.id:
            sent.setdefault("x-request-id", request.context.id)
        reply = await self._call("POST", path, Wire(wire.body, sent), request.context.deadline)
        request.context.response_headers.update(reply.headers)
        try:
            if self._protocol == "v1":
                response = v1.decode_response(reply.content)
            else:
                length = v2_rest.parse_header_length(reply.headers.get(v2_rest.HEADER_LENGTH))
                response = v2_rest.decode_response(reply.content, length)
        except InvalidInput as exc:  # the mistake is the server's, not this client's caller's
            raise ModelServerError(f"the server's answer cannot be read: {exc.message}") from exc
        response.model_name = response.model_name or request.model_name
        return response

    async def model_metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """What the model declares (v2's route, whatever the protocol); ``ModelServerError`` with NOT_FOUND."""
        reply = await self._call("GET", _model_path(name, version))
        message = _object(reply)
        return ModelMetadata(
            name=str(message.get("name", name)),
            versions=tuple(map(str, message.get("versions") or ())),
            platform=str(message.get("platform") or ""),
            inputs=_tensor_metadata(message.get("inputs")),
            outputs=_tensor_metadata(message.get("outputs")),
        )

    async def ready(self) -> bool:
        """Whether the server says that it is ready; ``Unavailable`` when it cannot be reached at all."""
        return (await self._send("GET", "/v2/health/ready", None, None)).is_success

    async def model_ready(self, name: str, version: str | None = None) -> bool:
        """Whether this model can serve; ``ModelServerError`` with NOT_FOUND when there is none."""
        path = f"/v1/models/{quote(name, safe='')}" if self._protocol == "v1" else _model_path(name, version) + "/ready"
        reply = await self._send("GET", path, None, None)
        if reply.status_code == 503:
            return False
        return _object(_checked(reply)).get("ready", True) in (True, "true", "True")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(
        self, method: str, path: str, wire: Wire | None = None, deadline: float | None = None
    ) -> httpx.Response:
        return _checked(await self._send(method, path, wire, deadline))

    async def _send(self, method: str, path: str, wire: Wire | None, deadline: float | None) -> httpx.Response:
        timeout = self._timeout
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded("the deadline passed before the request was sent")
            timeout = left if timeout is None else min(left, timeout)
        try:
            return await self._http.request(
                method,
                self._base + path,
                content=None if wire is None else wire.body,
                headers=None if wire is None else wire.headers,
                timeout=timeout,
            )
        except httpx.TimeoutException as exc:
            raise DeadlineExceeded(f"no answer within {timeout:g} s") from exc
        except httpx.TransportError as exc:
            raise Unavailable(f"no connection to the server: {exc}") from exc


def _model_path(name: str, version: str | None) -> str:
    path = f"/v2/models/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{quote(version, safe='')}"


def _checked(reply: httpx.Response) -> httpx.Response:
    """The reply when it is a success, else its error."""
    if reply.is_success:
        return reply
    if reply.status_code < 400:
        raise ModelServerError(f"the server answered {reply.status_code}, expected 200")
    after = reply.headers.get("retry-after", "")
    raise ModelServerError(
        _error_text(reply), status=min(reply.status_code, 599), retry_after=float(after) if after.isdigit() else None
    )


def _error_text(reply: httpx.Response) -> str:
    """The text of ``{"error": text}``; of anything else (a proxy's page) the first line and the status."""
    try:
        message = jsonlib.loads(reply.content)
    except InvalidInput:
        message = None
    if isinstance(message, dict) and isinstance(message.get("error"), str):
        return str(message["error"])
    first = reply.text.strip().partition("\n")[0][:200]
    return f"HTTP {reply.status_code} {reply.reason_phrase}" + (f": {first}" if first else "")


def _object(reply: httpx.Response) -> dict[str, Any]:
    try:
        message = jsonlib.loads(reply.content)
    except InvalidInput as exc:
        raise ModelServerError(f"the server's answer cannot be read: {exc.message}") from exc
    if not isinstance(message, dict):
        raise ModelServerError("the server's answer cannot be read: expected a JSON object")
    return message


def _tensor_metadata(entries: object) -> tuple[TensorMetadata, ...]:
    if not isinstance(entries, list):
        return ()
    try:
        return tuple(TensorMetadata(e["name"], e["datatype"], [int(size) for size in e["shape"]]) for e in entries)
    except (KeyError, TypeError, ValueError) as exc:
        raise ModelServerError("the server's metadata cannot be read: expected name, datatype and shape") from exc
