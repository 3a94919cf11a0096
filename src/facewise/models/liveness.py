"""What a liveness score means: a measured threshold that travels inside a model file, and its decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facewise.errors import ModelError
from facewise.types import Face, Liveness

NO_CALIBRATION = (
    "no decision on liveness: it was not calibrated for these models; `facewise calibrate-liveness --on DIR` "
    "does so"
)
"""What is said instead of guessing."""

Limits = tuple[float, float]
"""The ends of a 95% interval."""


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """How often presentations of one kind are taken for the other.

    Attributes:
        rate: Share of photos.
        interval: 95%, over subjects and not photos: photos of one subject are alike.
        wrong: Photos that were.
        photos: Of how many.
        subjects: Of how many people.
    """

    rate: float
    interval: Limits
    wrong: int
    photos: int
    subjects: int

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ErrorRate:
        """Read the JSON form; raises what wrong types raise."""
        low, high = data["interval"]
        return cls(
            float(data["rate"]),
            (float(low), float(high)),
            int(data["wrong"]),
            int(data["photos"]),
            int(data["subjects"]),
        )


@dataclass(frozen=True, slots=True)
class LivenessCalibration:
    """A threshold and its errors, by ISO/IEC 30107-3, on subjects that the threshold was not set on.

    Attributes:
        dataset: Name of the data.
        data_hash: sha256 (hex) over the photos' kinds, subjects and content hashes.
        networks: Fingerprints of the networks whose answers are averaged.
        detector: Name of the detector that found the faces.
        detector_fingerprint: Its fingerprint.
        target: APCER that the threshold was set for.
        threshold: Score from which a face counts as live.
        attacks: APCER of each kind of attack (attack presentation classification error rate: attacks that
            are taken for live).
        bpcer: Bona fide presentation classification error rate: live faces taken for attacks.
        folds: In how many parts the subjects were, each judged by the threshold of the others.
        faceless: Live photos and attacks without a face, left out (BPNRR and APNRR count them).
    """

    dataset: str
    data_hash: str
    networks: tuple[str, ...]
    detector: str
    detector_fingerprint: str
    target: float
    threshold: float
    attacks: Mapping[str, ErrorRate]
    bpcer: ErrorRate
    folds: int
    faceless: tuple[int, int] = (0, 0)

    @property
    def apcer(self) -> ErrorRate:
        """That of the kind of attack that passes most often, which is what ISO/IEC 30107-3 reports."""
        return max(self.attacks.values(), key=lambda one: (one.rate, one.interval[1]))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form kept in model files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LivenessCalibration:
        """Read the JSON form.

        Raises:
            ModelError: A field is missing or not what it must be.
        """
        try:
            live, spoof = data["faceless"]
            calibration = cls(
                dataset=str(data["dataset"]),
                data_hash=str(data["data_hash"]),
                networks=tuple(str(one) for one in data["networks"]),
                detector=str(data["detector"]),
                detector_fingerprint=str(data["detector_fingerprint"]),
                target=float(data["target"]),
                threshold=float(data["threshold"]),
                attacks={str(k): ErrorRate.from_dict(v) for k, v in data["attacks"].items()},
                bpcer=ErrorRate.from_dict(data["bpcer"]),
                folds=int(data["folds"]),
                faceless=(int(live), int(spoof)),
            )
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(
                f"The model file's liveness calibration is incomplete or malformed ({error})."
            ) from error
        numbers = [calibration.target, calibration.threshold]
        numbers += [v for one in (*calibration.attacks.values(), calibration.bpcer) for v in one.interval]
        if not calibration.attacks or not all(math.isfinite(number) for number in numbers):
            raise ModelError("The model file's liveness calibration holds a number that makes no sense.")
        return calibration


def judge(score: float, calibration: LivenessCalibration | None) -> Liveness:
    """What a score means: a decision where the threshold was measured, else none.

    Args:
        score: In [0, 1], 1 is live; NaN of a face that lies outside the photo, which is not shown to be live.
        calibration: Of the networks that gave it, or None.
    """
    if math.isnan(score):
        return Liveness(0.0, None if calibration is None else False, "lies outside the photo")
    if calibration is None:
        return Liveness(score, None, NO_CALIBRATION)
    live = score >= calibration.threshold
    looks = "looks live" if live else "does not look live"
    return Liveness(score, live, f"{looks} (score {score:.3f}, threshold {calibration.threshold:.3f})")


def pooled(scores: Sequence[float], calibration: LivenessCalibration | None) -> Liveness | None:
    """One answer for several looks at one face, as in a video: that of their mean; None without a look.

    Args:
        scores: One a look.
        calibration: Of the networks that gave them, or None. It was measured on single photos.
    """
    return judge(math.fsum(scores) / len(scores), calibration) if scores else None


def not_live(faces: Sequence[Face]) -> str | None:
    """Why these faces can decide nothing, in words, or None where none was found not to be live.

    Args:
        faces: One, or the two that are compared.
    """
    bad = [i for i, face in enumerate(faces) if face.liveness is not None and face.liveness.live is False]
    names = ("the first face", "the second face") if len(faces) > 1 else ("the face",)
    notes = [f"{names[i]} {look.note}" for i in bad if (look := faces[i].liveness) is not None]
    return ", ".join(notes) or None
