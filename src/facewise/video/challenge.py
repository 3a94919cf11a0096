"""A challenge of active liveness before a camera of this machine, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from facewise.analysis.challenge import Action, follow, look_of
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.presence import Presence, judge_presence
from facewise.video.reader import Camera

SECONDS = 30.0
"""To do everything that is asked."""

LOOKS_A_SECOND = 6.0


def challenge_camera(
    number: int,
    pipeline: Pipeline,
    actions: Sequence[Action],
    ask: Callable[[Action | None], None],
    *,
    seconds: float = SECONDS,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> Presence:
    """Asks for one action after the other, each when the one before was seen, and says whether all were done.

    Args:
        number: Which camera, from 0.
        pipeline: Finds and embeds faces, and where it has networks for that, says whether they look live.
        actions: What to ask for.
        ask: Told what to do next; None is to look straight into the camera.
        seconds: After which it is over.
        stop: Asked at each frame.
        clock: Seconds that never go back.

    Raises:
        ImageError: The camera cannot be opened.
        SettingError: There is no such action.
    """
    follow(actions, ())  # refused before anybody is asked to do it
    reader, frames, due = pipeline.upright_only(), list[PhotoFaces](), 0.0
    with Camera(number, clock=clock) as camera:
        ask(None)
        looks, done, resting = [], 0, True
        for stamp in camera.stamps():
            if stamp.seconds >= seconds or stop():
                break
            if stamp.seconds < due:
                continue
            due = stamp.seconds + 1 / LOOKS_A_SECOND
            frames.append(reader.read(camera.image(), Steps(main_only=True)))
            looks.append(look_of(frames[-1].faces[0]) if frames[-1].faces else None)
            found = follow(actions, looks)
            if found.passed or found.wrong:
                break
            if found.done > done:
                done, resting = found.done, True
                ask(None)
            elif resting and found.rests and found.rests[-1] == len(looks) - 1 and done < len(actions):
                resting = False
                ask(actions[done])
    alive = None if pipeline.liveness is None else pipeline.liveness.calibration
    return judge_presence(actions, frames, pipeline.embedder.calibration, alive)
