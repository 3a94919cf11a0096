"""Active liveness: somebody is asked to do a few things, in an order nobody can know before, and does them.

A printed photo turns no head, and a recording does not follow an order chosen when it is played. It does not
stop who can have a face drawn as it is asked for.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
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

DONE, UNDONE = 0.3, 0.15
"""How much farther than at their own widest eyes are shut, and than at its narrowest a mouth is open, from
which they are that, and up to which they are not: blendshapes of a laughing face start at 0.4."""

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
        shut: How far the eyes are shut, 0 to 1, the wider of the two; 0 where that is not known.
        mouth: How far the mouth is open, likewise.
    """

    yaw: float
    shut: float = 0.0
    mouth: float = 0.0

    @property
    def at_rest(self) -> bool:
        """Whether it does nothing that is ever asked for."""
        return abs(self.yaw) <= STRAIGHT and self.shut <= UNDONE and self.mouth <= UNDONE

    @property
    def shows(self) -> Action | None:
        """What it does of what may be asked for; None at rest, and between."""
        if abs(self.yaw) >= TURNED:
            return "turn left" if self.yaw > 0 else "turn right"
        if self.mouth >= DONE:
            return "open mouth"
        return "blink" if self.shut >= DONE else None


def look_of(face: Face) -> Look | None:
    """What a face shows: by its mesh, or where it has none, the turn alone by its five landmarks.

    None where these are none of a face.
    """
    if face.mesh is not None:
        shapes = face.mesh.blendshapes
        blinks = min(shapes.get("eyeBlinkLeft", 0.0), shapes.get("eyeBlinkRight", 0.0))
        return Look(face.mesh.pose.yaw, blinks, shapes.get("jawOpen", 0.0))
    try:
        return Look(pose_from_landmarks(face.landmarks).yaw)
    except SettingError:
        return None


def _as_changes(looks: Sequence[Look | None]) -> list[Look | None]:
    """Looks whose eyes and mouth are told from where those of this face are at rest."""
    straight = [look for look in looks if look is not None and abs(look.yaw) <= STRAIGHT]
    shut, mouth = (min((getattr(one, what) for one in straight), default=0.0) for what in ("shut", "mouth"))
    return [
        None if one is None else replace(one, shut=one.shut - shut, mouth=one.mouth - mouth) for one in looks
    ]


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
    for i, look in enumerate(_as_changes(looks)):
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
