"""Deciding who an embedding is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facewise.errors import FaceNotFoundError
from facewise.gallery.results import Identification
from facewise.gallery.search import Scoring
from facewise.models.calibration import Calibration
from facewise.models.decisions import refused, rule_of, thresholds_for
from facewise.models.liveness import not_live
from facewise.models.quality import QualityRule
from facewise.types import Candidate, Decision, Face, FloatArray, Quality

VectorsOf = Callable[[Sequence[int]], Mapping[int, FloatArray]]
"""From numbers of people to their samples, (n, D) each; without those who are gone."""


def identifications(
    probes: FloatArray,
    found: Sequence[tuple[Candidate, ...]],
    decision: Decision | None,
    calibration: Calibration | None,
    qualities: Sequence[Quality | None] | None,
    scoring: Scoring,
    vectors_of: VectorsOf,
) -> list[Identification]:
    """What the rule says of each probe.

    Where the calibration knows of quality, a probe too poor for any decision gets none. A good one needs the
    threshold whatever it is compared with; one in between needs that of the better of the two photos, sample
    by sample. So every comparison has the false match rate of the rule at most, and a stranger is named only
    where one of them is a false match: the bound on FPIR (see `search_decision`) is that of good probes, also
    where the most alike person fails and the next one passes.

    Args:
        probes: (P, D) of unit length.
        found: Candidates of each, best first.
        decision: The rule, or None.
        calibration: Of the model in use, or None.
        qualities: What was measured of each face, where it was.
        scoring: How the candidates were scored.
        vectors_of: Asked for the samples of a few of them.
    """
    rule = rule_of(decision, calibration)
    if rule is None or decision is None or calibration is None:
        return [identification(one, decision) for one in found]
    values = rule.of(probes)
    reasons = rule.reasons(probes, qualities)
    between = {
        i
        for i, one in enumerate(found)
        if not reasons[i] and values[i] < rule.qualities[-1] and _near(one, decision)
    }
    people = sorted({c.person for i in between for c in _near(found[i], decision) if c.person is not None})
    samples = vectors_of(people) if people else {}
    told = []
    for i, one in enumerate(found):
        if reasons[i]:
            told.append(undecided(one, refused(reasons[i])))
        elif i in between:
            search = _Search(probes[i], float(values[i]), decision, calibration, rule, scoring)
            told.append(search.decided(one, samples))
        else:
            told.append(identification(one, decision))
    return told


@dataclass(frozen=True, slots=True)
class _Search:
    """A probe of middling quality."""

    probe: FloatArray
    value: float
    decision: Decision
    calibration: Calibration
    rule: QualityRule
    scoring: Scoring

    def decided(self, candidates: tuple[Candidate, ...], samples: Mapping[int, FloatArray]) -> Identification:
        rule, first = self.decision, math.inf
        for place, candidate in enumerate(_near(candidates, rule)):
            rows = None if candidate.person is None else samples.get(candidate.person)
            if rows is None or not len(rows):
                continue
            passed, needed = self._judged(candidate, rows)
            if passed:
                others = candidates[:place] + candidates[place + 1 :]
                return Identification(
                    candidate.name,
                    candidate.similarity,
                    True,
                    needed,
                    rule.fmr,
                    (candidate, *others),
                    rule.fpir,
                )
            if place == 0:
                first = needed
        if first == math.inf:
            return undecided(
                candidates,
                f"the face and the photo of {candidates[0].name} are both too poor to tell at this false "
                "match rate",
            )
        return Identification(None, candidates[0].similarity, True, first, rule.fmr, candidates, rule.fpir)

    def _judged(self, candidate: Candidate, rows: FloatArray) -> tuple[bool, float]:
        """Whether it is them, and the threshold of the sample that says so, or else of the most alike one."""
        qualities = self.rule.of(rows).astype(np.float64)
        if self.scoring == "mean":
            qualities = np.array([np.average(qualities, weights=np.maximum(qualities, 1e-6))])
            alike = np.array([candidate.similarity])
        else:
            alike = np.einsum("nd,d->n", rows.astype(np.float64), self.probe.astype(np.float64))
        needed = thresholds_for(np.maximum(qualities, self.value), self.decision, self.calibration)
        passed = alike >= needed
        best = int(np.argmax(np.where(passed, alike, -np.inf) if passed.any() else alike))
        return bool(passed.any()), float(needed[best])


def _near(candidates: tuple[Candidate, ...], decision: Decision) -> tuple[Candidate, ...]:
    """Who would be them were both photos good; no threshold is below that."""
    return tuple(one for one in candidates if one.similarity >= decision.threshold)


def identification(candidates: tuple[Candidate, ...], decision: Decision | None) -> Identification:
    """What the rule says of the best candidate: it is them, it is a stranger; nothing without a rule."""
    similarity = candidates[0].similarity if candidates else -1.0
    if decision is None:
        return Identification(None, similarity, False, None, None, candidates)
    known = bool(candidates) and similarity >= decision.threshold
    name = candidates[0].name if known else None
    return Identification(name, similarity, True, decision.threshold, decision.fmr, candidates, decision.fpir)


def undecided(candidates: tuple[Candidate, ...], reason: str) -> Identification:
    """No decision, for a reason in words."""
    similarity = candidates[0].similarity if candidates else -1.0
    return Identification(None, similarity, False, None, None, candidates, note=f"no decision: {reason}")


def if_live(found: Sequence[Identification], faces: Sequence[Face]) -> list[Identification]:
    """What was found, but nobody where the face was found not to be live."""
    reasons = [not_live([face]) for face in faces]
    return [
        one if reason is None else undecided(one.candidates, reason)
        for one, reason in zip(found, reasons, strict=True)
    ]


def named_twice(names: Sequence[str | None]) -> list[bool]:
    """Of the faces of one photo: whether another was given the same name."""
    return [name is not None and names.count(name) > 1 for name in names]


def embedding_of(face: Face) -> FloatArray:
    """The face's embedding, which whatever read the photo must have made."""
    if face.embedding is None:
        raise FaceNotFoundError("A face without an embedding cannot be identified: embed it first.")
    return face.embedding
