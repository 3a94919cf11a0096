"""One model calibrated on data: photos to embeddings to what its model file will say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facewise.evaluation.cache import FaceCache
from facewise.evaluation.calibrate import Calibrated, calibrate
from facewise.evaluation.calibration_data import CalibrationData
from facewise.evaluation.embedded import Progress, embed_photos
from facewise.evaluation.pairs import MOST_UNREADABLE, check_readable
from facewise.models import Calibration
from facewise.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class ModelCalibration:
    """A calibration and what became of the data.

    Attributes:
        calibration: What the model file will carry.
        measured: All that was measured.
        resampled: Whom the intervals resample, for people.
        photos: How many were looked at.
        without_face: Photos in which no face was found: they have no similarity, so they are left out.
        unreadable: Photos that could not be read, likewise, with the reason.
    """

    calibration: Calibration
    measured: Calibrated
    resampled: str
    photos: int
    without_face: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "calibration": self.calibration.to_dict(),
            "unset": [{"fmr": one.fmr, "reason": one.reason} for one in self.measured.unset],
            "people": self.measured.people,
            "people_in_same_pairs": self.measured.with_two,
            "pairs_of_people": self.measured.meetings,
            "worth_impostor_pairs": [round(rates.fmr.trials, 1) for rates in self.measured.rates],
            "intervals_resample": self.resampled,
            "photos": self.photos,
            "without_face": list(self.without_face),
            "unreadable": [{"photo": photo, "error": error} for photo, error in self.unreadable],
        }


def calibrate_model(
    data: CalibrationData,
    pipeline: Pipeline,
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
    most_unreadable: float = MOST_UNREADABLE,
) -> ModelCalibration:
    """Set thresholds and fit probabilities for one embedder with one detector.

    A photo without a face is left out: a threshold is for faces that were found, and `verify` says so of one
    that was not. (An evaluation, which measures the detector as well, scores such pairs the least alike.)

    Args:
        data: See `open_calibration_data`.
        pipeline: Its embedder's flip setting is used.
        cache: See `embed_photos`.
        progress: Told as photos are done; there are `len(data.photos)`.
        processes: See `Pipeline.read_many`.
        most_unreadable: Share of the photos that may be unreadable and left out.

    Raises:
        DatasetError: The data cannot support a single threshold, or too many photos cannot be read.
    """
    embedded = embed_photos(pipeline, data.photos, cache=cache, progress=progress, processes=processes)
    unreadable = tuple((str(e.path), str(e.error)) for e in embedded if e.error is not None)
    check_readable(data.name, unreadable, {"photos": (len(unreadable), len(embedded))}, most_unreadable)
    compared, resampled = data.compared(embedded)
    measured = calibrate(compared)
    calibration = Calibration(
        dataset=data.name,
        protocol=data.protocol(compared),
        data_hash=data.content_hash(embedded),
        genuine=measured.genuine,
        impostors=measured.impostors,
        flip=pipeline.embedder.flip,
        detector=pipeline.detector.name,
        detector_fingerprint=pipeline.detector.fingerprint,
        thresholds=measured.thresholds,
        score_map=measured.score_map,
        people=measured.people,
        pairs_of_people=measured.meetings,
    )
    return ModelCalibration(
        calibration=calibration,
        measured=measured,
        resampled=resampled,
        photos=len(embedded),
        without_face=tuple(str(e.path) for e in embedded if e.embedding is None and e.error is None),
        unreadable=unreadable,
    )
