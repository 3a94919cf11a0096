"""Routes of the gallery: people, their samples, and the photos kept with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from facewise.gallery.results import Enrollment, PersonDetail
from facewise.gallery.store import Change
from facewise.serve import answers, params, schemas
from facewise.serve.errors import ProblemError
from facewise.serve.people import ReadUpload
from facewise.serve.routing import Call, Handler, Route, add
from facewise.serve.scopes import ADMIN, ENROL
from facewise.serve.service import Service

_PHOTOS = {"photos": True}
_ENROLLING = (404, 409)


def people_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["people"])
    routes: list[tuple[Route, Handler]] = [
        (Route(
            "GET", "/people", "people.list", ENROL, "Who is in the gallery?",
            schemas.PeopleOut, query=params.PeopleQuery, errors=(422, 504),
        ), _list),
        (Route(
            "POST", "/people", "person.enrol", ENROL, "Enrol a new person",
            schemas.EnrolOut, 201, photos=_PHOTOS, params=params.EnrolParams,
            example={"name": "Ada", "groups": ["staff"]}, errors=(409,),
        ), _enrol),
        (Route(
            "GET", "/people/{person}", "person.show", ENROL, "One person with all samples",
            schemas.PersonDetailOut, errors=(404, 422, 504),
        ), _show),
        (Route(
            "PATCH", "/people/{person}", "person.change", ENROL, "Rename a person, or set their groups",
            schemas.PersonDetailOut, params=params.ChangeParams,
            example={"name": "Ada Lovelace", "groups": ["staff", "board"]}, errors=(404, 409),
        ), _change),
        (Route(
            "DELETE", "/people/{person}", "person.delete", ADMIN, "Delete a person and all kept of them",
            status=204, errors=(404, 422, 504),
        ), _delete),
        (Route(
            "POST", "/people/{person}/samples", "samples.add", ENROL, "Add photos to a person",
            schemas.EnrolOut, 201, photos=_PHOTOS, params=params.AddParams, errors=(404, 409),
        ), _add),
        (Route(
            "DELETE", "/people/{person}/samples/{sample}", "sample.delete", ADMIN, "Delete one sample",
            status=204, errors=(404, 422, 504),
        ), _delete_sample),
        (Route(
            "GET", "/people/{person}/samples/{sample}/photo", "sample.photo", ENROL,
            "The photo kept with a sample", errors=(404, 422, 504),
        ), _photo),
        (Route(
            "POST", "/people/{person}/merge", "person.merge", ADMIN, "Move all samples of one to another",
            schemas.MergeOut, params=params.MergeParams, example={"from": 2}, errors=(404, 409),
        ), _merge),
    ]  # fmt: skip
    for route, handler in routes:
        add(router, service, route, handler)
    return router


async def _list(call: Call) -> Response:
    """By name, a page at a time."""
    query, people = call.query, call.service.loaded.people
    async with call.enter() as ticket:
        listed = call.service.run(people.list, query.offset, query.limit, query.search, query.group)
        found, total = await call.within(ticket, listed)
    await call.record(people=[one.id for one in found])
    return answers.answer({"people": [answers.person(one) for one in found], "total": total})


async def _enrol(call: Call) -> Response:
    """Adds the main face of each photo, in one transaction: what is answered 201 is on disk."""
    given, people = call.params, call.service.loaded.people
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        photos = await _read(call, ticket)
        work = partial(people.enrol, given.name, given.groups, photos, given.quality)
        person, done = await call.change(ticket, work, partial(_stored, photos))
    return _enrolled(person, done)


async def _add(call: Call) -> Response:
    """Adds the main face of each photo to somebody who is there already."""
    number, people = call.number("person"), call.service.loaded.people
    await call.service.run(people.person, number)  # nobody there: said before any photo is looked at
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        photos = await _read(call, ticket)
        work = partial(people.add, number, photos, call.params.quality)
        person, done = await call.change(ticket, work, partial(_stored, photos))
    return _enrolled(person, done)


def _stored(photos: Sequence[ReadUpload], change: Change) -> Mapping[str, Any]:
    (added,) = change.added
    people = [] if added.person is None else [added.person]
    return {"people": people, "photos": len(photos), "samples": len(added.stored)}


async def _read(call: Call, ticket: object) -> list[ReadUpload]:
    uploads = call.sent.photos["photos"]
    found = await call.within(ticket, call.service.loaded.engine.many(uploads, ticket, mesh=True))  # type: ignore[arg-type]
    call.service.metrics.faces(sum(len(one.faces) for one in found))
    return [ReadUpload.of(upload, one) for upload, one in zip(uploads, found, strict=True)]


def _enrolled(person: PersonDetail, done: Enrollment) -> Response:
    response = answers.answer(answers.enrolled(person, done), 201)
    response.headers["Location"] = f"/v1/people/{person.id}"
    return response


async def _show(call: Call) -> Response:
    """Samples are told with their quality, oldest first."""
    async with call.enter() as ticket:
        work = call.service.run(call.service.loaded.people.person, call.number("person"))
        found = await call.within(ticket, work)
    await call.record(people=[found.id])
    return answers.answer(answers.detail(found))


async def _change(call: Call) -> Response:
    """What is left out stays as it is."""
    number, given = call.number("person"), call.params
    if given.name is None and given.groups is None:
        raise ProblemError(422, "bad_field", "There is nothing to change: give a name, groups, or both.")
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        work = partial(call.service.loaded.people.change, number, given.name, given.groups)
        found = await call.change(ticket, work, lambda _: {"people": [number]})
    return answers.answer(answers.detail(found))


async def _delete(call: Call) -> Response:
    """Embeddings and photos leave no bytes behind in the gallery's files."""
    number = call.number("person")
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        work = partial(call.service.loaded.people.remove, number)
        await call.change(ticket, work, lambda done: {"people": [number], "samples": len(done.gone)})
    return Response(status_code=204)


async def _delete_sample(call: Call) -> Response:
    """A person's last sample is refused: delete the person instead."""
    person, sample = call.number("person"), call.number("sample")
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        work = partial(call.service.loaded.people.remove_sample, person, sample)
        await call.change(ticket, work, lambda done: {"people": [person], "samples": len(done.gone)})
    return Response(status_code=204)


async def _photo(call: Call) -> Response:
    """A JPEG, where the service keeps photos."""
    person, sample = call.number("person"), call.number("sample")
    async with call.enter() as ticket:
        work = call.service.run(call.service.loaded.people.photo, person, sample)
        photo = await call.within(ticket, work)
    await call.record(people=[person], photos=1)
    return Response(photo, media_type="image/jpeg")


async def _merge(call: Call) -> Response:
    """The person in the path stays, with their name; the other is deleted."""
    into, from_ = call.number("person"), call.params.from_
    if into == from_:
        raise ProblemError(422, "bad_field", "A person cannot be merged with themselves.")
    await call.service.run(call.service.ready_to_change)
    async with call.enter() as ticket:
        work = partial(call.service.loaded.people.merge, into, from_)
        person, moved = await call.change(
            ticket, work, lambda done: {"people": [into, from_], "samples": done.moved}
        )
    return answers.answer({"person": answers.brief(person), "moved": moved})
