"""All pairs of photos, against a loop over them; and galleries of a few photos, against another."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from facewise.errors import DatasetError, SettingError
from facewise.evaluation import all_pairs as module
from facewise.evaluation.all_pairs import all_pairs
from facewise.evaluation.shots import cast_roles, check_roles, identify_by_shots
from facewise.metrics.score_counts import CELLS


def people(seed: int = 0, counts: tuple[int, ...] = (4, 1, 3, 6, 2, 1, 5), noise: float = 0.7):
    """Vectors, where there is no face, labels in no order, names."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    vectors = rng.standard_normal((len(counts), 16))[labels] + noise * rng.standard_normal((len(labels), 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    faceless = np.zeros(len(labels), bool)
    faceless[3] = True
    vectors[3] = 0
    return vectors, faceless, labels.astype(np.int64), [f"P{i}" for i in range(len(counts))]


def naive_scores(vectors: np.ndarray, faceless: np.ndarray, labels: np.ndarray):
    pairs = list(combinations(range(len(labels)), 2))
    scores = [
        -1.0 if faceless[i] or faceless[j] else float(vectors[i].astype(float) @ vectors[j].astype(float))
        for i, j in pairs
    ]
    return pairs, np.array(scores), np.array([labels[i] == labels[j] for i, j in pairs])


@pytest.mark.parametrize("block", [1, 50, 2**22])
@pytest.mark.parametrize("noise", [0.7, 1.5])
def test_all_pairs_are_the_naive_loop(monkeypatch: pytest.MonkeyPatch, block: int, noise: float) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    vectors, faceless, labels, names = people(noise=noise)
    pairs, scores, same = naive_scores(vectors, faceless, labels)
    result = all_pairs(vectors, faceless, labels, names)
    found = result.metrics
    assert (found.genuine, found.impostors) == (same.sum(), (~same).sum())
    assert [point.fmr_target for point in found.operating_points] == [0.1, 0.01]
    assert found.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-6)
    for place, point in enumerate(found.operating_points):
        # It lies just above an impostor's score; float32 may round that to either side.
        assert np.abs(scores[~same] - point.threshold).min() < 2 / CELLS
        accepted = scores >= point.threshold - 1e-9 - 1 / CELLS
        assert point.fmr <= point.fmr_target
        assert abs(point.tar - accepted[same].mean()) <= 1 / same.sum()
        own = [
            np.mean([a for (i, _), a, s in zip(pairs, accepted, same, strict=True) if s and labels[i] == p])
            for p in range(len(names))
            if (labels == p).sum() > 1
        ]
        assert result.people == len(own) == 5
        assert result.tar_by_person[place] == pytest.approx(np.mean(own), abs=0.03)
        interval = result.intervals[f"tar@fmr={point.fmr_target!r}"]
        assert interval.low <= point.tar <= interval.high
    assert result.intervals["auc"].estimate == found.auc
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_the_hardest_people_are_named() -> None:
    vectors, faceless, labels, names = people(noise=0.2)
    # Nobody's photos are alike but those of P3, who is everybody at once.
    rng = np.random.default_rng(1)
    vectors[labels == 3] = rng.standard_normal(((labels == 3).sum(), 16))
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    hardest = all_pairs(vectors, faceless, labels, names).hardest
    assert hardest[0].name == "P3"
    assert hardest[0].pairs == 15
    assert hardest[0].missed >= 10


def test_intervals_resample_people() -> None:
    """One person with many photos who is never found, and ten who always are: the interval is wide."""
    labels = np.repeat(np.arange(11), [12] + [2] * 10)
    rng = np.random.default_rng(0)
    vectors = np.zeros((len(labels), 64), np.float32)
    vectors[labels > 0, labels[labels > 0]] = 1
    vectors[labels == 0, 20:] = rng.standard_normal((12, 44)) * np.sign(np.arange(12) % 2 - 0.5)[:, None]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    result = all_pairs(vectors, np.zeros(len(labels), bool), labels, [str(i) for i in range(11)])
    name = f"tar@fmr={result.metrics.operating_points[-1].fmr_target!r}"
    assert result.metrics.operating_points[-1].tar < 0.7
    assert result.intervals[name].high - result.intervals[name].low > 0.4
    assert result.tar_by_person[-1] > 0.8


def test_all_pairs_need_people() -> None:
    vectors, faceless, labels, names = people(counts=(1, 1, 1, 1, 1))
    with pytest.raises(DatasetError, match="two photos"):
        all_pairs(vectors, faceless, labels, names)
    with pytest.raises(DatasetError, match="two people"):
        all_pairs(vectors, faceless, np.zeros_like(labels), names)


# Identification from a few photos


def naive_identification(vectors, faceless, gallery, probes, truth):
    """Rank-1, and DIR where no stranger gets a name."""

    def score(probe: int, photos) -> float:
        return max(
            -1.0 if faceless[probe] or faceless[photo] else float(vectors[probe] @ vectors[photo])
            for photo in photos
        )

    scores = [[score(probe, photos) for photos in gallery] for probe in probes]
    strangers = [max(row) for row, true in zip(scores, truth, strict=True) if true < 0]
    first = detected = mated = 0
    for row, true in zip(scores, truth, strict=True):
        if true >= 0:
            mated += 1
            alone = sum(value >= row[true] for value in row) == 1
            first += alone
            detected += alone and row[true] > max(strangers, default=-2)
    return first / mated, detected / mated


@pytest.mark.parametrize("strangers", [None, 0.4])
def test_galleries_are_the_naive_loop(strangers: float | None) -> None:
    vectors, faceless, labels, _ = people(counts=(4, 1, 3, 6, 2, 1, 5, 7, 4), noise=1.2)
    results = identify_by_shots(vectors, faceless, labels, (1, 3), strangers=strangers, repeats=4)
    assert [result.shots for result in results] == [1, 3]
    for result in results:
        expected = []
        for seed in range(4):
            roles = cast_roles(labels, 3, strangers, seed)
            gallery = [person[: result.shots] for person in roles.enrolled]
            mated = [(photo, i) for i, person in enumerate(roles.enrolled) for photo in person[3:]]
            probes = [p for p, _ in mated] + list(roles.strangers)
            truth = [i for _, i in mated] + [-1] * len(roles.strangers)
            expected.append(naive_identification(vectors, faceless, gallery, probes, truth))
            assert result.results[seed].mated == len(mated)
            assert result.results[seed].strangers == len(roles.strangers) > 0
        assert [one.rank1 for one in result.results] == pytest.approx([rank1 for rank1, _ in expected])
        assert [one.open_set[0].dir for one in result.results] == pytest.approx([d for _, d in expected])
        rank1 = result.figures["rank1"]
        values = [rank1 for rank1, _ in expected]
        assert (rank1.mean, rank1.deviation) == (
            pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1))
        )  # fmt: skip
        assert (rank1.low, rank1.high) == (min(values), max(values))
        assert json.dumps(result.to_dict(), allow_nan=False)


def test_roles_share_no_photo_and_no_person() -> None:
    _, _, labels, _ = people(counts=(4, 1, 3, 6, 2, 1, 5, 7, 4))
    seen = set()
    for seed in range(5):
        aside = cast_roles(labels, 2, 0.5, seed)
        enrolled = {int(labels[photo]) for person in aside.enrolled for photo in person}
        strangers = {int(labels[photo]) for photo in aside.strangers}
        assert not enrolled & strangers
        # Half of the six with three photos or more; nobody with fewer.
        assert len(enrolled) + len(strangers) == 6
        assert len(strangers) == 3
        for person in aside.enrolled:
            assert len(set(labels[list(person)])) == 1
            assert len(set(person)) == len(person) == (labels == labels[person[0]]).sum()
        seen.add((aside.enrolled, aside.strangers))
        few = cast_roles(labels, 2, None, seed)
        assert {int(labels[photo]) for photo in few.strangers} == {1, 4, 5}
        assert len(few.enrolled) == 6
    assert len(seen) == 5


def test_the_same_seed_gives_the_same_roles() -> None:
    _, _, labels, _ = people()
    assert cast_roles(labels, 1, 0.3, 4) == cast_roles(labels, 1, 0.3, 4)


@pytest.mark.parametrize(
    ("shots", "strangers", "error", "told"),
    [
        ((0, 1), None, SettingError, "1 or more"),
        ((2, 2), None, SettingError, "named once"),
        ((6,), None, DatasetError, "the most anyone has is 6"),
        ((1,), 0.0, SettingError, "between 0 and 1"),
        ((1,), 1.0, SettingError, "between 0 and 1"),
        ((1,), float("nan"), SettingError, "between 0 and 1"),
        ((5,), 0.5, DatasetError, "too few to set strangers aside"),
    ],
)
def test_roles_that_cannot_be_cast(shots, strangers, error, told) -> None:
    _, _, labels, _ = people()
    with pytest.raises(error, match=told):
        check_roles(labels, shots, strangers)


def test_no_shots_need_nobody() -> None:
    check_roles(np.array([0]), (), None)
