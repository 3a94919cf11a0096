"""The protocols of IJB-B and IJB-C: templates verified 1:1 and identified 1:N.

Whitelam et al. 2017 (IJB-B) and Maze et al. 2018 (IJB-C). 1:1: all listed pairs of a gallery template and a
probe template, TAR at FMR 1e-6 … 1e-1. 1:N: every probe is searched in each of two galleries that share
nobody; whoever is in a gallery counts for its ranks and its DIR, everybody else for its FPIR, and the two
galleries' figures are averaged. Templates are pooled as published by InsightFace, see
`facewise.evaluation.templates`.

A photo that cannot be used is left out of its template. Pairs and probes of a template without a usable photo
are left out; in a gallery such a template is alike to nobody (`NO_FACE_SIMILARITY`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facewise.data.ijb import Ijb
from facewise.embedding import Embedder
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import Progress
from facewise.evaluation.ijb_protocols import identify_templates, verify_templates
from facewise.evaluation.ijb_results import IjbResult, IjbTemplates
from facewise.evaluation.landmarked import embed_landmarked
from facewise.evaluation.pairs import MOST_UNREADABLE, check_readable
from facewise.evaluation.templates import Templates, pool_templates
from facewise.types import FloatArray

_BLOCK = 2048
"""Photos in memory at once, and a transaction of the cache."""


@dataclass(frozen=True, slots=True)
class Weighting:
    """What a photo weighs in its template; InsightFace's `ijb_11.py` does both.

    Attributes:
        feature_length: The length of the features as the network gives them (`use_norm_score`); False makes
            every photo's features unit length first.
        detector_score: The score of the detector that found the landmarks (`use_detector_score`).
    """

    feature_length: bool = True
    detector_score: bool = True


PUBLISHED = Weighting()
"""Both weights, as published."""


def evaluate_ijb(
    data: Ijb,
    embedders: Sequence[Embedder],
    *,
    weighting: Weighting = PUBLISHED,
    cache: FaceCache | None = None,
    threads: int = 1,
    progress: Progress = lambda _: None,
    most_unreadable: float = MOST_UNREADABLE,
) -> list[IjbResult]:
    """Run the protocols for several models, all of them embedding each photo as it is read.

    Args:
        data: Lists and photos.
        embedders: One or more; each one's flip setting is used.
        weighting: What a photo weighs in its template.
        cache: Where features are looked up and kept, or None.
        threads: Photos worked on side by side.
        progress: Told as photos are done; there are `len(data.faces)`.
        most_unreadable: Share of the photos that may be of no use and left out.

    Returns:
        One result an embedder.

    Raises:
        DatasetError: Too many photos cannot be used, or there is only one kind of pair.
        ModelError: A network fails.
    """
    made = embed_templates(
        data,
        embedders,
        weighting=weighting,
        cache=cache,
        threads=threads,
        progress=progress,
        most_unreadable=most_unreadable,
    )
    return [_result(data, embedder, weighting, done) for embedder, done in zip(embedders, made, strict=True)]


def _result(data: Ijb, embedder: Embedder, weighting: Weighting, done: IjbTemplates) -> IjbResult:
    flags = {"N": weighting.feature_length, "D": weighting.detector_score, "F": embedder.flip}
    search = data.one_to_n
    return IjbResult(
        subset=data.subset,
        mode="".join(f"{letter}{int(flag)}" for letter, flag in flags.items()),
        photos=len(data.faces),
        embedded=done,
        verification=verify_templates(done.templates, data.pairs),
        identification=None if search is None else identify_templates(done.templates, search),
    )


def embed_templates(
    data: Ijb,
    embedders: Sequence[Embedder],
    *,
    weighting: Weighting = PUBLISHED,
    cache: FaceCache | None = None,
    threads: int = 1,
    progress: Progress = lambda _: None,
    most_unreadable: float = MOST_UNREADABLE,
) -> list[IjbTemplates]:
    """Embed every photo and pool the templates, in blocks of whole templates.

    Arguments and errors as `evaluate_ijb`.
    """
    faces = data.faces
    parts: list[list[Templates]] = [[] for _ in embedders]
    unreadable: dict[int, str] = {}
    digest = hashlib.sha256()
    for rows in _blocks(faces.templates):
        photos = [data.crops / faces.names[i] for i in rows]
        done = embed_landmarked(photos, faces.landmarks[rows], embedders, cache=cache, threads=threads)
        unreadable |= {int(rows[i]): str(error) for i, error in done.errors.items()}
        digest.update(" ".join(done.digests).encode())
        good = np.array([i not in done.errors for i in range(len(rows))])
        kept, first = rows[good], int(faces.templates[rows[0]])
        for part, features in zip(parts, done.features, strict=True):
            part.append(
                pool_templates(
                    features[good] if weighting.feature_length else _directions(features[good]),
                    faces.templates[kept] - first,
                    faces.media[kept],
                    faces.scores[kept] if weighting.detector_score else None,
                    count=int(faces.templates[rows[-1]]) - first + 1,
                )
            )
        progress(len(rows))
    named = tuple((faces.names[i], unreadable[i]) for i in sorted(unreadable))
    counts = {"photos": (len(named), len(faces))}
    check_readable(data.subset, named, counts, most_unreadable)
    for array in (faces.templates, faces.media, faces.landmarks, faces.scores, faces.template_ids):
        digest.update(array.tobytes())
    return [IjbTemplates(_joined(part), digest.hexdigest(), named) for part in parts]


def _blocks(templates: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """The photos of whole templates, rising, about `_BLOCK` at a time."""
    order = np.argsort(templates, kind="stable")
    begins = np.flatnonzero(np.diff(templates[order], prepend=-1))
    start = 0
    while start < len(order):
        following = begins[begins >= start + _BLOCK]
        end = int(following[0]) if len(following) else len(order)
        yield order[start:end]
        start = end


def _directions(features: FloatArray) -> FloatArray:
    unit: FloatArray = features / np.linalg.norm(features, axis=1, keepdims=True)
    return unit


def _joined(parts: Sequence[Templates]) -> Templates:
    return Templates(
        np.concatenate([part.features for part in parts]), np.concatenate([part.there for part in parts])
    )
