"""Which threshold to decide by: of one comparison, and of a search among many people."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facewise.errors import SettingError
from facewise.models.calibration import DEFAULT_FMR, LOWEST_FMR, Calibration
from facewise.models.quality import QualityRule
from facewise.types import Decision, Quality

DEFAULT_FPIR = 0.1
"""A search that is asked for no rate never lets more strangers than this pass for somebody, if it can."""

NO_CALIBRATION = (
    "no decision: this model has no calibration for these settings; measure one with "
    "`facewise calibrate MODEL --on DATA`, or give --threshold"
)
"""What is said instead of guessing."""


def no_decision(calibration: Calibration | None) -> str:
    """Why there is no decision, for people: there is no calibration, or none at the default rate."""
    if calibration is None or not calibration.thresholds:
        return NO_CALIBRATION
    rates = ", ".join(f"{rate:g}" for rate in calibration.rates())
    return f"no decision: this model was not measured at FMR {DEFAULT_FMR:g}; ask for one of {rates}"


def choose_decision(
    calibration: Calibration | None, *, fmr: float | None = None, threshold: float | None = None
) -> Decision | None:
    """The rule for one comparison: a threshold the user gave, else the model's own, else none.

    Args:
        calibration: Of the model in use, or None.
        fmr: False match rate asked for; None asks for `DEFAULT_FMR`.
        threshold: Similarity in [-1, 1] given by the user, or None.

    Returns:
        None where the model has no calibration: then there is a similarity, but nothing to decide by.

    Raises:
        SettingError: Both are given, one is out of range, or the rate was not measured for this model.
    """
    if threshold is not None:
        if fmr is not None:
            raise SettingError("Give a threshold or a false match rate, not both.")
        if not -1.0 <= threshold <= 1.0:
            raise SettingError(f"A similarity threshold lies between -1 and 1, not at {threshold}.")
        return Decision(threshold, None, "given by the user")
    if fmr is not None and not 0.0 < fmr <= 1.0:
        raise SettingError(f"A false match rate lies above 0 and at most at 1, not at {fmr}.")
    if calibration is None:
        return None
    decision = calibration.decision(DEFAULT_FMR if fmr is None else fmr)
    if decision is None and fmr is not None:
        rates = ", ".join(f"{rate:g}" for rate in calibration.rates())
        raise SettingError(f"This model was not measured at a false match rate of {fmr:g}, only at {rates}.")
    return decision


def search_decision(
    calibration: Calibration | None,
    comparisons: int,
    *,
    fmr: float | None = None,
    fpir: float | None = None,
    threshold: float | None = None,
) -> Decision | None:
    """The rule for a search among many: who is searched is compared with all of them.

    A stranger is taken for somebody with a chance of 1 - (1 - FMR)^N in N independent comparisons (Daugman,
    Proceedings of the IEEE 94 (2006)), the false positive identification rate (FPIR). That errs on the safe
    side: where strangers differ in how often they match, or samples are of the same person, as they are, the
    same false matches are shared by fewer strangers.

    Args:
        calibration: Of the model in use, or None.
        comparisons: N, with how many samples (or templates) a face is compared; 0 or more.
        fmr: False match rate of one comparison to decide at.
        fpir: Share of strangers who may be taken for somebody; the nearest stricter measured FMR is taken.
        threshold: Similarity in [-1, 1] given by the user, or None. With none of the three `DEFAULT_FMR` is
            decided at, or where that would let more than `DEFAULT_FPIR` pass, the measured FMR that does
            not, or else the strictest there is.

    Returns:
        The rule, which says what FPIR its rate means; None where the model has no calibration.

    Raises:
        SettingError: Several are given, one is out of range, or the calibration reaches no rate so low.
    """
    if fpir is not None:
        if fmr is not None or threshold is not None:
            raise SettingError("Give one of: a false positive identification rate, an FMR, a threshold.")
        if not 0.0 < fpir < 1.0:
            raise SettingError(
                f"A false positive identification rate lies above 0 and below 1, not at {fpir}."
            )
    if fpir is None and (fmr is not None or threshold is not None):
        return _with_fpir(choose_decision(calibration, fmr=fmr, threshold=threshold), comparisons)
    if calibration is None:
        return None
    if fpir is None:
        needed = min(DEFAULT_FMR, fmr_for(DEFAULT_FPIR, comparisons))
        rate = _stricter(calibration, needed)
        if rate is None and calibration.rates() and calibration.rates()[-1] <= DEFAULT_FMR:
            rate = calibration.rates()[-1]
    else:
        needed = fmr_for(fpir, comparisons)
        rate = _stricter(calibration, needed)
        if rate is None:
            raise SettingError(_too_strict(calibration, fpir, comparisons, needed))
    return None if rate is None else _with_fpir(calibration.decision(rate), comparisons)


def best_pair_rate(calibration: Calibration | None, pairs: int, *, fmr: float | None = None) -> float | None:
    """The FMR of one comparison at which the most alike of several pairs is judged at `fmr` all in all.

    The best of n pairs of strangers is a match in at most n times as many cases as one pair (Boole's
    inequality, whatever depends on what), so the nearest measured rate at or below `fmr` / n is taken.

    Args:
        calibration: Of the model in use, or None.
        pairs: How many were compared, 1 or more.
        fmr: Asked for; None asks for `DEFAULT_FMR`, or where no measured rate is strict enough, for the
            strictest there is.

    Returns:
        What to ask `choose_decision` for: `fmr` itself where there is no more than one pair, or nothing was
        measured.

    Raises:
        SettingError: The calibration reaches no rate as low.
    """
    if pairs <= 1 or calibration is None or not calibration.rates():
        return fmr
    needed = (DEFAULT_FMR if fmr is None else fmr) / pairs
    rate = _stricter(calibration, needed)
    if rate is not None:
        return rate
    if fmr is None:
        return calibration.rates()[-1] if calibration.rates()[-1] <= DEFAULT_FMR else None
    raise SettingError(
        f"FMR {fmr:g} for the best of {pairs} pairs of faces needs a threshold at FMR {needed:.2g}, but the "
        f"calibration of this model goes down to {calibration.rates()[-1]:g} only: allow more, give a "
        "threshold, or compare the main faces."
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one pair of faces.

    Attributes:
        same: The decision, or None where there is none.
        threshold: The similarity decided by: the rule's, or a higher one where both photos are poor. None
            where there is no decision.
        probability: Of one person, or None where none is calibrated or the photos tell nothing.
        note: Where the threshold comes from, or why there is no decision.
    """

    same: bool | None
    threshold: float | None
    probability: float | None
    note: str


def judge(
    similarity: float,
    qualities: tuple[Quality | None, Quality | None],
    decision: Decision | None,
    calibration: Calibration | None,
    *,
    prior: float | None = None,
) -> Verdict:
    """Decides about one pair of faces, where its error rate was shown to hold.

    A threshold that the user gave decides whatever the photos are like, and so does a calibration that knows
    nothing of quality; one that does decides about the photos it was shown to hold for.

    Args:
        similarity: Cosine similarity in [-1, 1].
        qualities: Of both faces; None where nobody measured it, which counts as good.
        decision: The rule, or None.
        calibration: Of the model in use, or None.
        prior: For the probability; see `Calibration.probability_at`.

    Raises:
        SettingError: The prior is not between 0 and 1.
    """
    if decision is None:
        return Verdict(
            None,
            None,
            None if calibration is None else calibration.probability_at(similarity, prior),
            no_decision(calibration),
        )
    if calibration is None or calibration.quality is None or decision.fmr is None:
        chance = None if calibration is None else calibration.probability_at(similarity, prior)
        return Verdict(similarity >= decision.threshold, decision.threshold, chance, decision.source)
    reason = refusal(qualities)
    needed = threshold_for(better_of(qualities), decision, calibration)
    if reason is None and needed == math.inf:
        reason = "both photos are too poor to tell at this false match rate"
    if reason is not None:
        return Verdict(None, None, None, f"no decision: {reason}")
    note = decision.source
    if needed > decision.threshold:
        note += f"; {decision.threshold:.3f} for good photos, and neither is one"
    chance = _probability(similarity, better_of(qualities), calibration, prior)
    return Verdict(similarity >= needed, needed, chance, note)


def refusal(qualities: tuple[Quality | None, ...]) -> str | None:
    """Why photos can decide nothing, in words, or None where they can."""
    bad = [quality for quality in qualities if quality is not None and quality.reasons]
    if not bad:
        return None
    if len(qualities) == 1:
        return refused(bad[0].reasons)
    if len(bad) == 2 and bad[0].reasons == bad[1].reasons:
        return f"both faces are {' and '.join(bad[0].reasons)}"
    places = ("first", "second")
    told = [
        f"the {places[i]} face is {' and '.join(quality.reasons)}"
        for i, quality in enumerate(qualities)
        if quality is not None and quality.reasons
    ]
    return ", ".join(told)


def refused(reasons: tuple[str, ...]) -> str:
    """The same of one face, by its reasons."""
    return f"the face is {' and '.join(reasons)}"


def threshold_for(better: float, decision: Decision, calibration: Calibration | None) -> float:
    """The similarity that a pair needs by a rule, infinite where there is no decision.

    Args:
        better: Quality of the better photo, in [0, 1].
        decision: The rule.
        calibration: Of the model in use, or None.
    """
    return float(thresholds_for(better, decision, calibration))


def thresholds_for(
    better: ArrayLike, decision: Decision, calibration: Calibration | None
) -> NDArray[np.float64]:
    """As `threshold_for`, of many pairs: an array of the shape of `better`."""
    qualities = np.asarray(better, np.float64)
    rule = rule_of(decision, calibration)
    here = None if rule is None or calibration is None else calibration.threshold_at(rule.fmr)
    if rule is None or decision.fmr is None or here is None:
        return np.full(qualities.shape, decision.threshold)
    return rule.threshold(decision.threshold, decision.fmr, here, qualities)


def rule_of(decision: Decision | None, calibration: Calibration | None) -> QualityRule | None:
    """What a decision knows of quality: nothing, where the user gave its threshold."""
    if decision is None or decision.fmr is None or calibration is None:
        return None
    return calibration.quality


def better_of(qualities: tuple[Quality | None, ...]) -> float:
    """The quality of the better photo; one that nobody measured counts as good."""
    return max(1.0 if quality is None or quality.value is None else quality.value for quality in qualities)


def _probability(
    similarity: float, better: float, calibration: Calibration, prior: float | None
) -> float | None:
    """By the map of good photos, with the similarity lowered by as much as the threshold is raised.

    Where it is raised, and the similarity below it, the pair is held to be no likelier of one person than
    anybody thought before.
    """
    default = calibration.decision()
    if calibration.score_map is None or default is None:
        return calibration.probability_at(similarity, prior)
    needed = threshold_for(better, default, calibration)
    if needed == math.inf:
        return None
    found = calibration.score_map.probability(similarity - (needed - default.threshold), prior)
    if default.threshold < needed and similarity < needed:
        found = min(found, calibration.score_map.prior if prior is None else prior)
    return found


def fmr_for(fpir: float, comparisons: int) -> float:
    """The FMR of one comparison at which `comparisons` independent ones have this FPIR."""
    return -math.expm1(math.log1p(-fpir) / max(1, comparisons))


def fpir_of(fmr: float, comparisons: int) -> float:
    """The share of strangers taken for somebody in so many independent comparisons at this FMR."""
    if fmr >= 1.0:
        return 1.0 if comparisons else 0.0
    return -math.expm1(comparisons * math.log1p(-fmr))


def _stricter(calibration: Calibration, fmr: float) -> float | None:
    """The largest measured rate that is not above this one."""
    return next((rate for rate in calibration.rates() if rate <= fmr * (1.0 + 1e-9)), None)


def _with_fpir(decision: Decision | None, comparisons: int) -> Decision | None:
    if decision is None or decision.fmr is None:
        return decision
    return replace(decision, fpir=fpir_of(decision.fmr, comparisons))


def _too_strict(calibration: Calibration, fpir: float, comparisons: int, needed: float) -> str:
    rates = calibration.rates()
    lowest = f"goes down to {rates[-1]:g} only" if rates else "has no rate"
    advice = f"no threshold is set below FMR {LOWEST_FMR:g}; allow more, or give a threshold"
    if (fmr := _decade(needed)) >= LOWEST_FMR * (1.0 - 1e-9):
        pairs = math.ceil(round(1.0 / fmr, 6))
        advice = (
            f"calibrate it on at least {pairs:,} pairs of different people, allow more, or give a threshold"
        )
    return (
        f"FPIR {fpir:g} in {comparisons} comparisons needs a threshold at FMR {needed:.2g}, but this model's "
        f"calibration {lowest}: {advice}."
    )


def _decade(rate: float) -> float:
    """The power of ten at or below a rate, as thresholds are measured at."""
    return float(f"1e{math.floor(math.log10(rate * (1.0 + 1e-9)))}")
