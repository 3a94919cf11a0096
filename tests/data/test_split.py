"""Splits by photo and by person, and what leaks from one part into another."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.folder import folder_source
from facewise.data.source import FileSource, Source, Subset
from facewise.data.split import Split, leaks, load_split, split
from facewise.errors import DatasetError, SettingError


def people(*photos: int, order: np.random.Generator | None = None) -> FileSource:
    """Somebody with each of these numbers of photos; no files."""
    entries = [(f"p{i}/{j}.png", i) for i, n in enumerate(photos) for j in range(n)]
    if order is not None:
        order.shuffle(entries)
    keys, labels = zip(*entries, strict=True)
    return FileSource("people", ".", keys, np.array(labels), [f"p{i}" for i in range(len(photos))])


def by_person(made: Split) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for person, part in zip(made.people, made.parts, strict=True):
        found[person][part] += 1
    return found


many = st.lists(st.integers(1, 30), min_size=2, max_size=20).filter(lambda n: max(n) > 2)
shares = st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.99, 0.01), (0.7, 0.1, 0.2), (0.34, 0.33, 0.33)])


@settings(max_examples=60)
@given(many, shares, st.integers(0, 5))
def test_by_photo_everybody_is_in_every_part(
    photos: list[int], fractions: tuple[float, ...], seed: int
) -> None:
    made = split(people(*photos), fractions, seed=seed)
    assert made.names[0] in made.parts
    for person, parts in by_person(made).items():
        n = photos[int(person[1:])]
        assert sum(parts.values()) == n
        assert parts["train"] >= 1
        assert len(parts) == min(n, len(fractions))
        names = ("train", "test") if len(fractions) == 2 else ("train", "val", "test")
        for name, fraction in zip(names, fractions, strict=True):
            # Within one photo of the fraction, but for those that must have one.
            assert abs(parts[name] - n * fraction) < 1 + (n * min(fractions) < 1) * len(fractions)


@settings(max_examples=40)
@given(many, st.integers(0, 2**32))
def test_the_order_of_files_changes_nothing(photos: list[int], seed: int) -> None:
    plain, shuffled = people(*photos), people(*photos, order=np.random.default_rng(seed))
    for by in ("photo", "identity"):
        a, b = (split(source, by=by, fractions=(0.5, 0.5), seed=seed) for source in (plain, shuffled))
        assert dict(zip(a.keys, a.parts, strict=True)) == dict(zip(b.keys, b.parts, strict=True))


@settings(max_examples=40)
@given(st.integers(10, 60), shares.filter(lambda f: min(f) >= 0.1), st.integers(0, 5))
def test_by_identity_nobody_is_in_two_parts(n: int, fractions: tuple[float, ...], seed: int) -> None:
    made = split(people(*[2] * n), fractions, by="identity", seed=seed)
    parts = by_person(made)
    assert all(len(of) == 1 for of in parts.values())
    sizes = Counter(next(iter(of)) for of in parts.values())
    for name, fraction in zip(("train", "val", "test"), fractions, strict=False):
        wanted = n * fraction
        assert abs(sizes["test" if len(fractions) == 2 and name == "val" else name] - wanted) <= 1


def test_seeds_give_other_splits_and_fractions_add_up_over_people() -> None:
    source = people(*[5] * 100)
    splits = [split(source, seed=seed).parts for seed in range(3)]
    assert len(set(splits)) == 3
    assert Counter(splits[0]) == {"train": 400, "test": 100}
    # Which of a person's photos is held out is not the same for all.
    assert len({key.split("/")[1] for key, p in zip(source.keys, splits[0], strict=True) if p == "test"}) == 5


def test_people_of_two_photos_reach_each_of_three_parts() -> None:
    parts = by_person(split(people(*[2] * 400), (0.7, 0.1, 0.2)))
    second = Counter("test" if of["test"] else "val" for of in parts.values())
    assert all(of["train"] == 1 for of in parts.values())
    assert 200 < second["test"] < 320  # two thirds of 400 by the sizes of the parts


def test_parts_as_datasets() -> None:
    source = people(4, 1, 6)
    made = split(source)
    train, test = made.part(source, "train"), made.part(source, "test")
    assert sorted(train.keys + test.keys) == sorted(source.keys)
    assert train.names == test.names == source.names  # labels agree, though p1 has no photo in test
    assert set(test.labels.tolist()) == {0, 2}
    alone = split(source, (0.4, 0.6), by="identity", names=("a", "b"))
    assert sorted(alone.part(source, "a").names + alone.part(source, "b").names) == list(source.names)
    assert alone.shared_people == set()
    assert made.shared_people == {"p0", "p2"}


@pytest.mark.parametrize(
    ("fractions", "more", "told"),
    [
        ((1.0,), {}, "two or more fractions"),
        ((0.8, 0.3), {}, "add up to 1"),
        ((1.2, -0.2), {}, "between 0 and 1"),
        ((float("nan"), 0.5), {}, "between 0 and 1"),
        ((0.8, 0.2), {"by": "hair"}, "by photo or by identity"),
        ((0.8, 0.2), {"names": ("a", "a")}, "different names"),
        ((0.8, 0.2), {"names": ("a",)}, "different names"),
    ],
)
def test_splits_that_make_no_sense(fractions, more, told) -> None:
    with pytest.raises(SettingError, match=told):
        split(people(3, 4), fractions, **more)


def test_parts_that_would_be_empty() -> None:
    with pytest.raises(DatasetError, match="part test would be empty"):
        split(people(1, 1, 1))
    with pytest.raises(DatasetError, match="would be empty"):
        split(people(9, 9), (0.9, 0.1), by="identity")


def test_saved_and_loaded(tmp_path: Path) -> None:
    source = FileSource("s", ".", ['a,"b".png', "caf\udce9.png", "é.png"], np.array([0, 0, 1]), ["A, B", "C"])
    made = split(source, (0.5, 0.5))
    made.save(tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_bytes().startswith(b"key,person,part\n")
    assert load_split(tmp_path / "split.csv") == made


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key,person\na,b\n", "no column part"),
        ("key,person,part\n", "without photos"),
        ("key,person,part\na,A,train\na,A,test\n", "Line 3 .* a a part again, after line 2"),
        ("key,person,part\na,A\n", "Line 2"),
    ],
)
def test_split_files_that_are_wrong(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "split.csv").write_text(text)
    with pytest.raises(DatasetError, match=told):
        load_split(tmp_path / "split.csv")


def test_a_split_of_another_dataset() -> None:
    made = split(people(4, 4))
    with pytest.raises(DatasetError, match="no part 'vla'; it has"):
        made.part(people(4, 4), "vla")
    with pytest.raises(DatasetError, match="not in people"):
        made.part(people(1, 1), "train")


@pytest.fixture
def photos(tmp_path: Path) -> Source:
    for i, key in enumerate(("Ada/1.png", "Ada/2.png", "Bob/1.png", "Bob/2.png")):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        PIL.Image.new("RGB", (4, 4), (i, 0, 0)).save(tmp_path / key)
    return folder_source(tmp_path)


def test_nothing_leaks(photos: Source) -> None:
    leaks(Subset(photos, [0, 2]), Subset(photos, [1, 3]))
    leaks(Subset(photos, [0, 1]), Subset(photos, [2, 3]), people=True)


def test_leaks_are_found(photos: Source, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"1 photos by key .* Ada/2\.png"):
        leaks(Subset(photos, [0, 1]), Subset(photos, [1, 3]))
    with pytest.raises(DatasetError, match=r"1 people in common.* Ada"):
        leaks(Subset(photos, [0]), Subset(photos, [1, 3]), people=True)
    (tmp_path / "Bob" / "2.png").write_bytes((tmp_path / "Ada" / "1.png").read_bytes())
    with pytest.raises(DatasetError, match=r"by content .* Ada/1\.png = Bob/2\.png"):
        leaks(Subset(photos, [0, 1]), Subset(photos, [2, 3]))


@pytest.mark.real
def test_lfw_80_20(shared: Path) -> None:
    from facewise.data.lfw import lfw_people

    source = lfw_people(shared / "data" / "lfw", at_least=10)
    made = split(source)
    parts = [made.part(source, name) for name in made.names]
    leaks(*parts)
    assert sum(len(part.keys) for part in parts) == 4324
    assert all(np.bincount(part.labels, minlength=158).min() >= 1 for part in parts)
