"""IJB-B and IJB-C 1:1 and 1:N, from templates to metrics; see `facewise.evaluation.ijb` for the protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from facewise.data.ijb import Enrolled, OneToN, TemplatePairs
from facewise.evaluation.ijb_results import GalleryIdentification, IjbIdentification, IjbVerification
from facewise.evaluation.pairs import NO_FACE_SIMILARITY
from facewise.evaluation.templates import Templates, pair_similarities
from facewise.metrics import IdentificationAccumulator
from facewise.metrics.binomial import binomial_interval
from facewise.metrics.large import SortedPairs, verify_sorted

FMRS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
FPIRS = (0.01, 0.1)
RANKS = (1, 5, 10)

_CURVE = np.logspace(-6, 0, 61)
"""False match rates at which the ROC is told, ten a decade."""

_PROBES = 2**22
"""Similarities of probes and gallery computed at once."""


def verify_templates(
    templates: Templates, pairs: TemplatePairs, fmrs: Sequence[float] = FMRS, level: float = 0.95
) -> IjbVerification:
    """1:1.

    Args:
        templates: One vector each.
        pairs: Which to compare.
        fmrs: Target false match rates in (0, 1].
        level: Of the intervals, in (0, 1).

    Raises:
        SettingError: A rate or the level is out of range.
        DatasetError: Only one kind of pair, or a pair names a template there is not.
    """
    there = templates.there
    good = there[pairs.first] & there[pairs.second]
    first, second, same = pairs.first, pairs.second, pairs.same
    if not good.all():
        first, second, same = first[good], second[good], same[good]
    similarities = pair_similarities(templates, first, second)
    ranked = SortedPairs.of(similarities, same)
    metrics = verify_sorted(ranked, fmrs)
    intervals = {}
    for point in metrics.operating_points:
        for name, rate, of in (("tar", point.tar, point.genuine), ("fmr", point.fmr, point.impostors)):
            intervals[f"{name}@fmr={point.fmr_target!r}"] = binomial_interval(round(rate * of), of, level)
    return IjbVerification(
        metrics=replace(metrics, intervals=intervals),
        similarities=similarities,
        same=same,
        curve=np.column_stack([_CURVE, ranked.tar_at_fmrs(_CURVE)]),
        left_out=int(np.count_nonzero(~good)),
    )


def identify_templates(templates: Templates, protocol: OneToN, level: float = 0.95) -> IjbIdentification:
    """1:N.

    Args:
        templates: One vector each.
        protocol: Galleries and probes.
        level: Of the intervals, in (0, 1).

    Raises:
        SettingError: The level is out of range.
        DatasetError: No probe's person is in one of the galleries.
    """
    galleries = tuple(_search(templates, gallery, protocol.probes, level) for gallery in protocol.galleries)
    one, two = protocol.galleries
    both = Enrolled(
        f"{one.name}+{two.name}",
        np.concatenate([one.templates, two.templates]),
        np.concatenate([one.subjects, two.subjects]),
    )
    closed = bool(np.isin(protocol.probes.subjects, both.subjects).all())
    return IjbIdentification(
        galleries=galleries,
        average={
            name: float(np.mean([gallery.rates[name] for gallery in galleries]))
            for name in galleries[0].rates
            if all(name in gallery.rates for gallery in galleries)
        },
        together=_search(templates, both, protocol.probes, level) if closed else None,
    )


def _search(templates: Templates, gallery: Enrolled, probes: Enrolled, level: float) -> GalleryIdentification:
    # A person's templates side by side, so that the best of them is one maximum over neighbours.
    order = np.argsort(gallery.subjects, kind="stable")
    people, begins = np.unique(gallery.subjects[order], return_index=True)
    members = gallery.templates[order]
    columns, absent = templates.features[members].T, ~templates.there[members]
    there = templates.there[probes.templates]
    searched, subjects = probes.templates[there], probes.subjects[there]
    place = np.searchsorted(people, subjects).clip(max=len(people) - 1)
    truth = np.where(people[place] == subjects, place, -1)
    seen = IdentificationAccumulator()
    step = max(1, _PROBES // len(members))
    for start in range(0, len(searched), step):
        block = searched[start : start + step]
        scores = np.clip(templates.features[block] @ columns, -1.0, 1.0)
        scores[:, absent] = NO_FACE_SIMILARITY
        seen.update(np.maximum.reduceat(scores, begins, axis=1), truth[start : start + step])
    metrics = seen.compute(max_rank=20, fpirs=FPIRS)
    rates = {f"rank{k}": float(metrics.cmc[k - 1]) for k in RANKS}
    rates |= {f"dir@fpir={point.fpir_target!r}": point.dir for point in metrics.open_set}
    intervals = {
        name: binomial_interval(round(rate * metrics.mated), metrics.mated, level)
        for name, rate in rates.items()
    }
    left_out = int(np.count_nonzero(~there))
    return GalleryIdentification(gallery.name, len(members), metrics, rates, intervals, left_out)
