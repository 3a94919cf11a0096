"""Drawn people as a dataset without files: each photo is drawn when it is read."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from facewise.data.source import IntArray
from facewise.data.synthetic.names import name_of
from facewise.data.synthetic.person import Person, check_number
from facewise.data.synthetic.render import Rendered, encode, render
from facewise.data.synthetic.truth import Truth, truth_of
from facewise.data.synthetic.view import View
from facewise.errors import SettingError
from facewise.image import decode
from facewise.types import Image

MOST = 100_000
"""People or photos of each: beyond this a number is surely a mistake."""


class SyntheticSource:
    """See `facewise.data.source.Source`. Reads the very pixels of the files that `write_people` writes."""

    def __init__(
        self, people: int, photos: int, seed: int = 0, *, size: int = 250, difficulty: float = 0.4
    ) -> None:
        """A dataset.

        Args:
            people: How many.
            photos: How many of each.
            seed: Another one has other people.
            size: Side of a photo in pixels.
            difficulty: 0 to 1, see `View.draw`.

        Raises:
            SettingError: A number out of range.
        """
        for what, number in (("people", people), ("photos of each person", photos)):
            if not 1 <= number <= MOST:
                raise SettingError(f"The number of {what} must be between 1 and {MOST}, not {number}.")
        check_number("seed", seed)
        View.draw(seed, 0, 1, size=size, difficulty=difficulty)  # refuses what cannot be drawn
        self.people, self.photos, self.seed = people, photos, seed
        self.size, self.difficulty = size, difficulty
        self.names = tuple(name_of(number) for number in range(people))
        self.keys = tuple(key_of(name, photo) for name in self.names for photo in range(1, photos + 1))
        self.labels: IntArray = np.repeat(np.arange(people, dtype=np.int64), photos)

    @property
    def name(self) -> str:
        """See `Source.name`."""
        return f"{self.people} drawn people (seed {self.seed})"

    def truth(self, index: int) -> Truth:
        """What is known of a photo, without drawing it."""
        return truth_of(*self._drawn(index))

    def rendered(self, index: int) -> Rendered:
        """A photo before it becomes a JPEG file, and what is known of it."""
        return render(*self._drawn(index))

    def _drawn(self, index: int) -> tuple[Person, View]:
        number, photo = divmod(range(len(self.keys))[index], self.photos)
        view = View.draw(self.seed, number, photo + 1, size=self.size, difficulty=self.difficulty)
        return _person(self.seed, number), view

    def jpeg(self, index: int) -> tuple[bytes, Rendered]:
        """A photo's file, and what it was made from."""
        rendered = self.rendered(index)
        return encode(rendered.image, rendered.truth.view.quality), rendered

    def read(self, index: int) -> Image:
        """See `Source.read`."""
        return decode(self.jpeg(index)[0], name=self.keys[index])


@lru_cache(maxsize=64)
def _person(seed: int, number: int) -> Person:
    return Person.draw(seed, number)


def key_of(name: str, photo: int) -> str:
    """The path of a photo in a folder of people."""
    return f"{name}/{name}_{photo:04d}.jpg"
