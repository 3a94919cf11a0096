import tracemalloc

import numpy as np
import pytest
from gallery_fakes import CALIBRATION, unit
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, v_measure_score
from threadpoolctl import threadpool_limits

from facewise.errors import GalleryError, SettingError
from facewise.gallery import cluster, cluster_faces
from facewise.types import Quality
from planted_quality import of_quality, with_rule


def people(sizes, size=128, spread=0.9, seed=0):
    """Faces of people with so many photos each, shuffled, and whose each is; one's are about 0.55 alike."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    centres = unit(rng.standard_normal((len(sizes), size)))
    return unit(centres[truth] + spread * rng.standard_normal((len(truth), size)) / np.sqrt(size)), truth


def test_people_are_found_without_names():
    rows, truth = people([60, 40, 40, 20, 20, 10, 10, 5, 5, 3, 2])
    found = cluster(rows, 0.35)
    assert adjusted_rand_score(truth, found) == 1
    assert v_measure_score(truth, found) == pytest.approx(1)


def test_a_loose_threshold_among_many_strangers():
    """As LFW: most people have one photo, and each face has about ten false neighbours."""
    sizes = [200, 80, 50] + [10] * 30 + [3] * 100 + [2] * 100 + [1] * 1000
    rows, truth = people(sizes, spread=0.75, seed=1)
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, len(rows), (2, 2 * 10**5))
    apart = truth[a] != truth[b]
    threshold = np.quantile(np.einsum("nd,nd->n", rows[a[apart]], rows[b[apart]]), 1 - 5e-3)
    found = cluster(rows, float(threshold))
    assert adjusted_rand_score(truth, found) > 0.98
    assert v_measure_score(truth, found) > 0.98
    assert abs(found.max() + 1 - len(sizes)) < 0.05 * len(sizes)


def test_a_person_with_more_photos_than_a_list_holds_stays_one():
    rows, _ = people([3000, 1000, 500, 1, 1], spread=1.0)
    assert np.bincount(cluster(rows, 0.3)).tolist() == [3000, 1000, 500, 1, 1]


def test_strangers_stay_alone():
    rows, _ = people([1] * 300)
    assert cluster(rows, 0.6).tolist() == list(range(300))


def test_labels_run_from_the_largest_group():
    rows, truth = people([2, 30, 7])
    found = cluster(rows, 0.3)
    assert np.bincount(found).tolist() == [30, 7, 2]
    assert set(found[truth == 1]) == {0}
    x, y = np.eye(2, dtype=np.float32)
    assert cluster(np.stack([y, x, x, y, x]), 0.5).tolist() == [1, 0, 0, 1, 0]
    assert cluster(np.stack([y, x, x, y]), 0.5).tolist() == [0, 1, 1, 0]


def test_the_seed_decides():
    rows, _ = people([20] * 10 + [1] * 200, spread=1.6)
    assert np.array_equal(cluster(rows, 0.2, seed=3), cluster(rows, 0.2, seed=3))
    a, b = cluster(rows, 0.2, seed=3), cluster(rows, 0.2, seed=4)
    assert adjusted_rand_score(a, b) > 0.7


def test_the_order_of_the_photos_matters_little():
    rows, _ = people([40, 20, 10, 5, 1, 1])
    order = np.random.default_rng(5).permutation(len(rows))
    assert adjusted_rand_score(cluster(rows, 0.35)[order], cluster(rows[order], 0.35)) == 1


@given(st.integers(0, 10**6), st.integers(1, 60), st.floats(-1, 0.99))
@settings(max_examples=60)
def test_labels_are_a_numbering_by_size(seed, count, threshold):
    rows = unit(np.random.default_rng(seed).standard_normal((count, 4)))
    found = cluster(rows, threshold)
    sizes = np.bincount(found, minlength=found.max() + 1)
    assert len(found) == count
    assert sizes.min() >= 1
    assert (np.diff(sizes) <= 0).all()
    for label in range(len(sizes)):  # nobody is in a group without a neighbour in it
        own = rows[found == label]
        if len(own) > 1:
            similarity = own @ own.T - 3 * np.eye(len(own))
            assert (similarity.max(axis=1) >= threshold - 1e-6).all()


def test_identical_photos_are_one_person():
    rows, _ = people([1, 1])
    assert np.bincount(cluster(np.repeat(rows, [400, 3], axis=0), 0.5)).tolist() == [400, 3]


@pytest.mark.parametrize("copies", [65, 300, 500])
@pytest.mark.parametrize("threads", [1, 2])
def test_more_copies_of_a_photo_than_neighbours_are_one_person(copies, threads):
    # Their similarities differ in the last bits, by where BLAS divides the product.
    with threadpool_limits(threads):
        for seed in range(6):
            row = np.random.default_rng(seed).normal(size=(1, 128))
            rows = (row / np.linalg.norm(row)).astype(np.float32).repeat(copies, axis=0)
            assert cluster(rows, 0.4).max() == 0


def test_few_photos():
    rows, _ = people([1])
    assert cluster(np.empty((0, 128), np.float32), 0.4).tolist() == []
    assert cluster(rows, 0.4).tolist() == [0]
    assert cluster(np.repeat(rows, 2, axis=0), 0.4).tolist() == [0, 0]


def test_a_pair_is_one_person_from_the_documented_similarity():
    def pair(similarity):
        return np.array([[1, 0], [similarity, np.sqrt(1 - similarity**2)]], dtype=np.float32)

    bar = 0.4 + 0.15 * (1 - 0.4)
    assert cluster(pair(bar + 0.002), 0.4).tolist() == [0, 0]
    assert cluster(pair(bar - 0.002), 0.4).tolist() == [0, 1]


def test_what_cannot_be_clustered_is_refused():
    rows, _ = people([3])
    with pytest.raises(GalleryError, match="not 1"):
        cluster(rows * 2, 0.4)
    with pytest.raises(GalleryError, match="not finite"):
        cluster(rows * np.nan, 0.4)
    for bad in (1.0, -1.1, float("nan")):
        with pytest.raises(SettingError, match="threshold"):
            cluster(rows, bad)
    with pytest.raises(SettingError, match="chinese-whispers"):
        cluster(rows, 0.4, method="dbscan")


def test_twelve_thousand_faces_need_no_square_matrix():
    rows, _ = people([4] * 1800 + [1] * 4800, spread=0.75)
    tracemalloc.start()
    found = cluster(rows, 0.4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20  # the square matrix alone would be 550 MiB
    assert abs(found.max() + 1 - 6600) < 180


def test_two_faces_are_neighbours_from_the_lower_of_their_thresholds_on():
    a, b = unit([[1.0, 0.0, 0.0], [0.9, np.sqrt(1 - 0.81), 0.0]])
    pair = np.stack([a, b])
    for needed, same in (([0.95, 0.95], False), ([np.inf, np.inf], False), ([np.inf, 0.5], True)):
        found = cluster(pair, np.array(needed))
        assert (found[0] == found[1]) == same
        assert np.array_equal(found, cluster(pair[::-1], np.array(needed[::-1])))


def test_poor_faces_are_grouped_by_what_they_need_and_the_worst_by_nothing():
    """Strangers whose photos are bad in the same way are alike; with good photos of them they are found."""
    rng = np.random.default_rng(3)
    known, strangers = (unit(rng.standard_normal((n, 32))) for n in (4, 30))
    good = [of_quality(face, 1.0) for face in known for _ in range(3)]
    middling = [of_quality(face, 0.55) for face in known]
    poor = [of_quality(face, 0.4) for face in strangers]  # 0.36 of each other's square, and more by chance
    worst = [of_quality(face, 0.1) for face in strangers]
    rows = np.stack([*good, *middling, *poor, *worst])
    decision = CALIBRATION.decision()
    labels, left = cluster_faces(rows, [None] * len(rows), decision, with_rule(CALIBRATION))
    assert set(left) == set(range(46, 76))
    assert set(left.values()) == {"blurred"}
    for person in range(4):
        assert len({*labels[3 * person : 3 * person + 3].tolist(), int(labels[12 + person])}) == 1
    assert len(set(labels.tolist())) == 4 + 30 + 30
    plain, left = cluster_faces(rows, [None] * len(rows), decision, CALIBRATION)
    assert len(set(plain.tolist())) < 20
    assert not left
    dark = Quality(0.9, 40.0, 100.0, 0.0, 0.0, 0.0, reasons=("too dark",))
    labels, left = cluster_faces(rows[:2], [None, dark], decision, with_rule(CALIBRATION))
    assert (labels[0] != labels[1], left) == (True, {1: "too dark"})
