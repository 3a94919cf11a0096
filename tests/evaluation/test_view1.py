"""A threshold from some pairs, judged on others: on a drawn LFW, against scikit-learn and naive loops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mini_lfw
import numpy as np
import PIL.Image
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from facewise.errors import DatasetError
from facewise.evaluation import FaceCache, Lfw, evaluate_lfw, evaluate_view1, load_lfw
from facewise.evaluation.pair_intervals import PEOPLE
from facewise.metrics import eer, identity_intervals, tar_at_fmr
from facewise.metrics.bootstrap import resample
from facewise.pipeline import Pipeline

DECISIONS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy_score,
    "balanced_accuracy": balanced_accuracy_score,
    "precision": lambda y, p: precision_score(y, p, zero_division=0),
    "recall": recall_score,
    "f1": f1_score,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_lfw.make(tmp_path_factory.mktemp("mini-lfw"))


def halves(root: Path) -> tuple[Lfw, Lfw]:
    """The two folds, which share no person, as a training and a test part."""
    lfw = load_lfw(root)
    first, second = (replace(lfw, pairs=tuple(p for p in lfw.pairs if p.fold == fold)) for fold in (0, 1))
    return first, second


@pytest.fixture(scope="module")
def parts(root: Path) -> tuple[Lfw, Lfw]:
    return halves(root)


@pytest.fixture(scope="module")
def hard(parts: tuple[Lfw, Lfw]) -> tuple[Lfw, Lfw]:
    """Parts of which no threshold gets everything right: some pairs' labels are wrong."""
    flipped = [
        tuple(replace(p, same=p.same ^ (i % 5 == 0)) for i, p in enumerate(part.pairs)) for part in parts
    ]
    return replace(parts[0], pairs=flipped[0]), replace(parts[1], pairs=flipped[1])


def by_hand(lfw: Lfw, pipeline: Pipeline) -> np.ndarray:
    vectors = {}
    for photo in {photo for pair in lfw.pairs for photo in (pair.a, pair.b)}:
        vectors[photo] = pipeline.read(lfw.images / photo).faces[0].embedding.astype(float)
    return np.array([vectors[pair.a] @ vectors[pair.b] for pair in lfw.pairs])


def test_the_threshold_of_one_part_judges_the_other(hard: tuple[Lfw, Lfw], tiny_pipeline: Pipeline) -> None:
    result = evaluate_view1(*hard, tiny_pipeline)
    learned, seen = (by_hand(part, tiny_pipeline) for part in hard)
    truth, test = (np.array([pair.same for pair in part.pairs]) for part in hard)
    np.testing.assert_allclose(result.train.similarities, learned, atol=1e-5)
    np.testing.assert_allclose(result.test.similarities, seen, atol=1e-5)
    best = max(accuracy_score(truth, learned >= t) for t in [*learned, 2])
    assert accuracy_score(truth, learned >= result.threshold) == result.train_accuracy == best < 1
    decided = seen >= result.threshold
    report = result.report
    measured = {name: getattr(report, name) for name in ("accuracy", "precision", "recall", "f1")}
    measured["balanced_accuracy"] = result.balanced_accuracy
    assert measured == pytest.approx({name: oracle(test, decided) for name, oracle in DECISIONS.items()})
    assert 0 < report.accuracy < 1
    assert result.metrics.auc == pytest.approx(roc_auc_score(test, seen))
    assert (result.metrics.eer, result.metrics.eer_threshold) == eer(result.test.similarities, test)
    assert result.metrics.operating_points == tuple(
        tar_at_fmr(result.test.similarities, test, fmr) for fmr in (0.1, 0.01)
    )


def test_the_intervals_resample_people(parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline) -> None:
    result = evaluate_view1(*parts, tiny_pipeline)
    pairs, scores, same = result.test.pairs, result.test.similarities, result.test.same
    expected = identity_intervals(
        scores,
        same,
        [pair.a.split("/")[0] for pair in pairs],
        [pair.b.split("/")[0] for pair in pairs],
        fmrs=(0.1, 0.01),
        thresholds=(result.threshold,),
    )
    assert result.intervals["accuracy"] == expected[f"accuracy@{result.threshold!r}"]
    for name in ("auc", "eer", "tar@fmr=0.1", "tar@fmr=0.01"):
        assert result.intervals[name] == result.metrics.intervals[name] == expected[name]
    assert result.to_dict()["intervals_resample"] == result.resampled == PEOPLE
    assert "accuracy" not in result.to_dict()["intervals_resample_pairs_for"]


def test_the_other_intervals_resample_pairs_of_each_kind(
    hard: tuple[Lfw, Lfw], tiny_pipeline: Pipeline
) -> None:
    result = evaluate_view1(*hard, tiny_pipeline)
    same = result.test.same
    decided = result.test.similarities >= result.threshold
    draws = resample(lambda counts: counts.astype(float), same, 1000, 0).astype(int)
    assert (draws[:, same].sum(axis=1) == same.sum()).all()
    for name in ("balanced_accuracy", "precision", "recall", "f1"):
        values = []
        for counts in draws:
            tp, fp = counts[same & decided].sum(), counts[~same & decided].sum()
            fn, tn = counts[same & ~decided].sum(), counts[~same & ~decided].sum()
            precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn)
            values.append(
                {
                    "balanced_accuracy": (recall + tn / (tn + fp)) / 2,
                    "precision": precision,
                    "recall": recall,
                    "f1": 2 * precision * recall / (precision + recall) if tp else 0.0,
                }[name]
            )
        interval = result.intervals[name]
        assert (interval.low, interval.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
        assert interval.estimate == pytest.approx(DECISIONS[name](same, decided))
        assert interval.low <= interval.estimate <= interval.high
        assert interval.low < interval.high


def test_the_two_parts_are_the_folds_of_view_2(
    root: Path, parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline
) -> None:
    """Of two folds, the second is judged at the threshold of the first."""
    whole = evaluate_lfw(load_lfw(root), tiny_pipeline)
    kfold = whole.metrics.kfold
    assert kfold is not None
    for fold, (train, test) in ((1, parts), (0, parts[::-1])):
        result = evaluate_view1(train, test, tiny_pipeline)
        assert result.threshold == pytest.approx(kfold.thresholds[fold])
        assert result.report.accuracy == kfold.accuracies[fold]


def test_what_is_told(parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline) -> None:
    result = evaluate_view1(*parts, tiny_pipeline, protocol="halves")
    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (told["protocol"], told["threshold"]) == ("halves", result.threshold)
    assert (told["pairs"], told["genuine"], told["impostors"], told["photos"]) == (12, 6, 6, 9)
    assert told["tp"] + told["fp"] + told["tn"] + told["fn"] == 12
    assert (told["train"]["pairs"], told["train"]["genuine"], told["train"]["photos"]) == (12, 6, 9)
    assert told["train"]["accuracy"] == result.train_accuracy
    assert told["left_out"] is None
    assert told["train"]["data_hash"] != told["data_hash"]
    assert set(DECISIONS) <= set(told["intervals"])
    assert all(told[name] == pytest.approx(told["intervals"][name]["estimate"]) for name in DECISIONS)


@pytest.mark.parametrize("cached", [False, True])
def test_photos_without_a_face_cost_their_pairs_and_are_named(
    root: Path, tiny_pipeline: Pipeline, tmp_path: Path, cached: bool
) -> None:
    copy = tmp_path / "damaged"
    shutil.copytree(root, copy)
    faceless, broken = mini_lfw.photo("Person_A", 1), mini_lfw.photo("Person_E", 3)
    PIL.Image.fromarray(np.full((150, 170, 3), 70, np.uint8)).save(copy / "images" / faceless)
    (copy / "images" / broken).write_bytes(b"not a photo")
    train, test = halves(copy)
    with FaceCache(tmp_path / "faces.cache") as kept:
        for _ in range(2):
            told: list[int] = []
            result = evaluate_view1(
                train,
                test,
                tiny_pipeline,
                cache=kept if cached else None,
                progress=told.append,
                most_unreadable=0.5,
            )
            assert sum(told) == 18
            assert (result.train.without_face, result.train.unreadable) == ((faceless,), ())
            assert result.test.without_face == ()
            ((name, reason),) = result.test.unreadable
            assert name == broken
            assert "Cannot read" in reason
            hit = [i for i, pair in enumerate(train.pairs) if faceless in (pair.a, pair.b)]
            assert result.train.affected == len(hit) > 1
            assert (np.flatnonzero(result.train.similarities == -1.0) == hit).all()
            read = tuple(pair for pair in test.pairs if broken not in (pair.a, pair.b))
            assert result.test.pairs == read
            assert result.test.left_out == len(test.pairs) - len(read) > 1
            said = result.to_dict()
            assert said["unreadable"] == [{"photo": broken, "error": reason}]
            assert said["train"]["without_face"] == [faceless]


def test_a_person_in_both_parts(parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline) -> None:
    train, test = parts
    mixed = replace(test, pairs=(*test.pairs, replace(test.pairs[-1], a=train.pairs[0].a)))
    with pytest.raises(DatasetError, match="share Person_A"):
        evaluate_view1(train, mixed, tiny_pipeline)
    with pytest.raises(DatasetError, match="share 3 people"):
        evaluate_view1(train, train, tiny_pipeline)
    # Another photo of the person is as bad.
    stranger = replace(test.pairs[0], a=mini_lfw.photo("Person_B", 3), same=False)
    with pytest.raises(DatasetError, match="Person_B"):
        evaluate_view1(train, replace(test, pairs=(stranger, *test.pairs)), tiny_pipeline)
    # Left out of the test part, they do no harm.
    result = evaluate_view1(train, mixed, tiny_pipeline, without={"Person_A", "Person_B", "Person_C"})
    assert result.test.pairs == test.pairs
    assert result.left_out is not None
    assert (result.left_out.people, result.left_out.pairs) == (("Person_A",), 1)
    assert result.train.pairs == train.pairs
    assert result.to_dict()["left_out"]["people_named"] == 3


def test_people_are_left_out_of_the_test_part_alone(parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline) -> None:
    train, test = parts
    whole = evaluate_view1(train, test, tiny_pipeline)
    part = evaluate_view1(train, test, tiny_pipeline, without={"Person_A", "Person_D"})
    assert part.train.pairs == train.pairs
    assert part.threshold == pytest.approx(whole.threshold)
    kept = [i for i, pair in enumerate(test.pairs) if "Person_D" not in pair.a + pair.b]
    assert part.test.pairs == tuple(test.pairs[i] for i in kept)
    np.testing.assert_allclose(part.test.similarities, whole.test.similarities[kept], atol=1e-6)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("same", [True, False])
def test_a_part_with_one_kind_of_pair(
    parts: tuple[Lfw, Lfw], tiny_pipeline: Pipeline, place: int, same: bool
) -> None:
    both = list(parts)
    both[place] = replace(both[place], pairs=tuple(p for p in both[place].pairs if p.same is same))
    with pytest.raises(DatasetError, match=("for the threshold", "to judge it on")[place]):
        evaluate_view1(*both, tiny_pipeline)


@pytest.mark.real
def test_the_official_parts_share_nobody(shared: Path) -> None:
    from facewise.data.lfw import people_of

    root = shared / "data" / "lfw"
    train, test = (load_lfw(root, root / f"pairsDev{part}.txt") for part in ("Train", "Test"))
    assert (len(train.pairs), len(test.pairs)) == (2200, 1000)
    assert not people_of(train.pairs) & people_of(test.pairs)
