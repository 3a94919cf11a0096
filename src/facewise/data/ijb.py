"""IJB-B and IJB-C on disk, in the text files that InsightFace distributes and papers use.

Whitelam et al. 2017, "IARPA Janus Benchmark-B Face Dataset" (CVPR workshops); Maze et al. 2018, "IARPA Janus
Benchmark - C: Face Dataset and Protocol" (ICB). A *template* is a set of photos and video frames of one
person; a *medium* is a photo or a video, so frames of one video share theirs. Under a folder `IJBC` there are

* `loose_crop/`: the photos, cut loosely around a face;
* `meta/ijbc_face_tid_mid.txt`: a photo a line, `image template medium`;
* `meta/ijbc_name_5pts_score.txt`: the same photos in the same order, `image x1 y1 … x5 y5 score`;
* `meta/ijbc_template_pair_label.txt`: pairs for 1:1, `template template 1-or-0`;
* `meta/ijbc_1N_gallery_G1.csv`, `…G2.csv` and `meta/ijbc_1N_probe_mixed.csv`: templates and people for 1:N,
  in the columns `TEMPLATE_ID` and `SUBJECT_ID` among others, a line a photo.

Under `IJBB` the names begin with `ijbb`, and the galleries are S1 and S2.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.data.csvfile import read_csv
from facewise.data.ijbfaces import IjbFaces, read_faces
from facewise.data.integertable import integer_table
from facewise.errors import DatasetError
from facewise.image import source_name

GALLERIES = {"IJBB": ("S1", "S2"), "IJBC": ("G1", "G2")}
"""Subset → what its two galleries are called."""

Places: TypeAlias = NDArray[np.int32]
"""Places in `IjbFaces.template_ids`."""

_PAIR = "template template 1-or-0"


@dataclass(frozen=True, slots=True, eq=False)
class TemplatePairs:
    """Pairs of templates; templates are places in `IjbFaces.template_ids`.

    Attributes:
        first: (P,) int32 one template.
        second: (P,) int32 the other.
        same: (P,) bool, whether they show one person.
    """

    first: Places
    second: Places
    same: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Enrolled:
    """Templates and whose they are.

    Attributes:
        name: `G1`, `probe_mixed` …
        templates: (E,) int64 places in `IjbFaces.template_ids`, rising.
        subjects: (E,) int64 the person of each.
    """

    name: str
    templates: NDArray[np.int64]
    subjects: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class OneToN:
    """The 1:N protocol: two galleries without a person in common, and probes of everybody."""

    galleries: tuple[Enrolled, Enrolled]
    probes: Enrolled


@dataclass(frozen=True, slots=True, eq=False)
class Ijb:
    """IJB-B or IJB-C on disk.

    Attributes:
        subset: `IJBB` or `IJBC`.
        crops: The folder of photos.
        faces: Every photo, its template and medium, landmarks and detector score.
        pairs: For 1:1.
        one_to_n: For 1:N, or None if it was not asked for.
    """

    subset: str
    crops: Path
    faces: IjbFaces
    pairs: TemplatePairs
    one_to_n: OneToN | None


def load_ijb(root: str | os.PathLike[str], subset: str | None = None, *, one_to_n: bool = False) -> Ijb:
    """Read the lists; photos are read later.

    Args:
        root: The folder that holds `IJBB` or `IJBC`, or one of these folders itself.
        subset: `IJBB` or `IJBC`; None is the one that is there.
        one_to_n: Read the lists of the 1:N protocol too.

    Raises:
        DatasetError: A folder or file is missing, or a line is malformed or at odds with another file; the
            file and the line are named.
    """
    folder, subset = _find(Path(root), subset)
    crops, start = folder / "loose_crop", subset.lower()
    if not crops.is_dir():
        raise DatasetError(f"There is no folder {source_name(crops)}; it should hold the photos of {subset}.")
    meta = folder / "meta"
    faces = read_faces(meta / f"{start}_face_tid_mid.txt", meta / f"{start}_name_5pts_score.txt")
    return Ijb(
        subset=subset,
        crops=crops,
        faces=faces,
        pairs=read_template_pairs(meta / f"{start}_template_pair_label.txt", faces.template_ids),
        one_to_n=_read_one_to_n(meta, subset, faces.template_ids) if one_to_n else None,
    )


def read_template_pairs(path: Path, template_ids: NDArray[np.int64]) -> TemplatePairs:
    """Read the 1:1 pairs: fifteen million lines in a few seconds.

    Args:
        path: The file, lines of `template template 1-or-0`.
        template_ids: (T,) ids of the templates there are, rising.

    Raises:
        DatasetError: The file is missing or empty, or a line is malformed, names a template that has no
            photo, or compares a template with itself.
    """
    firsts, seconds, labels = list[Places](), list[Places](), list[NDArray[np.bool_]]()
    for line, rows in integer_table(path, 3, _PAIR):
        first, second = (_places(rows[:, side], template_ids) for side in (0, 1))
        label = rows[:, 2]
        bad = (first < 0) | (second < 0) | (label > 1) | (first == second)
        if bad.any():
            place = int(np.argmax(bad))
            raise _bad_pair(path, line + place, rows[place], template_ids)
        firsts.append(first)
        seconds.append(second)
        labels.append(label == 1)
    if not firsts:
        raise DatasetError(f"{source_name(path)} holds no pairs.")
    return TemplatePairs(np.concatenate(firsts), np.concatenate(seconds), np.concatenate(labels))


def _bad_pair(path: Path, line: int, row: NDArray[np.int32], template_ids: NDArray[np.int64]) -> DatasetError:
    where = f"Line {line} of {source_name(path)}"
    for template in row[:2]:
        if template not in template_ids:
            return DatasetError(f"{where} names template {template}, but no photo belongs to it.")
    if row[2] > 1:
        return DatasetError(f"{where} is no `{_PAIR}`.")
    return DatasetError(f"{where} compares template {row[0]} with itself, which says nothing.")


def _places(ids: NDArray[np.int32], template_ids: NDArray[np.int64]) -> Places:
    """Where ids stand among the rising template ids; -1 where they do not."""
    places = np.minimum(np.searchsorted(template_ids, ids), len(template_ids) - 1)
    return np.where(template_ids[places] == ids, places, -1).astype(np.int32)


def _read_one_to_n(meta: Path, subset: str, template_ids: NDArray[np.int64]) -> OneToN:
    start = f"{subset.lower()}_1N"
    names = [f"gallery_{name}" for name in GALLERIES[subset]] + ["probe_mixed"]
    lists = [_read_enrolled(meta / f"{start}_{name}.csv", name, template_ids) for name in names]
    one, two, probes = lists
    for a, b in ((one, two), (one, probes), (two, probes)):
        common = np.intersect1d(a.templates, b.templates)
        if len(common):
            raise DatasetError(
                f"Template {template_ids[common[0]]} is in both {a.name} and {b.name} of "
                f"{source_name(meta)}; a probe is never in a gallery."
            )
    if len(np.intersect1d(one.subjects, two.subjects)):
        raise DatasetError(f"{one.name} and {two.name} of {source_name(meta)} share people; they must not.")
    return OneToN((one, two), probes)


def _read_enrolled(path: Path, name: str, template_ids: NDArray[np.int64]) -> Enrolled:
    known = {int(template): place for place, template in enumerate(template_ids)}
    found: dict[int, int] = {}
    for line, fields in read_csv(path, ("template_id", "subject_id")):
        where = f"Line {line} of {source_name(path)}"
        if not all(field.isascii() and field.isdigit() and len(field) < 19 for field in fields):
            raise DatasetError(f"{where} needs whole numbers as TEMPLATE_ID and SUBJECT_ID.")
        template, subject = map(int, fields)
        if template not in known:
            raise DatasetError(f"{where} names template {template}, but no photo belongs to it.")
        if found.setdefault(known[template], subject) != subject:
            raise DatasetError(f"{where} gives template {template} to another person than a line before.")
    if not found:
        raise DatasetError(f"{source_name(path)} lists no templates.")
    templates = np.array(sorted(found), np.int64)
    return Enrolled(
        name.removeprefix("gallery_"), templates, np.array([found[int(t)] for t in templates], np.int64)
    )


def _find(root: Path, subset: str | None) -> tuple[Path, str]:
    """The folder that holds `meta`, and whose it is."""
    if subset is not None and subset not in GALLERIES:
        raise DatasetError(f"There is no subset {subset!r}; choose {' or '.join(GALLERIES)}.")
    there = [
        (folder, name)
        for name in (GALLERIES if subset is None else [subset])
        for folder in (root / name, root)
        if (folder / "meta" / f"{name.lower()}_face_tid_mid.txt").is_file()
    ]
    if len({name for _, name in there}) > 1:
        raise DatasetError(f"{source_name(root)} holds IJBB and IJBC; choose one of them as the subset.")
    if not there:
        wanted = subset or "IJBC"
        raise DatasetError(
            f"{source_name(root)} holds no {subset or 'IJB-B or IJB-C'}: there is no "
            f"{wanted}/meta/{wanted.lower()}_face_tid_mid.txt in it."
        )
    return there[0]
