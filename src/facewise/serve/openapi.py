"""What OpenAPI says of each route: its body, its examples, and every way it can go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from facewise._version import __version__
from facewise.serve.errors import PROBLEM, problem_schema
from facewise.serve.params import NoParams, Params

_ERRORS = {
    400: "The request is malformed.",
    401: "There is no API key, or one that is not (or no longer) good.",
    403: "The key is good, but not for this.",
    404: "There is no such thing.",
    408: "The request came too slowly.",
    409: "Somebody has that name already.",
    413: "A photo or the whole request is too large, or there are too many photos.",
    415: "The body is neither a form nor JSON, or it is packed in another way than gzip.",
    422: "A field is missing, unknown or out of range, or a photo cannot be used.",
    429: "The key asks too fast, or all places are taken; `Retry-After` says when to ask again.",
    503: "The service is starting or stopping, or its gallery cannot be used now.",
    504: "It took longer than a request may take.",
    507: "The disk is full; everything stored before is as it was.",
}

ALWAYS = (400, 401, 403, 429, 503, 507)
BODY = (408, 413, 415, 422, 504)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
"""A PNG of one red pixel: an example that is an image, of nobody."""


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared errors of a route, for FastAPI's `responses`."""
    declared: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        body: dict[str, Any] = {
            "description": _ERRORS[status],
            "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in {429, 503}:
            body["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
        declared[status] = body
    return declared


def body(
    photo_fields: Mapping[str, bool], params: type[Params], example: Mapping[str, Any]
) -> dict[str, Any]:
    """A request's body, both ways it may come.

    Args:
        photo_fields: The fields that hold photos, and whether each may hold several.
        params: The other fields.
        example: Of those.
    """
    plain = params.model_json_schema(by_alias=True)
    fields, needed = plain.get("properties", {}), list(plain.get("required", []))
    if params is NoParams and not photo_fields:
        return {}
    photos = dict(photo_fields)
    as_json = {name: _several(_base64()) if many else _base64() for name, many in photos.items()}
    as_file = {name: _several(_file()) if many else _file() for name, many in photos.items()}
    given = {name: [PIXEL] if many else PIXEL for name, many in photos.items()}
    needed = [*photos, *needed]
    content: dict[str, Any] = {
        "application/json": {
            "schema": _object({**as_json, **fields}, needed),
            "example": {**given, **example},
        }
    }
    form = {"multipart/form-data": {"schema": _object({**as_file, **fields}, needed)}}
    return {"required": True, "content": {**form, **content} if photos else {**content, **form}}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": required, "additionalProperties": False,
    } if required else {
        "type": "object", "properties": properties, "additionalProperties": False,
    }  # fmt: skip


def _several(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1, "description": "Photos, each of one person."}


def _base64() -> dict[str, Any]:
    return {
        "type": "string", "contentEncoding": "base64", "minLength": 4,
        "description": "The bytes of an image file (JPEG, PNG, WebP, …) as base64; never a path or URL.",
    }  # fmt: skip


def _file() -> dict[str, Any]:
    return {
        "type": "string", "format": "binary", "contentMediaType": "application/octet-stream",
        "description": "An image file.",
    }  # fmt: skip


def query(params: type[Params]) -> list[dict[str, Any]]:
    """The parameters of a query string."""
    plain = params.model_json_schema()
    needed = set(plain.get("required", []))
    return [
        {
            "name": name,
            "in": "query",
            "required": name in needed,
            "description": schema.get("description", schema.get("title", name)),
            "schema": _without_null(schema),
        }
        for name, schema in plain.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter that may be left out is not null, it is not there."""
    if "anyOf" not in schema:
        return {k: v for k, v in schema.items() if k not in {"title", "description"}}
    return next(one for one in schema["anyOf"] if one.get("type") != "null")


def path_ids(path: str) -> list[dict[str, Any]]:
    """The numbers in a path."""
    told = {"person": "A person's number.", "sample": "A sample's number."}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": told[name],
            "schema": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
            "example": 1,
        }
        for name in told
        if f"{{{name}}}" in path
    ]


def describe(app: FastAPI, root_path: str = "") -> None:
    """Makes the app's OpenAPI hold the schemas and security schemes that its routes refer to.

    Args:
        app: The app.
        root_path: What stands before its paths for clients, such as `/faces`.
    """

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title="Facewise", version=__version__, routes=app.routes, openapi_version="3.1.0",
                description=app.description, servers=[{"url": root_path}] if root_path else None,
            )  # fmt: skip
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {})["Problem"] = problem_schema()
            parts["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, fw_…"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
