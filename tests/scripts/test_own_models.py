"""The parts of making our own models that can be checked without training them."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from scipy.stats import beta

from facewise.data.lfw import Pair
from scripts.own_models.photos import embeddings, nearest, sources, view_2, write_listing
from scripts.own_models.slices import by_sex, false_matches, rate


def unit(count, size=8, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_nearest_is_the_largest_cosine():
    some, others = unit(2500), unit(7, seed=1)
    expected = [max(float(a @ b) for b in others) for a in some]
    assert nearest(some, others) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("count", "of"), [(0, 30), (3, 30), (30, 30)])
def test_intervals_are_exact(count, of):
    """Against the beta quantiles they are defined by."""
    share, low, high = rate(count, of)
    assert share == count / of
    assert low == pytest.approx(beta.ppf(0.025, count, of - count + 1) if count else 0.0, abs=1e-9)
    assert high == pytest.approx(beta.ppf(0.975, count + 1, of - count) if count < of else 1.0, abs=1e-9)
    assert rate(0, 0) is None


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((40, 40, 3), 90, np.uint8))


@pytest.fixture
def data(tmp_path):
    """The three datasets, in small."""
    for name in ("Ann", "Ben", "Cid"):
        for number in (1, 2):
            photo(tmp_path / "lfw" / "images" / name / f"{name}_000{number}.jpg")
    (tmp_path / "lfw" / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tBen\t1\n")
    for i in range(3):
        photo(tmp_path / "celeba-wild" / "images" / f"{i}.webp")
        photo(tmp_path / "utkface" / "images" / f"u{i}.webp")
    rows = "".join(f"images/{i}.webp,7\n" for i in range(3))
    (tmp_path / "celeba-wild" / "identities.csv").write_text("path,identity\n" + rows)
    rows = "".join(f"images/u{i}.webp,{30 + i},{'male' if i else 'female'},white\n" for i in range(3))
    (tmp_path / "utkface" / "labels.csv").write_text("path,age,gender,race\n" + rows)
    return tmp_path


def test_nobody_of_view_2_is_learned_from(data):
    found = sources(data)
    assert set(found["lfw"].names) == {"Cid"}  # Ben's second photo is in no pair, but Ben is
    assert len(found["utkface"].names) == 3
    assert len(found["celeba-wild"].names) == 1
    assert set(view_2(data).keys) == {"Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Ben/Ben_0001.jpg"}


class Colours:
    """An embedder of mean colours."""

    def embed(self, crops):
        means = crops.reshape(len(crops), -1, 3).mean(1).astype(np.float32) + 1
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_listing_is_read_as_the_dataset_it_names(tmp_path):
    from facewise.data.csvfile import csv_source

    for i in range(4):
        path = tmp_path / "crops" / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.full((8, 8, 3), 60 * i, np.uint8))
    write_listing(tmp_path / "all.csv", [(f"crops/{i}.png", f"p, {i % 2}") for i in range(4)])
    source = csv_source(tmp_path / "all.csv")
    assert set(source.names) == {"p, 0", "p, 1"}
    assert embeddings(source, Colours()).shape == (4, 3)


def test_rates_by_sex_count_the_pairs_of_two_of_one(tmp_path):
    with (tmp_path / "gender.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "gender"])
        writer.writerows([["images/a.jpg", "female"], ["images/b.jpg", "female"], ["images/c.jpg", "male"]])
    pairs = [
        Pair("a.jpg", "b.jpg", same=True, fold=0),
        Pair("a.jpg", "b.jpg", same=False, fold=1),
        Pair("a.jpg", "c.jpg", same=False, fold=0),
        Pair("c.jpg", "c.jpg", same=True, fold=1),
        Pair("a.jpg", "unknown.jpg", same=True, fold=1),
    ]
    kfold = SimpleNamespace(folds=(0, 1), thresholds=(0.5, 0.3))
    result = SimpleNamespace(
        pairs=pairs,
        similarities=np.array([0.4, 0.4, 0.9, 0.4, 0.9]),
        metrics=SimpleNamespace(kfold=kfold),
    )
    women, men = by_sex(result, tmp_path / "gender.csv")
    assert (women["genuine"], women["impostor"], men["genuine"], men["impostor"]) == (1, 1, 1, 0)
    assert women["fnmr"][0] == 1.0  # 0.4 at the 0.5 of its fold
    assert women["fmr"][0] == 1.0  # 0.4 at the 0.3 of its fold
    assert men["fnmr"][0] == 0.0
    assert men["fmr"] is None


def test_false_matches_by_group_are_those_of_all_pairs(tmp_path):
    colours = [(250, 0, 0), (240, 5, 0), (0, 250, 0), (0, 0, 250)]
    races, rows = ["black", "black", "white", "white"], []
    for i, colour in enumerate(colours):
        cv2.imwrite(str(tmp_path / f"u{i}.png"), np.full((8, 8, 3), colour[::-1], np.uint8))
        rows.append((f"u{i}.png", f"utkface-u{i}"))
    write_listing(tmp_path / "held.csv", rows)
    text = "".join(f"images/u{i}.webp,{20 * i},male,{race}\n" for i, race in enumerate(races))
    (tmp_path / "labels.csv").write_text("path,age,gender,race\n" + text)
    found = {
        row["group"]: row
        for row in false_matches(tmp_path / "held.csv", tmp_path / "labels.csv", Colours(), 0.9)
    }
    assert (found["all"]["pairs"], found["all"]["matched"]) == (6, 1)
    assert (found["race black"]["pairs"], found["race black"]["matched"]) == (1, 1)
    assert (found["race white"]["pairs"], found["race white"]["matched"]) == (1, 0)
    assert found["age 20 to 39"]["fmr"] is None
