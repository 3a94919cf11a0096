"""Active liveness: somebody is asked to do a few things, in an order nobody can know before, and does them.

A printed photo turns no head, and a recording does not follow an order chosen when it is played. It does not
stop who can have a face drawn as it is asked for.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from facewise.analysis.pose import pose_from_landmarks
from facewise.errors import SettingError
from facewise.types import Face

Action: TypeAlias = Literal["turn left", "turn right", "blink", "open mouth"]
"""Left and right are the person's own."""

ACTIONS: tuple[Action, ...] = get_args(Action)

TURNS: tuple[Action, ...] = ("turn left", "turn right")
"""What five landmarks tell; the others take a mesh."""

LENGTH = 3
"""Actions of a challenge: with two kinds one order in 8 is guessed right, with four one in 64."""

TURNED = math.radians(20.0)
STRAIGHT = math.radians(12.0)
"""From where a head is turned, and up to where it is not."""

SHUT, OPEN_EYES = 0.5, 0.35
GAPING, CLOSED_MOUTH = 0.4, 0.2
"""Blendshapes from which eyes are shut and a mouth is open, and up to which they are not."""

_BLINK = 2
"""Looks in a row with the eyes shut: at four a second longer than eyes blink by themselves."""


def random_actions(kinds: Sequence[Action] = TURNS) -> tuple[Action, ...]:
    """A challenge's actions, of these, in an order that nobody can know before."""
    return tuple(secrets.choice(kinds) for _ in range(LENGTH))


@dataclass(frozen=True, slots=True)
class Look:
    """What one frame shows of a face.

    Attributes:
        yaw: Radians, positive towards the image's right, which is the person's left.
        shut: How far the eyes are shut, 0 to 1, the wider of the two; None without a mesh.
        mouth: How far the mouth is open, likewise.
    """

    yaw: float
    shut: float | None = None
    mouth: float | None = None

    @property
    def at_rest(self) -> bool:
        """Whether it does nothing that is ever asked for."""
        shut, mouth = self.shut or 0.0, self.mouth or 0.0
        return abs(self.yaw) <= STRAIGHT and shut <= OPEN_EYES and mouth <= CLOSED_MOUTH

    @property
    def shows(self) -> Action | None:
        """What it does of what may be asked for; None at rest, and between."""
        if abs(self.yaw) >= TURNED:
            return "turn left" if self.yaw > 0 else "turn right"
        if self.mouth is not None and self.mouth >= GAPING:
            return "open mouth"
        return "blink" if self.shut is not None and self.shut >= SHUT else None


def look_of(face: Face) -> Look | None:
    """What a face shows, or None where its landmarks are none of a face."""
    try:
        return Look(pose_from_landmarks(face.landmarks).yaw)
    except SettingError:
        return None


@dataclass(frozen=True, slots=True)
class Followed:
    """What became of a challenge.

    Attributes:
        passed: Whether all was done, in order, and nothing else.
        done: How many of the actions were.
        note: What was missing or wrong, in words; empty where it passed.
        rests: Which of the looks were at rest: by these it can be told who it was all along.
        wrong: Whether something else was done, which no later look mends.
    """

    passed: bool
    done: int
    note: str
    rests: tuple[int, ...]
    wrong: bool = False


def follow(actions: Sequence[Action], looks: Sequence[Look | None]) -> Followed:
    """Whether looks at a face, in their order, do what was asked for.

    Before each action, and after the last, the face is at rest. Turning the other way or opening the mouth
    unasked is wrong, as a recording of all actions would do that; eyes shut by themselves are not.

    Args:
        actions: In order.
        looks: One a frame; None where no face was found.

    Raises:
        SettingError: There is no such action.
    """
    for action in actions:
        if action not in ACTIONS:
            raise SettingError(f"There is no action {action!r}; there are {', '.join(ACTIONS)}.")
    done, rested, shut = 0, False, 0
    rests: list[int] = []
    for i, look in enumerate(looks):
        if look is None:
            continue
        if look.at_rest:
            rested, shut = True, 0
            rests.append(i)
            continue
        shown = look.shows
        shut = shut + 1 if shown == "blink" else 0
        wanted = actions[done] if done < len(actions) else None
        if shown is None or not rested or (shown == "blink" and (shut < _BLINK or wanted != "blink")):
            continue
        if shown != wanted:
            asked = f"{wanted!r} was asked for" if wanted else "all had been done"
            return Followed(False, done, f"{asked}, and {shown!r} was seen", tuple(rests), wrong=True)
        done, rested = done + 1, False
    if done < len(actions):
        why = f"{actions[done]!r} was not seen" if rests else "the face never looked straight into the camera"
        return Followed(False, done, why, tuple(rests))
    if not rested:
        return Followed(
            False, done, "the face did not look straight into the camera at the end", tuple(rests)
        )
    return Followed(True, done, "", tuple(rests))
