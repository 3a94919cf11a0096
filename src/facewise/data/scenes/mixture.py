"""Which scenes are made, and how hard they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from facewise.errors import SettingError

KINDS = ("plain", "framed", "mosaic", "crowd", "empty")
"""Of scenes; see `Mixture`."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Which scenes are made, and how hard they are.

    Attributes:
        plain: Share of scenes that are photos as they are, pixel by pixel.
        framed: Of one photo, moved, scaled and turned.
        mosaic: Of grids of photos and of pieces of photos.
        crowd: Of 1 to `most_faces` faces pasted on a background.
        empty: Without any face.
        least_face: Faces whose box has a shorter side below so many pixels are to be ignored.
        smallest: Of the faces that are pasted, pixels (root of the area of the box).
        turned: Share of the photos turned by up to 45 degrees; the others by a few.
        drawn: Share of the faces that are drawn people's.
        most_faces: In a crowd.
        developed: How much happens to the pixels, 0 to 1; to plain photos half as much.
    """

    plain: float = 0.3
    framed: float = 0.25
    mosaic: float = 0.15
    crowd: float = 0.22
    empty: float = 0.08
    least_face: float = 11.0
    smallest: float = 13.0
    turned: float = 0.3
    drawn: float = 0.06
    most_faces: int = 30
    developed: float = 1.0

    def __post_init__(self) -> None:
        """Refuses shares that are none."""
        shares = [getattr(self, kind) for kind in KINDS]
        if min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise SettingError(f"The shares of {', '.join(KINDS)} must add up to 1, not {sum(shares):g}.")
