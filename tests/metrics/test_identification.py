"""Identification metrics against loops that do what the definitions say, one probe at a time."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import DatasetError, SettingError
from facewise.metrics import IdentificationAccumulator, cmc, open_set, rank_k, threshold_at_fmr


@st.composite
def searches(draw):
    """Probes with heavily tied scores; at least one mated and one stranger."""
    probes, people = draw(st.integers(2, 15)), draw(st.integers(1, 6))
    levels = draw(st.sampled_from([1, 3, 8]))
    cells = draw(st.lists(st.integers(-levels, levels), min_size=probes * people, max_size=probes * people))
    truth = draw(st.lists(st.integers(-1, people - 1), min_size=probes, max_size=probes))
    truth[0], truth[1] = draw(st.integers(0, people - 1)), -1
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return (np.array(cells).reshape(probes, people) / levels).astype(dtype), np.array(truth)


def naive_rank(row, person):
    return 1 + sum(1 for other, score in enumerate(row) if other != person and score >= row[person])


@given(searches(), st.integers(1, 8))
def test_ranks_are_counted_pessimistically(search, k):
    similarities, truth = search
    ranks = [naive_rank(row, person) for row, person in zip(similarities, truth, strict=True) if person >= 0]
    expected = [sum(rank <= r for rank in ranks) / len(ranks) for r in range(1, k + 1)]
    np.testing.assert_allclose(cmc(similarities, truth, k), expected, atol=1e-15)
    assert rank_k(similarities, truth, k) == pytest.approx(expected[-1])


@settings(max_examples=100)
@given(searches(), st.one_of(st.floats(1e-3, 1.0), st.sampled_from([0.01, 0.1, 0.5])))
def test_open_set_by_definition(search, fpir):
    similarities, truth = search
    (point,) = open_set(similarities, truth, (fpir,))
    best = similarities[truth < 0].max(axis=1)
    exact = similarities.astype(np.float64)
    assert point.threshold == threshold_at_fmr(best, fpir)
    named = [row.max() >= point.threshold for row, person in zip(exact, truth, strict=True) if person < 0]
    found = [
        naive_rank(row, person) == 1 and row[person] >= point.threshold
        for row, person in zip(exact, truth, strict=True)
        if person >= 0
    ]
    assert point.fpir == pytest.approx(np.mean(named))
    assert point.fpir <= fpir == point.fpir_target
    assert point.dir == pytest.approx(np.mean(found))
    assert point.fnir == pytest.approx(1 - np.mean(found))
    assert (point.mated, point.strangers) == (len(found), len(named))
    assert point.supported == (1 / len(named) <= fpir)


@given(searches(), st.lists(st.integers(1, 14), max_size=3))
def test_batches_make_no_difference(search, cuts):
    similarities, truth = search
    seen = IdentificationAccumulator()
    for rows in np.split(np.arange(len(truth)), sorted(cuts)):
        if len(rows):
            seen.update(similarities[rows], truth[rows])
    result = seen.compute(max_rank=5, fpirs=(0.1, 0.5))
    np.testing.assert_array_equal(result.cmc, cmc(similarities, truth, 5))
    assert list(result.open_set) == open_set(similarities, truth, (0.1, 0.5))
    assert result.rank1 == rank_k(similarities, truth)
    assert (result.probes, result.gallery) == similarities.shape


def test_by_hand():
    similarities = [
        [0.9, 0.1, 0.2],  # found
        [0.5, 0.5, 0.1],  # a tie with person 1: rank 2
        [0.3, 0.1, 0.6],  # rank 2
        [0.1, 0.2, 0.35],  # found, but weakly
        [0.1, 0.4, 0.3],  # stranger
        [0.2, 0.1, 0.1],  # stranger
    ]
    truth = [0, 0, 0, 2, -1, -1]
    np.testing.assert_allclose(cmc(similarities, truth, 3), [0.5, 1.0, 1.0])
    strict, loose = open_set(similarities, truth, (0.01, 0.5))
    assert (strict.threshold, strict.fpir, strict.dir) == (np.nextafter(0.4, 1), 0.0, 0.25)
    assert (loose.threshold, loose.fpir, loose.dir) == (np.nextafter(0.2, 1), 0.5, 0.5)
    assert (strict.supported, loose.supported) == (False, True)


def test_a_probe_without_a_face_finds_nobody():
    similarities = np.full((3, 4), -1.0)
    truth = np.array([2, 0, -1])
    assert rank_k(similarities, truth) == 0.0
    assert rank_k(similarities, truth, 3) == 0.0
    assert rank_k(similarities, truth, 4) == 1.0
    assert open_set(similarities, truth, (1.0,))[0].dir == 0.0


def test_one_person_is_always_first():
    assert rank_k([[0.1], [-1.0]], [0, 0]) == 1.0


@given(searches(), st.randoms(use_true_random=False))
def test_order_of_probes_people_and_a_rising_transform_change_nothing(search, random):
    similarities, truth = search
    rows, columns = list(range(similarities.shape[0])), list(range(similarities.shape[1]))
    random.shuffle(rows)
    random.shuffle(columns)
    moved = np.append(np.argsort(columns), -1)  # where each person went; -1 stays
    bent = np.exp(similarities.astype(np.float64))[rows][:, columns]
    np.testing.assert_allclose(cmc(bent, moved[truth[rows]], 6), cmc(similarities, truth, 6))
    for after, before in zip(open_set(bent, moved[truth[rows]]), open_set(similarities, truth), strict=True):
        assert (after.dir, after.fpir) == pytest.approx((before.dir, before.fpir))


def test_a_large_search():
    rng = np.random.default_rng(0)
    similarities = rng.normal(size=(11_000, 1_680)).astype(np.float32)
    truth = np.where(rng.random(11_000) < 0.3, -1, rng.integers(0, 1_680, 11_000))
    mated = np.flatnonzero(truth >= 0)
    similarities[mated, truth[mated]] += 4
    start = time.process_time()
    points = open_set(similarities, truth)
    assert time.process_time() - start < 2
    best = similarities.max(axis=1)
    for point in points:
        assert point.fpir == np.mean(best[truth < 0] >= point.threshold) <= point.fpir_target
        found = (similarities[mated, truth[mated]] == best[mated]) & (best[mated] >= point.threshold)
        assert point.dir == found.mean()


def test_result_is_plain_json():
    seen = IdentificationAccumulator()
    seen.update(np.eye(4, dtype=np.float32), np.array([0, 1, -1, 3], np.int8))
    told = json.loads(json.dumps(seen.compute(max_rank=2).to_dict(), allow_nan=False))
    assert (told["probes"], told["mated"], told["strangers"], told["gallery"]) == (4, 3, 1, 4)
    assert told["cmc"] == [1.0, 1.0]
    assert [point["fpir_target"] for point in told["open_set"]] == [0.01, 0.1]


def test_a_closed_set_has_no_open_set_points():
    seen = IdentificationAccumulator()
    seen.update([[0.9, 0.1]], [0])
    assert seen.compute().open_set == ()


@pytest.mark.parametrize(
    ("similarities", "truth"),
    [
        ([0.9, 0.1], [0, 0]),
        ([], []),
        (np.zeros((0, 3)), []),
        (np.zeros((3, 0)), [0, 0, 0]),
        ([[0.9, math.nan]], [0]),
        ([[0.9, -math.inf]], [0]),
        ([[0.9, 0.1]], [0, 1]),
        ([[0.9, 0.1]], [2]),
        ([[0.9, 0.1]], [-2]),
        ([[0.9, 0.1]], [0.0]),
        ([[0.9, 0.1]], [True]),
        ([[0.9, 0.1]], [-1]),
    ],
)
def test_bad_data(similarities, truth):
    for metric in (rank_k, cmc, open_set):
        with pytest.raises(DatasetError):
            metric(similarities, truth)


def test_open_set_needs_strangers():
    with pytest.raises(DatasetError):
        open_set([[0.9, 0.1]], [0])


def test_a_refused_batch_changes_nothing():
    seen = IdentificationAccumulator()
    seen.update([[0.9, 0.1], [0.1, 0.2]], [0, -1])
    before = seen.compute(max_rank=2).to_dict()
    for similarities, truth in (([[0.9, 0.1, 0.2]], [0]), ([[0.9, math.nan]], [0]), ([[0.9, 0.1]], [2])):
        with pytest.raises(DatasetError):
            seen.update(similarities, truth)
    assert seen.compute(max_rank=2).to_dict() == before


def test_nothing_seen():
    with pytest.raises(DatasetError):
        IdentificationAccumulator().compute()


@pytest.mark.parametrize("k", [0, -1])
def test_bad_rank(k):
    for metric in (rank_k, cmc):
        with pytest.raises(SettingError):
            metric([[0.9, 0.1]], [0], k)


@pytest.mark.parametrize("fpir", [0.0, -0.1, 1.5, math.nan])
def test_bad_rate(fpir):
    with pytest.raises(SettingError):
        open_set([[0.9, 0.1], [0.1, 0.2]], [0, -1], (fpir,))
