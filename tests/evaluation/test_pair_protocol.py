"""Files of pairs through models: the drawn LFW as a CSV gives LFW's numbers."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mini_lfw
import numpy as np
import PIL.Image
import pytest

from facewise.data.lfw import Pair
from facewise.embedding import Embedder
from facewise.errors import DatasetError
from facewise.evaluation import FaceCache, Lfw, evaluate_lfw, load_lfw
from facewise.evaluation.groups_file import given_groups
from facewise.evaluation.pair_file import PairFile, read_pair_file
from facewise.evaluation.pair_protocol import differences, measure_pairs, supported_fmrs
from facewise.evaluation.pair_run import evaluate_pair_file
from facewise.evaluation.side_by_side import faces_kept, model_names
from facewise.evaluation.view1 import evaluate_view1
from facewise.metrics import binary_report
from facewise.metrics.identity_bootstrap import identity_intervals
from facewise.models import read_model, save_calibration
from facewise.pipeline import Pipeline


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_lfw.make(tmp_path_factory.mktemp("mini-lfw"))


@pytest.fixture(scope="module")
def lfw(root: Path) -> Lfw:
    return load_lfw(root)


def write_csv(path: Path, lfw: Lfw, *, folds: bool = True, people: bool = True) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "same"] + ["fold"] * folds + ["person_a", "person_b"] * people)
        for pair in lfw.pairs:
            names = [photo.split("/")[0] for photo in (pair.a, pair.b)]
            rows.writerow([pair.a, pair.b, int(pair.same)] + [pair.fold] * folds + names * people)
    return path


@pytest.fixture
def file(lfw: Lfw, tmp_path: Path) -> PairFile:
    return read_pair_file(write_csv(tmp_path / "pairs.csv", lfw), lfw.images)


@pytest.mark.parametrize("cached", [False, True])
def test_lfw_as_a_csv(
    lfw: Lfw, file: PairFile, tiny_pipeline: Pipeline, tmp_path: Path, cached: bool
) -> None:
    cache = FaceCache(tmp_path / "faces.cache") if cached else None
    expected = evaluate_lfw(lfw, tiny_pipeline, cache=cache)
    told: list[int] = []
    result = evaluate_pair_file(file, tiny_pipeline, cache=cache, progress=told.append)
    assert sum(told) == 18
    np.testing.assert_allclose(result.scored.similarities, expected.scored.similarities, atol=1e-6)
    assert result.scored.data_hash == expected.scored.data_hash
    assert result.folded is not None
    assert result.folded.kfold is not None
    assert expected.metrics.kfold is not None
    assert expected.balanced is not None
    assert result.folded.kfold.to_dict() == expected.metrics.kfold.to_dict()
    assert result.folded.balanced == expected.balanced.mean
    assert (result.metrics.eer, result.metrics.auc) == (expected.metrics.eer, expected.metrics.auc)
    # As low as 12 impostors support, where LFW's own protocol names its three rates.
    assert result.metrics.operating_points == expected.metrics.operating_points[:1]
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_the_intervals_resample_people(lfw: Lfw, file: PairFile, tiny_pipeline: Pipeline) -> None:
    result = evaluate_pair_file(file, tiny_pipeline, threshold=0.4)
    assert file.people is not None
    first, second = zip(*file.people, strict=True)
    folds = [pair.fold for pair in file.pairs]
    expected = identity_intervals(
        result.scored.similarities,
        result.scored.same,
        first,
        second,
        folds=folds,
        fmrs=(0.1,),
        thresholds=(0.4,),
    )
    for name, interval in result.metrics.intervals.items():
        assert interval == expected[name]
    assert set(result.metrics.intervals) == {"auc", "eer", "tar@fmr=0.1", "accuracy"}
    assert result.who.resampled == "people, with all their pairs"
    assert result.decided is not None
    inside = result.decided.intervals
    assert inside["accuracy"] == expected["accuracy@0.4"]
    assert (inside["fmr"], inside["fnmr"]) == (expected["fmr@0.4"], expected["fnmr@0.4"])
    report = result.decided.report
    assert (inside["fmr"].estimate, inside["fnmr"].estimate) == pytest.approx(
        (report.fp / 12, report.fn / 12)
    )


def test_without_names_photos_that_are_tied_stand_for_people(
    lfw: Lfw, file: PairFile, tiny_pipeline: Pipeline, tmp_path: Path
) -> None:
    """In the drawn LFW the pairs of one person tie all of their photos together."""
    bare = read_pair_file(write_csv(tmp_path / "pairs.csv", lfw, people=False), lfw.images)
    result, named = evaluate_pair_file(bare, tiny_pipeline), evaluate_pair_file(file, tiny_pipeline)
    assert "nobody is named" in result.who.resampled
    for name, interval in result.metrics.intervals.items():
        assert interval.low == pytest.approx(named.metrics.intervals[name].low, abs=0.05)
    # Photos tied to each other that another pair calls different people: the pairs alone are left.
    contradiction = (*bare.pairs, Pair(bare.pairs[0].a, bare.pairs[1].b, False, 0))
    assert {bare.pairs[0].a, bare.pairs[0].b} & {bare.pairs[1].a, bare.pairs[1].b}
    alone = evaluate_pair_file(replace(bare, pairs=contradiction), tiny_pipeline)
    assert "as if independent" in alone.who.resampled
    assert set(alone.metrics.intervals) == set(result.metrics.intervals)


def test_folds_are_made_where_there_are_none(lfw: Lfw, tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    for people in (True, False):
        path = write_csv(tmp_path / "pairs.csv", lfw, folds=False, people=people)
        result = evaluate_pair_file(read_pair_file(path, lfw.images), tiny_pipeline)
        assert result.folded is not None
        assert "on both sides" in result.folded.how
        assert result.to_dict()["folds"] == result.folded.how


def test_folds_that_share_people_are_told(file: PairFile, tiny_pipeline: Pipeline) -> None:
    mixed = replace(file, pairs=tuple(replace(p, fold=i % 3) for i, p in enumerate(file.pairs)))
    result = evaluate_pair_file(mixed, tiny_pipeline)
    assert result.folded is not None
    assert result.folded.how == "3 of the file; 6 people are in several of them, which flatters"
    whole = replace(file, pairs=tuple(replace(p, fold=0) for p in file.pairs))
    with pytest.raises(DatasetError, match="in one fold"):
        evaluate_pair_file(whole, tiny_pipeline)


def parts(file: PairFile) -> tuple[PairFile, PairFile]:
    """Its two folds, as files that have none."""
    found = []
    for fold in (0, 1):
        kept = [i for i, pair in enumerate(file.pairs) if pair.fold == fold]
        people = tuple(file.people[i] for i in kept) if file.people else None
        pairs = tuple(replace(file.pairs[i], fold=0) for i in kept)
        found.append(replace(file, pairs=pairs, people=people, folded=False, name=f"part{fold}.csv"))
    return found[0], found[1]


def test_a_threshold_from_other_pairs_is_view_1(lfw: Lfw, file: PairFile, tiny_pipeline: Pipeline) -> None:
    learn, judge = parts(file)
    result = evaluate_pair_file(judge, tiny_pipeline, threshold_from=learn)
    expected = evaluate_view1(replace(lfw, pairs=learn.pairs), replace(lfw, pairs=judge.pairs), tiny_pipeline)
    assert result.decided is not None
    assert result.decided.chosen.value == expected.threshold
    assert result.decided.report == expected.report
    assert result.decided.balanced == expected.balanced_accuracy
    assert result.decided.intervals["f1"] == expected.intervals["f1"]
    assert "part0.csv" in result.decided.chosen.source
    given = evaluate_pair_file(judge, tiny_pipeline, threshold=0.25)
    assert given.decided is not None
    scores = given.scored
    assert given.decided.report == binary_report(scores.similarities, scores.same, 0.25)
    none = evaluate_pair_file(judge, tiny_pipeline)
    assert none.decided is None


def test_files_that_share_somebody(file: PairFile, tiny_pipeline: Pipeline) -> None:
    learn, judge = parts(file)
    with pytest.raises(DatasetError, match=r"share .*; use files that share nobody"):
        evaluate_pair_file(file, tiny_pipeline, threshold_from=learn)
    # A person by other photos, and a photo of nobody known.
    assert judge.people is not None
    renamed = replace(
        judge, people=tuple((a.replace("D", "A"), b.replace("D", "A")) for a, b in judge.people)
    )
    with pytest.raises(DatasetError, match="share Person_A"):
        evaluate_pair_file(renamed, tiny_pipeline, threshold_from=learn)
    with pytest.raises(DatasetError, match="people or photos"):
        evaluate_pair_file(replace(file, people=None), tiny_pipeline, threshold_from=learn)
    one_kind = replace(learn, pairs=tuple(p for p in learn.pairs if p.same), people=None)
    with pytest.raises(DatasetError, match="one kind"):
        evaluate_pair_file(judge, tiny_pipeline, threshold_from=one_kind)


def test_the_threshold_of_a_calibrated_model(
    lfw: Lfw, file: PairFile, tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path
) -> None:
    model = Path(shutil.copy(tiny_embedder_file, tmp_path / "calibrated.onnx"))
    plain = Pipeline.load(tiny_detector_file, model, threads=2)
    calibration = evaluate_lfw(lfw, plain).calibration(plain)
    points = tuple(replace(calibration.thresholds[0], fmr=1e-3, threshold=0.3) for _ in (0,))
    save_calibration(read_model(model), replace(calibration, thresholds=points))
    pipeline = Pipeline.load(tiny_detector_file, model, threads=2)
    # It was measured on these very pairs, so it is no threshold from elsewhere.
    assert evaluate_pair_file(file, pipeline).decided is None
    save_calibration(read_model(model), replace(calibration, thresholds=points, data_hash="0" * 64))
    pipeline = Pipeline.load(tiny_detector_file, model, threads=2)
    decided = evaluate_pair_file(file, pipeline).decided
    assert decided is not None
    assert decided.chosen.value == 0.3
    assert "calibration at FMR 0.001" in decided.chosen.source


def test_groups_at_one_threshold(file: PairFile, tiny_pipeline: Pipeline) -> None:
    labels = ["" if i % 5 == 0 else "ab"[i % 2] for i in range(24)]
    result = evaluate_pair_file(file, tiny_pipeline, threshold=0.3, groups=[given_groups(labels)])
    (rates,) = result.groups
    assert rates.threshold.value == 0.3
    scores, same = result.scored.similarities, result.scored.same
    for row in rates.rates.rows:
        mine = np.array([label == row.group for label in labels])
        assert row.false_matches == ((scores >= 0.3) & ~same & mine).sum()
        assert row.false_non_matches == ((scores < 0.3) & same & mine).sum()
        assert row.genuine + row.impostors == mine.sum()
    own = evaluate_pair_file(file, tiny_pipeline, groups=[given_groups(labels)]).groups[0]
    assert own.threshold.value == result.metrics.operating_points[0].threshold
    assert "on all these pairs together" in own.threshold.source
    with pytest.raises(DatasetError, match="no groups"):
        evaluate_pair_file(file, tiny_pipeline, groups=[given_groups([""] * 24)])


def test_photos_of_no_use_cost_their_pairs_and_are_named(
    root: Path, tmp_path: Path, tiny_pipeline: Pipeline
) -> None:
    images = Path(shutil.copytree(root, tmp_path / "copy")) / "images"
    PIL.Image.fromarray(np.full((150, 170, 3), 70, np.uint8)).save(images / mini_lfw.photo("Person_A", 1))
    (images / mini_lfw.photo("Person_E", 3)).write_bytes(b"no photo")
    (images / mini_lfw.photo("Person_B", 2)).unlink()
    path = write_csv(tmp_path / "pairs.csv", load_lfw(root))
    for cache in (None, FaceCache(tmp_path / "faces.cache")):
        with pytest.raises(DatasetError, match=r"2 of 18 photos of .*pairs\.csv cannot be read"):
            evaluate_pair_file(read_pair_file(path, images), tiny_pipeline, cache=cache)
        result = evaluate_pair_file(
            read_pair_file(path, images), tiny_pipeline, cache=cache, most_unreadable=0.5
        ).scored
        bad = {mini_lfw.photo("Person_B", 2), mini_lfw.photo("Person_E", 3)}
        assert result.pairs == tuple(pair for pair in load_lfw(root).pairs if not bad & {pair.a, pair.b})
        assert result.left_out == 24 - len(result.similarities) > 2
        assert result.without_face == (mini_lfw.photo("Person_A", 1),)
        assert [photo for photo, _ in result.unreadable] == [
            mini_lfw.photo("Person_B", 2), mini_lfw.photo("Person_E", 3)
        ]  # fmt: skip
        assert (result.similarities == -1).sum() == result.affected > 1


def test_several_models_share_the_detectors_pass(
    file: PairFile,
    tiny_detector_file: Path,
    tiny_embedder_file: Path,
    other_embedder_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    facewise_home: Path,
) -> None:
    first = Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=2)
    others = [
        Pipeline(first.detector, Embedder(read_model(other_embedder_file), flip=f)) for f in (False, True)
    ]
    detected = []
    detect = first.detector.detect
    monkeypatch.setattr(
        first.detector, "detect", lambda image, **o: (detected.append(len(image)), detect(image, **o))[1]
    )
    results = []
    with faces_kept(keep=False, models=3) as cache:
        assert cache is not None
        where = cache.path
        results = [evaluate_pair_file(file, model, cache=cache) for model in (first, *others)]
    assert len(detected) == 18
    assert not where.exists()
    alone = evaluate_pair_file(file, others[0])
    np.testing.assert_allclose(results[1].scored.similarities, alone.scored.similarities, atol=1e-6)
    names = model_names([first, *others])
    assert names[0] == "tiny-embedder"
    assert names[1].startswith("other-embedder (")
    compared = differences(results, names)
    assert [one.model for one in compared] == names[1:]
    for one, result in zip(compared, results[1:], strict=True):
        auc = one.comparison.differences["auc"]
        assert (auc.a, auc.b) == (result.metrics.auc, results[0].metrics.auc)
        assert auc.low <= auc.difference <= auc.high
        assert result.folded is not None
        assert results[0].folded is not None
        accuracy = one.comparison.differences["accuracy"]
        assert (accuracy.a, accuracy.b) == pytest.approx((result.folded.accuracy, results[0].folded.accuracy))
        assert json.dumps(one.to_dict(), allow_nan=False)
    with faces_kept(keep=False, models=1) as cache:
        assert cache is None


def test_a_model_does_not_differ_from_itself(file: PairFile, tiny_pipeline: Pipeline) -> None:
    for people in (file.people, None):
        result = evaluate_pair_file(replace(file, people=people), tiny_pipeline, threshold=0.3)
        (same,) = differences([result, result], ["a", "b"])
        assert set(same.comparison.differences) == {
            "accuracy", "auc", "eer", "tar@fmr=0.1", "decided_accuracy", "fmr", "fnmr"
        }  # fmt: skip
        for figure in same.comparison.differences.values():
            assert figure.difference == figure.low == figure.high == 0
            assert figure.p_value == 1


def test_crops_that_are_aligned_already(
    tmp_path: Path, tiny_embedder_file: Path, drawn_photo: Callable[..., np.ndarray]
) -> None:
    """Embedded as they are, also in another size; nothing looks for a face."""
    embedder = Embedder(read_model(tiny_embedder_file))
    lines = ["a,b,same"]
    for who in range(4):
        for size in (112, 224):
            crop = drawn_photo([(size / 2, size / 2, size, 37 * who)], (size, size))
            PIL.Image.fromarray(crop).save(tmp_path / f"{who}-{size}.png")
        lines += [f"{who}-112.png,{who}-224.png,1", f"{who}-112.png,{(who + 1) % 4}-112.png,0"]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    with FaceCache(tmp_path / "faces.cache") as cache:
        result = evaluate_pair_file(read_pair_file(tmp_path / "pairs.csv"), embedder, cache=cache)
        again = evaluate_pair_file(read_pair_file(tmp_path / "pairs.csv"), embedder, cache=cache)
    same = result.scored.same
    assert result.scored.similarities[same].min() > 0.99
    assert result.scored.similarities[~same].max() < 0.9
    np.testing.assert_array_equal(result.scored.similarities, again.scored.similarities)
    by_hand = embedder.embed(
        np.stack([np.asarray(PIL.Image.open(tmp_path / f"{who}-112.png")) for who in (0, 1)])
    )
    assert result.scored.similarities[1] == pytest.approx(float(by_hand[0] @ by_hand[1]), abs=1e-6)
    PIL.Image.fromarray(np.zeros((112, 96, 3), np.uint8)).save(tmp_path / "0-112.png")
    result = evaluate_pair_file(read_pair_file(tmp_path / "pairs.csv"), embedder, most_unreadable=0.5)
    ((photo, error),) = result.scored.unreadable
    assert photo == "0-112.png"
    assert "no square crop" in error


def test_rates_as_low_as_the_impostors_support() -> None:
    assert supported_fmrs(3) == supported_fmrs(99) == (0.1,)
    assert supported_fmrs(100) == (0.1, 0.01)
    assert supported_fmrs(3000) == (0.1, 0.01, 0.001)
    assert supported_fmrs(10**9) == (0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6)


def test_pairs_of_one_kind(file: PairFile, tiny_pipeline: Pipeline) -> None:
    scored = evaluate_pair_file(file, tiny_pipeline).scored
    one = replace(scored, pairs=scored.pairs[:4], similarities=scored.similarities[:4])
    assert one.same.all()
    with pytest.raises(DatasetError, match="0 pairs of different people"):
        measure_pairs(one, folds=None)
