"""A challenge before a camera: a drawn person who does what is asked, and one who does not."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from facewise.analysis.challenge import Action, random_actions
from facewise.models.bundled import bundled_path
from facewise.pipeline import Pipeline
from facewise.video.challenge import challenge_camera

OTHER: dict[Action | None, Action | None] = {None: None, "turn left": "turn right", "turn right": "turn left"}


@pytest.fixture(scope="module")
def pictures() -> dict[Action | None, np.ndarray]:
    from facewise.data.synthetic import Person, View
    from facewise.data.synthetic.render import render

    view = replace(
        View.draw(9, 3, 1, size=240), yaw=0.0, pitch=0.0, roll=0.0, glasses="none", cover=0.0, blur=0.0
    )
    turns: dict[Action | None, float] = {None: 0.0, "turn left": 35.0, "turn right": -35.0}
    person = Person.draw(9, 3)
    return {
        action: render(person, replace(view, yaw=math.radians(degrees))).image
        for action, degrees in turns.items()
    }


@pytest.fixture(scope="module")
def bundled() -> Pipeline:
    detector, embedder = bundled_path("facewise-detect-s"), bundled_path("facewise-embed-s")
    if detector is None or embedder is None:
        pytest.skip("a package without bundled models")
    return Pipeline.load(detector, embedder, threads=1)


class Actor:
    """A camera before which somebody does what `doing` says."""

    def __init__(self, pictures) -> None:
        self.pictures = pictures
        self.doing: Action | None = None

    def isOpened(self) -> bool:  # noqa: N802  OpenCV's name
        return True

    def set(self, *_) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 10.0}.get(what, 0.0)

    def grab(self) -> bool:
        return True

    def retrieve(self):
        return True, np.ascontiguousarray(self.pictures[self.doing][..., ::-1])

    def release(self) -> None:
        pass


@pytest.fixture
def actor(monkeypatch: pytest.MonkeyPatch, pictures) -> Actor:
    before = Actor(pictures)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: before)
    return before


def clock():
    now = iter(range(10**6))
    return lambda: next(now) / 5


def test_who_does_as_asked_passes(actor: Actor, bundled: Pipeline) -> None:
    asked: list[Action | None] = []

    def ask(action: Action | None) -> None:
        asked.append(action)
        actor.doing = action

    actions: list[Action] = ["turn left", "turn right", "turn right"]
    found = challenge_camera(0, bundled, actions, ask, clock=clock())
    assert (found.passed, found.note) == (True, "")
    assert asked == [None, "turn left", None, "turn right", None, "turn right", None]
    assert found.face is not None
    assert found.face.embedding is not None


def test_who_does_the_opposite_or_nothing_does_not(actor: Actor, bundled: Pipeline) -> None:
    def other(action: Action | None) -> None:
        actor.doing = OTHER[action]

    found = challenge_camera(0, bundled, ["turn left"], other, clock=clock())
    assert "was asked for, and 'turn right' was seen" in found.note
    actor.doing = None
    found = challenge_camera(0, bundled, ["turn left"], lambda _: None, seconds=3.0, clock=clock())
    assert (found.passed, found.note) == (False, "'turn left' was not seen")


def test_orders_are_random() -> None:
    assert len({random_actions() for _ in range(200)}) == 8


def test_the_command_says_what_to_do_and_who_it_is(
    actor: Actor, bundled: Pipeline, pictures, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from typer.testing import CliRunner

    from facewise.cli import challenge as command
    from facewise.cli.app import app
    from facewise.gallery import Gallery

    with Gallery.open(tmp_path / "people.db", pipeline=bundled) as people:
        people.enroll("Ada", [pictures[None]], quality="off")
    actions = {words: action for action, words in command.PROMPTS.items()}

    def tell(words: str) -> None:
        if words in actions:
            actor.doing = actions[words]

    monkeypatch.setattr(command, "tell", tell)
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    options = [
        "challenge", "--gallery", str(tmp_path / "people.db"), "--threads", "1", "--threshold", "0.5",
    ]  # fmt: skip
    done = CliRunner().invoke(app, [*options, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["passed"], told["face"]["name"]) == (True, "Ada")
    monkeypatch.setattr(command, "tell", lambda _: None)
    actor.doing = None
    done = CliRunner().invoke(app, [*options, "--seconds", "1"])
    assert done.exit_code == 4, done.output
    assert "was not seen" in done.stdout
