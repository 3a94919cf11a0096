"""Several drawn people in one picture, for detectors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from facewise.data.synthetic.background import background
from facewise.data.synthetic.canvas import Pixels
from facewise.data.synthetic.person import Person
from facewise.data.synthetic.render import cut_out, developed, lay_over
from facewise.data.synthetic.truth import Truth
from facewise.data.synthetic.view import View
from facewise.errors import SettingError
from facewise.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture of several people.

    Attributes:
        image: (H, W, 3) RGB uint8.
        truths: One a face, in the order of the people.
    """

    image: Image
    truths: tuple[Truth, ...]


def scene(
    people: Sequence[Person],
    rng: np.random.Generator,
    *,
    size: tuple[int, int] = (480, 640),
    difficulty: float = 0.4,
) -> Scene:
    """People side by side in rows before one background; no face hides another's.

    Args:
        people: Who; may be none.
        rng: Says everything else.
        size: (height, width) of the picture in pixels.
        difficulty: 0 to 1, see `View.draw`; also how much the faces differ in size.

    Raises:
        SettingError: The picture is too small for so many, or the difficulty is out of range.
    """
    height, width = size
    columns = max(1, math.ceil(math.sqrt(len(people) * width / max(height, 1))))
    rows = max(1, math.ceil(len(people) / columns))
    cell = min(width / columns, height / rows)
    if cell < 32:
        raise SettingError(
            f"A picture of {width}×{height} pixels is too small for {len(people)} people: take at least 32 "
            f"pixels for each."
        )
    seed = int(rng.integers(2**31))
    whole = View.draw(seed, 0, 1, difficulty=difficulty)
    picture = background(rng, height, width)
    truths = []
    for place, person in enumerate(people):
        row, column = divmod(place, columns)
        # Half the room at the most difficult, so that sizes differ.
        side = max(32, int(cell * (1 - 0.5 * difficulty * rng.random())))
        view = View.draw(seed, person.number, place + 1, size=side, difficulty=difficulty)
        view = replace(view, exposure=whole.exposure, light_colour=whole.light_colour, cover=0.0)
        cut, truth = cut_out(person, view)
        x = int(column * width / columns + rng.uniform(0, width / columns - side))
        y = int(row * height / rows + rng.uniform(0, height / rows - side))
        _paste(picture, _faded(cut), x, y)
        truths.append(truth.shifted(x, y))
    lens = replace(whole, blur=0.0 if not people else min(whole.blur, cell / 250))
    return Scene(developed(picture, lens, rng), tuple(truths))


def _faded(cut: Pixels) -> Pixels:
    """A cut-out that fades where its shoulders leave its square, lest they end in a straight line."""
    side = cut.shape[0]
    share = np.minimum(np.arange(side), np.arange(side)[::-1]).astype(np.float32) / np.float32(0.06 * side)
    across = np.clip(share, 0, 1)
    down = np.clip(np.arange(side)[::-1].astype(np.float32) / np.float32(0.06 * side), 0, 1)
    return np.asarray(cut * (across[None, :] * down[:, None])[..., None], np.float32)


def _paste(picture: Pixels, cut: Pixels, x: int, y: int) -> None:
    part = picture[y : y + cut.shape[0], x : x + cut.shape[1]]
    lay_over(part, np.ascontiguousarray(cut[: part.shape[0], : part.shape[1]]))
