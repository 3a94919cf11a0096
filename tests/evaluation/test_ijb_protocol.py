"""The IJB protocols on a drawn IJB, against naive loops over the photos."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mini_ijb
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from facewise.data.ijb import Enrolled, Ijb, OneToN, load_ijb
from facewise.embedding import Embedder
from facewise.errors import DatasetError, ModelError
from facewise.evaluation import FaceCache
from facewise.evaluation import ijb as module
from facewise.evaluation.ijb import Weighting, evaluate_ijb
from facewise.evaluation.ijb_protocols import FMRS, identify_templates
from facewise.evaluation.landmarked import embed_landmarked
from facewise.evaluation.templates import Templates
from facewise.geometry import align
from facewise.image import read_image
from facewise.metrics import tar_at_fmr
from facewise.metrics.binomial import binomial_interval
from facewise.models import read_model


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_ijb.make(tmp_path_factory.mktemp("mini-ijb"))


@pytest.fixture(scope="module")
def data(root: Path) -> Ijb:
    return load_ijb(root, one_to_n=True)


@pytest.fixture(scope="module")
def embedder(tiny_embedder_file: Path) -> Embedder:
    return Embedder(read_model(tiny_embedder_file), threads=2)


def by_hand(data: Ijb, embedder: Embedder, *, length: bool, score: bool) -> dict[int, np.ndarray]:
    """Template id → unit vector, from the rows the files were written from, photo by photo."""
    groups: dict[int, dict[int, list[np.ndarray]]] = {}
    for row in mini_ijb.rows():
        crop = align(read_image(data.crops / row.name), np.float32(row.landmarks).reshape(5, 2), 112)
        vector = embedder.embed(crop[None], threads=1)[0].astype(float)
        if length:
            preprocessed = embedder.model.card.preprocess
            views = [crop, crop[:, ::-1]] if embedder.flip else [crop]
            vector = sum(embedder.network.run(preprocessed(view[None]))[0][0].astype(float) for view in views)
        vector = vector * (row.score if score else 1.0)
        groups.setdefault(row.template, {}).setdefault(row.media, []).append(vector)
    pooled = {t: sum(np.mean(frames, axis=0) for frames in media.values()) for t, media in groups.items()}
    return {t: vector / np.linalg.norm(vector) for t, vector in pooled.items()}


@pytest.mark.parametrize(
    ("flip", "length", "score", "mode"),
    [(False, True, True, "N1D1F0"), (True, True, True, "N1D1F1"), (False, False, False, "N0D0F0"),
     (True, False, True, "N0D1F1")],
)  # fmt: skip
def test_one_to_one(
    data: Ijb, tiny_embedder_file: Path, flip: bool, length: bool, score: bool, mode: str
) -> None:
    embedder = Embedder(read_model(tiny_embedder_file), flip=flip, threads=2)
    weighting = Weighting(feature_length=length, detector_score=score)
    (result,) = evaluate_ijb(data, [embedder], weighting=weighting, threads=2)
    assert (result.mode, result.subset, result.photos) == (mode, "IJBC", len(mini_ijb.rows()))
    vectors = by_hand(data, embedder, length=length, score=score)
    expected = np.array([vectors[a] @ vectors[b] for a, b, _ in mini_ijb.pairs()])
    told = result.verification
    np.testing.assert_allclose(told.similarities, expected, atol=1e-5)
    assert told.same.tolist() == [bool(same) for *_, same in mini_ijb.pairs()]
    # The drawing must tell templates apart, and the weights matter, or a mix-up would go unnoticed.
    assert len(set(np.round(expected, 3))) > 50


def test_weights_matter(data: Ijb, embedder: Embedder) -> None:
    modes = [by_hand(data, embedder, length=n, score=d) for n, d in ((1, 1), (1, 0), (0, 1), (0, 0))]
    for i, one in enumerate(modes):
        for other in modes[i + 1 :]:
            assert max(np.abs(one[t] - other[t]).max() for t in one) > 1e-3


def test_metrics_of_the_pairs(data: Ijb, embedder: Embedder) -> None:
    told = evaluate_ijb(data, [embedder])[0].verification
    scores, same = told.similarities, told.same
    assert told.metrics.auc == pytest.approx(roc_auc_score(same, scores), abs=1e-12)
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    for point, fmr in zip(told.metrics.operating_points, FMRS, strict=True):
        assert point == tar_at_fmr(scores, same, fmr)
        assert point.tar == true[false <= fmr].max()
        accepted = int((scores[same].astype(float) >= point.threshold).sum())
        assert told.metrics.intervals[f"tar@fmr={fmr!r}"] == binomial_interval(accepted, int(same.sum()))
        wrong = int((scores[~same].astype(float) >= point.threshold).sum())
        assert told.metrics.intervals[f"fmr@fmr={fmr!r}"] == binomial_interval(wrong, int((~same).sum()))
    assert told.curve.shape == (61, 2)
    for fmr, tar in told.curve[::10]:
        assert tar == tar_at_fmr(scores, same, fmr).tar
    assert told.roc().tar[-1] == 1.0
    assert 0 < told.metrics.operating_points[-2].tar < 1


def naive_search(
    vectors: dict[int, np.ndarray], gallery: list[int], fpirs: tuple[float, ...]
) -> dict[str, float]:
    """Rates of all probes searched in the first templates of some people, probe by probe."""
    found, mated, strangers, first = {1: 0, 5: 0, 10: 0}, 0, [], []
    for person in range(mini_ijb.PEOPLE):
        for number in (1, 2):
            probe = vectors[mini_ijb.template_of(person, number)]
            scores = {who: float(vectors[mini_ijb.template_of(who, 0)] @ probe) for who in gallery}
            if person not in gallery:
                strangers.append(max(scores.values()))
                continue
            mated += 1
            rank = 1 + sum(s >= scores[person] for who, s in scores.items() if who != person)
            for k in found:
                found[k] += rank <= k
            if rank == 1:
                first.append(scores[person])
    rates = {f"rank{k}": count / mated for k, count in found.items()}
    for fpir in fpirs:
        allowed = int(fpir * len(strangers) + 1e-9)
        limit = sorted(strangers, reverse=True)[allowed]
        rates[f"dir@fpir={fpir!r}"] = sum(s > limit for s in first) / mated
    return rates


def test_one_to_n(data: Ijb, embedder: Embedder) -> None:
    told = evaluate_ijb(data, [embedder])[0].identification
    assert told is not None
    vectors = by_hand(data, embedder, length=True, score=True)
    half = mini_ijb.PEOPLE // 2
    people = [list(range(half)), list(range(half, mini_ijb.PEOPLE))]
    expected = [naive_search(vectors, gallery, (0.01, 0.1)) for gallery in people]
    assert [dict(gallery.rates) for gallery in told.galleries] == expected
    assert [gallery.name for gallery in told.galleries] == ["G1", "G2"]
    for name, value in told.average.items():
        assert value == pytest.approx((expected[0][name] + expected[1][name]) / 2, abs=1e-12)
    assert set(told.average) == set(expected[0])
    assert told.together is not None
    assert dict(told.together.rates) == naive_search(vectors, list(range(mini_ijb.PEOPLE)), ())
    first = told.galleries[0]
    assert (first.metrics.mated, first.metrics.strangers, first.templates) == (2 * half, 2 * half, half)
    assert first.intervals["rank1"] == binomial_interval(round(expected[0]["rank1"] * 2 * half), 2 * half)
    # Some are found and some are not, or the ranks would say nothing.
    assert 0 < told.together.rates["rank1"] < told.together.rates["rank10"] <= 1


def test_probes_of_people_in_no_gallery(tmp_path: Path, root: Path, embedder: Embedder) -> None:
    copy = tmp_path / "IJBC"
    copy.mkdir()
    (copy / "loose_crop").symlink_to(root / "IJBC" / "loose_crop")
    (copy / "meta").mkdir()
    for path in (root / "IJBC" / "meta").iterdir():
        (copy / "meta" / path.name).write_bytes(path.read_bytes())
    mini_ijb.write_enrolled(copy / "meta" / "ijbc_1N_gallery_G2.csv", range(7, 11), (0,))
    told = evaluate_ijb(load_ijb(tmp_path, one_to_n=True), [embedder])[0].identification
    assert told is not None
    assert told.together is None
    assert [g.metrics.strangers for g in told.galleries] == [14, 20]


def searched(features: list, there: list[bool], one: Enrolled, probes: Enrolled) -> dict[str, float]:
    """Rates of gallery one; gallery two is another person's, in the last row."""
    unit = np.array(features, np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    two = Enrolled("two", np.array([len(unit) - 1]), np.array([99]))
    strangers = Enrolled("probes", np.append(probes.templates, len(unit) - 2), np.append(probes.subjects, 99))
    told = identify_templates(Templates(unit, np.array(there)), OneToN((one, two), strangers))
    return dict(told.galleries[0].rates)


def test_a_person_of_several_templates_counts_by_the_best() -> None:
    features = [[1, 0], [-1, 0.1], [0.5, 1], [1, 0.1], [0, -1], [0, -1]]
    one = Enrolled("one", np.array([0, 1, 2]), np.array([7, 7, 8]))
    # Like the first template of person 7, unlike their second.
    assert searched(features, [True] * 6, one, Enrolled("p", np.array([3]), np.array([7])))["rank1"] == 1.0
    # Person 8 has the smaller number of templates, and another order changes nothing.
    turned = Enrolled("one", np.array([2, 1, 0]), np.array([8, 7, 7]))
    assert searched(features, [True] * 6, turned, Enrolled("p", np.array([3]), np.array([7])))["rank1"] == 1.0
    assert searched(features, [True] * 6, turned, Enrolled("p", np.array([3]), np.array([8])))["rank1"] == 0.0


def test_a_gallery_template_without_a_vector_comes_last_even_where_all_are_unlike() -> None:
    # The probe is unlike everybody, so that a similarity of zero would be the best there is.
    features = [[0, 0], [-1, 0.1], [1, 0], [0, -1], [0, -1]]
    there = [False, True, True, True, True]
    one = Enrolled("one", np.array([0, 1]), np.array([7, 8]))
    assert searched(features, there, one, Enrolled("p", np.array([2]), np.array([8])))["rank1"] == 1.0
    assert searched(features, there, one, Enrolled("p", np.array([2]), np.array([7])))["rank1"] == 0.0


def test_a_stranger_without_a_vector_raises_no_alarm() -> None:
    # Both strangers are less alike to person 7 than the probe of 7 is, though that is unlike as well.
    features = [[1, 0], [-0.1, 1], [0, 0], [-1, 0.1], [0, -1]]
    there = [True, True, False, True, True]
    one = Enrolled("one", np.array([0]), np.array([7]))
    rates = searched(features, there, one, Enrolled("p", np.array([1, 2]), np.array([7, 98])))
    assert rates["dir@fpir=0.01"] == 1.0


def test_blocks_of_any_size_and_several_models(
    data: Ijb, embedder: Embedder, other_embedder_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Embedder(read_model(other_embedder_file), flip=True, threads=2)
    alone = [evaluate_ijb(data, [one])[0] for one in (embedder, other)]
    monkeypatch.setattr(module, "_BLOCK", 5)
    seen: list[int] = []
    together = evaluate_ijb(data, [embedder, other], threads=3, progress=seen.append)
    assert sum(seen) == len(data.faces)
    assert len(seen) > 10
    for one, both in zip(alone, together, strict=True):
        np.testing.assert_allclose(both.verification.similarities, one.verification.similarities, atol=1e-6)
    assert np.abs(alone[0].verification.similarities - alone[1].verification.similarities).max() > 0.05
    assert together[0].mode == "N1D1F0"
    assert together[1].mode == "N1D1F1"


def test_cached_features_are_looked_up(
    data: Ijb, embedder: Embedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaceCache(tmp_path / "faces.cache") as cache:
        first = evaluate_ijb(data, [embedder], cache=cache)[0]

        def never(*_: object, **__: object) -> np.ndarray:
            raise AssertionError("it is all in the cache")

        with monkeypatch.context() as patch:
            patch.setattr(Embedder, "features", never)
            again = evaluate_ijb(data, [embedder], cache=cache)[0]
            # Other weights are made of the same features.
            evaluate_ijb(data, [embedder], cache=cache, weighting=Weighting(feature_length=False))
        assert again.to_dict() == first.to_dict()
        # Moved landmarks make another crop, so nothing known is of use.
        moved = replace(data, faces=replace(data.faces, landmarks=data.faces.landmarks + 3))
        other = evaluate_ijb(moved, [embedder], cache=cache)[0]
        assert np.abs(other.verification.similarities - first.verification.similarities).max() > 1e-3
        assert other.embedded.data_hash != first.embedded.data_hash


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Ijb:
    """Two photos of one probe and both of another are of no use."""
    copy = tmp_path / "IJBC"
    (copy / "loose_crop").mkdir(parents=True)
    for path in (root / "IJBC" / "loose_crop").iterdir():
        (copy / "loose_crop" / path.name).symlink_to(path)
    (copy / "meta").symlink_to(root / "IJBC" / "meta")
    bad = [r.name for r in mini_ijb.rows() if r.template == mini_ijb.template_of(3, 2)]
    bad += sorted(r.name for r in mini_ijb.rows() if r.template == mini_ijb.template_of(5, 1))[:2]
    assert len(bad) == 4
    for i, name in enumerate(bad):
        (copy / "loose_crop" / name).unlink()
        if i % 2:
            (copy / "loose_crop" / name).write_bytes(b"no photo")
    return load_ijb(tmp_path, one_to_n=True)


def test_photos_of_no_use_are_named_and_left_out(data: Ijb, damaged: Ijb, embedder: Embedder) -> None:
    whole, told = evaluate_ijb(data, [embedder])[0], evaluate_ijb(damaged, [embedder], most_unreadable=0.5)[0]
    with pytest.raises(DatasetError, match=r"4 of \d+ photos of IJB"):
        evaluate_ijb(damaged, [embedder])
    assert len(told.embedded.unreadable) == 4
    assert {name for name, _ in told.embedded.unreadable} < set(data.faces.names)
    assert sum("no such file" in error for _, error in told.embedded.unreadable) == 2
    assert told.embedded.empty == 1
    gone = mini_ijb.template_of(3, 2)
    touched = {gone, mini_ijb.template_of(5, 1)}
    kept = np.array([gone not in (a, b) for a, b, _ in mini_ijb.pairs()])
    untouched = np.array([not touched & {a, b} for a, b, _ in mini_ijb.pairs()])
    assert told.verification.left_out == (~kept).sum() > 0
    before, after = whole.verification.similarities[kept], told.verification.similarities
    np.testing.assert_allclose(after[untouched[kept]], before[untouched[kept]], atol=1e-6)
    assert np.abs(after - before).max() > 0.01
    # A probe without a photo is nobody's miss, and no stranger who was rightly given no name.
    assert whole.identification is not None
    assert told.identification is not None
    for with_it, without in zip(whole.identification.galleries, told.identification.galleries, strict=True):
        assert without.left_out == 1
        probes = [one.metrics.mated + one.metrics.strangers for one in (with_it, without)]
        assert probes[1] == probes[0] - 1
    assert told.embedded.data_hash != whole.embedded.data_hash


def test_photos_of_no_use_are_not_remembered_as_good(
    damaged: Ijb, embedder: Embedder, tmp_path: Path
) -> None:
    with FaceCache(tmp_path / "faces.cache") as cache:
        first, again = (
            evaluate_ijb(damaged, [embedder], cache=cache, most_unreadable=0.5)[0] for _ in range(2)
        )
    assert len(first.embedded.unreadable) == 4
    assert again.to_dict() == first.to_dict()


def test_a_gallery_template_without_a_photo_is_alike_to_nobody(damaged: Ijb, embedder: Embedder) -> None:
    bad = [r.name for r in mini_ijb.rows() if r.template == mini_ijb.template_of(2, 0)]
    for name in bad:
        (damaged.crops / name).unlink()
    told = evaluate_ijb(damaged, [embedder], most_unreadable=0.5)[0]
    assert told.embedded.empty == 2
    assert told.identification is not None
    # Alike to none of 7 people, its probes come last: at rank 7.
    assert told.identification.galleries[0].metrics.cmc[5] < 1


def test_no_photo_at_all(data: Ijb, tmp_path: Path, embedder: Embedder) -> None:
    with pytest.raises(DatasetError, match=r"(\d+) of \1 photos .* so nothing is measured: Cannot read"):
        evaluate_ijb(replace(data, crops=tmp_path), [embedder])


def test_landmarks_in_one_place(data: Ijb, embedder: Embedder) -> None:
    marks = data.faces.landmarks[:3].copy()
    marks[1] = 7.0
    photos = [data.crops / name for name in data.faces.names[:3]]
    found = embed_landmarked(photos, marks, [embedder])
    assert list(found.errors) == [1]
    assert "landmarks given" in str(found.errors[1])
    assert not found.features[0][1].any()
    assert found.features[0][[0, 2]].any(axis=1).all()


def test_raw_features_point_where_embeddings_do(tiny_embedder_file: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    for flip in (False, True):
        embedder = Embedder(read_model(tiny_embedder_file), flip=flip)
        raw = embedder.features(crops)
        lengths = np.linalg.norm(raw, axis=1, keepdims=True)
        np.testing.assert_allclose(raw / lengths, embedder.embed(crops), atol=1e-6)
        assert np.abs(lengths - 1).min() > 1e-3


@pytest.mark.parametrize(
    ("value", "size", "told"), [(0.0, 32, "no direction"), (np.nan, 32, "no direction"), (1.0, 31, "31")]
)
def test_a_broken_network(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch, value, size, told: str
) -> None:
    monkeypatch.setattr(
        type(embedder.network), "run", lambda _, batch: [np.full((len(batch), size), value, np.float32)]
    )
    with pytest.raises(ModelError, match=told):
        embedder.features(np.zeros((2, 112, 112, 3), np.uint8))


def test_to_dict_is_json(data: Ijb, embedder: Embedder) -> None:
    told = json.loads(json.dumps(evaluate_ijb(data, [embedder])[0].to_dict(), allow_nan=False))
    assert told["dataset"] == "IJBC"
    assert told["verification"]["pairs"] == len(mini_ijb.pairs())
    assert len(told["verification"]["roc"]) == 61
    assert set(told["identification"]["average"]) == {
        "rank1",
        "rank5",
        "rank10",
        "dir@fpir=0.01",
        "dir@fpir=0.1",
    }
    alone = evaluate_ijb(replace(data, one_to_n=None), [embedder])[0].to_dict()
    assert (alone["identification"], alone["protocol"]) == (None, "1:1")
