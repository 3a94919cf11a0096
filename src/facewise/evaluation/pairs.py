"""Pairs of photos, scored: what every verification protocol does, whatever it then measures."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.lfw import Pair, people_of
from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.embedded import EmbeddedPhoto, Progress, embed_photos
from facewise.pipeline import Pipeline

NO_FACE_SIMILARITY = -1.0
"""What a pair is scored when one of its photos has no face: the least alike there is. Never dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPairs:
    """Pairs and how alike a pipeline finds them.

    Attributes:
        pairs: The pairs.
        similarities: (P,) float64, one a pair.
        photos: How many different photos are in the pairs.
        without_face: Photos in which no face was found; their pairs are scored `NO_FACE_SIMILARITY`.
        unreadable: Photos that could not be read, likewise, with the reason.
        affected: How many pairs those photos are in.
        several: Photos with more than one face, of which the main one was compared, and how many they have.
        data_hash: sha256 (hex) over the pairs and their photos' content.
    """

    pairs: tuple[Pair, ...]
    similarities: NDArray[np.float64]
    photos: int
    without_face: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    affected: int
    data_hash: str
    several: tuple[tuple[str, int], ...] = ()

    @property
    def same(self) -> NDArray[np.bool_]:
        """(P,) whether each pair shows one person."""
        return np.array([pair.same for pair in self.pairs], dtype=np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """What became of the photos, plain Python for JSON; pairs and similarities are left out."""
        return {
            "photos": self.photos,
            "without_face": list(self.without_face),
            "unreadable": [{"photo": photo, "error": error} for photo, error in self.unreadable],
            "pairs_scored_as_different_for_want_of_a_face": self.affected,
            "main_of_several": [{"photo": photo, "faces": faces} for photo, faces in self.several],
            "data_hash": self.data_hash,
        }


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was left out of a protocol for the sake of some people, such as those a model was trained on.

    Attributes:
        named: How many people were named.
        people: Those of them who are in the protocol's pairs, sorted.
        pairs: How many pairs they are in: what was left out.
    """

    named: int
    people: tuple[str, ...]
    pairs: int

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {"people_named": self.named, "people": list(self.people), "pairs": self.pairs}

    def __str__(self) -> str:
        return f"{self.pairs} left out for {len(self.people)} of the {self.named} people named"


def without_people(pairs: Sequence[Pair], people: Collection[str]) -> tuple[tuple[Pair, ...], LeftOut]:
    """The pairs that show none of some people, and what was left out.

    Raises:
        DatasetError: No pair, or only one kind of pair, is left.
    """
    named = frozenset(people)
    kept = tuple(pair for pair in pairs if named.isdisjoint(people_of([pair])))
    if len({pair.same for pair in kept}) < 2:
        raise DatasetError(
            f"Without the {len(named)} people named, {len(kept)} of {len(pairs)} pairs are left, and none of "
            f"{'two people' if kept and kept[0].same else 'one person'}; name fewer people."
        )
    gone = LeftOut(len(named), tuple(sorted(named & people_of(pairs))), len(pairs) - len(kept))
    return kept, gone


def score_pairs(
    images: Path,
    pairs: Sequence[Pair],
    pipeline: Pipeline,
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    processes: bool = False,
) -> ScoredPairs:
    """Embed the photos of the pairs, and compare.

    Args:
        images: The folder the pairs' paths are relative to.
        pairs: At least one.
        pipeline: Detector and embedder; the embedder's flip setting is used.
        cache: See `embed_photos`.
        progress: Told as photos are done; there are `len(photos_of(pairs))`.
        processes: See `Pipeline.read_many`.
    """
    photos = photos_of(pairs)
    paths = [images / photo for photo in photos]
    done = embed_photos(pipeline, paths, cache=cache, progress=progress, processes=processes)
    return scored_pairs(pairs, dict(zip(photos, done, strict=True)))


def scored_pairs(pairs: Sequence[Pair], embedded: Mapping[str, EmbeddedPhoto]) -> ScoredPairs:
    """Compare photos that are embedded already.

    Args:
        pairs: At least one.
        embedded: Photo → its embedding, of all photos of the pairs and no other.
    """
    return ScoredPairs(
        pairs=tuple(pairs),
        similarities=pair_similarities(pairs, embedded),
        photos=len(embedded),
        without_face=tuple(p for p, e in embedded.items() if e.embedding is None and e.error is None),
        unreadable=tuple((p, str(e.error)) for p, e in embedded.items() if e.error is not None),
        affected=sum(embedded[p.a].embedding is None or embedded[p.b].embedding is None for p in pairs),
        data_hash=_data_hash(pairs, embedded),
        several=tuple((p, e.others + 1) for p, e in embedded.items() if e.others),
    )


def people_of_pairs(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """The two people of each pair of LFW, whose photos lie in a folder a person."""
    return [(pair.a.partition("/")[0], pair.b.partition("/")[0]) for pair in pairs]


def photos_of(pairs: Sequence[Pair]) -> list[str]:
    """The different photos of the pairs, sorted."""
    return sorted({photo for pair in pairs for photo in (pair.a, pair.b)})


def pair_similarities(pairs: Sequence[Pair], embedded: Mapping[str, EmbeddedPhoto]) -> NDArray[np.float64]:
    """(P,) cosine similarity of each pair; `NO_FACE_SIMILARITY` where a photo has no embedding."""
    scores = np.full(len(pairs), NO_FACE_SIMILARITY)
    for i, pair in enumerate(pairs):
        a, b = embedded[pair.a].embedding, embedded[pair.b].embedding
        if a is not None and b is not None:
            scores[i] = np.clip(np.dot(a.astype(np.float64), b.astype(np.float64)), -1.0, 1.0)
    return scores


def _data_hash(pairs: Sequence[Pair], embedded: Mapping[str, EmbeddedPhoto]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        line = f"{embedded[pair.a].sha256} {embedded[pair.b].sha256} {pair.same} {pair.fold}\n"
        digest.update(line.encode())
    return digest.hexdigest()
