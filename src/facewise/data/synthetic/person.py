"""Who somebody is: the numbers a drawn face is made of, and that stay the same in every photo.

Lengths are millimetres of a head whose eyes look at the viewer from the height 0: x grows to the image's
right, y downwards, z towards the viewer. The spreads are those of grown-ups, somewhat widened so that
people differ plainly at 112 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.names import name_of
from facewise.errors import SettingError

_Floats = NDArray[np.float64]

Colour = tuple[float, float, float]
"""Red, green and blue in [0, 1], as a screen shows them."""

HAIR_STYLES = ("bald", "buzz", "short", "full", "bob", "long")
"""From none to shoulders; `bob` and `long` have locks beside the face."""

_SKIN = np.array(
    [[0.97, 0.83, 0.75], [0.93, 0.76, 0.65], [0.86, 0.66, 0.53],
     [0.74, 0.54, 0.41], [0.56, 0.39, 0.29], [0.37, 0.25, 0.19]]
)  # fmt: skip
_HAIR = np.array(
    [[0.07, 0.055, 0.05], [0.17, 0.11, 0.08], [0.33, 0.21, 0.13],
     [0.52, 0.25, 0.11], [0.78, 0.62, 0.39], [0.66, 0.65, 0.64]]
)  # fmt: skip
_IRIS = np.array(
    [[0.20, 0.11, 0.06], [0.36, 0.22, 0.10], [0.33, 0.38, 0.20], [0.27, 0.42, 0.58], [0.42, 0.47, 0.50]]
)


@dataclass(frozen=True, slots=True)
class Person:
    """One drawn person.

    Attributes:
        seed: What the person was drawn from, with `number`.
        number: Which person of that seed.
        face_width: Width of the skull, 1 is average.
        jaw_width: Width of the jaw relative to the skull, 1 is average.
        chin: Height of the underside of the chin.
        chin_out: How far the chin stands out.
        crown: How far the top of the head is above the eyes.
        cheekbones: How far they stand out.
        brow_ridge: How far it stands out.
        eye_x: Half the distance between the pupils.
        eye_width: Half the width of an eye.
        eye_height: How wide open the eyes are by nature, 1 is average.
        eye_tilt: Slope of an eye, positive where the outer corner is the higher one.
        eye_depth: How deep the sockets are.
        iris: Colour of the eyes.
        brow_y: Height of the brows.
        brow_thickness: Half the height of a brow.
        brow_arch: How far the middle of a brow is above its ends.
        brow_tilt: Slope of a brow, positive where its outer end is the higher one.
        brow_length: Half its length.
        nose_tip: Height of the tip of the nose.
        nose_out: How far the tip stands out.
        nose_width: 1 is average.
        nose_bridge: How far the bridge stands out, as a share of the tip.
        mouth_y: Height of the line between the lips.
        mouth_width: Half the width of the mouth.
        upper_lip: Height of the upper lip.
        lower_lip: Height of the lower lip.
        lip: How red the lips are, 0 to 1.
        skin: Colour of the skin.
        hair: Colour of hair and brows.
        style: Hair style, one of `HAIR_STYLES`.
        hairline: Height of the hairline over the nose.
        receding: How much higher the hairline is over the temples.
        fringe: How far the hair hangs into the forehead.
        volume: How far the hair stands off the head.
        wave: How wavy it is, 0 to 1.
        beard: 0 is none, 0.3 stubble, 1 full.
        moustache: 0 is none, 1 full.
        freckles: 0 to 1.
        lines: How lined the face is, 0 to 1.
    """

    seed: int
    number: int
    face_width: float
    jaw_width: float
    chin: float
    chin_out: float
    crown: float
    cheekbones: float
    brow_ridge: float
    eye_x: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_depth: float
    iris: Colour
    brow_y: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_length: float
    nose_tip: float
    nose_out: float
    nose_width: float
    nose_bridge: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    lip: float
    skin: Colour
    hair: Colour
    style: str
    hairline: float
    receding: float
    fringe: float
    volume: float
    wave: float
    beard: float
    moustache: float
    freckles: float
    lines: float

    @property
    def name(self) -> str:
        """Fit for a folder; the same for this number whatever the seed."""
        return name_of(self.number)

    @classmethod
    def draw(cls, seed: int, number: int) -> Person:
        """The person of this number; the same however many others there are.

        Raises:
            SettingError: A negative seed or number.
        """
        check_number("seed", seed)
        check_number("person's number", number)
        rng = np.random.default_rng([seed, number, 0])  # photos are numbered from 1

        def near(mean: float, spread: float, reach: float = 2.0) -> float:
            return mean + spread * float(np.clip(rng.normal(), -reach, reach))

        shade = float(rng.uniform(0, len(_SKIN) - 1))
        skin = _along(_SKIN, shade) * rng.normal(1, [0.02, 0.025, 0.03], 3)
        # The darker the skin, the rarer light hair and eyes, as in life; never impossible.
        hair = _along(_HAIR, float(rng.uniform(0, 5 if shade < 2.5 else 2))) * rng.uniform(0.85, 1.15)
        iris = _IRIS[int(rng.integers(len(_IRIS) if shade < 2.5 else 2))] * rng.uniform(0.85, 1.15)
        style = HAIR_STYLES[int(rng.choice(len(HAIR_STYLES), p=[0.08, 0.12, 0.3, 0.2, 0.12, 0.18]))]
        bearded = style not in ("bob", "long") and rng.random() < 0.5
        nose_tip = near(40, 2.8)
        mouth_y = max(near(72, 3.2), nose_tip + 26)
        return cls(
            seed=seed,
            number=number,
            face_width=near(1.0, 0.055),
            jaw_width=near(1.0, 0.09),
            chin=max(near(118, 5.5), mouth_y + 36),
            chin_out=near(5, 2.5),
            crown=near(118, 5),
            cheekbones=near(3.5, 2),
            brow_ridge=near(4, 1.8),
            eye_x=near(31.5, 1.9),
            eye_width=near(14.5, 1.1),
            eye_height=near(1.0, 0.14),
            eye_tilt=near(0.06, 0.07),
            eye_depth=near(8.0, 1.6),
            iris=_colour(iris),
            brow_y=near(-20, 2.2),
            brow_thickness=near(2.8, 0.8),
            brow_arch=near(3.0, 1.6),
            brow_tilt=near(0.04, 0.09),
            brow_length=near(20, 2),
            nose_tip=nose_tip,
            nose_out=near(24, 3),
            nose_width=near(1.0, 0.16),
            nose_bridge=near(0.42, 0.1),
            mouth_y=mouth_y,
            mouth_width=near(25.5, 2.2),
            upper_lip=near(5.5, 1.5),
            lower_lip=near(7.5, 1.7),
            lip=float(rng.uniform(0.15, 1)),
            skin=_colour(skin),
            hair=_colour(hair),
            style=style,
            hairline=near(-66, 6),
            receding=float(rng.uniform(0, 18)) if style in ("buzz", "short") else float(rng.uniform(-4, 6)),
            fringe=float(rng.uniform(12, 34)) if rng.random() < 0.3 else 0.0,
            volume=near(10, 3.5),
            wave=float(rng.uniform(0, 1)),
            beard=float(rng.choice([0.3, 0.6, 1.0])) if bearded and rng.random() < 0.75 else 0.0,
            moustache=float(rng.uniform(0.6, 1)) if bearded else 0.0,
            freckles=float(rng.uniform(0.4, 1)) if shade < 2 and rng.random() < 0.35 else 0.0,
            lines=float(rng.uniform(0, 1)) ** 1.5,
        )


def check_number(what: str, value: int, least: int = 0) -> None:
    """That a number can seed a generator.

    Raises:
        SettingError: It is smaller than `least`.
    """
    if value < least:
        raise SettingError(f"The {what} must be {least} or more, not {value}.")


def _along(palette: _Floats, at: float) -> _Floats:
    """The colour a palette has at a fractional place."""
    low = min(math.floor(at), len(palette) - 2)
    return np.asarray(palette[low] + (at - low) * (palette[low + 1] - palette[low]), np.float64)


def _colour(values: _Floats) -> Colour:
    red, green, blue = np.clip(values, 0.02, 0.98).tolist()
    return red, green, blue
