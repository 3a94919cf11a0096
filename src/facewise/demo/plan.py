"""How much the demo does at most: see `facewise.demo.sizing` for how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of everything.

    Attributes:
        learn: People to learn from.
        measure: Other people, whom models and thresholds are measured on.
        enrolled: Still other people, who are enrolled in the gallery.
        strangers: And those who are not, but turn up.
        photos: Photos of each that are drawn, or used at most.
        enrol_photos: Photos each is enrolled by.
        probes: Further photos of each that are identified; also of each stranger.
        photo_size: Side of a drawn photo in pixels.
        seed: Of all that is drawn at random.
        epochs: Of both trainings.
        training: Settings of both trainings, over those of the recipe.
        looked_at: Drawn photos that the detector is tried on.
        folds: Of LFW View 2, measured where the photos are LFW.
        fmr: False match rate that is decided at.
    """

    learn: int = 40
    measure: int = 12
    enrolled: int = 10
    strangers: int = 8
    photos: int = 16
    enrol_photos: int = 2
    probes: int = 4
    photo_size: int = 250
    seed: int = 0
    epochs: int = 12
    training: Mapping[str, Any] = field(default_factory=lambda: dict(TRAINING))
    looked_at: int = 120
    folds: tuple[int, ...] = (0, 1, 2, 3)
    fmr: float = 1e-2

    @property
    def people(self) -> int:
        """All of them."""
        return self.learn + self.measure + self.enrolled + self.strangers


TRAINING: Mapping[str, Any] = {
    "data.size": 64,
    "validate_every": 2,
    # Few steps: a long memory would average in weights that know nothing yet.
    "ema": 0.98,
    "optimizer.rate": 0.1,
    # Quick on every CPU, and the same numbers for the same sizes: nothing is chosen by measuring.
    "precision": "fp32",
    "fast_layers": ["prelu"],
    "channels_last": True,
}
"""What makes the recipe's MobileFaceNet learn within minutes on two cores."""
