"""Active liveness over HTTP: who turns as asked passes and is told, and nothing is taken twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from guarded import png

from facewise.analysis.pose import FIVE_POINTS
from facewise.gallery import Gallery
from facewise.models import Calibration, Threshold
from facewise.pipeline import Pipeline
from facewise.serve import schemas
from facewise.serve.app import create_app
from facewise.serve.challenges import Challenges
from facewise.serve.errors import ProblemError
from facewise.serve.settings import ServiceSettings
from facewise.types import Mesh, Pose

DEGREES = {"rest": 0, "turn left": 35, "turn right": -35}


class TurnedDetector:
    """The tiny detector; the landmarks are those of a head turned as the photo's first pixel says."""

    def __init__(self, inner) -> None:
        self._inner = inner

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def detect(self, photo, *, threads=None, **rest):
        degrees = (int(photo[0, 0, 0]) - 127) / 2
        turned = FIVE_POINTS @ Pose(math.radians(degrees), 0.0, 0.0).rotation.T
        faces = self._inner.detect(photo, threads=threads, **rest)
        return [
            replace(
                face,
                landmarks=(turned[:, :2] * face.width / 16 + (face.box[:2] + face.box[2:]) / 2).astype(
                    np.float32
                ),
            )
            for face in faces
        ]


class MarkedLandmarker:
    """Meshes of what the photo's second pixel says: eyes shut by red, mouth open by green."""

    def meshes(self, photo, faces, **_):
        shut, mouth = photo[0, 1, 0] / 255, photo[0, 1, 1] / 255
        shapes = {"eyeBlinkLeft": shut, "eyeBlinkRight": shut, "jawOpen": mouth}
        yaw = math.radians((int(photo[0, 0, 0]) - 127) / 2)
        points = np.zeros((478, 3), np.float32)
        return [Mesh(points, 1.0, shapes, Pose(yaw, 0.0, 0.0), (0.3, 0.3)) for _ in faces]


@pytest.fixture(params=[None, MarkedLandmarker()], ids=["landmarks", "mesh"])
def landmarker(request):
    return request.param


@pytest.fixture
def service(tmp_path, tiny_pipeline: Pipeline, monkeypatch, landmarker):
    from starlette.testclient import TestClient

    calibration = Calibration(
        "drawings", "by hand", "0" * 64, 100, 1000, False, "tiny", "0" * 64,
        (Threshold(1e-3, 0.8, 1e-3, 0.0, (0.0, 0.1)),),
    )  # fmt: skip
    monkeypatch.setattr(type(tiny_pipeline.embedder), "calibration", calibration)
    pipeline = Pipeline(
        TurnedDetector(tiny_pipeline.detector),
        tiny_pipeline.embedder,
        threads=2,
        any_way_up=False,
        landmarker=landmarker,
    )
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as gallery:
        app = create_app(
            ServiceSettings(gallery=str(tmp_path / "people.db"), auth=False, workers=2), gallery=gallery
        )
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as http:
            yield http
        app.state.service.close()


@pytest.fixture
def frame(drawn_photo) -> Callable[..., bytes]:
    """`frame(person, "turn left")`: another one each time, as of a camera."""
    count = iter(range(10_000))

    def make(who: int | None = 1, doing: str = "rest") -> bytes:
        i = next(count)
        photo = drawn_photo([] if who is None else [(150 + i % 7, 118, 70, who)])
        photo[-1, -1] = i % 256, i // 256, 0  # no two frames of a camera are the same
        photo[0, 0] = 127 + 2 * DEGREES.get(doing, 0)
        photo[0, 1] = 200 * (doing == "blink"), 200 * (doing == "open mouth"), 0
        return png(photo)

    return make


def answer(http, challenge: str, frames: list[bytes]):
    files = [("frames", (f"{i}.png", data, "image/png")) for i, data in enumerate(frames)]
    return http.post("/v1/challenge/answer", data={"challenge": challenge}, files=files)


def issued(http) -> dict:
    told = http.post("/v1/challenge")
    assert told.status_code == 201
    assert schemas.ChallengeOut.model_validate(told.json())
    return told.json()


def doing(frame, actions: list[str], who: int = 1) -> list[bytes]:
    return [
        frame(who),
        *(data for action in actions for data in (frame(who, action), frame(who, action), frame(who))),
    ]


def passes(http, frame, **how) -> dict:
    asked = issued(http)
    told = answer(http, asked["challenge"], doing(frame, asked["actions"], **how))
    assert told.status_code == 200, told.text
    assert schemas.PresenceOut.model_validate(told.json())
    return told.json()


def test_who_does_as_asked_passes_and_is_named(service, frame) -> None:
    stranger = passes(service, frame)
    assert (stranger["passed"], stranger["note"], stranger["done"]) == (True, "", 3)
    assert (stranger["face"]["name"], stranger["face"]["decided"]) == (None, True)  # nobody is there yet
    enrolled = service.post(
        "/v1/people", data={"name": "Ada"}, files=[("photos", ("a.png", frame(1), "image/png"))]
    )
    assert enrolled.status_code == 201, enrolled.text
    known = passes(service, frame)
    assert (known["face"]["name"], known["face"]["person"]) == ("Ada", enrolled.json()["person"]["id"])
    assert known["frame"] is not None
    assert known["liveness"] is None


def test_a_challenge_is_answered_once(service, frame) -> None:
    asked = issued(service)
    assert answer(service, asked["challenge"], doing(frame, asked["actions"])).status_code == 200
    again = answer(service, asked["challenge"], doing(frame, asked["actions"]))
    assert (again.status_code, again.json()["code"]) == (422, "no_challenge")
    assert answer(service, "made up", [frame()]).json()["code"] == "no_challenge"


def test_frames_that_were_sent_before_are_refused(service, frame) -> None:
    while True:  # until the same is asked for twice
        first, second = issued(service), issued(service)
        if first["actions"] == second["actions"]:
            break
        for one in (first, second):
            answer(service, one["challenge"], [frame()])
    frames = doing(frame, first["actions"])
    assert answer(service, first["challenge"], frames).json()["passed"] is True
    replayed = answer(service, second["challenge"], frames)
    assert (replayed.status_code, replayed.json()["code"]) == (422, "replayed")
    # And the challenge is gone with it.
    assert answer(service, second["challenge"], doing(frame, second["actions"])).status_code == 422
    # A slow camera may give a frame twice.
    asked = issued(service)
    twice = [data for data in doing(frame, asked["actions"]) for _ in range(2)]
    assert answer(service, asked["challenge"], twice).json()["passed"] is True


def test_a_photo_held_still_and_another_order_do_not_pass(service, frame) -> None:
    asked = issued(service)
    still = answer(service, asked["challenge"], [frame() for _ in range(8)]).json()
    assert (still["passed"], still["done"], still["face"]) == (False, 0, None)
    assert "was not seen" in still["note"]
    asked = issued(service)
    other = ["turn left" if action != "turn left" else "turn right" for action in asked["actions"]]
    wrong = answer(service, asked["challenge"], doing(frame, other)).json()
    assert (wrong["passed"], wrong["done"]) == (False, 0)
    assert "was asked for, and" in wrong["note"]


def test_nobody_may_take_anothers_place(service, frame) -> None:
    asked = issued(service)
    frames = doing(frame, asked["actions"], who=1)
    frames[-1] = frame(5)
    told = answer(service, asked["challenge"], frames).json()
    assert (told["passed"], told["done"]) == (False, 3)
    assert "same person" in told["note"]
    asked = issued(service)
    nobody = answer(service, asked["challenge"], [frame(None) for _ in range(4)]).json()
    assert (nobody["passed"], nobody["frame"]) == (False, None)
    assert "never looked straight" in nobody["note"]


def test_bad_frames_are_refused_in_a_sentence(service, frame) -> None:
    asked = issued(service)
    bad = answer(service, asked["challenge"], [frame(), b"no photo at all"])
    assert (bad.status_code, bad.json()["code"]) == (422, "bad_photo")
    without = service.post("/v1/challenge/answer", json={"challenge": "x", "frames": []})
    assert without.json()["code"] == "bad_field"
    too_many = answer(service, issued(service)["challenge"], [b"x"] * 51)
    assert too_many.status_code == 413


# Challenges by themselves


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def code(problem: pytest.ExceptionInfo[ProblemError]) -> str:
    return problem.value.code


def test_a_challenge_is_of_one_key_and_of_one_minute() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    mine = challenges.issue(1, ["turn left", "turn right"])
    assert len(mine.actions) == 3
    with pytest.raises(ProblemError) as problem:
        challenges.take(mine.token, 2, [b"a"])
    assert code(problem) == "no_challenge"
    assert challenges.take(mine.token, 1, [b"a"]) == mine
    late = challenges.issue(1, ["turn left"])
    clock.now += 60.0
    with pytest.raises(ProblemError) as problem:
        challenges.take(late.token, 1, [b"b"])
    assert code(problem) == "no_challenge"


def test_frames_are_remembered_long_after_their_challenge() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    challenges.take(challenges.issue(1, ["turn left"]).token, 1, [b"a", b"b"])
    clock.now += 3599.0
    for client in (1, 2):  # whoever sends them
        with pytest.raises(ProblemError) as problem:
            challenges.take(challenges.issue(client, ["turn left"]).token, client, [b"c", b"b"])
        assert code(problem) == "replayed"
    clock.now += 3601.0
    challenges.take(challenges.issue(1, ["turn left"]).token, 1, [b"a"])


def test_nobody_hoards_challenges() -> None:
    clock = Clock()
    challenges = Challenges(clock)
    for _ in range(20):
        challenges.issue(1, ["turn left"])
    with pytest.raises(ProblemError) as problem:
        challenges.issue(1, ["turn left"])
    assert (problem.value.status, code(problem)) == (429, "too_many_challenges")
    challenges.issue(2, ["turn left"])
    clock.now += 61.0
    challenges.issue(1, ["turn left"])


def test_orders_cannot_be_foreseen() -> None:
    challenges = Challenges()
    orders = {challenges.issue(client, ["turn left", "turn right"]).actions for client in range(200)}
    assert len(orders) == 8
