"""What differs from photo to photo of one person: pose, expression, light, glasses, place, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facewise.data.synthetic.person import Colour, check_number
from facewise.errors import SettingError

GLASSES = ("none", "clear", "dark")

_MIN_SIZE, _MAX_SIZE = 32, 2048


@dataclass(frozen=True, slots=True)
class View:
    """One photo of somebody.

    Attributes:
        seed: What background, clothes and noise are drawn from, with `person` and `photo`.
        person: Number of the person the view was drawn for.
        photo: Number of the photo, from 1.
        size: Side of the square photo in pixels.
        yaw: Radians, positive towards the image's right.
        pitch: Radians, positive is looking down.
        roll: Radians, positive is clockwise in the image.
        mouth_open: Millimetres between the lips.
        smile: 0 to 1; negative is a mouth drawn down.
        brow_raise: -1 (frown) to 1.
        eye_close: 0 (open) to 1 (shut).
        gaze: Where the eyes look to, (right, down), in millimetres the iris is moved.
        light: Unit vector towards the lamp: right, down, towards the viewer.
        light_strength: Of the lamp; the even light around it has the rest to 1.
        light_colour: Of the lamp.
        exposure: How bright the photo is, 1 is right.
        glasses: One of `GLASSES`.
        glasses_width: Half the width of a lens in millimetres.
        glasses_colour: Of the rims.
        face_height: Height of the face as a share of the photo.
        centre: Middle of the face (x, y) as a share of the photo.
        cover: How much of the face something held before it covers, 0 is nothing.
        blur: Standard deviation in pixels of the photo.
        noise: Standard deviation in grey levels.
        quality: Of the JPEG file.
    """

    seed: int = 0
    person: int = 0
    photo: int = 1
    size: int = 250
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    mouth_open: float = 0.0
    smile: float = 0.0
    brow_raise: float = 0.0
    eye_close: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    light: tuple[float, float, float] = (0.0, -0.5, 0.866)
    light_strength: float = 0.6
    light_colour: Colour = (1.0, 1.0, 1.0)
    exposure: float = 1.0
    glasses: str = "none"
    glasses_width: float = 24.0
    glasses_colour: Colour = (0.1, 0.1, 0.1)
    face_height: float = 0.55
    centre: tuple[float, float] = (0.5, 0.52)
    cover: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    quality: int = 92

    def __post_init__(self) -> None:
        """Refuses what cannot be drawn."""
        for what, value, low, high in (
            ("side of a photo", self.size, _MIN_SIZE, _MAX_SIZE),
            ("height of the face", self.face_height, 0.05, 2.0),
            ("quality of a JPEG file", self.quality, 1, 100),
        ):
            if not low <= value <= high:
                raise SettingError(f"The {what} must be between {low} and {high}, not {value}.")
        if self.glasses not in GLASSES:
            raise SettingError(f"Glasses are {', '.join(GLASSES)}, not {self.glasses}.")

    @classmethod
    def draw(cls, seed: int, person: int, photo: int, *, size: int = 250, difficulty: float = 0.4) -> View:
        """The view of this photo of this person.

        Args:
            seed: The people's seed.
            person: Number of the person.
            photo: Number of the photo, from 1.
            size: Side of the photo in pixels.
            difficulty: 0 is a passport photo; 1 has poses to 60 degrees, harsh light, things before the face.

        Raises:
            SettingError: A number out of range.
        """
        check_number("seed", seed)
        check_number("person's number", person)
        check_number("photo's number", photo, 1)
        if not 0 <= difficulty <= 1:
            raise SettingError(f"The difficulty must be between 0 and 1, not {difficulty}.")
        rng = np.random.default_rng([seed, person, photo])
        hard = float(difficulty)

        def spread(sigma: float, most: float) -> float:
            return float(np.clip(rng.normal(0, sigma), -most, most)) * hard

        around = rng.uniform(-1, 1) * np.pi * (0.2 + 0.4 * hard)
        above = rng.uniform(-0.1 - 0.2 * hard, 0.9)
        warmth = rng.normal(0, 0.04 + 0.1 * hard)
        tint = rng.normal(0, 0.02 + 0.04 * hard)
        open_mouth = rng.random() < 0.15 + 0.3 * hard
        shut = rng.random() < 0.08 * hard
        worn = rng.random()
        return cls(
            seed=seed,
            person=person,
            photo=photo,
            size=size,
            yaw=spread(0.55, 1.05),
            pitch=spread(0.3, 0.6),
            roll=spread(0.25, 0.6),
            mouth_open=float(rng.uniform(2, 6 + 12 * hard)) if open_mouth else 0.0,
            smile=float(np.clip(rng.normal(0.25, 0.3 + 0.3 * hard), -0.5, 1)),
            brow_raise=float(np.clip(rng.normal(0, 0.2 + 0.4 * hard), -1, 1)),
            eye_close=float(rng.uniform(0.6, 1)) if shut else float(rng.uniform(0, 0.1 + 0.3 * hard)),
            gaze=(spread(2.0, 3.5), spread(0.8, 1.5)),
            light=(
                float(np.sin(around) * np.cos(above)),
                float(-np.sin(above)),
                float(np.cos(around) * np.cos(above)),
            ),
            light_strength=float(rng.uniform(0.45, 0.6 + 0.3 * hard)),
            light_colour=(
                float(np.clip(1 + warmth, 0.5, 1.5)),
                float(np.clip(1 + tint, 0.5, 1.5)),
                float(np.clip(1 - warmth, 0.5, 1.5)),
            ),
            exposure=float(np.exp(rng.normal(0, 0.12 + 0.35 * hard))),
            glasses="clear" if worn < 0.22 else "dark" if worn < 0.22 + 0.1 * hard else "none",
            glasses_width=float(rng.uniform(21, 27)),
            glasses_colour=_rim(rng),
            face_height=float(rng.uniform(0.52 - 0.1 * hard, 0.56 + 0.1 * hard)),
            centre=(0.5 + spread(0.05, 0.12), 0.52 + spread(0.04, 0.1)),
            cover=float(rng.uniform(0.1, 0.3)) if rng.random() < 0.6 * (hard - 0.5) else 0.0,
            blur=float(rng.uniform(0, 0.3 + 1.2 * hard)) * size / 250,
            noise=float(rng.uniform(0, 2 + 8 * hard)),
            quality=int(rng.integers(96 - int(40 * hard), 97)),
        )


def _rim(rng: np.random.Generator) -> Colour:
    red, green, blue = (rng.uniform(0.03, 0.5) * rng.uniform(0.6, 1.0, 3)).tolist()
    return red, green, blue
