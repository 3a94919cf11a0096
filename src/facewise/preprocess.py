"""How pixels become a network's input. It belongs to a model and travels inside its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ModelError
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True)
class Preprocess:
    """`(pixel − mean) / std` per channel, in the channel order the network was trained with.

    Attributes:
        size: Side of the square input in pixels, or None for any size (detectors).
        mean: Three numbers in grey levels 0..255, in `color` order.
        std: Three positive numbers in grey levels, in `color` order.
        color: Channel order of the network's input. What callers hold is always RGB.
        alignment: `"5-point"` crops of `facewise.geometry`, or `"none"` for whole photos.
    """

    size: int | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    color: Literal["RGB", "BGR"] = "RGB"
    alignment: Literal["5-point", "none"] = "5-point"

    def __call__(self, images: NDArray[np.uint8]) -> FloatArray:
        """Turn RGB pixels into the network's input.

        Args:
            images: (N, H, W, 3) RGB uint8.

        Returns:
            (N, 3, H, W) float32, C-contiguous, channels in `color` order.
        """
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
        """The JSON form kept in model files."""
        return {
            "size": self.size,
            "mean": list(self.mean),
            "std": list(self.std),
            "color": self.color,
            "alignment": self.alignment,
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
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"The model file's preprocess is incomplete or malformed ({error}).") from error
        good = (
            (size is None or (type(size) is int and size > 0))
            and len(mean) == len(std) == 3
            and all(np.isfinite(mean))
            and all(np.isfinite(v) and v > 0 for v in std)
            and color in ("RGB", "BGR")
            and alignment in ("5-point", "none")
        )
        if not good:
            raise ModelError(f"The model file's preprocess holds a value that makes no sense: {dict(data)}.")
        return cls(size, mean, std, color, alignment)  # type: ignore[arg-type]
