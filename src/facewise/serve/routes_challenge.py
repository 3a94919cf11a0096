"""Routes of active liveness: a challenge, and the frames that answer it."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response

from facewise.analysis.challenge import ACTIONS, TURNS
from facewise.gallery.identification import embedding_of
from facewise.gallery.results import Identification
from facewise.presence import Presence, judge_presence
from facewise.serve import answers, params, schemas
from facewise.serve.challenges import SECONDS
from facewise.serve.people import Asked
from facewise.serve.routing import Call, Route, add
from facewise.serve.scopes import IDENTIFY
from facewise.serve.service import Service


def challenge_routes(service: Service) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1", tags=["liveness"])
    add(router, service, Route(
        "POST", "/challenge", "challenge.issue", IDENTIFY, "Ask somebody to show that they are there",
        schemas.ChallengeOut, 201, errors=(422,),
    ), _issue)  # fmt: skip
    add(router, service, Route(
        "POST", "/challenge/answer", "challenge.answer", IDENTIFY, "Did they, and who is it?",
        schemas.PresenceOut, photos={"frames": True}, params=params.AnswerParams,
        example={"challenge": "as issued"},
    ), _answer)  # fmt: skip
    return router


async def _issue(call: Call) -> Response:
    """What to do, in an order nobody can know before; to be answered once, within a minute, by this key."""
    kinds = TURNS if call.service.loaded.pipeline.landmarker is None else ACTIONS
    challenge = call.service.challenges.issue(call.client, kinds)
    return answers.answer(
        {
            "challenge": challenge.token,
            "actions": list(challenge.actions),
            "seconds": SECONDS,
            "most_frames": call.service.settings.limits.max_photos,
        },
        201,
    )


async def _answer(call: Call) -> Response:
    """Looks at the frames in their order; whoever passes is searched for by the best of them.

    Frames that were sent before are refused, whatever the challenge.
    """
    service, uploads = call.service, call.sent.photos["frames"]
    challenge = service.challenges.take(call.params.challenge, call.client, uploads)
    loaded = service.loaded
    pipeline = loaded.pipeline
    alive = None if pipeline.liveness is None else pipeline.liveness.calibration
    async with call.enter() as ticket:
        frames = await call.within(ticket, loaded.engine.many(uploads, ticket, main_only=True, mesh=True))
        if (bad := next((frame.error for frame in frames if frame.error is not None), None)) is not None:
            raise bad
        judged = partial(
            judge_presence, challenge.actions, frames, pipeline.embedder.calibration, liveness=alive
        )
        found: Presence = await call.within(ticket, service.run(judged))
        who: Identification | None = None
        if found.passed and found.face is not None:
            rows = embedding_of(found.face)[None]
            work = service.run(loaded.people.search, rows, Asked(), [found.face])
            who = (await call.within(ticket, work))[1][0]
    count = sum(len(frame.faces) for frame in frames)
    service.metrics.faces(count)
    person = None if who is None else answers.person_of(who)
    await call.record(photos=len(frames), faces=count, people=[] if person is None else [person])
    return answers.answer(answers.present(found, challenge.actions, who))
