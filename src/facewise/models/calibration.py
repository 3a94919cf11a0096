"""What a similarity means: measured operating points and probabilities that travel inside a model file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from facewise.errors import ModelError
from facewise.models.quality import QualityRule
from facewise.models.score_map import ScoreMap
from facewise.types import Decision

DEFAULT_FMR = 1e-3
"""The false match rate decisions are made at unless another is asked for: one wrong match in a thousand."""

LOWEST_FMR = 1e-6
"""The lowest rate thresholds are set for, by powers of ten from 0.1 on."""

Limits = tuple[float, float]
"""The ends of a 95% interval."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One operating point.

    Attributes:
        fmr: The target false match rate.
        threshold: Cosine similarity at or above which a pair is a match.
        measured_fmr: The false match rate measured with it; never above `fmr`.
        fnmr: The false non-match rate measured with it.
        fnmr_interval: 95% interval of `fnmr`.
        fmr_interval: 95% interval of the true false match rate: what it would be over everybody of the kind
            measured. None in files of before it was stored.
        fmr_elsewhere: The 95% prediction interval: where the false match rate of another such group of as
            many people will lie when it is measured, with the noise of its own that it has. None likewise.
    """

    fmr: float
    threshold: float
    measured_fmr: float
    fnmr: float
    fnmr_interval: Limits
    fmr_interval: Limits | None = None
    fmr_elsewhere: Limits | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds and probabilities of one embedder, and on what they were measured.

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
        score_map: From similarity to probability, or None where none was fitted.
        people: How many people were compared, or None where that is not known.
        pairs_of_people: How many different pairs of two people, or None likewise.
        quality: What a photo's quality does to the thresholds, or None: then they hold for photos as good as
            the data's only.
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
    score_map: ScoreMap | None = None
    people: int | None = None
    pairs_of_people: int | None = None
    quality: QualityRule | None = None

    def decision(self, fmr: float = DEFAULT_FMR) -> Decision | None:
        """The decision rule for a target false match rate, or None if it was not measured."""
        for point in self.thresholds:
            if math.isclose(point.fmr, fmr, rel_tol=1e-9):
                source = f"{self.dataset} {self.protocol}, {self.impostors} impostor pairs"
                return Decision(point.threshold, point.fmr, source)
        return None

    def threshold_at(self, fmr: float) -> float | None:
        """The threshold of good photos at a rate, or None if it was not measured."""
        found = self.decision(fmr)
        return None if found is None else found.threshold

    def rates(self) -> list[float]:
        """The false match rates a decision can be made at, largest first."""
        return sorted((point.fmr for point in self.thresholds), reverse=True)

    def probability_at(self, similarity: float, prior: float | None = None) -> float | None:
        """The probability that two faces so alike are one person, or None where no map was fitted.

        Args:
            similarity: Cosine similarity in [-1, 1].
            prior: Share of pairs that are of one person where the question is asked; None is what the map was
                fitted at, `score_map.prior`.

        Raises:
            SettingError: The prior is not between 0 and 1.
        """
        return None if self.score_map is None else self.score_map.probability(similarity, prior)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form kept in model files."""
        plain = asdict(replace(self, quality=None))
        del plain["quality"]
        return plain if self.quality is None else {**plain, "quality": self.quality.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Read the JSON form, also that of files from before there were probabilities.

        Raises:
            ModelError: A field is missing or not what it must be.
        """
        try:
            points = tuple(_threshold(point) for point in data["thresholds"])
            score_map, quality = data.get("score_map"), data.get("quality")
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
                score_map=None if score_map is None else ScoreMap.from_dict(score_map),
                people=None if data.get("people") is None else int(data["people"]),
                pairs_of_people=None if data.get("pairs_of_people") is None else int(data["pairs_of_people"]),
                quality=None if quality is None else QualityRule.from_dict(quality),
            )
        except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise ModelError(f"The model file's calibration is incomplete or malformed ({error}).") from error
        if not all(math.isfinite(p.threshold) and 0 < p.fmr <= 1 for p in points):
            raise ModelError("The model file's calibration holds a threshold or rate that makes no sense.")
        return calibration


def _threshold(point: Mapping[str, Any]) -> Threshold:
    return Threshold(
        fmr=float(point["fmr"]),
        threshold=float(point["threshold"]),
        measured_fmr=float(point["measured_fmr"]),
        fnmr=float(point["fnmr"]),
        fnmr_interval=_limits(point["fnmr_interval"]),
        fmr_interval=_limits(point["fmr_interval"]) if point.get("fmr_interval") is not None else None,
        fmr_elsewhere=_limits(point["fmr_elsewhere"]) if point.get("fmr_elsewhere") is not None else None,
    )


def _limits(two: Any) -> Limits:
    return float(two[0]), float(two[1])
