"""The FastAPI application behind the REST door: health, metadata, repository, metrics and the OpenAPI page."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from modelserver.engine.dataplane import DataPlane
from modelserver.errors import InvalidInput, ModelNotReady, ModelServerError, NotFound
from modelserver.protocols import v2_metadata
from modelserver.servers.openapi import openapi_document

#: Renders /metrics: Accept header -> body and content type.
MetricsPage = Callable[[str | None], Awaitable[tuple[bytes, str]]]


def rest_app(
    dataplane: DataPlane, metrics: MetricsPage, status_of: Callable[[ModelServerError], int], docs: bool
) -> FastAPI:
    """Everything that is not inference. ``docs`` turns on the page at ``/docs``, whose assets are local files."""
    app = FastAPIOffline(
        docs_url="/docs" if docs else None,
        redoc_url=None,
        static_url="/docs-assets",
        title="modelserver",
        version=dataplane.server_metadata().version,
        redirect_slashes=False,
    )
    app.include_router(_wrong_methods())
    app.include_router(_health(dataplane))
    app.include_router(_models(dataplane))
    app.include_router(_repository(dataplane))

    @app.get("/metrics", include_in_schema=False)
    async def metrics_page(request: Request) -> Response:
        body, content_type = await metrics(request.headers.get("accept"))
        return Response(body, headers={"content-type": content_type})

    async def failed(_: Request, exc: ModelServerError) -> JSONResponse:
        return JSONResponse({"error": exc.message}, status_of(exc), headers=exc.headers)

    async def refused(request: Request, exc: HTTPException) -> JSONResponse:
        reason = {404: f"no route {request.url.path}", 405: f"{request.method} is not a method of this route"}
        return JSONResponse({"error": reason.get(exc.status_code, exc.detail)}, exc.status_code, headers=exc.headers)

    app.add_exception_handler(ModelServerError, failed)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, refused)  # type: ignore[arg-type]
    app.openapi = lambda: openapi_document(app, dataplane)  # type: ignore[method-assign]
    return app


def _wrong_methods() -> APIRouter:
    """Inference takes POST alone, and the door answers that itself: any other method is told so."""
    router = APIRouter(include_in_schema=False)

    async def refuse() -> None:
        raise HTTPException(405, headers={"Allow": "POST"})

    for path in (
        "/v1/models/{model}:predict",
        "/v1/models/{model}:explain",
        "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer",
    ):
        router.add_api_route(path, refuse, methods=["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
    return router


def _health(dataplane: DataPlane) -> APIRouter:
    router = APIRouter(tags=["health"])

    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    async def live() -> dict[str, bool]:
        return {"live": dataplane.live()}

    async def ready() -> dict[str, bool]:
        dataplane.require_ready()
        return {"ready": True}

    for answer, paths in (
        (alive, ("/",)),
        (live, ("/v2/health/live", "/healthz", "/livez")),
        (ready, ("/v2/health/ready", "/readyz")),
    ):
        for path in paths:
            router.add_api_route(path, answer, methods=["GET"])
            router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
    return router


def _models(dataplane: DataPlane) -> APIRouter:
    router = APIRouter(tags=["models"])

    @router.get("/v1/models")
    async def v1_models() -> dict[str, list[str]]:
        return {"models": dataplane.models()}

    @router.get("/v1/models/{model}")
    async def v1_model(model: str) -> dict[str, Any]:
        return _ready_or_raise(dataplane, model)

    @router.get("/v2")
    async def server() -> dict[str, Any]:
        return v2_metadata.server_metadata(dataplane.server_metadata())

    @router.get("/v2/models")
    async def v2_models() -> dict[str, list[str]]:
        return {"models": dataplane.models()}

    @router.get("/v2/models/stats")
    async def all_statistics() -> dict[str, Any]:
        return v2_metadata.model_statistics(await dataplane.model_statistics())

    _add_versioned(router, dataplane)
    return router


def _add_versioned(router: APIRouter, dataplane: DataPlane) -> None:
    """The routes that exist for a model and for each version of it."""

    async def metadata(name: str, version: str | None) -> dict[str, Any]:
        return v2_metadata.model_metadata(dataplane.model_metadata(name, version))

    async def ready(name: str, version: str | None) -> dict[str, Any]:
        return _ready_or_raise(dataplane, name, version)

    async def config(name: str, version: str | None) -> dict[str, Any]:
        return v2_metadata.model_config(dataplane.model_metadata(name, version))

    async def stats(name: str, version: str | None) -> dict[str, Any]:
        return v2_metadata.model_statistics(await dataplane.model_statistics(name, version))

    def add(suffix: str, answer: Callable[[str, str | None], Awaitable[dict[str, Any]]]) -> None:
        async def latest(model: str) -> dict[str, Any]:
            return await answer(model, None)

        async def of_version(model: str, version: str) -> dict[str, Any]:
            return await answer(model, version)

        name = suffix.strip("/") or "metadata"
        router.add_api_route("/v2/models/{model}" + suffix, latest, name=name)
        router.add_api_route("/v2/models/{model}/versions/{version}" + suffix, of_version, name=f"{name}_of_version")

    for suffix, answer in (("", metadata), ("/ready", ready), ("/config", config), ("/stats", stats)):
        add(suffix, answer)


def _ready_or_raise(dataplane: DataPlane, name: str, version: str | None = None) -> dict[str, Any]:
    if not dataplane.model_ready(name, version):
        raise ModelNotReady(name, dataplane.why_model_not_ready(name, version))
    return {"name": name, "ready": True}


def _repository(dataplane: DataPlane) -> APIRouter:
    router = APIRouter(tags=["repository"])

    @router.post("/v2/repository/index")
    async def index(request: Request) -> list[dict[str, str]]:
        ready = (await _object(request)).get("ready", False)
        if type(ready) is not bool:
            raise InvalidInput(f"ready: got {ready!r}, expected a boolean")
        return v2_metadata.repository_index(dataplane.index(ready))

    @router.get("/v2/repository/index")
    async def index_by_get() -> list[dict[str, str]]:
        return v2_metadata.repository_index(dataplane.index())

    @router.post("/v2/repository/models/{model}/load")
    async def load(model: str, request: Request) -> dict[str, Any]:
        await _object(request)
        await dataplane.load(model)
        return {"name": model, "load": True}

    @router.post("/v2/repository/models/{model}/unload")
    async def unload(model: str, request: Request) -> dict[str, Any]:
        await _object(request)
        await dataplane.unload(model)
        return {"name": model, "unload": True}

    @router.post("/v2/repository/{repository}/{rest:path}", include_in_schema=False)
    async def other_repository(repository: str, rest: str) -> None:
        raise NotFound(f"no route /v2/repository/{repository}/{rest}")

    return router


async def _object(request: Request) -> dict[str, Any]:
    """The body as an object of parameters; an absent one is empty."""
    body = await request.body()
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("body: expected JSON or nothing") from exc
    if not isinstance(value, dict):
        raise InvalidInput("body: expected an object of parameters or nothing")
    return value
