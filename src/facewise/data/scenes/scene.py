"""What a composed scene is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.types import FloatArray, Image


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture and every face in it.

    Attributes:
        image: (H, W, 3) RGB uint8.
        kind: How it was composed, one of `facewise.data.scenes.KINDS`.
        boxes: (F, 4) float32 `[x1, y1, x2, y2]` around what is seen of each face.
        landmarks: (F, 5, 2) float32; those of a face that is cut off may lie outside the picture.
        seen: (F, 5) whether a landmark is in the picture and nothing hides it.
        ignore: (F,) True for what must count neither as found nor as a false alarm: too small, too little of
            it seen, or not surely a face.
    """

    image: Image
    kind: str
    boxes: FloatArray
    landmarks: FloatArray
    seen: NDArray[np.bool_]
    ignore: NDArray[np.bool_]
