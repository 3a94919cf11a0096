"""Verification files through an embedder: crops as they are, once each, ten folds in order."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.model_selection import KFold

from facewise.data.bin import BinPairs, read_bin
from facewise.embedding import Embedder
from facewise.errors import DatasetError
from facewise.evaluation import FaceCache
from facewise.evaluation.bin_file import bin_title, evaluate_bin
from facewise.models import read_model
from facewise.pipeline import Pipeline
from tiny_models import draw


def crop(who: int, turn: int) -> bytes:
    """A face that fills the crop; its right half changes from photo to photo."""
    picture = draw((112, 112), [(56 + turn, 56, 112, 37 * who + 5)])
    picture[:, 56:] = np.roll(picture[:, 56:], turn, axis=2)
    return bytes(cv2.imencode(".png", picture[:, :, ::-1])[1])


def contents(pairs: int = 40, seed: int = 0) -> tuple[list[bytes], list[bool]]:
    rng = np.random.default_rng(seed)
    images, same = [], []
    for i in range(pairs):
        who, other = rng.choice(12, 2, replace=False)
        same.append(bool(i // 2 % 2))
        images += [crop(who, int(rng.integers(3))), crop(who if same[-1] else other, int(rng.integers(3)))]
    return images, same


def written(path: Path, images: list[bytes], same: list[bool]) -> BinPairs:
    path.write_bytes(pickle.dumps((images, same)))
    return read_bin(path)


@pytest.fixture(scope="module")
def embedder(tiny_embedder_file: Path) -> Embedder:
    return Embedder(read_model(tiny_embedder_file), threads=2)


def naive_kfold(similarities: np.ndarray, same: np.ndarray) -> list[float]:
    """Best training accuracy over all scores; only where one threshold has it is the accuracy certain."""
    found = []
    for train, test in KFold(10).split(similarities):
        grid = np.unique(np.append(similarities[train], 2))
        scores = [((similarities[train] >= t) == same[train]).mean() for t in grid]
        found.append(max(scores))
        assert len(test) == 4
    return found


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("flip", [False, True])
def test_a_file(tmp_path: Path, tiny_embedder_file: Path, cached: bool, flip: bool) -> None:
    embedder = Embedder(read_model(tiny_embedder_file), flip=flip, threads=2)
    images, same = contents()
    data = written(tmp_path / "cfp_fp.bin", images, same)
    cache = FaceCache(tmp_path / "faces.cache") if cached else None
    told: list[int] = []
    result = evaluate_bin(data, embedder, cache=cache, progress=told.append)
    assert sum(told) == 80
    crops = np.stack([cv2.imdecode(np.frombuffer(i, np.uint8), cv2.IMREAD_COLOR_RGB) for i in images])
    vectors = embedder.embed(crops).astype(float)
    expected = (vectors[::2] * vectors[1::2]).sum(axis=1)
    scored = result.pairs.scored
    np.testing.assert_allclose(scored.similarities, expected, atol=1e-5)
    assert scored.photos == len(set(images)) < 80
    assert result.title == "CFP-FP"
    folded = result.pairs.folded
    assert folded is not None
    assert folded.kfold is not None
    for fold, best in enumerate(naive_kfold(scored.similarities, np.array(same))):
        train = np.arange(40) // 4 != fold
        right = (scored.similarities[train] >= folded.kfold.thresholds[fold]) == np.array(same)[train]
        assert right.mean() == best
    assert 0.5 < result.insightface_accuracy <= 1
    assert result.pairs.metrics.operating_points[-1].fmr_target == 0.1
    assert "nobody is named" in result.pairs.who.resampled
    assert json.dumps(result.to_dict(), allow_nan=False)
    again = evaluate_bin(data, embedder, cache=cache)
    np.testing.assert_array_equal(again.pairs.scored.similarities, scored.similarities)
    assert again.pairs.scored.data_hash == scored.data_hash


def test_each_content_is_embedded_once_and_kept(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, same = contents()
    data = written(tmp_path / "lfw.bin", images, same)
    seen = []
    embed = embedder.embed
    monkeypatch.setattr(embedder, "embed", lambda crops: (seen.append(len(crops)), embed(crops))[1])
    with FaceCache(tmp_path / "faces.cache") as cache:
        evaluate_bin(data, embedder, cache=cache)
        assert sum(seen) == len(set(images))
        evaluate_bin(data, embedder, cache=cache)
        assert sum(seen) == len(set(images))


def test_crops_are_not_mixed_up_with_faces_found_in_them(
    tmp_path: Path, tiny_detector_file: Path, embedder: Embedder
) -> None:
    """The cache tells a crop embedded as it is from the face a detector found in the same picture."""
    images, same = contents()
    data = written(tmp_path / "lfw.bin", images, same)
    photo = tmp_path / "photo.png"
    photo.write_bytes(images[0])
    from facewise.evaluation import embed_photos

    plain = evaluate_bin(data, embedder).pairs.scored.similarities
    with FaceCache(tmp_path / "faces.cache") as cache:
        embed_photos(Pipeline.load(tiny_detector_file, embedder.model.path), [photo], cache=cache)
        kept = evaluate_bin(data, embedder, cache=cache).pairs.scored.similarities
    np.testing.assert_allclose(kept, plain, atol=1e-6)


def test_images_that_cannot_be_read_cost_their_pairs_and_are_named(
    tmp_path: Path, embedder: Embedder
) -> None:
    images, same = contents()
    images[7], images[20] = b"no image", bytes(cv2.imencode(".png", np.zeros((112, 96, 3), np.uint8))[1])
    data = written(tmp_path / "x.bin", images, same)
    with pytest.raises(DatasetError, match=r"2 of 34 photos of .*x\.bin"):
        evaluate_bin(data, embedder)
    result = evaluate_bin(data, embedder, most_unreadable=0.1).pairs.scored
    assert sorted(image for image, _ in result.unreadable) == ["image 20", "image 7"]
    assert all("of " in error and "x.bin" in error for _, error in result.unreadable)
    assert result.places.tolist() == [i for i in range(len(same)) if i not in (3, 10)]
    assert (result.left_out, result.affected) == (2, 0)


def test_files_without_enough(tmp_path: Path, embedder: Embedder) -> None:
    images, same = contents()
    with pytest.raises(DatasetError, match="two pairs"):
        evaluate_bin(written(tmp_path / "a.bin", images[:2], same[:1]), embedder)
    with pytest.raises(DatasetError, match="0 pairs of different"):
        evaluate_bin(written(tmp_path / "b.bin", images, [True] * 40), embedder)


@pytest.mark.parametrize(
    ("name", "title"),
    [("lfw.bin", "LFW"), ("agedb_30.bin", "AgeDB-30"), ("CPLFW.bin", "CPLFW"), ("cfp-ff.bin", "CFP-FF"),
     ("mine.bin", "mine")],
)  # fmt: skip
def test_titles(name: str, title: str) -> None:
    assert bin_title(f"some/where/{name}") == title
