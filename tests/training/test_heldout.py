"""What a run writes of its held-out photos is what it measured, and reads back the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from facewise.embedding import Embedder
from facewise.errors import DatasetError
from facewise.training import train
from facewise.training.config import Data
from facewise.training.crops import divide, load_crops
from facewise.training.display import Quiet
from facewise.training.embedding_map import chosen_photos, draw_embedding_map, project
from facewise.training.heldout import HeldOut, HeldOutPhotos, read_held_out, write_held_out
from facewise.training.validation import Pairs

SETTINGS = {
    "data.size": 32,
    "data.batch_size": 8,
    "data.min_photos": 2,
    "data.held_out_photos": 0.25,
    "data.held_out_people": 0.3,
    "backbone": "test-tiny",
    "precision": "fp32",
    "optimizer.rate": 0.05,
    "epochs": 2,
}


def run(data, out="run", **changes):
    return train(data, out=out, settings=SETTINGS | changes, display=Quiet(), device="cpu")


def photos(keys=("a/ü.png", "b/0.png"), predicted=(1, 1)):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(len(keys), 4)).astype(np.float32)
    named = None if predicted is None else np.array(predicted, np.int64)
    lengths = None if predicted is None else np.linspace(1, 2, len(keys)).astype(np.float32)
    return HeldOutPhotos(tuple(keys), np.arange(len(keys)), tuple("AB"), rows, named, lengths)


def same(a, b):
    assert (a.keys, a.names) == (b.keys, b.names)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.embeddings, b.embeddings)
    assert (a.predicted is None) == (b.predicted is None)
    assert (a.lengths is None) == (b.lengths is None)
    if a.lengths is not None:
        np.testing.assert_array_equal(a.lengths, b.lengths)
    if a.predicted is not None:
        np.testing.assert_array_equal(a.predicted, b.predicted)


def test_a_run_says_what_it_measured_photo_by_photo(drawn):
    data = drawn(people=10)
    done = run(data)
    held = read_held_out("run")
    people = set(Path("run/people.txt").read_text().split())
    assert {held.known.names[label] for label in held.known.labels} == people
    assert not people & set(held.unknown.names)
    assert len(held.unknown.names) == 3
    assert np.mean(held.known.predicted == held.known.labels) == done.result["accuracy"]
    assert roc_auc_score(held.pairs.same, held.scores) == pytest.approx(done.result["auc"], abs=1e-12)
    labels = held.unknown.labels
    np.testing.assert_array_equal(labels[held.pairs.a] == labels[held.pairs.b], held.pairs.same)
    for part in (held.known, held.unknown):  # the exported model gives the same embeddings
        crops = np.stack([data.read(data.keys.index(key)) for key in part.keys])
        np.testing.assert_allclose(part.embeddings, Embedder(done.model).embed(crops), atol=1e-4)
        assert [part.names[label] for label in part.labels] == [key.split("/")[0] for key in part.keys]


def test_a_loss_on_pairs_names_nobody(drawn):
    run(drawn(), loss="triplet", **{"data.sampler": "people", "data.held_out_people": 0.0})
    held = read_held_out(Path("run/held_out.npz"))
    assert held.known.predicted is None
    assert held.unknown is held.pairs is held.scores is None


def test_nothing_held_out_is_no_file(drawn):
    run(drawn(), **{"data.held_out_people": 0.0, "data.held_out_photos": 0.0})
    with pytest.raises(DatasetError, match="held out neither"):
        read_held_out("run")


def test_the_split_can_be_the_same_for_all_seeds(drawn):
    crops = load_crops(drawn(people=10), 32)

    def keys(seed, split_seed=None):
        config = Data(size=32, held_out_photos=0.25, held_out_people=0.3, split_seed=split_seed)
        parts = divide(crops, config, seed)
        return parts.known.keys, parts.unknown.keys

    assert keys(0) != keys(1)
    assert keys(0, 5) == keys(1, 5) == keys(5)


@pytest.mark.parametrize("predicted", [None, (1, 0)])
def test_it_reads_back_the_same(predicted):
    pairs = Pairs(np.array([0]), np.array([1]), np.array([False]))
    write_held_out("x.npz", HeldOut(photos(predicted=predicted), photos(), pairs, np.array([0.25])))
    held = read_held_out("x.npz")
    same(held.known, photos(predicted=predicted))
    same(held.unknown, photos())
    assert (held.pairs.a, held.pairs.b, held.pairs.same, held.scores) == ([0], [1], [False], [0.25])
    with np.load("x.npz", allow_pickle=False) as arrays:  # without our reader and without pickle
        assert arrays["known_keys"].tolist() == ["a/ü.png", "b/0.png"]


def test_a_damaged_file_is_told():
    write_held_out("x.npz", HeldOut(photos()))
    whole = Path("x.npz").read_bytes()
    Path("x.npz").write_bytes(whole[:300])
    with pytest.raises(DatasetError, match="damaged"):
        read_held_out("x.npz")
    write_held_out("x.npz", HeldOut(photos(predicted=(1,))))
    with pytest.raises(DatasetError, match="different lengths"):
        read_held_out("x.npz")
    pairs = Pairs(np.array([7]), np.array([1]), np.array([False]))
    write_held_out("x.npz", HeldOut(None, photos(), pairs, np.array([0.25])))
    with pytest.raises(DatasetError, match="do not fit"):
        read_held_out("x.npz")


def test_the_map_shows_the_people_with_most_photos():
    labels = np.array([2, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(chosen_photos(labels, 2), [0, 2, 3, 4, 5])
    np.testing.assert_array_equal(chosen_photos(labels, 3), [0, 1, 2, 3, 4, 5])


def test_the_map_by_pca_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    rows = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    points, told = project(rows)
    oracle = PCA(2).fit(rows)
    np.testing.assert_allclose(np.abs(points), np.abs(oracle.transform(rows)), atol=1e-5)
    assert told == f"PCA, {oracle.explained_variance_ratio_.sum():.0%} of the variance"
    assert project(np.ones((1, 6), np.float32))[0].shape == (1, 2)  # one photo has no spread


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map_is_drawn(method):
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), 4)
    rows = generator.normal(size=(20, 8)).astype(np.float32)
    one = HeldOutPhotos(tuple(map(str, range(20))), labels, tuple("ABCDE"), rows)
    draw_embedding_map({"a": one, "b": one}, Path("map.png"), method=method)
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
