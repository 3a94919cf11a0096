"""Pairs of photos, scored: what every verification protocol does, whatever it then measures."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
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

MOST_UNREADABLE = 0.01
"""Share of the photos or pairs that may be unreadable and left out; with more, nothing is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class ScoredPairs:
    """Pairs and how alike a pipeline finds them.

    Attributes:
        pairs: Those whose photos could both be read.
        places: (P,) where each of them stands among the pairs given.
        similarities: (P,) float64, one a pair.
        two_faces: (P,) whether a face was found in both photos.
        photos: How many different photos are in the pairs given.
        without_face: Photos in which no face was found; their pairs are scored `NO_FACE_SIMILARITY`.
        unreadable: Photos that could not be read, with the reason; their pairs are left out.
        left_out: How many pairs these are.
        several: Photos with more than one face, of which the main one was compared, and how many they have.
        data_hash: sha256 (hex) over the pairs given and their photos' content.
    """

    pairs: tuple[Pair, ...]
    places: NDArray[np.int64]
    similarities: NDArray[np.float64]
    two_faces: NDArray[np.bool_]
    photos: int
    without_face: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    left_out: int
    data_hash: str
    several: tuple[tuple[str, int], ...] = ()

    @property
    def affected(self) -> int:
        """How many pairs are scored as different for want of a face."""
        return int((~self.two_faces).sum())

    def fmr_of_two_faces(self, threshold: float) -> float | None:
        """Share of the different pairs with two faces that match; None where there is none.

        A photo without a face matches nobody, which is to the credit of the whole system, but no merit of
        the embedder's: FMR over all different pairs is the lower for it, this is not.
        """
        scores = self.similarities[self.two_faces & ~self.same]
        return float((scores >= threshold).mean()) if len(scores) else None

    def with_two_faces(self) -> ScoredPairs:
        """The pairs in which two faces were found: what a threshold is for."""
        keep = self.two_faces
        return replace(
            self,
            pairs=tuple(pair for pair, kept in zip(self.pairs, keep, strict=True) if kept),
            places=self.places[keep],
            similarities=self.similarities[keep],
            two_faces=keep[keep],
        )

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
            "pairs_left_out_as_unreadable": self.left_out,
            "pairs_scored_as_different_for_want_of_a_face": self.affected,
            "pairs_of_two_faces": {
                "genuine": int((self.two_faces & self.same).sum()),
                "impostors": int((self.two_faces & ~self.same).sum()),
            },
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
    most_unreadable: float = MOST_UNREADABLE,
) -> ScoredPairs:
    """Embed the photos of the pairs, and compare.

    Args:
        images: The folder the pairs' paths are relative to.
        pairs: At least one.
        pipeline: Detector and embedder; the embedder's flip setting is used.
        cache: See `embed_photos`.
        progress: Told as photos are done; there are `len(photos_of(pairs))`.
        processes: See `Pipeline.read_many`.
        most_unreadable: See `check_readable`.

    Raises:
        DatasetError: See `scored_pairs`.
    """
    photos = photos_of(pairs)
    paths = [images / photo for photo in photos]
    done = embed_photos(pipeline, paths, cache=cache, progress=progress, processes=processes)
    embedded = dict(zip(photos, done, strict=True))
    return scored_pairs(pairs, embedded, name=str(images), most_unreadable=most_unreadable)


def scored_pairs(
    pairs: Sequence[Pair],
    embedded: Mapping[str, EmbeddedPhoto],
    *,
    name: str = "the pairs",
    most_unreadable: float = MOST_UNREADABLE,
) -> ScoredPairs:
    """Compare photos that are embedded already; pairs with a photo that could not be read are left out.

    Args:
        pairs: At least one.
        embedded: Photo → its embedding, of all photos of the pairs and no other.
        name: What to call the pairs in an error.
        most_unreadable: See `check_readable`.

    Raises:
        DatasetError: Too many photos could not be read, or no pair has two faces.
    """
    unreadable = tuple((p, str(e.error)) for p, e in embedded.items() if e.error is not None)
    bad = {photo for photo, _ in unreadable}
    places = [i for i, pair in enumerate(pairs) if pair.a not in bad and pair.b not in bad]
    counts = {"photos": (len(bad), len(embedded)), "pairs": (len(pairs) - len(places), len(pairs))}
    check_readable(name, unreadable, counts, most_unreadable)
    kept = tuple(pairs[i] for i in places)
    found = [embedded[p.a].embedding is not None and embedded[p.b].embedding is not None for p in kept]
    if not any(found):
        raise DatasetError(f"In no pair of {name} was a face found in both photos, so nothing is measured.")
    return ScoredPairs(
        pairs=kept,
        places=np.array(places, np.int64),
        similarities=pair_similarities(kept, embedded),
        two_faces=np.array(found, np.bool_),
        photos=len(embedded),
        without_face=tuple(p for p, e in embedded.items() if e.embedding is None and e.error is None),
        unreadable=unreadable,
        left_out=len(pairs) - len(kept),
        data_hash=data_hash_of(pairs, embedded),
        several=tuple((p, e.others + 1) for p, e in embedded.items() if e.others),
    )


def check_readable(
    name: str,
    unreadable: Sequence[tuple[str, str]],
    counts: Mapping[str, tuple[int, int]],
    most: float = MOST_UNREADABLE,
) -> None:
    """Passes where so few photos could not be read that what is measured on the others is worth telling.

    Args:
        name: What was to be measured on.
        unreadable: Photos, and why each could not be read.
        counts: Of photos, and pairs if there are any: how many cannot be used, and how many there are.
        most: Share of each that may be left out, in [0, 1]. All may never.

    Raises:
        DatasetError: There are more; the first are named.
    """
    for what, (bad, total) in counts.items():
        if bad and (bad > most * total or bad == total):
            reasons = [reason.rstrip(".") for _, reason in unreadable[:3]]
            more = f"; and {len(unreadable) - 3} more photos" if len(unreadable) > 3 else ""
            raise DatasetError(
                f"{bad} of {total} {what} of {name} cannot be read, where --unreadable allows {most:.3g} of "
                f"them, so nothing is measured: {'; '.join(reasons)}{more}."
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


def data_hash_of(pairs: Sequence[Pair], embedded: Mapping[str, EmbeddedPhoto]) -> str:
    """sha256 (hex) over pairs and their photos' content."""
    digest = hashlib.sha256()
    for pair in pairs:
        line = f"{embedded[pair.a].sha256} {embedded[pair.b].sha256} {pair.same} {pair.fold}\n"
        digest.update(line.encode())
    return digest.hexdigest()
