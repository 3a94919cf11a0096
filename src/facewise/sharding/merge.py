"""A complete embedding run as one file, or as a gallery."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facewise.errors import GalleryError
from facewise.files import atomic_write
from facewise.gallery.photos import Picked, sift
from facewise.gallery.results import Enrollment, Rejection, Sample
from facewise.models.calibration import Calibration
from facewise.quality import Gate, check_gate
from facewise.sharding.manifest import whole_parts
from facewise.sharding.parts import PartFacts, part_rows, reasons_of
from facewise.sharding.plan import Plan
from facewise.sharding.rows import quality_of

if TYPE_CHECKING:
    from facewise.gallery.vectors import VectorGallery

_WHOLE = ("model", "fingerprint", "flip")
"""Columns that hold one value for all rows."""
_TEXT = ("photo", "photo_sha256", "reasons")
"""Columns whose width differs between parts."""


def merge(plan: Plan, out: Path) -> int:
    """Writes all parts into one `.npz` as `facewise embed` makes it; only one part is in memory at a time.

    Returns:
        How many rows it has.

    Raises:
        DatasetError: A part is missing or damaged.
        FacewiseError: The file cannot be written.
    """
    parts = list(whole_parts(plan))
    faces = sum(facts.faces for facts in parts)
    kinds = _kinds(plan, parts)
    with atomic_write(out, private=True) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, (kind, rest) in kinds.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                shape = () if name in _WHOLE else (faces, *rest)
                header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for rows in _column(plan, parts, name):
                    file.write(np.ascontiguousarray(rows, dtype=kind).tobytes())
    return faces


def into_gallery(
    plan: Plan,
    gallery: VectorGallery,
    *,
    calibration: Calibration | None = None,
    quality: Gate = "standard",
) -> Iterator[Enrollment]:
    """Enrols the main face of every photo as the person its folder is named after.

    It may be done again after an interruption: what the gallery has already is not stored twice.

    Args:
        plan: A complete run.
        gallery: Empty, or of the same model.
        calibration: Of the model: what it knows of quality is asked for; None asks for nothing.
        quality: As of `Gallery.enroll`.

    Yields:
        What became of each person's photos, part by part; photos without a face, unreadable ones and those
        that are gone since they were embedded are named under an empty name.

    Raises:
        DatasetError: A part is missing or damaged.
        GalleryError: The gallery is of another model, or cannot be written.
    """
    check_gate(quality)
    settings = plan.settings
    if gallery.space is not None and (gallery.space.fingerprint, gallery.space.flip) != (
        settings["fingerprint"], settings["flip"],
    ):  # fmt: skip
        raise GalleryError(
            f"The photos were embedded by {settings['model']}, the gallery holds embeddings of "
            f"{gallery.space.model}: name another gallery."
        )
    for facts in whole_parts(plan):
        rejected = [Rejection(path, "no face was found in it") for path in facts.without_face]
        rejected += [Rejection(item["photo"], item["error"]) for item in facts.bad]
        gone = {str(path) for path in plan.photos_of(facts.part) if _is_gone(plan, path)}
        gone -= {rejection.source for rejection in rejected}
        rejected += [Rejection(path, "it is gone since it was embedded") for path in sorted(gone)]
        if rejected:
            yield Enrollment("", 0, rejected=tuple(rejected))
        found = (sample for sample in _samples(plan, facts) if sample.source not in gone)
        for person, samples in groupby(found, key=_person):
            several = list(samples)
            picked = Picked(samples=several)
            sift(picked, calibration, quality)
            poor = tuple(rejection for rejection, _ in picked.refused)
            if not picked.samples:
                yield Enrollment(person, 0, rejected=poor)
                continue
            try:
                done = gallery.enroll_embeddings(
                    person, picked.samples, fingerprint=settings["fingerprint"], model=settings["model"],
                    flip=settings["flip"],
                )  # fmt: skip
                warnings = (*picked.warnings, *done.warnings)
                yield replace(done, rejected=(*poor, *done.rejected), warnings=warnings)
            except GalleryError as error:
                if isinstance(error.__cause__, OSError) or type(error) is not GalleryError:
                    raise
                yield Enrollment(
                    person,
                    0,
                    rejected=(*poor, *(Rejection(sample.source, str(error)) for sample in picked.samples)),
                )


def _is_gone(plan: Plan, photo: Path) -> bool:
    """Whether a photo is not there, though where it was found is: it need not be on this machine at all."""
    if os.path.lexists(photo):
        return False
    places = [source for source in plan.sources if photo.is_relative_to(source)] or [str(photo.parent)]
    return any(os.path.isdir(place) for place in places)  # noqa: PTH112  a name may be too long


def _person(sample: Sample) -> str:
    return Path(sample.source).parent.name


def _samples(plan: Plan, facts: PartFacts) -> Iterator[Sample]:
    with part_rows(plan, facts) as rows:
        columns = {name: rows[name] for name in ("embedding", "photo", "photo_sha256", "face", "score")}
        quality, reasons = rows["quality"], reasons_of(rows)
    for i in np.flatnonzero(columns["face"] == 0):
        yield Sample(
            columns["embedding"][i], str(columns["photo"][i]), str(columns["photo_sha256"][i]),
            quality_of(float(columns["score"][i]), quality[i], str(reasons[i])),
        )  # fmt: skip


def _kinds(plan: Plan, parts: list[PartFacts]) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of a row of each column; text is as wide as the widest part's."""
    kinds: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}
    for facts in parts:
        with part_rows(plan, facts) as rows:
            for name in _TEXT if kinds else dict.fromkeys((*rows.files, "reasons")):
                values = _values(rows, name)
                known = kinds[name][0] if name in kinds else values.dtype
                kinds[name] = (np.promote_types(known, values.dtype), values.shape[1:])
    return kinds


def _column(plan: Plan, parts: list[PartFacts], name: str) -> Iterator[np.ndarray[Any, Any]]:
    for facts in parts[:1] if name in _WHOLE else parts:
        with part_rows(plan, facts) as rows:
            yield _values(rows, name)


def _values(rows: Any, name: str) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = reasons_of(rows) if name == "reasons" else rows[name]
    return found
