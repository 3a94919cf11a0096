"""The application: all routes, what every request passes through, and how errors leave."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from facewise._version import __version__
from facewise.errors import FacewiseError
from facewise.gallery import Gallery
from facewise.serve.errors import problem, told
from facewise.serve.middleware import Doorway
from facewise.serve.openapi import describe
from facewise.serve.page import page_router
from facewise.serve.routes_about import about_routes
from facewise.serve.routes_challenge import challenge_routes
from facewise.serve.routes_faces import face_routes
from facewise.serve.routes_people import people_routes
from facewise.serve.service import Service
from facewise.serve.settings import ServiceSettings

_LOG = logging.getLogger(__name__)

_TOLD = """Face recognition over HTTP.

Photos are sent as files of a form, or as base64 in JSON; a path or a URL is never opened. Every request needs
an API key (`Authorization: Bearer fw_…` or `X-API-Key: fw_…`) unless the service was started without keys.
Errors are `application/problem+json` with one plain sentence in `detail` and a word for programs in `code`.
"""

_STATUS = {
    404: ("not_found", "There is no such address here; /v1/openapi.json lists all there are."),
    405: ("wrong_method", "This address does not take that method; /v1/openapi.json says which it takes."),
}


def create_app(
    settings: ServiceSettings,
    *,
    gallery: Gallery | None = None,
    service: Service | None = None,
    on_failure: Callable[[Exception], None] | None = None,
    on_ready: Callable[[], None] | None = None,
) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: See there.
        gallery: One that is open already, with its pipeline; else the settings' is opened, and the models are
            loaded, when the server starts the application.
        service: One that was made already, instead.
        on_failure: Called when models or gallery cannot be loaded.
        on_ready: Called when they are.

    Raises:
        FacewiseError: The keys or the audit log cannot be opened, or the gallery does not fit its models.
    """
    service = service or Service(settings, gallery)
    app = FastAPI(
        title="Facewise", version=__version__, description=_TOLD,
        lifespan=_lifespan(service, on_failure, on_ready),
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.service = service
    for routes in (face_routes, challenge_routes, people_routes, about_routes):
        app.include_router(routes(service))
    limits = settings.limits
    app.include_router(
        page_router(
            auth=settings.auth, max_photos=limits.max_photos, max_bytes=limits.max_bytes,
            attributes=settings.attributes is not False, root_path=settings.root_path,
        )
    )  # fmt: skip
    describe(app, settings.root_path)
    _add_errors(app, service)

    document: list[bytes] = []
    making = asyncio.Lock()

    @app.get("/v1/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        async with making:  # it takes a quarter of a second, once
            if not document:
                document.append(await service.run(_document, app))
        return Response(document[0], media_type="application/json")

    app.add_middleware(Doorway, service=service)
    return app


def _document(app: FastAPI) -> bytes:
    return json.dumps(app.openapi(), ensure_ascii=False).encode()


def _lifespan(
    service: Service,
    on_failure: Callable[[Exception], None] | None,
    on_ready: Callable[[], None] | None,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(asyncio.to_thread(_load, service, on_failure, on_ready))
        try:
            yield
        finally:
            service.admission.stopping = True
            await loading
            await asyncio.to_thread(service.close)

    return lifespan


def _load(
    service: Service,
    on_failure: Callable[[Exception], None] | None,
    on_ready: Callable[[], None] | None,
) -> None:
    try:
        service.load()
    except Exception as error:
        if not isinstance(error, FacewiseError):
            _LOG.exception("The service could not be loaded.")
        if on_failure is None:
            raise
        on_failure(error)
    else:
        if on_ready is not None:
            on_ready()


def _add_errors(app: FastAPI, service: Service) -> None:
    async def on_facewise(_: Request, error: Exception) -> Response:
        found = told(error)
        if found is not error and found.status >= 500:
            _LOG.warning("%s", error)
        # Where the gallery's file lies is nobody's business but its owner's.
        detail = str(found)
        for place in service.places:
            detail = detail.replace(place, "the gallery")
        return problem(found.status, found.code, detail, found.headers)

    async def on_http(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        code, sentence = _STATUS.get(status, ("bad_request", "The request cannot be understood."))
        headers = error.headers if isinstance(error, HTTPException) else None
        return problem(status, code, sentence, headers)

    app.add_exception_handler(FacewiseError, on_facewise)
    app.add_exception_handler(HTTPException, on_http)
