"""Deciding who an embedding is."""

from __future__ import annotations

from collections.abc import Sequence

from facewise.errors import FaceNotFoundError
from facewise.gallery.results import Identification
from facewise.types import Candidate, Decision, Face, FloatArray


def identification(candidates: tuple[Candidate, ...], decision: Decision | None) -> Identification:
    """What the rule says of the best candidate: it is them, it is a stranger; nothing without a rule."""
    similarity = candidates[0].similarity if candidates else -1.0
    if decision is None:
        return Identification(None, similarity, False, None, None, candidates)
    known = bool(candidates) and similarity >= decision.threshold
    name = candidates[0].name if known else None
    return Identification(name, similarity, True, decision.threshold, decision.fmr, candidates, decision.fpir)


def named_twice(names: Sequence[str | None]) -> list[bool]:
    """Of the faces of one photo: whether another was given the same name."""
    return [name is not None and names.count(name) > 1 for name in names]


def embedding_of(face: Face) -> FloatArray:
    """The face's embedding, which whatever read the photo must have made."""
    if face.embedding is None:
        raise FaceNotFoundError("A face without an embedding cannot be identified: embed it first.")
    return face.embedding
