"""`facewise-detect-s` from the photos it is made of: labelled, composed, trained, exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facewise.data.csvfile import csv_source
from facewise.data.lfw import lfw_people
from facewise.data.scenes import prepare_photos
from facewise.data.scenes.labels import LEAST_SCORE
from facewise.data.source import Source
from facewise.data.synthetic import SyntheticSource
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.hardware import available_threads
from facewise.models import find_model
from facewise.training.checkpoint import LAST, exists, folder_of
from facewise.training.detection.config import detector_config
from facewise.training.detection.run import DetectorRun, train_detector
from facewise.training.display import Bar, Display

TEACHER = "retinaface-mobilenet025"
"""The public detector that labels the photos and is imitated; `facewise models import` brings it in."""

LICENCE = "research and evaluation (trained on CelebA and LFW); the code is MIT"

PLAN: Mapping[str, Any] = {"hint": 1.0}
"""What differs from `DetectorConfig`'s defaults."""

_DRAWN_SEED = 77


def detector_sources(data: str | os.PathLike[str]) -> dict[str, Source]:
    """The photos of `facewise-detect-s`: CelebA in the wild, LFW's people of no View 2 pair, drawn people.

    Args:
        data: Folder with `celeba-wild/identities.csv` and `lfw/pairs.txt`.

    Raises:
        DatasetError: A file or photo is missing.
    """
    data = Path(data)
    return {
        "celeba": csv_source(data / "celeba-wild" / "identities.csv"),
        "lfw": lfw_people(data / "lfw", exclude_pairs=["pairs.txt"]),
        "drawn": SyntheticSource(300, 2, seed=_DRAWN_SEED, size=224, difficulty=0.6),
    }


def reproduce_detector(
    data: str | os.PathLike[str],
    work: str | os.PathLike[str],
    *,
    teacher: str | os.PathLike[str] = TEACHER,
    overrides: Mapping[str, Any] | None = None,
    threads: int | None = None,
    device: str = "cpu",
    display: Display | None = None,
) -> DetectorRun:
    """Make `facewise-detect-s`, or go on with it: `work/photos` and `work/run`.

    A script that calls it needs `if __name__ == "__main__":`, as scenes are made in processes of their own.

    Args:
        data: See `detector_sources`.
        work: Folder for the labelled photos (2.6 GB) and the run; what is done there is not done again.
        teacher: Name or path of the labelling detector.
        overrides: Dotted settings of `DetectorConfig` over `PLAN`; those of a run that goes on stand.
        threads: Photos labelled side by side; None is all CPUs.
        device: `cpu` or `cuda`.
        display: Shows progress; None is a progress bar.
    """
    display = Bar() if display is None else display
    work, file = Path(work), find_model(teacher, kind="detector")
    labelling = OnnxDetector(file, settings=DetectorSettings(score_threshold=LEAST_SCORE), threads=1)
    photos = prepare_photos(
        work / "photos",
        detector_sources(data),
        labelling,
        threads=threads or available_threads(),
        say=display.say,
    )
    resume = exists(folder_of(work / "run", LAST))
    return train_detector(
        photos,
        work / "run",
        config=None if resume else detector_config(PLAN, overrides),
        teacher=OnnxDetector(file, threads=1),
        resume=resume,
        device=device,
        display=display,
        licence=LICENCE,
    )
