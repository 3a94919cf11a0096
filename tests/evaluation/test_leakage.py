"""What a test set has in common with a training, and what is done about it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import mini_lfw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.data.folder import folder_source
from facewise.data.lfw import Pair
from facewise.data.seen import SeenPhoto, seen_photos, trained_on, write_seen
from facewise.embedding import Embedder
from facewise.errors import DatasetError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.leak_check import LeakageError, LeakCheck, LeakPolicy, Leaks
from facewise.evaluation.leakage import CommonPhoto, Leakage, TestedPhoto, find_leakage
from facewise.evaluation.looks import find_looks
from facewise.models import ModelCard, read_model
from facewise.models.trained_on import LOOK, TrainedOn
from facewise.pipeline import Pipeline, Steps


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def look(number: int) -> bytes:
    return hashlib.sha256(b"look %d" % number).digest()[:LOOK]


@pytest.fixture(scope="module")
def card(tiny_embedder_file: Path) -> ModelCard:
    record = TrainedOn.of(
        10, ["Ada Lovelace", "Bo"], [digest(i) for i in range(10)], [look(i) for i in range(10)]
    )
    return replace(read_model(tiny_embedder_file).card, trained_on=record)


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_photos_in_common(card: ModelCard, contents: list[int], looks: list[int]) -> None:
    size = min(len(contents), len(looks))
    pairs = list(zip(contents[:size], looks[:size], strict=True))
    tested = [TestedPhoto(f"{i}", digest(c), look(k), f"P{c}") for i, (c, k) in enumerate(pairs)]
    found = find_leakage(card, tested)
    expected = [
        CommonPhoto(f"{i}", "is" if c < 10 else "looks like", f"P{c}")
        for i, (c, k) in enumerate(pairs)
        if c < 10 or k < 10
    ]
    assert found.photos == tuple(expected)
    assert bool(found) == bool(expected)
    assert found.everybody == {common.person for common in expected}
    assert (found.training_photos, found.photos_checked, found.looks_checked) == (10, True, size > 0)
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_people_in_common(card: ModelCard) -> None:
    found = find_leakage(card, [], ["ada_lovelace", "Cy", "Bo", "Bo"])
    assert (found.people, found.photos) == (("Bo", "ada_lovelace"), ())
    assert found.looks_checked is False
    assert found.everybody == {"Bo", "ada_lovelace"}


def test_what_cannot_be_looked_for_is_told(card: ModelCard) -> None:
    nothing = find_leakage(replace(card, trained_on=None), [TestedPhoto("a", digest(1))], ["Bo"])
    assert not nothing
    assert (nothing.photos_checked, nothing.training_photos) == (False, None)
    (caveat,) = nothing.caveats
    assert caveat == "What tiny-embedder was trained on is not recorded, so leakage cannot be checked."
    many = find_leakage(
        replace(card, trained_on=TrainedOn.of(10, ["Bo"], [], [], most=5)), [TestedPhoto("a", "")], ["Bo"]
    )
    assert (many.people, many.photos_checked) == (("Bo",), False)
    assert "its 10 training photos" in many.caveats[0]
    assert "--trained-on RUN" in many.caveats[0]
    taught = find_leakage(replace(card, training={"teachers": [{"name": "a-teacher"}]}), [])
    assert "learned from a-teacher" in taught.caveats[0]
    other = find_leakage(
        replace(card, trained_on=None), [TestedPhoto("a", digest(1))], trained_on=card.trained_on, name="mine"
    )
    assert (other.model, len(other.photos), other.caveats) == ("mine", 1, ())


# What is done about it


def leaks(photos: dict[str, str], people: tuple[str, ...] = (), policy: str = "refuse") -> Leaks:
    common = tuple(CommonPhoto(photo, "is", person) for photo, person in photos.items())
    return Leaks(LeakPolicy(policy), (Leakage("m", 9, True, True, common, people, ()),))


def test_photos_in_common_are_refused_in_one_sentence() -> None:
    seven = {f"p{i}.jpg": "" for i in range(7)}
    with pytest.raises(LeakageError) as error:
        leaks(seven).refuse("my.csv")
    sentence = str(error.value)
    assert "m was trained on 7 photos of my.csv (7 the same: p0.jpg, p1.jpg" in sentence
    assert "and 2 more" in sentence
    assert "--leaks exclude" in sentence
    assert sentence.count("\n") == 0
    assert [c.photo for c in error.value.found[0].photos] == list(seven)
    leaks(seven, policy="mark").refuse("my.csv")
    leaks({}, ("Bo",)).refuse("my.csv")  # names may be of different people


pairs_drawn = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.booleans()), min_size=8, max_size=40
)


@given(pairs_drawn, st.sets(st.integers(0, 8), max_size=3), st.sets(st.integers(0, 4), max_size=1))
def test_pairs_left_are_just_those_with_nothing_in_common(
    drawn: list[tuple[int, int, bool]], photos: set[int], people: set[int]
) -> None:
    pairs = [Pair(str(a), str(b), same, 0) for a, b, same in drawn]
    named = [(f"P{a // 2}", f"P{b // 2}") for a, b, _ in drawn]
    some = leaks({str(p): f"P{p // 2}" for p in photos}, tuple(f"P{p}" for p in people), "exclude")
    gone = {f"P{p // 2}" for p in photos} | {f"P{p}" for p in people}
    expected = [i for i, two in enumerate(named) if gone.isdisjoint(two)]
    kinds = {same: sum(drawn[i][2] == same for i in expected) for same in (True, False)}
    if min(kinds.values()) < 2:
        with pytest.raises(DatasetError, match="too few to measure"):
            some.kept(pairs, named, "x")
        return
    keep, left_out = some.kept(pairs, named, "x")
    assert keep == expected
    assert left_out.number == len(pairs) - len(keep)
    assert left_out.to_dict()["pairs_left_out"] == left_out.number
    # Where nobody is named, photos alone are left out.
    nameless, _ = some.kept(pairs, None, "x")
    assert nameless == [i for i, (a, b, _) in enumerate(drawn) if photos.isdisjoint((a, b))]


def test_nobody_left_of_a_folder(tmp_path: Path) -> None:
    folder = folder_source(mini_lfw.make(tmp_path) / "images")
    kept, left_out = leaks({"x": "Person_A"}, ("Loner_G",), "exclude").without_people(folder)
    assert left_out.number == 4
    assert set(folder.names) - set(kept.names) == {"Person_A", "Loner_G"}
    assert [kept.names[label] for label in kept.labels] == [key.split("/")[0] for key in kept.keys]
    with pytest.raises(DatasetError, match="nobody is left"):
        leaks({}, tuple(folder.names), "exclude").without_people(folder)


# Where photos and looks come from


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_lfw.make(tmp_path_factory.mktemp("leakage")) / "images"


def test_looks_are_of_the_crops_and_kept(images: Path, tiny_pipeline: Pipeline, tmp_path: Path) -> None:
    from facewise.data.look import look_of

    paths = sorted(images.glob("*/*.jpg"))
    by_digest = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in paths}
    with FaceCache(tmp_path / "faces.cache") as cache:
        for _ in range(2):
            told: list[int] = []
            found = find_looks(tiny_pipeline, by_digest, cache, progress=told.append)
            assert sum(told) == len(paths)
            for name, path in by_digest.items():
                crops = tiny_pipeline.read(path, Steps(main_only=True, keep_crops=True)).crops
                assert found[name] == look_of(crops[0])
        # As crops that are aligned already: these are not square.
        embedder = tiny_pipeline.embedder
        assert set(find_looks(embedder, by_digest, cache).values()) == {b""}


def test_a_check_reads_nothing_where_nothing_is_recorded(images: Path, tiny_pipeline: Pipeline) -> None:
    check = LeakCheck([tiny_pipeline], ["tiny"])
    assert not check.wanted
    found = check.find([("a", images / "not there", "Bo")])
    assert not any(found.found)
    assert found.found[0].caveats == (
        "What tiny was trained on is not recorded, so leakage cannot be checked.",
    )


def test_a_run_says_it_for_a_model_that_does_not(
    images: Path, tiny_embedder_file: Path, tiny_pipeline: Pipeline, tmp_path: Path
) -> None:
    source = folder_source(images)
    seen = seen_photos(source, range(5))
    write_seen(tmp_path, seen)
    other = tmp_path / "other"
    other.mkdir()
    write_seen(other, [SeenPhoto("x", "Somebody", "", "", "")])
    check = LeakCheck([tiny_pipeline], ["tiny"], LeakPolicy.MARK, [tmp_path, other])
    assert (check.wanted, check.unused) == (True, False)
    photos = [(key, source.path(i), source.names[source.labels[i]]) for i, key in enumerate(source.keys)]
    found = check.find([*photos, ("gone", images / "gone.jpg", "")], ["Somebody"]).found[0]
    assert [common.photo for common in found.photos] == [one.key for one in seen]
    assert {common.how for common in found.photos} == {"is"}
    assert set(found.people) == {one.person for one in seen} | {"Somebody"}
    assert found.looks_checked is False  # without a cache there are no crops
    # A model that says it itself needs no run.
    model = read_model(tiny_embedder_file)
    card = replace(model.card, trained_on=trained_on(seen[:2]))
    known = Embedder(replace(model, card=card))
    check = LeakCheck([known], ["known"], runs=[tmp_path])
    assert check.unused
    assert len(check.find(photos).found[0].photos) == 2
    assert np.array_equal(check.records[0].look_words(), trained_on(seen[:2]).look_words())
    with pytest.raises(DatasetError, match=r"photos\.csv"):
        LeakCheck([known], ["known"], runs=[images])
