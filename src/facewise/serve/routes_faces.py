"""Routes that look at photos: detect, embed, verify, identify, analyze, cluster."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import APIRouter, Response

from facewise.errors import SettingError
from facewise.gallery.cluster import cluster_faces
from facewise.gallery.identification import embedding_of, named_twice
from facewise.models import choose_decision, no_decision
from facewise.models.calibration import Calibration
from facewise.pipeline import PhotoFaces
from facewise.recognizer import compare_photos, no_face
from facewise.serve import answers, params, schemas
from facewise.serve.admission import Ticket
from facewise.serve.jobs import Found
from facewise.serve.people import Asked
from facewise.serve.routing import Call, Route, add
from facewise.serve.scopes import ANALYZE, IDENTIFY
from facewise.serve.scribe import Done
from facewise.serve.service import Service
from facewise.serve.uploads import Upload
from facewise.types import Face, FloatArray

_ONE = {"photo": False}

_NO_ATTRIBUTES = (
    "This service does not say what faces look like: whoever runs it starts it with --allow-attributes where "
    "that is lawful."
)


def face_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["photos"])
    add(router, service, Route(
        "POST", "/detect", "detect", IDENTIFY, "The faces of a photo",
        schemas.DetectOut, photos=_ONE,
    ), _detect)  # fmt: skip
    add(router, service, Route(
        "POST", "/embed", "embed", IDENTIFY, "The faces of a photo with their embeddings",
        schemas.EmbedOut, photos=_ONE, params=params.EmbedParams, example={"main_only": True},
    ), _embed)  # fmt: skip
    add(router, service, Route(
        "POST", "/verify", "verify", IDENTIFY, "Are two photos of the same person?",
        schemas.VerifyOut, photos={"a": False, "b": False}, params=params.VerifyParams,
        example={"fmr": 0.001},
    ), _verify)  # fmt: skip
    add(router, service, Route(
        "POST", "/identify", "identify", IDENTIFY, "Who is in a photo?",
        schemas.IdentifyOut, photos=_ONE, params=params.IdentifyParams,
        example={"top": 3, "scoring": "best"},
    ), _identify)  # fmt: skip
    add(router, service, Route(
        "POST", "/analyze", "analyze", ANALYZE, "What do the faces of a photo look like?",
        schemas.AnalyzeOut, photos=_ONE, params=params.AnalyzeParams,
        example={"attributes": ["age", "gender", "emotion"]},
        off="" if service.settings.attributes else _NO_ATTRIBUTES,
    ), _analyze)  # fmt: skip
    add(router, service, Route(
        "POST", "/cluster", "cluster", IDENTIFY, "Group the faces of many photos by person",
        schemas.ClusterOut, photos={"photos": True}, params=params.ClusterParams, example={"fmr": 0.001},
    ), _cluster)  # fmt: skip
    return router


async def _faces(call: Call, ticket: Ticket, upload: Upload, **how: Any) -> PhotoFaces:
    found = await call.service.loaded.engine.faces(upload, ticket, **how)
    call.service.metrics.faces(len(found.faces))
    return found


async def _detect(call: Call) -> Response:
    """Boxes, five landmarks and quality of every face, the main one first."""
    async with call.enter() as ticket:
        found = await call.within(ticket, _faces(call, ticket, call.photo("photo"), embed=False))
    await call.record(photos=1, faces=len(found.faces))
    return answers.answer(answers.detected(found))


async def _embed(call: Call) -> Response:
    """Embeddings of every face, or of the main one. They are as personal as the photo."""
    main_only = call.params.main_only
    async with call.enter() as ticket:
        found = await call.within(ticket, _faces(call, ticket, call.photo("photo"), main_only=main_only))
    await call.record(photos=1, faces=len(found.faces))
    return answers.answer(answers.embedded(found, call.service.loaded.pipeline))


async def _verify(call: Call) -> Response:
    """Compares the main faces of two photos, or all faces of one with all of the other."""
    asked = call.params
    calibration = call.service.loaded.pipeline.embedder.calibration
    choose_decision(calibration, fmr=asked.fmr, threshold=asked.threshold)  # before any work is done

    async def both(ticket: Ticket) -> tuple[PhotoFaces, PhotoFaces]:
        a, b = await asyncio.gather(_with_face(call, ticket, "a"), _with_face(call, ticket, "b"))
        return a, b

    async with call.enter() as ticket:
        photos = await call.within(ticket, both(ticket))
    result = compare_photos(*photos, calibration, fmr=asked.fmr, threshold=asked.threshold, prior=asked.prior)
    result = replace(result, note=result.note.replace("--threshold", "a threshold"))
    await call.record(photos=2, faces=sum(len(photo.faces) for photo in photos))
    return answers.answer(answers.verified(result))


async def _with_face(call: Call, ticket: Ticket, field: str) -> PhotoFaces:
    found = await _faces(call, ticket, call.photo(field), main_only=call.params.face == "main")
    if not found.faces:
        raise no_face(f"the photo {field}")
    return found


async def _identify(call: Call) -> Response:
    """Says who each face is, by a threshold that was measured, and how many strangers it would let pass."""
    given = call.params
    asked = Asked(
        given.fmr, given.fpir, given.threshold, given.scoring, given.top,
        None if given.groups is None else frozenset(given.groups),
    )  # fmt: skip
    engine = call.service.loaded.engine

    def note(found: Found, done: Done) -> None:
        people = [answers.person_of(one) for one in found[2]]
        known = [person for person in people if person is not None]
        call.service.scribe.write(call.entry(photos=1, faces=len(people), people=known), done)

    async with call.enter() as ticket:
        work = engine.search(call.photo("photo"), asked, ticket, note)
        found, searched, who = await call.within(ticket, work)
    call.service.metrics.faces(len(found.faces))
    twice = named_twice([one.name for one in who])
    faces = [answers.identified(*one) for one in zip(found.faces, who, twice, strict=True)]
    rule = searched.decision
    return answers.answer({
        "width": found.size[1],
        "height": found.size[0],
        "decision": answers.decision(rule),
        "note": _told(engine.pipeline.embedder.calibration) if rule is None else rule.source,
        "gallery": {"people": searched.people, "samples": searched.samples},
        "faces": faces,
    })  # fmt: skip


async def _analyze(call: Call) -> Response:
    """Age, gender, emotion, and race only where it is named: the look of a photo, not who somebody is."""
    model = call.service.loaded.pipeline.attributes
    asked = model.check(call.params.attributes)
    async with call.enter() as ticket:
        work = _faces(call, ticket, call.photo("photo"), embed=False, attributes=asked)
        found = await call.within(ticket, work)
    await call.record(photos=1, faces=len(found.faces))
    return answers.answer(answers.analyzed(found, asked, model))


def _told(calibration: Calibration | None) -> str:
    """Why nothing is decided, without the words of the command line."""
    return no_decision(calibration).replace("--threshold", "a threshold")


def _rows(faces: tuple[Face, ...], size: int) -> FloatArray:
    if not faces:
        return np.empty((0, size), dtype=np.float32)
    return np.stack([embedding_of(face) for face in faces])


async def _cluster(call: Call) -> Response:
    """Groups all faces of the photos by person; nothing is enrolled and nothing is kept."""
    loaded = call.service.loaded
    calibration = loaded.pipeline.embedder.calibration
    rule = choose_decision(calibration, fmr=call.params.fmr, threshold=call.params.threshold)
    if rule is None:
        raise SettingError(f"There is nothing to group by; {_told(calibration)}.")
    async with call.enter() as ticket:
        photos = await call.within(ticket, loaded.engine.many(call.sent.photos["photos"], ticket))
        places = [(p, f) for p, photo in enumerate(photos) for f in range(len(photo.faces))]
        faces = tuple(face for photo in photos for face in photo.faces)
        rows = _rows(faces, loaded.pipeline.embedder.embedding_size)
        qualities = [face.quality for face in faces]
        work = call.service.run(cluster_faces, rows, qualities, rule, calibration)
        labels, poor = await call.within(ticket, work)
    call.service.metrics.faces(len(faces))
    await call.record(photos=len(photos), faces=len(faces))
    return answers.answer({
        "groups": answers.grouped(labels.tolist(), places),
        "too_poor": [
            {"photo": places[i][0], "face": places[i][1], "reason": why} for i, why in poor.items()
        ],
        "photos": [
            {
                "index": i, "name": photo.source, "error": None if photo.error is None else str(photo.error),
                "faces": [answers.face(face) for face in photo.faces],
            }
            for i, photo in enumerate(photos)
        ],
        "method": "Chinese whispers on the graph of near faces",
        "threshold": rule.threshold,
        "fmr": rule.fmr,
    })  # fmt: skip
