"""The LFW protocol on a drawn LFW, against naive loops, with and without the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mini_lfw
import numpy as np
import PIL.Image
import pytest

from facewise.detection import DetectorSettings
from facewise.errors import DatasetError
from facewise.evaluation import FaceCache, Lfw, evaluate_lfw, load_lfw, one_shot
from facewise.evaluation.pair_intervals import PEOPLE
from facewise.evaluation.pairs import without_people
from facewise.metrics import identity_intervals
from facewise.models import choose_decision, read_model, save_calibration, write_model
from facewise.pipeline import Pipeline


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_lfw.make(tmp_path_factory.mktemp("mini-lfw"))


@pytest.fixture(scope="module")
def lfw(root: Path) -> Lfw:
    return load_lfw(root)


@pytest.fixture(scope="module")
def by_hand(root: Path, tiny_pipeline: Pipeline) -> dict[str, np.ndarray | None]:
    return mini_lfw.embeddings_by_hand(root, tiny_pipeline)


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Path:
    """Where two photos of the pairs are of no use: one shows no face, one is no photo."""
    copy = tmp_path / "damaged"
    shutil.copytree(root, copy)
    grey = np.full((150, 170, 3), 70, np.uint8)
    PIL.Image.fromarray(grey).save(copy / "images" / mini_lfw.photo("Person_A", 1))
    (copy / "images" / mini_lfw.photo("Person_E", 3)).write_bytes(b"not a photo")
    return copy


@pytest.fixture
def counted(tiny_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[int, int]]:
    """How many photos were detected in and how many crops embedded since it was last asked."""
    counts = [0, 0]
    detect, embed = tiny_pipeline.detector.detect, tiny_pipeline.embedder.embed

    def count_detect(image: np.ndarray, **options: int) -> object:
        counts[0] += 1
        return detect(image, **options)

    def count_embed(crops: np.ndarray, **options: int) -> object:
        counts[1] += len(crops)
        return embed(crops, **options)

    monkeypatch.setattr(tiny_pipeline.detector, "detect", count_detect)
    monkeypatch.setattr(tiny_pipeline.embedder, "embed", count_embed)

    def ask() -> tuple[int, int]:
        answer = (counts[0], counts[1])
        counts[:] = [0, 0]
        return answer

    return ask


def naive_similarities(lfw: Lfw, vectors: dict[str, np.ndarray | None]) -> np.ndarray:
    scores = []
    for pair in lfw.pairs:
        a, b = vectors[pair.a], vectors[pair.b]
        scores.append(-1.0 if a is None or b is None else float(np.dot(a.astype(float), b.astype(float))))
    return np.array(scores)


def test_similarities_are_those_of_the_pairs(lfw: Lfw, tiny_pipeline: Pipeline, by_hand: dict) -> None:
    result = evaluate_lfw(lfw, tiny_pipeline)
    expected = naive_similarities(lfw, by_hand)
    np.testing.assert_allclose(result.scored.similarities, expected, atol=1e-5)
    # The drawn LFW must tell pairs apart, or a mix-up would go unnoticed.
    assert len(set(np.round(expected, 3))) > 20
    assert result.scored.photos == len({p for pair in lfw.pairs for p in (pair.a, pair.b)}) == 18
    assert (result.scored.without_face, result.scored.unreadable, result.scored.affected) == ((), (), 0)
    assert result.scored.pairs == lfw.pairs


@pytest.mark.parametrize(
    "mixed",
    [
        lambda pair: replace(pair, b=pair.a),
        lambda pair: replace(pair, a=pair.b),
        lambda pair: replace(pair, b="Loner_G/Loner_G_0001.jpg"),
    ],
    ids=["first twice", "second twice", "a stranger"],
)
def test_mixed_up_pairs_would_be_noticed(
    lfw: Lfw, tiny_pipeline: Pipeline, by_hand: dict, mixed: Callable[[object], object]
) -> None:
    scrambled = replace(lfw, pairs=tuple(mixed(pair) if i == 7 else pair for i, pair in enumerate(lfw.pairs)))
    result = evaluate_lfw(scrambled, tiny_pipeline)
    expected = naive_similarities(lfw, by_hand)
    assert np.flatnonzero(np.abs(result.scored.similarities - expected) > 1e-3).tolist() == [7]


def test_swapped_embeddings_would_be_noticed(lfw: Lfw, by_hand: dict) -> None:
    a, b = lfw.pairs[0].a, lfw.pairs[-1].b
    swapped = by_hand | {a: by_hand[b], b: by_hand[a]}
    assert np.abs(naive_similarities(lfw, swapped) - naive_similarities(lfw, by_hand)).max() > 0.05


def test_accuracy_is_by_thresholds_of_the_other_fold(lfw: Lfw, tiny_pipeline: Pipeline) -> None:
    result = evaluate_lfw(lfw, tiny_pipeline)
    same = np.array([pair.same for pair in lfw.pairs])
    fold = np.array([pair.fold for pair in lfw.pairs])
    kfold = result.metrics.kfold
    assert kfold is not None
    for i in (0, 1):
        train, test = fold != i, fold == i
        best = max(
            ((result.scored.similarities[train] >= t) == same[train]).mean()
            for t in [*result.scored.similarities, 2]
        )
        threshold = kfold.thresholds[i]
        assert ((result.scored.similarities[train] >= threshold) == same[train]).mean() == best
        assert kfold.accuracies[i] == ((result.scored.similarities[test] >= threshold) == same[test]).mean()
    assert kfold.mean == pytest.approx(np.mean(kfold.accuracies))
    assert result.metrics.genuine == result.metrics.impostors == 12


def test_the_cache_changes_no_number(
    lfw: Lfw, tiny_pipeline: Pipeline, tmp_path: Path, counted: Callable[[], tuple[int, int]]
) -> None:
    plain = evaluate_lfw(lfw, tiny_pipeline)
    assert counted() == (18, 18)
    with FaceCache(tmp_path / "faces.cache") as cache:
        first = evaluate_lfw(lfw, tiny_pipeline, cache=cache)
        assert counted() == (18, 18)
        second = evaluate_lfw(lfw, tiny_pipeline, cache=cache)
        assert counted() == (0, 0)
    with FaceCache(tmp_path / "faces.cache") as cache:
        third = evaluate_lfw(lfw, tiny_pipeline, cache=cache)
        assert counted() == (0, 0)
    np.testing.assert_allclose(first.scored.similarities, plain.scored.similarities, atol=1e-6)
    np.testing.assert_array_equal(second.scored.similarities, first.scored.similarities)
    np.testing.assert_array_equal(third.scored.similarities, first.scored.similarities)
    assert plain.scored.data_hash == first.scored.data_hash == third.scored.data_hash
    assert json.dumps(third.to_dict(), allow_nan=False)


def test_folds(lfw: Lfw, tiny_pipeline: Pipeline, counted: Callable[[], tuple[int, int]]) -> None:
    with pytest.raises(DatasetError, match="at least two folds"):
        evaluate_lfw(lfw, tiny_pipeline, folds=[1])
    with pytest.raises(DatasetError, match="at least two folds"):
        evaluate_lfw(replace(lfw, pairs=tuple(replace(pair, fold=0) for pair in lfw.pairs)), tiny_pipeline)
    assert counted() == (0, 0)
    three = tuple(replace(pair, fold=pair.fold + 2 * (i % 2)) for i, pair in enumerate(lfw.pairs))
    part = evaluate_lfw(replace(lfw, pairs=three), tiny_pipeline, folds=[0, 3])
    assert part.scored.pairs == tuple(pair for pair in three if pair.fold in (0, 3))
    assert "2 folds" in part.protocol
    assert len(part.scored.similarities) == len(part.scored.pairs)


@pytest.mark.parametrize("cached", [False, True])
def test_photos_without_a_face_cost_their_pairs_and_are_named(
    damaged: Path, tiny_pipeline: Pipeline, tmp_path: Path, root: Path, cached: bool
) -> None:
    lfw, whole = load_lfw(damaged), evaluate_lfw(load_lfw(root), tiny_pipeline)
    faceless, broken = mini_lfw.photo("Person_A", 1), mini_lfw.photo("Person_E", 3)
    read = [i for i, pair in enumerate(lfw.pairs) if broken not in (pair.a, pair.b)]
    hit = np.array([faceless in (lfw.pairs[i].a, lfw.pairs[i].b) for i in read])
    cache = FaceCache(tmp_path / "faces.cache") if cached else None
    for _ in range(2):
        result = evaluate_lfw(lfw, tiny_pipeline, cache=cache, most_unreadable=0.5)
        assert result.scored.places.tolist() == read
        assert result.scored.left_out == 24 - len(read) > 1
        assert result.metrics.pairs == len(read)
        assert (result.scored.similarities[hit] == -1.0).all()
        np.testing.assert_allclose(
            result.scored.similarities[~hit], whole.scored.similarities[read][~hit], atol=1e-5
        )
        assert result.scored.without_face == (mini_lfw.photo("Person_A", 1),)
        ((name, reason),) = result.scored.unreadable
        assert name == mini_lfw.photo("Person_E", 3)
        assert "Cannot read" in reason
        assert result.scored.affected == hit.sum() > 1
        said = result.to_dict()
        assert said["without_face"] == [mini_lfw.photo("Person_A", 1)]
        assert said["unreadable"][0]["photo"] == name
        assert said["pairs_scored_as_different_for_want_of_a_face"] == hit.sum()
        assert said["pairs_left_out_as_unreadable"] == result.scored.left_out
        same, scores = result.scored.same, result.scored.similarities
        for point in result.metrics.operating_points:
            faced = scores[~same & ~hit]
            assert said["fmr_of_two_faces"][f"{point.fmr_target:g}"] == (faced >= point.threshold).mean()
        # What is saved was set on pairs with two faces, so that no threshold is the laxer for the others.
        saved = result.calibration(tiny_pipeline)
        assert saved.genuine + saved.impostors == (~hit).sum()
        assert result.scored.data_hash != whole.scored.data_hash


def test_a_photo_gone_after_the_list_was_made(damaged: Path, tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    lfw = load_lfw(damaged)
    (damaged / "images" / mini_lfw.photo("Person_B", 2)).unlink()
    for cache in (None, FaceCache(tmp_path / "faces.cache")):
        result = evaluate_lfw(lfw, tiny_pipeline, cache=cache, most_unreadable=0.5)
        assert [name for name, _ in result.scored.unreadable] == [
            mini_lfw.photo("Person_B", 2),
            mini_lfw.photo("Person_E", 3),
        ]
        with pytest.raises(DatasetError, match=r"2 of 18 photos of .*, so nothing is measured: Cannot read"):
            evaluate_lfw(lfw, tiny_pipeline, cache=cache)


def test_what_another_setting_reuses(
    lfw: Lfw,
    tmp_path: Path,
    tiny_detector_file: Path,
    tiny_embedder_file: Path,
    other_embedder_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Crops serve every embedder; embeddings only the model and flip setting that made them."""
    detector = read_model(tiny_detector_file)
    relabelled = write_model(
        tmp_path / "relabelled.onnx", detector.network, replace(detector.card, licence="another")
    )
    shifted = write_model(
        tmp_path / "shifted.onnx",
        detector.network,
        replace(detector.card, decoder=dict(detector.card.decoder) | {"variances": [0.1, 0.21]}),
    )
    runs = [
        ("first", tiny_detector_file, tiny_embedder_file, False, {}, (18, 18)),
        ("again", tiny_detector_file, tiny_embedder_file, False, {}, (0, 0)),
        ("another embedder", tiny_detector_file, other_embedder_file, False, {}, (0, 18)),
        ("flip", tiny_detector_file, tiny_embedder_file, True, {}, (0, 18)),
        ("flip again", tiny_detector_file, tiny_embedder_file, True, {}, (0, 0)),
        ("setting", tiny_detector_file, tiny_embedder_file, False, {"max_size": 100}, (18, 18)),
        ("score", tiny_detector_file, tiny_embedder_file, False, {"score_threshold": 0.51}, (18, 18)),
        ("another licence", relabelled.path, tiny_embedder_file, False, {}, (0, 0)),
        ("another detector", shifted.path, tiny_embedder_file, False, {}, (18, 18)),
        ("first again", tiny_detector_file, tiny_embedder_file, False, {}, (0, 0)),
    ]
    seen = {}
    with FaceCache(tmp_path / "faces.cache") as cache:
        for name, detector_file, embedder_file, flip, settings, expected in runs:
            pipeline = Pipeline.load(
                detector_file, embedder_file, flip=flip, threads=2, settings=DetectorSettings(**settings)
            )
            counts = [0, 0]
            detect, embed = pipeline.detector.detect, pipeline.embedder.embed
            with monkeypatch.context() as patch:
                patch.setattr(
                    pipeline.detector,
                    "detect",
                    lambda i, c=counts, d=detect, **o: (c.__setitem__(0, c[0] + 1), d(i, **o))[1],
                )
                patch.setattr(
                    pipeline.embedder,
                    "embed",
                    lambda x, c=counts, e=embed, **o: (c.__setitem__(1, c[1] + len(x)), e(x, **o))[1],
                )
                seen[name] = evaluate_lfw(lfw, pipeline, cache=cache).scored.similarities
            assert tuple(counts) == expected, name
            np.testing.assert_allclose(
                seen[name], evaluate_lfw(lfw, pipeline).scored.similarities, atol=1e-5, err_msg=name
            )
    np.testing.assert_array_equal(seen["first again"], seen["first"])
    assert np.abs(seen["another embedder"] - seen["first"]).max() > 0.01
    assert np.abs(seen["flip"] - seen["first"]).max() > 0.01


def test_the_same_photo_under_two_names(damaged: Path, tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    images = damaged / "images"
    shutil.copy(images / mini_lfw.photo("Person_B", 1), images / mini_lfw.photo("Person_C", 2))
    lfw = load_lfw(damaged)
    with FaceCache(tmp_path / "faces.cache") as cache:
        told: list[int] = []
        cached = evaluate_lfw(lfw, tiny_pipeline, cache=cache, progress=told.append, most_unreadable=0.5)
        assert sum(told) == 18
    plain = evaluate_lfw(lfw, tiny_pipeline, most_unreadable=0.5)
    np.testing.assert_allclose(cached.scored.similarities, plain.scored.similarities, atol=1e-6)


def test_two_bad_photos_with_one_content_are_told_by_their_own_names(
    damaged: Path, tiny_pipeline: Pipeline, tmp_path: Path
) -> None:
    images = damaged / "images"
    shutil.copy(images / mini_lfw.photo("Person_E", 3), images / mini_lfw.photo("Person_B", 2))
    with FaceCache(tmp_path / "faces.cache") as cache:
        result = evaluate_lfw(load_lfw(damaged), tiny_pipeline, cache=cache, most_unreadable=0.5)
    assert len(result.scored.unreadable) == 2
    for photo, reason in result.scored.unreadable:
        assert photo in reason


@pytest.mark.parametrize("cached", [False, True])
def test_progress_counts_every_photo_once(
    damaged: Path, tiny_pipeline: Pipeline, tmp_path: Path, cached: bool
) -> None:
    cache = FaceCache(tmp_path / "faces.cache") if cached else None
    for _ in range(2):
        told: list[int] = []
        result = evaluate_lfw(
            load_lfw(damaged), tiny_pipeline, cache=cache, progress=told.append, most_unreadable=0.5
        )
        assert sum(told) == result.scored.photos


def test_the_data_hash(lfw: Lfw, root: Path, tiny_pipeline: Pipeline) -> None:
    digest = hashlib.sha256()
    for pair in lfw.pairs:
        hashes = [hashlib.sha256((root / "images" / p).read_bytes()).hexdigest() for p in (pair.a, pair.b)]
        digest.update(f"{hashes[0]} {hashes[1]} {pair.same} {pair.fold}\n".encode())
    assert evaluate_lfw(lfw, tiny_pipeline).scored.data_hash == digest.hexdigest()


def test_the_intervals_resample_people(lfw: Lfw, tiny_pipeline: Pipeline) -> None:
    """As `identity_intervals` has them, the people told by the folders of the photos."""
    result = evaluate_lfw(lfw, tiny_pipeline)
    expected = identity_intervals(
        result.scored.similarities,
        [pair.same for pair in lfw.pairs],
        [pair.a.split("/")[0] for pair in lfw.pairs],
        [pair.b.split("/")[0] for pair in lfw.pairs],
        folds=[pair.fold for pair in lfw.pairs],
    )
    assert dict(result.metrics.intervals) == expected
    assert result.to_dict()["intervals_resample"] == result.resampled == PEOPLE
    tar = expected["tar@fmr=0.1"]
    assert result.calibration(tiny_pipeline).thresholds[0].fnmr_interval == (1 - tar.high, 1 - tar.low)


def test_the_calibration_holds_what_the_negatives_support(
    lfw: Lfw, tiny_pipeline: Pipeline, tiny_embedder_file: Path, tmp_path: Path
) -> None:
    result = evaluate_lfw(lfw, tiny_pipeline)
    calibration = result.calibration(tiny_pipeline)
    # Twelve impostor pairs say something of a rate of 0.1, nothing of 0.01 and 0.001.
    (point,) = calibration.thresholds
    assert point.fmr == 0.1
    same = np.array([pair.same for pair in lfw.pairs])
    matches = result.scored.similarities >= point.threshold
    assert point.measured_fmr == matches[~same].mean() <= 0.1
    assert point.fnmr == pytest.approx((~matches[same]).mean())
    assert 0 <= point.fnmr_interval[0] <= point.fnmr <= point.fnmr_interval[1] <= 1
    # No lower threshold keeps the rate.
    lower = result.scored.similarities[~same & ~matches].max()
    assert (result.scored.similarities[~same] >= lower).mean() > 0.1
    assert (calibration.genuine, calibration.impostors, calibration.flip) == (12, 12, False)
    assert calibration.data_hash == result.scored.data_hash
    assert calibration.detector_fingerprint == tiny_pipeline.detector.fingerprint
    model = read_model(tiny_embedder_file)
    saved = save_calibration(write_model(tmp_path / "m.onnx", model.network, model.card), calibration)
    decision = choose_decision(saved.card.calibration, fmr=0.1)
    assert decision is not None
    assert decision.threshold == point.threshold
    assert choose_decision(saved.card.calibration) is None  # 1e-3 is not supported


# Balanced accuracy, and people left out


def left_without(lfw: Lfw, *people: str) -> list[int]:
    return [
        i for i, pair in enumerate(lfw.pairs) if not {pair.a.split("/")[0], pair.b.split("/")[0]} & {*people}
    ]


def test_people_left_out(lfw: Lfw, tiny_pipeline: Pipeline, counted: Callable[[], tuple[int, int]]) -> None:
    whole = evaluate_lfw(lfw, tiny_pipeline)
    counted()
    part = evaluate_lfw(lfw, tiny_pipeline, without={"Person_B", "Loner_G", "A Stranger"})
    assert counted() == (15, 15)  # the photos of the person left out are not looked at
    left = left_without(lfw, "Person_B")
    assert part.scored.pairs == tuple(lfw.pairs[i] for i in left)
    np.testing.assert_allclose(part.scored.similarities, whole.scored.similarities[left], atol=1e-6)
    assert part.left_out is not None
    assert (part.left_out.named, part.left_out.people) == (3, ("Person_B",))
    assert part.left_out.pairs == 24 - len(left) == 6
    assert part.metrics.impostors == 8 != part.metrics.genuine == 10
    assert "6 left out for 1 of the 3 people named" in part.protocol
    assert part.protocol in part.calibration(tiny_pipeline).protocol
    said = json.loads(json.dumps(part.to_dict(), allow_nan=False))
    assert said["left_out"] == {"people_named": 3, "people": ["Person_B"], "pairs": 6}
    assert part.scored.data_hash != whole.scored.data_hash
    assert (whole.left_out, whole.to_dict()["left_out"]) == (None, None)


def test_nobody_of_those_left_out_is_there(lfw: Lfw, tiny_pipeline: Pipeline) -> None:
    result = evaluate_lfw(lfw, tiny_pipeline, without={"A Stranger"})
    assert result.scored.pairs == lfw.pairs
    assert result.left_out is not None
    assert "0 left out for 0 of the 1 people named" in result.protocol


@pytest.mark.parametrize("even", [True, False])
def test_balanced_accuracy_by_fold(lfw: Lfw, tiny_pipeline: Pipeline, even: bool) -> None:
    if not even:  # a third as many same pairs, and some labels wrong, so that no threshold gets all right
        noisy = [replace(p, same=p.same ^ (i % 3 == 0)) for i, p in enumerate(lfw.pairs)]
        lfw = replace(lfw, pairs=tuple(p for i, p in enumerate(noisy) if not p.same or i % 4 == 0))
    result = evaluate_lfw(lfw, tiny_pipeline)
    same = np.array([pair.same for pair in result.scored.pairs])
    fold = np.array([pair.fold for pair in result.scored.pairs])

    def balanced(part: np.ndarray, threshold: float) -> float:
        matched = result.scored.similarities[part] >= threshold
        return float(np.mean(matched[same[part]]) + np.mean(~matched[~same[part]])) / 2

    found = result.balanced
    assert found is not None
    for i in (0, 1):
        best = max(balanced(fold != i, t) for t in [*result.scored.similarities, 2])
        assert balanced(fold != i, found.thresholds[i]) == pytest.approx(best)
        assert found.accuracies[i] == pytest.approx(balanced(fold == i, found.thresholds[i]))
    assert (
        result.to_dict()["balanced_kfold"]["mean"] == found.mean == pytest.approx(np.mean(found.accuracies))
    )
    assert result.metrics.kfold is not None
    assert (found.mean == pytest.approx(result.metrics.kfold.mean)) == even
    assert (found.thresholds == pytest.approx(result.metrics.kfold.thresholds)) == even


def test_no_balanced_accuracy_of_a_fold_with_one_kind_of_pair(lfw: Lfw, tiny_pipeline: Pipeline) -> None:
    uneven = tuple(
        replace(pair, fold=2 if not pair.same and i % 2 else pair.fold) for i, pair in enumerate(lfw.pairs)
    )
    result = evaluate_lfw(replace(lfw, pairs=uneven), tiny_pipeline)
    assert result.balanced is result.to_dict()["balanced_kfold"] is None
    assert result.metrics.kfold is not None


@pytest.mark.parametrize(
    ("people", "told"),
    [
        ("ABCDEF", "0 of 24"),
        ("BCDEF", "2 of 24 pairs are left, and none of two people"),
        ("ABC", "two folds"),
    ],
)
def test_too_many_people_left_out(
    lfw: Lfw, tiny_pipeline: Pipeline, counted: Callable[[], tuple[int, int]], people: str, told: str
) -> None:
    with pytest.raises(DatasetError, match=told):
        evaluate_lfw(lfw, tiny_pipeline, without={f"Person_{letter}" for letter in people})
    assert counted() == (0, 0)


@pytest.mark.real
def test_view_2_without_the_158_people_with_ten_photos(shared: Path) -> None:
    lfw = load_lfw(shared / "data" / "lfw")
    many = {name for name, photos in lfw.people.items() if len(photos) >= 10}
    kept, left_out = without_people(lfw.pairs, many)
    assert (len(many), len(kept), left_out.pairs) == (158, 5274, 726)
    assert sum(pair.same for pair in kept) == 2404
    assert {pair.fold for pair in kept} == set(range(10))


# One-shot identification


def naive_one_shot(lfw: Lfw, vectors: dict[str, np.ndarray | None]) -> tuple[float, float, int, int]:
    """Rank-1, detection and identification rate where no stranger gets a name, mated probes, strangers."""
    gallery = {name: photos[0] for name, photos in lfw.people.items() if len(photos) > 1}

    def scores(photo: str) -> dict[str, float]:
        found = {}
        for name, theirs in gallery.items():
            a, b = vectors[photo], vectors[theirs]
            found[name] = -1.0 if a is None or b is None else float(a.astype(float) @ b.astype(float))
        return found

    strangers = [
        max(scores(p).values()) for name, photos in lfw.people.items() if name not in gallery for p in photos
    ]
    first = detected = mated = 0
    for name in gallery:
        for photo in lfw.people[name][1:]:
            mine = scores(photo)
            best = [n for n in mine if mine[n] == max(mine.values())]
            mated += 1
            first += best == [name]
            detected += best == [name] and mine[name] > max(strangers)
    return first / mated, detected / mated, mated, len(strangers)


@pytest.mark.parametrize("cached", [False, True])
def test_one_shot_is_the_naive_loop(
    lfw: Lfw, tiny_pipeline: Pipeline, by_hand: dict, tmp_path: Path, cached: bool
) -> None:
    rank1, dir_, mated, strangers = naive_one_shot(lfw, by_hand)
    cache = FaceCache(tmp_path / "faces.cache") if cached else None
    told: list[int] = []
    result = one_shot(lfw, tiny_pipeline, cache=cache, progress=told.append)
    assert sum(told) == 23
    assert (result.metrics.gallery, result.metrics.mated, result.metrics.strangers) == (6, 12, 5)
    assert (mated, strangers) == (12, 5)
    assert result.metrics.rank1 == rank1
    assert [point.dir for point in result.metrics.open_set] == [dir_, dir_]
    assert 0 < dir_ <= rank1
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_one_shot_with_photos_of_no_use(damaged: Path, tiny_pipeline: Pipeline) -> None:
    """A gallery photo without a face: nobody is like its person. A broken photo: as if it were not there."""
    lfw, broken = load_lfw(damaged), mini_lfw.photo("Person_E", 3)
    readable = {
        name: tuple(photo for photo in photos if photo != broken) for name, photos in lfw.people.items()
    }
    vectors = {
        photo: mini_lfw_embedding(tiny_pipeline, damaged / "images" / photo)
        for photos in readable.values()
        for photo in photos
    }
    rank1, dir_, mated, strangers = naive_one_shot(replace(lfw, people=readable), vectors)
    result = one_shot(lfw, tiny_pipeline, most_unreadable=0.5)
    assert (result.metrics.mated, result.metrics.strangers) == (mated, strangers) == (11, 5)
    assert result.metrics.rank1 == rank1 <= 9 / 11
    assert result.metrics.open_set[0].dir == dir_
    assert result.without_face == (mini_lfw.photo("Person_A", 1),)
    assert [name for name, _ in result.unreadable] == [broken]
    with pytest.raises(DatasetError, match="1 of 23 photos"):
        one_shot(lfw, tiny_pipeline)


def test_a_probe_without_a_face_is_never_found(damaged: Path, tiny_pipeline: Pipeline) -> None:
    """Not even where the only other person of the gallery has no face either."""
    lfw = load_lfw(damaged)
    broken = (mini_lfw.photo("Person_E", 1), mini_lfw.photo("Person_E", 3))
    shutil.copy(damaged / "images" / mini_lfw.photo("Person_A", 1), damaged / "images" / broken[1])
    result = one_shot(
        replace(lfw, people={"Person_A": lfw.people["Person_A"], "Person_E": broken}), tiny_pipeline
    )
    assert (result.metrics.gallery, result.metrics.mated) == (2, 3)
    assert result.metrics.rank1 == 0
    assert result.faceless_probes == (1, 0)


def mini_lfw_embedding(pipeline: Pipeline, path: Path) -> np.ndarray | None:
    faces = pipeline.read(path).faces
    return faces[0].embedding if faces else None


def test_one_shot_needs_people_with_two_photos(lfw: Lfw, tiny_pipeline: Pipeline) -> None:
    loners = {name: photos[:1] for name, photos in lfw.people.items()}
    with pytest.raises(DatasetError):
        one_shot(replace(lfw, people=loners), tiny_pipeline)
