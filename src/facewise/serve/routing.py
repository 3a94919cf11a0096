"""What all routes share: who asks is checked first, then the body is read, then a place to work is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Scope

from facewise.errors import FacewiseError
from facewise.gallery.store import Change
from facewise.serve import openapi
from facewise.serve.admission import Ticket
from facewise.serve.audit import Line
from facewise.serve.bodies import read_body
from facewise.serve.changing import Undertaking
from facewise.serve.errors import ProblemError
from facewise.serve.gate import ANYBODY, bearer
from facewise.serve.keys import KeyInfo
from facewise.serve.memory import LARGE
from facewise.serve.params import NoParams, NoQuery, Params, checked, checked_query
from facewise.serve.ratelimit import neighbourhood
from facewise.serve.service import Service
from facewise.serve.uploads import Sent, Upload, copies, most_bytes, parse

_LOG = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Route:
    """What is declared of a route.

    Attributes:
        method: As in HTTP.
        path: With `{person}` and `{sample}` for numbers.
        action: What the audit log calls it.
        scope: What the key needs; None where any key will do.
        summary: One line, for OpenAPI.
        answer: The model of what it answers; None where that is no JSON.
        status: Of a good answer.
        photos: Fields with photos, and whether each may hold several.
        params: Other fields of the body.
        query: Of the query string.
        example: Of the other fields of the body.
        errors: Statuses it may answer beside those that every route may.
        open: Whether it needs no key at all.
        off: Why this service refuses it, in a sentence for whoever has a key; empty where it does not.
        body: Whether it has a body.
    """

    method: str
    path: str
    action: str
    scope: str | None
    summary: str
    answer: type[BaseModel] | None = None
    status: int = 200
    photos: Mapping[str, bool] | None = None
    params: type[Params] = NoParams
    query: type[Params] = NoQuery
    example: Mapping[str, Any] | None = None
    errors: tuple[int, ...] = ()
    open: bool = False
    off: str = ""

    @property
    def body(self) -> bool:
        """Whether it has a body."""
        return self.photos is not None or self.params is not NoParams


@dataclass(slots=True)
class Call:
    """One request whose key is good and whose body is there.

    Attributes:
        service: The service.
        request: As it came.
        key: Whose it is.
        sent: Its body.
        params: Its checked parameters, of the body.
        query: Those of the query string.
        route: What was declared.
        recorded: Whether how it ends is on record, or is seen to by a thread.
    """

    service: Service
    request: Request
    key: KeyInfo
    sent: Sent
    params: Any
    query: Any
    route: Route
    recorded: bool = False

    @property
    def address(self) -> str:
        """Where it comes from."""
        return client_of(self.request.scope)

    @property
    def client(self) -> Hashable:
        """Whose work this is: the key's, or the address's where no keys are asked for."""
        return client_name(self.service, self.key, self.request.scope)

    def number(self, name: str) -> int:
        """A number in the path; one that nobody can have is not found.

        Raises:
            ProblemError: It is none.
        """
        text = self.request.path_params[name]
        if text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) < 2**63:
            return int(text)
        raise ProblemError(404, "not_found", f"There is no {name} of that number.")

    def photo(self, field: str) -> Upload:
        """The one photo of a field."""
        return self.sent.photos[field][0]

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[Ticket]:
        """A place to work, for as long as the client is there."""
        async with self.service.admission.enter(self.client) as ticket:
            watch = asyncio.create_task(self._watch(ticket))
            try:
                yield ticket
            finally:
                watch.cancel()

    async def _watch(self, ticket: Ticket) -> None:
        """What nobody has begun yet is left alone once the client has gone."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        ticket.gone = True

    async def within(self, ticket: Ticket, work: Awaitable[_Result], *, done: bool = False) -> _Result:
        """See `Admission.within`."""
        return await self.service.admission.within(ticket, work, done=done)

    async def change(
        self,
        ticket: Ticket,
        work: Callable[[], _Result],
        facts: Callable[[Change], Mapping[str, Any]],
    ) -> _Result:
        """Makes a change of the gallery, which is recorded with it, within the ticket's time or after it.

        Args:
            ticket: Of the request.
            work: Makes the change, by one transaction.
            facts: What to record of it, as of `AuditLog.line`.

        Raises:
            FacewiseError: Whatever the work raises; the time is up (the change may still be made).
        """
        service, key, action = self.service, self.key.id, self.route.action

        def tell(change: Change) -> str:
            return service.audit.note(key, action, address=self.address, **facts(change))

        def failed(error: Exception) -> None:
            line = service.failed(key, action, error, self.address)
            if line is not None:
                try:
                    service.audit.write([line])
                except FacewiseError as unwritten:
                    _LOG.warning("%s", unwritten)

        job = service.begin(Undertaking(service, work, tell, failed).run)
        try:
            return await self.within(ticket, asyncio.wrap_future(job), done=True)
        except BaseException:
            self.recorded = not job.cancel()
            raise

    def entry(self, **facts: Any) -> Line:
        """An entry of the audit log on this request; facts as of `AuditLog.line`."""
        return self.service.audit.line(self.key.id, self.route.action, address=self.address, **facts)

    async def record(self, *, withheld: bool = True, **facts: Any) -> None:
        """Writes what was looked at to the audit log, before the answer goes out.

        Args:
            withheld: Whether the answer is withheld where the log cannot be written.
            facts: See `AuditLog.line`.

        Raises:
            FacewiseError: The log cannot be written.
        """
        try:
            await self.service.scribe.record(self.entry(**facts))
        except FacewiseError as error:
            if withheld:
                raise
            _LOG.warning("%s", error)


Handler = Callable[[Call], Awaitable[Response]]


def add(router: APIRouter, service: Service, route: Route, handler: Handler) -> None:
    """Puts a route into the app, and into its OpenAPI."""

    async def endpoint(request: Request) -> Response:
        return await _serve(service, route, handler, request)

    endpoint.__doc__ = handler.__doc__
    extra: dict[str, Any] = {}
    if route.body:
        extra["requestBody"] = openapi.body(route.photos or {}, route.params, route.example or {})
    if parameters := [*openapi.path_ids(route.path), *openapi.query(route.query)]:
        extra["parameters"] = parameters
    extra["security"] = [] if route.open or not service.settings.auth else [{"bearer": []}, {"key": []}]
    statuses = {400} if route.open else {*openapi.ALWAYS, *(openapi.BODY if route.body else ())}
    router.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        status_code=route.status,
        summary=route.summary,
        operation_id=route.action.replace(".", "_"),
        response_model=route.answer,
        response_class=Response if route.answer is None else _Json,
        responses=openapi.errors(*sorted(statuses | set(route.errors))),
        openapi_extra=extra,
    )


class _Json(JSONResponse):
    """Says so in OpenAPI; a plain `Response` would be declared as a text, whatever its model."""


def client_of(scope: Scope) -> str:
    """The address that a request comes from."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def client_name(service: Service, key: KeyInfo, scope: Scope) -> Hashable:
    """Whom a request's work is counted for: its key, or its address where no keys are asked for."""
    return neighbourhood(client_of(scope)) if service.keys is None else key.id


async def _serve(service: Service, route: Route, handler: Handler, request: Request) -> Response:
    if route.open:
        return await handler(Call(service, request, _NOBODY, Sent(), None, None, route))
    service.admission.refuse_if_stopping()
    address = client_of(request.scope)
    text = bearer(request.headers.get("authorization"), request.headers.get("x-api-key"))
    key = await _admitted(service, route, text, address)
    request.scope["facewise.key"] = key.id
    request.scope["facewise.admitted"]()
    query = checked_query(route.query, request.query_params)
    client = client_name(service, key, request.scope)
    with service.buffered.share(client) as share:
        sent, params = Sent(), None
        if route.body:
            limits = service.settings.limits
            content_type = request.headers.get("content-type", "")
            body = await read_body(request, limits, share, most_bytes(route.photos or {}, limits))
            if len(body) > _SMALL:
                share.take(copies(body, content_type) * len(body), alone=True)
            sent = await _parsed(service, body, content_type, route, str(client))
            del body
            share.keep(_SMALL + sum(len(photo) for photos in sent.photos.values() for photo in photos))
            params = checked(route.params, sent)
        call = Call(service, request, key, sent, params, query, route)
        try:
            if route.off:
                raise ProblemError(403, "switched_off", route.off)
            return await handler(call)
        except FacewiseError as error:
            await _record_failure(call, error)
            raise


async def _admitted(service: Service, route: Route, text: str | None, address: str) -> KeyInfo:
    if service.known is None:
        return service.gate.admit(None, None, address)
    key = service.known.look_up(text, route.scope)
    if key is None:
        key = await service.run(service.gate.admit, text, route.scope, address, route.action)
        service.known.remember(text)
    return key


_SMALL = 512 * 2**10
"""Bodies up to so many bytes are taken apart on the event loop: a thread costs more than that takes."""


async def _parsed(service: Service, body: bytes, content_type: str, route: Route, client: str) -> Sent:
    limits, photos = service.settings.limits, route.photos or {}
    if len(body) <= _SMALL:
        return parse(body, content_type, photos, limits)
    if len(body) < LARGE:
        return await service.run(parse, body, content_type, photos, limits)
    # One at a time, clients in turns: each holds Python's lock for a tenth of a second.
    async with service.parsing.of(client), service.one_parses:
        return await service.run(parse, body, content_type, photos, limits)


async def _record_failure(call: Call, error: FacewiseError) -> None:
    """What was asked for and not done is recorded too, except where the log itself is what failed."""
    if call.recorded or call.route.action in _UNRECORDED:
        return
    line = call.service.failed(call.key.id, call.route.action, error, call.address)
    if line is not None:
        await call.service.scribe.record(line)


_UNRECORDED = {"models", "report", "me", "metrics", "challenge.issue"}
"""What tells nothing of anybody."""

_NOBODY = replace(ANYBODY, name="nobody", scopes=())
