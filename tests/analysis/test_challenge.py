"""What counts as following a challenge, on looks and on drawn people who turn their heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.analysis.challenge import ACTIONS, Action, Look, follow, look_of
from facewise.analysis.pose import FIVE_POINTS
from facewise.errors import SettingError
from facewise.types import Face, Mesh, Pose

REST = Look(0.0, 0.1, 0.05)
DOING: dict[Action, list[Look]] = {
    "turn left": [Look(math.radians(15), 0.1, 0.05), Look(math.radians(30), 0.1, 0.05)],
    "turn right": [Look(math.radians(-30), 0.1, 0.05)],
    "blink": [Look(0.0, 0.9, 0.05), Look(0.0, 0.8, 0.05)],
    "open mouth": [Look(0.0, 0.1, 0.3), Look(0.0, 0.1, 0.7)],
}


def doing(*actions: Action) -> list[Look | None]:
    return [REST, *(look for action in actions for look in (*DOING[action], REST))]


orders = st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=5)


@given(orders)
def test_doing_what_was_asked_passes(actions: list[Action]) -> None:
    found = follow(actions, doing(*actions))
    assert (found.passed, found.done, found.note) == (True, len(actions), "")
    assert [doing(*actions)[i] for i in found.rests] == [REST] * (len(actions) + 1)


@given(orders, orders)
def test_doing_anything_else_does_not(asked: list[Action], done: list[Action]) -> None:
    # Eyes shut by themselves are nobody's fault, so what differs is what else was done.
    if [a for a in asked if a != "blink"] != [a for a in done if a != "blink"]:
        assert not follow(asked, doing(*done)).passed


def test_what_is_wrong_is_told() -> None:
    asked: list[Action] = ["turn left", "open mouth"]
    assert follow(asked, doing("turn right")).note == "'turn left' was asked for, and 'turn right' was seen"
    assert follow(asked, doing("turn left")).note == "'open mouth' was not seen"
    assert "all had been done" in follow(asked, doing("turn left", "open mouth", "turn left")).note
    assert "at the end" in follow(asked, doing("turn left", "open mouth")[:-1]).note
    assert "never looked straight" in follow(asked, [None, *DOING["turn left"]]).note
    assert follow(asked, []).done == 0
    with pytest.raises(SettingError, match="dance"):
        follow(["dance"], [])  # type: ignore[list-item]


def test_a_short_blink_is_nobodys_answer_and_nobodys_fault() -> None:
    blink = Look(0.0, 0.9, 0.05)
    assert not follow(["blink"], [REST, blink, REST]).passed
    assert follow(["turn left"], [REST, blink, REST, *DOING["turn left"], REST, blink, REST]).passed


def test_a_turn_that_goes_on_is_one_turn() -> None:
    far = DOING["turn left"][-1]
    assert follow(["turn left"], [REST, far, None, far, far, REST]).passed
    assert follow(["turn left", "turn left"], [REST, far, far, REST]).done == 1


def test_eyes_and_mouths_are_told_from_their_own_rest() -> None:
    """Narrow eyes are not shut, and a mouth that stands open has not been opened."""
    narrow = Look(0.0, 0.4, 0.25)
    assert follow(["turn left"], [narrow, *DOING["turn left"], narrow]).passed
    assert not follow(["blink"], [narrow] * 6).passed
    assert follow(["blink"], [narrow, Look(0.0, 0.75, 0.25), Look(0.0, 0.8, 0.25), narrow]).passed


def test_a_mesh_tells_more_than_landmarks() -> None:
    shapes = {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.7, "jawOpen": 0.2}
    mesh = Mesh(np.zeros((478, 3), np.float32), 1.0, shapes, Pose(0.1, 0.0, 0.0), (0.1, 0.1))
    face = Face(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32), mesh=mesh)
    assert look_of(face) == Look(0.1, 0.7, 0.2)


def test_left_is_the_persons_own() -> None:
    """A head turned to its left looks to the image's right."""
    for degrees, shown in ((30, "turn left"), (-30, "turn right"), (5, None)):
        points = FIVE_POINTS @ Pose(math.radians(degrees), 0.0, 0.1).rotation.T
        face = Face(np.zeros(4, np.float32), 1.0, (points[:, :2] * 9 + 200).astype(np.float32))
        look = look_of(face)
        assert look is not None
        assert look.shows == shown
    assert look_of(Face(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32))) is None
