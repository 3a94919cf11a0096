"""Routes about the service itself: models and report, whose key this is, health, metrics, audit log."""

from __future__ import annotations

from fastapi import APIRouter, Response

from facewise.serve import answers, params, schemas
from facewise.serve.errors import ProblemError
from facewise.serve.metrics import CONTENT_TYPE
from facewise.serve.page import FRAME_POLICY
from facewise.serve.routing import Call, Handler, Route, add
from facewise.serve.scopes import ADMIN, IDENTIFY
from facewise.serve.service import Service, detector_file


def about_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["service"])
    routes: list[tuple[Route, Handler]] = [
        (Route(
            "GET", "/models", "models", IDENTIFY, "The models in use, and how well they do",
            schemas.ModelsOut, errors=(422,),
        ), _models),
        (Route(
            "GET", "/report", "report", IDENTIFY, "The evaluation report of the model, as HTML",
            errors=(404, 422),
        ), _report),
        (Route(
            "GET", "/me", "me", None, "Whose key this is, and what it may do", schemas.MeOut, errors=(422,)
        ), _me),
        (Route(
            "GET", "/audit", "audit.read", ADMIN, "The newest entries of the audit log",
            schemas.AuditOut, query=params.AuditQuery, errors=(422,),
        ), _audit),
        (Route("GET", "/metrics", "metrics", ADMIN, "Metrics for Prometheus", errors=(422,)), _metrics),
        (Route(
            "GET", "/health", "health", None, "Is the service alive?", schemas.StatusOut, open=True
        ), _health),
        (Route(
            "GET", "/ready", "ready", None, "Does the service take requests?",
            schemas.StatusOut, errors=(503,), open=True,
        ), _ready),
    ]  # fmt: skip
    for route, handler in routes:
        add(router, service, route, handler)
    return router


async def _models(call: Call) -> Response:
    """With the thresholds that were measured, and on what."""
    pipeline = call.service.loaded.pipeline
    return answers.answer(answers.models(pipeline, detector_file(pipeline)))


async def _report(call: Call) -> Response:
    """For a frame without an origin of its own: it can reach neither the page nor the key."""
    if call.service.report is None:
        raise ProblemError(
            404, "no_report", "This service was started without an evaluation report (`--report FILE`)."
        )
    headers = {"Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return Response(call.service.report, media_type="text/html; charset=utf-8", headers=headers)


async def _me(call: Call) -> Response:
    """Any good key may ask."""
    key = call.key
    expires = None if key.expires is None else key.expires.strftime("%Y-%m-%dT%H:%M:%SZ")
    return answers.answer({"name": key.name, "scopes": list(key.scopes), "expires": expires})


async def _audit(call: Call) -> Response:
    """Who searched, enrolled and deleted; newest first; no photos, no names."""
    entries = await call.service.run(call.service.audit.newest, call.query.limit)
    await call.record(withheld=False)
    return answers.answer({"entries": entries})


async def _metrics(call: Call) -> Response:
    """Counts and seconds; nothing of people."""
    return Response(await call.service.run(call.service.metrics.text), media_type=CONTENT_TYPE)


async def _health(call: Call) -> Response:  # noqa: ARG001  every handler is called alike
    """Answers as soon as the process does."""
    return answers.answer({"status": "ok"})


async def _ready(call: Call) -> Response:
    """503 until models and gallery are loaded, and again while the service stops."""
    call.service.admission.refuse_if_stopping()
    _ = call.service.loaded
    return answers.answer({"status": "ready"})
