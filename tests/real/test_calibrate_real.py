"""Calibration on half of LFW's people, checked on the other half, with the public models: minutes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from facewise.evaluation import FaceCache, Lfw, embed_photos
from facewise.evaluation.calibrate import Calibrated, calibrate
from facewise.evaluation.calibration_data import open_calibration_data
from facewise.evaluation.comparisons import AllPairs
from facewise.evaluation.identification import stacked
from facewise.evaluation.match_rates import Rates, rates_at
from facewise.metrics import cllr, min_cllr, reliability
from facewise.models import fpir_of
from facewise.pipeline import Pipeline

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("lfw")]

HALVES = 20


@dataclass(frozen=True, eq=False)
class Half:
    """What was calibrated on one half of the people, and the other half's photos."""

    found: Calibrated
    vectors: np.ndarray
    labels: np.ndarray
    rates: list[Rates]


@pytest.fixture(scope="module")
def photos(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and people of at most ten photos a person, as `facewise calibrate` takes them."""
    data = open_calibration_data(lfw.images.parent)
    done = embed_photos(pipeline, data.photos, cache=cache)
    vectors, faceless = stacked(done, pipeline.embedder.embedding_size)
    assert not faceless.any()
    return vectors, data.labels


@pytest.fixture(scope="module")
def halves(photos: tuple[np.ndarray, np.ndarray]) -> list[Half]:
    vectors, labels = photos
    made = []
    for seed in range(HALVES):
        people = np.random.default_rng(seed).permutation(labels.max() + 1)
        first = np.isin(labels, people[: len(people) // 2])
        found = calibrate(AllPairs(vectors[first], labels[first]))
        rest = AllPairs(vectors[~first], labels[~first])
        rates = rates_at(rest, [point.threshold for point in found.thresholds])
        made.append(Half(found, vectors[~first], labels[~first], rates))
    return made


def test_intervals_hold_on_the_other_half(halves: list[Half]) -> None:
    """All pairs within each half; `fmr_elsewhere` is about as many other people, which the other half is."""
    for place, fmr in enumerate((1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)):
        points = [half.found.thresholds[place] for half in halves]
        measured = [half.rates[place].fmr.value for half in halves]
        assert all(point.fmr == fmr for point in points)
        elsewhere, true = (
            np.mean([low <= rate <= high for (low, high), rate in zip(ends, measured, strict=True)])
            for ends in ([p.fmr_elsewhere for p in points], [p.fmr_interval for p in points])
        )
        widths = np.mean([p.fmr_elsewhere for p in points], axis=0)
        print(  # noqa: T201
            f"FMR {fmr:g}: the other half's within the stated interval of another group in {elsewhere:.2f} "
            f"of {HALVES} halves (mean {widths[0]:.3g} to {widths[1]:.3g}, measured {min(measured):.3g} to "
            f"{max(measured):.3g}), within that of the true rate in {true:.2f}"
        )
        # Twenty halves of the same people say little more of the other rates than that nothing is badly off.
        assert elsewhere >= (0.9 if fmr in {1e-2, 1e-3} else 0.75)


def test_probabilities_hold_on_unseen_people(halves: list[Half]) -> None:
    """All same pairs of the other half and as many different ones, drawn by chance: prior 0.5."""
    errors, costs = [], []
    for seed, half in enumerate(halves):
        scores, same = _even(half, seed)
        stated = half.found.score_map.probabilities(scores)
        ratios = np.array([half.found.score_map.log_ratio(score) for score in scores])
        errors.append([reliability(stated, same, equal=kind).expected_error for kind in ("width", "mass")])
        costs.append([cllr(ratios, same), min_cllr(scores, same)])
    mean, worst = np.mean(errors, axis=0), np.max(errors, axis=0)
    print(  # noqa: T201
        f"ECE at prior 0.5 on unseen people, 15 bins: equal width {mean[0]:.4f} (worst half {worst[0]:.4f}), "
        f"equal mass {mean[1]:.4f} (worst {worst[1]:.4f}); Cllr {np.mean(costs, axis=0)[0]:.4f}, "
        f"least possible {np.mean(costs, axis=0)[1]:.4f}"
    )
    assert worst.max() <= 0.01


def test_no_more_strangers_are_named_than_said(halves: list[Half]) -> None:
    """A photo each of 1,000 people of the other half enrolled, one each of 1,800 others searched."""
    for place in (2, 3, 4):
        shares, fmr = [], halves[0].found.thresholds[place].fmr
        for seed, half in enumerate(halves):
            _, first = np.unique(half.labels, return_index=True)
            chosen = np.random.default_rng(seed).permutation(first)[:2800]
            best = (half.vectors[chosen[1000:]] @ half.vectors[chosen[:1000]].T).max(axis=1)
            shares.append(np.mean(best >= half.found.thresholds[place].threshold))
        said = fpir_of(fmr, 1000)
        print(f"FMR {fmr:g}, 1,000 enrolled: said {said:.4f}, measured {np.mean(shares):.4f}")  # noqa: T201
        assert np.mean(shares) <= 1.1 * said
        assert np.mean(shares) >= 0.3 * said


def _even(half: Half, seed: int) -> tuple[np.ndarray, np.ndarray]:
    genuine, impostors = [], []
    for block in AllPairs(half.vectors, half.labels).blocks():
        same = block.first == block.second
        genuine.append(block.similarities[same])
        impostors.append(block.similarities[~same])
    alike = np.concatenate(genuine)
    others = np.random.default_rng(seed).choice(np.concatenate(impostors), len(alike), replace=False)
    return np.concatenate([alike, others]), np.repeat([True, False], len(alike))
