"""Where a threshold comes from: measured operating points that travel inside a model file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from facewise.errors import ModelError, SettingError
from facewise.types import Decision

DEFAULT_FMR = 1e-3
"""The false match rate decisions are made at unless another is asked for: one wrong match in a thousand."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One operating point.

    Attributes:
        fmr: The target false match rate.
        threshold: Cosine similarity at or above which a pair is a match.
        measured_fmr: The false match rate measured with it; never above `fmr`.
        fnmr: The false non-match rate measured with it.
        fnmr_interval: 95% interval of `fnmr`.
    """

    fmr: float
    threshold: float
    measured_fmr: float
    fnmr: float
    fnmr_interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one embedder, and on what they were measured.

    Attributes:
        dataset: Name of the data, as `"LFW"`.
        protocol: As `"View 2, 10 folds"`.
        data_hash: sha256 (hex) over the pairs and the photos' content hashes.
        genuine: Number of same-person pairs.
        impostors: Number of different-person pairs.
        flip: Whether embeddings were averaged with those of the mirrored crop.
        detector: Name of the detector that found the faces.
        detector_fingerprint: Its fingerprint.
        thresholds: Operating points.
    """

    dataset: str
    protocol: str
    data_hash: str
    genuine: int
    impostors: int
    flip: bool
    detector: str
    detector_fingerprint: str
    thresholds: tuple[Threshold, ...]

    def decision(self, fmr: float = DEFAULT_FMR) -> Decision | None:
        """The decision rule for a target false match rate, or None if it was not measured."""
        for point in self.thresholds:
            if math.isclose(point.fmr, fmr, rel_tol=1e-9):
                source = f"{self.dataset} {self.protocol}, {self.impostors} impostor pairs"
                return Decision(point.threshold, point.fmr, source)
        return None

    def rates(self) -> list[float]:
        """The false match rates a decision can be made at, largest first."""
        return sorted((point.fmr for point in self.thresholds), reverse=True)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form kept in model files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read the JSON form.

        Raises:
            ModelError: A field is missing or not what it must be.
        """
        try:
            points = tuple(
                Threshold(
                    float(point["fmr"]),
                    float(point["threshold"]),
                    float(point["measured_fmr"]),
                    float(point["fnmr"]),
                    (float(point["fnmr_interval"][0]), float(point["fnmr_interval"][1])),
                )
                for point in data["thresholds"]
            )
            calibration = cls(
                dataset=str(data["dataset"]),
                protocol=str(data["protocol"]),
                data_hash=str(data["data_hash"]),
                genuine=int(data["genuine"]),
                impostors=int(data["impostors"]),
                flip=bool(data["flip"]),
                detector=str(data["detector"]),
                detector_fingerprint=str(data["detector_fingerprint"]),
                thresholds=points,
            )
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise ModelError(f"The model file's calibration is incomplete or malformed ({error}).") from error
        if not all(math.isfinite(p.threshold) and 0 < p.fmr <= 1 for p in points):
            raise ModelError("The model file's calibration holds a threshold or rate that makes no sense.")
        return calibration


def choose_decision(
    calibration: Calibration | None, *, fmr: float | None = None, threshold: float | None = None
) -> Decision | None:
    """The rule to decide by: a threshold the user gave, else the model's own, else none.

    Args:
        calibration: Of the model in use, or None.
        fmr: False match rate asked for; None asks for `DEFAULT_FMR`.
        threshold: Similarity in [-1, 1] given by the user, or None.

    Returns:
        None where the model has no calibration: then there is a similarity, but nothing to decide by.

    Raises:
        SettingError: Both are given, one is out of range, or the rate was not measured for this model.
    """
    if threshold is not None:
        if fmr is not None:
            raise SettingError("Give a threshold or a false match rate, not both.")
        if not -1.0 <= threshold <= 1.0:
            raise SettingError(f"A similarity threshold lies between -1 and 1, not at {threshold}.")
        return Decision(threshold, None, "given by the user")
    if fmr is not None and not 0.0 < fmr <= 1.0:
        raise SettingError(f"A false match rate lies above 0 and at most at 1, not at {fmr}.")
    if calibration is None:
        return None
    decision = calibration.decision(DEFAULT_FMR if fmr is None else fmr)
    if decision is None and fmr is not None:
        rates = ", ".join(f"{rate:g}" for rate in calibration.rates())
        raise SettingError(f"This model was not measured at a false match rate of {fmr:g}, only at {rates}.")
    return decision


NO_CALIBRATION = (
    "no decision: this model has no calibration for these settings; measure one with "
    "`facewise eval lfw ROOT --save`, or give --threshold"
)
"""What is said instead of guessing."""
