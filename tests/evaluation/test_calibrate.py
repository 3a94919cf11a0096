"""Thresholds and probabilities from compared pairs: against naive loops, the bootstrap, and known truth."""

from __future__ import annotations

import csv
import importlib
import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.lfw import load_lfw
from facewise.errors import DatasetError
from facewise.evaluation import FaceCache, evaluate_lfw
from facewise.evaluation.calibrate import FMRS, calibrate, lacking, spread_evenly
from facewise.evaluation.calibrate_model import calibrate_model
from facewise.evaluation.calibration_data import open_calibration_data
from facewise.evaluation.comparisons import AllPairs, ListedPairs
from facewise.evaluation.match_rates import rates_at
from facewise.evaluation.thresholds import measured_calibration
from facewise.metrics import expected_calibration_error, identity_intervals


def people(seed: int, count: int, most: int = 4, noise: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of people in 16 dimensions with 1 to `most` photos each, some people alike."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), rng.integers(1, most + 1, count))
    kinds = rng.normal(size=(8, 16))
    centres = rng.normal(size=(count, 16)) + 0.5 * kinds[rng.integers(0, 8, count)]
    vectors = centres[labels] + noise * rng.normal(size=(len(labels), 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def listed(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every pair, by a loop."""
    pairs = list(itertools.combinations(range(len(labels)), 2))
    scores = np.array([np.float32(vectors[a] @ vectors[b]) for a, b in pairs]).clip(-1, 1)
    first, second = np.array([(labels[a], labels[b]) for a, b in pairs]).T
    return scores, first, second


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewise.evaluation.comparisons._BLOCK", 200)


@pytest.mark.usefixtures("small_blocks")
def test_all_pairs_are_all_pairs():
    vectors, labels = people(0, 25)
    shuffled = np.random.default_rng(1).permutation(len(labels))
    made, given_ = AllPairs(vectors[shuffled], labels[shuffled]), ListedPairs(*listed(vectors, labels))
    parts = list(made.blocks())
    assert len(parts) > 3
    scores, first, second = listed(vectors, labels)

    def as_set(scores, first, second):
        return sorted(zip(scores.round(5).tolist(), *np.sort([first, second], axis=0).tolist(), strict=True))

    joined = [np.concatenate([getattr(part, name) for part in parts])
              for name in ("similarities", "first", "second")]  # fmt: skip
    assert as_set(*joined)[::50] == as_set(scores, first, second)[::50]
    for name in ("genuine_pairs", "impostor_pairs"):
        np.testing.assert_array_equal(getattr(made, name), getattr(given_, name))
    assert (made.people, made.meetings) == (given_.people, given_.meetings)
    assert made.meeting_squares == given_.meeting_squares
    one, two = np.array([3, 7, 20]), np.array([5, 2, 24])
    np.testing.assert_array_equal(made.pairs_between(one, two), given_.pairs_between(one, two))


@pytest.mark.usefixtures("small_blocks")
def test_rates_are_counts_and_intervals_those_of_the_bootstrap_by_identity():
    vectors, labels = people(2, 120, most=3)
    scores, first, second = listed(vectors, labels)
    same = first == second
    thresholds = [0.3, 0.55, 0.7]
    found = rates_at(AllPairs(vectors, labels), thresholds)
    boot = identity_intervals(scores, same, first, second, thresholds=thresholds, repeats=400)
    for one, threshold in zip(found, thresholds, strict=True):
        assert one.fmr.errors == np.count_nonzero(scores[~same] >= threshold)
        assert one.fnmr.errors == np.count_nonzero(scores[same] < threshold)
        assert (one.fmr.pairs, one.fnmr.pairs) == (np.count_nonzero(~same), np.count_nonzero(same))
        for rate, name in ((one.fmr, "fmr"), (one.fnmr, "fnmr")):
            oracle = boot[f"{name}@{threshold!r}"]
            assert rate.value == pytest.approx(oracle.estimate, abs=1e-12)
            np.testing.assert_allclose(rate.interval, (oracle.low, oracle.high), rtol=0.12)
            low, high = rate.elsewhere
            assert low <= rate.interval[0] <= rate.value <= rate.interval[1] <= high
            assert rate.trials <= rate.pairs * (1 + 1e-9)


def test_where_no_error_was_seen_people_are_what_counts():
    vectors, labels = people(3, 30, noise=0.01)
    (rates,) = rates_at(AllPairs(vectors, labels), [0.97])
    assert (rates.fmr.value, rates.fnmr.value) == (0, 0)
    assert rates.fmr.trials == 30 * 29 / 2
    assert rates.fnmr.trials == len([person for person in range(30) if (labels == person).sum() > 1])
    assert rates.fmr.interval[0] == 0 < rates.fmr.interval[1] < 0.02


def test_thresholds_set_on_one_group_hold_on_another_as_often_as_they_say():
    """With people of known truth: the true FMR at a threshold is that of very many of them."""
    vectors, labels = people(100, 1500, most=3)
    alike = (vectors @ vectors.T)[labels[:, None] < labels]
    rng = np.random.default_rng(0)
    true, other = [], []
    for _ in range(120):
        chosen = rng.permutation(1500)[:120]
        one, two = (np.isin(labels, part) for part in (chosen[:60], chosen[60:]))
        point = calibrate(AllPairs(vectors[one], labels[one])).thresholds[1]
        (again,) = rates_at(AllPairs(vectors[two], labels[two]), [point.threshold])
        true.append(point.fmr_interval[0] <= np.mean(alike >= point.threshold) <= point.fmr_interval[1])
        other.append(point.fmr_elsewhere[0] <= again.fmr.value <= point.fmr_elsewhere[1])
    assert point.fmr == 0.01
    print(f"covered: the true rate {np.mean(true):.3f}, another group's {np.mean(other):.3f}")  # noqa: T201
    assert 0.89 <= np.mean(true) <= 0.99
    assert 0.89 <= np.mean(other) <= 0.995


@given(seed=st.integers(0, 50), noise=st.sampled_from([0.2, 0.6, 1.0]))
@settings(max_examples=20)
def test_a_calibration_is_sound(seed, noise):
    vectors, labels = people(seed, 40, noise=noise)
    found = calibrate(AllPairs(vectors, labels))
    assert found.meetings == 40 * 39 // 2
    assert [point.fmr for point in found.thresholds] == [1e-1, 1e-2]
    assert [one.fmr for one in found.unset] == list(FMRS[2:])
    thresholds = [point.threshold for point in found.thresholds]
    assert thresholds == sorted(thresholds)
    blocks = list(AllPairs(vectors, labels).blocks())
    # In float64, as a float32 is compared with a threshold of more digits in its own precision otherwise.
    impostors = np.concatenate([b.similarities[b.first != b.second] for b in blocks]).astype(np.float64)
    for point in found.thresholds:
        assert np.mean(impostors >= point.threshold) == point.measured_fmr <= point.fmr
        assert np.mean(impostors >= point.threshold - 1e-6) >= point.fmr - 1 / len(impostors)
        assert point.fmr_interval[0] <= point.measured_fmr <= point.fmr_interval[1]
        assert point.fnmr_interval[0] <= point.fnmr <= point.fnmr_interval[1]
    chances = found.score_map.probabilities(np.linspace(-1, 1, 50))
    assert (np.diff(chances) >= 0).all()
    assert 0 < chances[0] < 0.5 < chances[-1] < 1


def test_probabilities_hold_on_other_people():
    vectors, labels = people(7, 600, most=3)
    old = labels < 300
    found = calibrate(AllPairs(vectors[old], labels[old]))
    scores, first, second = listed(vectors[labels >= 500], labels[labels >= 500])
    same = first == second
    impostors = np.random.default_rng(0).choice(scores[~same], same.sum(), replace=False)
    stated = found.score_map.probabilities(np.concatenate([scores[same], impostors]))
    truth = np.repeat([True, False], same.sum())
    assert expected_calibration_error(stated, truth, bins=5) < 0.08


def test_many_photos_of_few_people_support_no_low_rate():
    vectors, labels = people(4, 6, most=40)
    found = calibrate(AllPairs(vectors, labels))
    assert found.impostors > 1000
    assert [point.fmr for point in found.thresholds] == [0.1]
    assert "1,000 different pairs of two people (all pairs of 46 people), and there are 15" in str(
        found.unset
    )
    with pytest.raises(DatasetError, match="at least 10 and two"):
        calibrate(AllPairs(*people(4, 4, most=40)))
    assert "(all pairs of 1,415 people)" in lacking(1e-6, 5)


def test_data_that_cannot_be_calibrated_on():
    vectors, labels = people(5, 20)
    with pytest.raises(DatasetError, match="two"):
        calibrate(AllPairs(people(5, 20, most=1)[0], np.arange(20)))
    alike = np.tile(vectors[:1], (len(labels), 1))
    with pytest.raises(DatasetError, match=r"(equally|exactly) alike"):
        calibrate(AllPairs(alike, labels))
    away = np.where(np.arange(len(labels)) % 2, -1.0, 1.0)[:, None].astype(np.float32)
    by_two = np.sort(np.arange(len(labels)) // 2)
    with pytest.raises(DatasetError, match="no more alike"):
        calibrate(AllPairs(vectors[:1] * away, by_two))


@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=60), most=st.integers(1, 12)
)  # any order of people
def test_photos_are_spread_evenly(labels, most):
    kept = spread_evenly(labels, most)
    assert (np.diff(kept) > 0).all()
    counts, left = np.bincount(labels, minlength=7), np.bincount(np.array(labels)[kept], minlength=7)
    np.testing.assert_array_equal(left, np.minimum(counts, most))
    if most > 1:  # the first and the last photo of everybody are among them
        for person in set(labels):
            places = np.flatnonzero(np.array(labels) == person)
            assert {places[0], places[-1]} <= set(kept.tolist())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return importlib.import_module("mini_lfw").make(tmp_path_factory.mktemp("calibrate") / "lfw")


def test_all_pairs_of_drawn_people(drawn, tiny_pipeline, tmp_path):
    with FaceCache(tmp_path / "faces.cache") as cache:
        data = open_calibration_data(drawn)
        found = calibrate_model(data, tiny_pipeline, cache=cache)
        folder = calibrate_model(open_calibration_data(drawn / "images"), tiny_pipeline, cache=cache)
        fewer = calibrate_model(open_calibration_data(drawn, most=2), tiny_pipeline, cache=cache)
    calibration = found.calibration
    assert (calibration.dataset, calibration.people, calibration.pairs_of_people) == ("LFW", 11, 55)
    assert (calibration.genuine, calibration.impostors) == (18, 23 * 22 // 2 - 18)
    assert calibration.protocol == "all pairs of at most 10 photos of each of 11 people"
    assert calibration.rates() == [0.1]
    assert calibration.detector_fingerprint == tiny_pipeline.detector.fingerprint
    assert 0.5 < calibration.probability_at(1.0) < 1
    assert folder.calibration.dataset == "images"
    assert folder.calibration.thresholds == calibration.thresholds
    assert folder.calibration.data_hash == calibration.data_hash
    assert (fewer.photos, fewer.calibration.genuine) == (17, 6)
    assert fewer.calibration.data_hash != calibration.data_hash
    assert found.to_dict()["calibration"] == calibration.to_dict()


def test_people_left_out(drawn):
    data = open_calibration_data(drawn, without={"Person_A", "Loner_K", "Nobody"})
    assert {path.parent.name for path in data.photos}.isdisjoint({"Person_A", "Loner_K"})
    assert len(data.photos) == 23 - 4
    assert data.left_out == " (2 of the 3 people named left out)"
    with pytest.raises(DatasetError, match="nobody is left"):
        open_calibration_data(drawn, without={path.name for path in (drawn / "images").iterdir()})
    listed_ = open_calibration_data(drawn, which="view2", without={"Person_A"})
    assert all("Person_A" not in (pair.a + pair.b) for pair in listed_.pairs)


def csv_of(drawn: Path, path: Path, *, named: bool) -> Path:
    names = sorted(p.name for p in (drawn / "images").iterdir())
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "same"] + ["identity_a", "identity_b"] * named)
        for a, b in itertools.combinations_with_replacement(names, 2):
            photos = [f"{name}/{name}_{number:04d}.jpg" for name, number in ((a, 1), (b, 1 + (a == b)))]
            if all((drawn / "images" / photo).is_file() for photo in photos):
                rows.writerow([*photos, int(a == b), *([a, b] * named)])
    return path


@pytest.mark.parametrize("named", [True, False])
def test_pairs_in_a_csv(drawn, tiny_pipeline, tmp_path, named):
    path = csv_of(drawn, tmp_path / "mine.csv", named=named)
    data = open_calibration_data(path, root=drawn / "images")
    found = calibrate_model(data, tiny_pipeline)
    assert (found.calibration.dataset, found.calibration.protocol) == ("mine", "61 pairs")
    assert (found.calibration.genuine, found.calibration.impostors) == (6, 55)
    assert found.calibration.rates() == [0.1]
    assert found.resampled.startswith("people" if named else "photos")
    if named:
        assert len(open_calibration_data(path, root=drawn / "images", without={"Loner_K"}).pairs) == 51
    else:
        with pytest.raises(DatasetError, match="names nobody"):
            open_calibration_data(path, without={"Loner_K"})


def test_photos_without_a_face_are_left_out_and_named(drawn, tiny_pipeline, tmp_path):
    root = Path(shutil.copytree(drawn / "images", tmp_path / "people"))
    whole = calibrate_model(open_calibration_data(root), tiny_pipeline)
    shutil.copytree(root / "Person_A", root / "Person_Z")
    for i, photo in enumerate(sorted((root / "Person_Z").iterdir())):
        photo.write_bytes(b"no photo") if i else shutil.copy(_grey(tmp_path), photo)
    with pytest.raises(DatasetError, match=r"2 of \d+ photos of people cannot be read"):
        calibrate_model(open_calibration_data(root), tiny_pipeline)
    found = calibrate_model(open_calibration_data(root), tiny_pipeline, most_unreadable=0.2)
    assert [Path(photo).parent.name for photo in found.without_face] == ["Person_Z"]
    assert len(found.unreadable) == 2
    assert found.calibration.thresholds == whole.calibration.thresholds
    assert found.calibration.people == whole.calibration.people
    assert found.calibration.data_hash != whole.calibration.data_hash


def _grey(folder: Path) -> Path:
    path = folder / "grey.jpg"
    PIL.Image.new("RGB", (120, 120), (70, 70, 70)).save(path)
    return path


def test_view_2_with_too_few_people_is_refused(drawn, tiny_pipeline):
    with pytest.raises(DatasetError, match="6 different pairs of two people"):
        calibrate_model(open_calibration_data(drawn, which="view2"), tiny_pipeline)


def test_missing_data(tmp_path):
    with pytest.raises(DatasetError, match="no file or folder"):
        open_calibration_data(tmp_path / "nope")
    with pytest.raises(DatasetError, match="no people"):
        open_calibration_data(tmp_path)


def test_an_evaluation_saves_probabilities_as_well(drawn, tiny_pipeline):
    result = evaluate_lfw(load_lfw(drawn), tiny_pipeline)
    about = {"dataset": "LFW", "protocol": "p"}
    found = measured_calibration(result.metrics, tiny_pipeline, result.scored, **about)
    assert found.score_map.slope > 0
    assert found.thresholds == result.calibration(tiny_pipeline).thresholds
    pairs = tuple(replace(pair, same=not pair.same) for pair in result.scored.pairs)
    swapped = measured_calibration(
        result.metrics, tiny_pipeline, replace(result.scored, pairs=pairs), **about
    )
    assert swapped.score_map is None
