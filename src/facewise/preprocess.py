"""How pixels become a network's input. It belongs to a model and travels inside its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.geometry import Alignment, Cut
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True)
class Preprocess:
    """`(pixel − mean) / std` per channel, in the channel order the network was trained with.

    Attributes:
        size: Side of the square crop in pixels, or None for any size (detectors).
        mean: Three numbers in grey levels 0..255, in `color` order.
        std: Three positive numbers in grey levels, in `color` order.
        color: Channel order of the network's input. What callers hold is always RGB.
        alignment: `"5-point"`, `"box"`, `"square"` or `"inside"` crops, see `facewise.geometry.Cut`, or
            `"none"` for whole photos.
        width: Width of the network's input where it is not square: the middle columns of the crop are taken.
            So 112×96 is the 112 crop without 8 columns at each side, SphereFace's template to the pixel:
            every x of that is the 112 template's minus 8.
        margin: Of all but `5-point` crops.
    """

    size: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color: Literal["RGB", "BGR"] = "RGB"
    alignment: Alignment | Literal["none"] = "5-point"
    width: int | None = None
    margin: float = 0.0

    @property
    def cut(self) -> Cut:
        """How a face becomes the crop that is called with.

        Raises:
            ModelError: The model takes whole photos.
        """
        if self.size is None or self.alignment == "none":
            raise ModelError("A model for whole photos takes no crops of faces.")
        return Cut(self.size, self.alignment, self.margin)

    @property
    def input_shape(self) -> tuple[int | None, int | None]:
        """(height, width) of the network's input in pixels, None where any will do."""
        return self.size, self.size if self.width is None else self.width

    def __call__(self, images: NDArray[np.uint8]) -> FloatArray:
        """Turn RGB pixels into the network's input.

        Args:
            images: (N, H, W, 3) RGB uint8.

        Returns:
            (N, 3, H, W) float32, C-contiguous, channels in `color` order; W is `width` where that is set.
        """
        if self.width is not None:
            start = (images.shape[2] - self.width) // 2
            images = images[:, :, start : start + self.width]
        count, height, width, _ = images.shape
        batch = np.empty((count, 3, height, width), dtype=np.float32)
        for channel in range(3):
            source = channel if self.color == "RGB" else 2 - channel
            plane = batch[:, channel]
            np.subtract(images[..., source], np.float32(self.mean[channel]), out=plane)
            if self.std[channel] != 1.0:
                plane *= np.float32(1.0 / self.std[channel])
        return batch

    def to_dict(self) -> dict[str, Any]:
        """The JSON form kept in model files.

        Width and margin are left out where they say nothing: a model's fingerprint is over this form.
        """
        extra = {
            **({} if self.width is None else {"width": self.width}),
            **({} if self.margin == 0 else {"margin": self.margin}),
        }
        return {
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "color": self.color,
            "alignment": self.alignment,
            **extra,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocess:
        """Read the JSON form.

        Raises:
            ModelError: A field is missing or not what it must be.
        """
        try:
            size = data["size"]
            mean = tuple(float(v) for v in data["mean"])
            std = tuple(float(v) for v in data["std"])
            color, alignment = data["color"], data["alignment"]
            width, margin = data.get("width"), float(data.get("margin", 0.0))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"The model file's preprocess is incomplete or malformed ({error}).") from error
        good = (
            (size is None or (type(size) is int and size > 0))
            and len(mean) == len(std) == 3
            and all(np.isfinite(mean))
            and all(np.isfinite(v) and v > 0 for v in std)
            and color in ("RGB", "BGR")
            and alignment in (*get_args(Alignment), "none")
            and (width is None or _fits_within(width, size))
            and -1 < margin <= 10
            and (margin == 0 or alignment not in ("5-point", "none"))
        )
        if not good:
            raise ModelError(f"The model file's preprocess holds a value that makes no sense: {dict(data)}.")
        return cls(size, mean, std, color, alignment, width, margin)  # type: ignore[arg-type]


def _fits_within(width: object, size: int | None) -> bool:
    """Whether as many columns are left away at the left of a crop as at its right."""
    return type(width) is int and size is not None and 0 < width <= size and (size - width) % 2 == 0
