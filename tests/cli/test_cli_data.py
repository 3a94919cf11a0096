"""`facewise data check`, `split` and `prepare`."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from facewise.data.open import open_source

A, B, C = (90, 80, 60, 1), (220, 150, 90, 2), (60, 190, 40, 3)


@pytest.fixture
def people(photo) -> Path:
    """Six photos each of three people."""
    for name, who in (("Ada", 1), ("Bob", 2), ("Cleo", 3)):
        for i in range(6):
            photo(f"people/{name}/{i}.png", (90 + 9 * i, 80 + 7 * i, 60 + 5 * i, who))
    return Path("people")


def test_check_a_clean_dataset(facewise, people):
    done = facewise("data", "check", people)
    assert "people: 18 photos of 3 people" in done.out
    assert "18 labels compared" in done.out
    assert done.err == ""
    found = facewise("data", "check", people, "--json").json
    assert (found["photos"], found["people"], found["unreadable"]) == (18, 3, [])
    assert found["label_suspects"]["found"] == []
    assert found["label_suspects_skipped"] is None


def test_check_finds_what_is_wrong(facewise, people):
    (people / "Bob" / "ada.png").write_bytes((people / "Ada" / "0.png").read_bytes())
    (people / "Bob" / "broken.png").write_text("no photo")
    done = facewise("data", "check", people, code=3)
    assert "Under several names" in done.out
    assert "Labels that look wrong" in done.out
    assert [line for line in done.out.splitlines() if "Bob/ada.png" in line and "like another" in line]
    assert "broken.png" in done.complaints[0]
    assert done.complaints[-1] == "facewise: 1 bad photo, named above; the good ones are done."
    found = facewise("data", "check", people, "--json", code=3).json
    assert found["label_conflicts"][0]["people"] == ["Ada", "Bob"]
    (suspect,) = found["label_suspects"]["found"]
    assert (suspect["key"], suspect["other"]) == ("Bob/ada.png", "Ada")
    assert [bad["photo"] for bad in found["unreadable"]] == ["Bob/broken.png"]


def test_check_without_a_model_says_what_it_left_out(facewise, people, monkeypatch, tmp_path):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr("facewise.models.bundled.FOLDER", tmp_path / "package")
    assert "Labels were not looked at: No detector is installed" in facewise("data", "check", people).out
    found = facewise("data", "check", people, "--json").json
    assert found["label_suspects"] is None
    assert "No detector is installed" in found["label_suspects_skipped"]
    assert "not asked for" in facewise("data", "check", people, "--no-suspects").out
    assert "No model named" in facewise("data", "check", people, "--detector", "gone", code=3).err


def test_what_a_dataset_leaves_out_is_told(facewise, people, photo):
    photo("people/loose.png", A)
    assert (
        "note: Left out of people: 1 photo in nobody's folder (loose.png)."
        in facewise("data", "check", people, "--no-suspects").err
    )


def parts(path: str) -> Counter[tuple[str, str]]:
    with Path(path).open(newline="") as file:
        return Counter((row["person"], row["part"]) for row in csv.DictReader(file))


def test_split_by_photo(facewise, people):
    done = facewise("data", "split", people, "--out", "split.csv")
    assert "Split by photo in split.csv; no photo is in two parts." in done.out
    assert parts("split.csv") == {
        (n, p): {"train": 5, "test": 1}[p] for n in ("Ada", "Bob", "Cleo") for p in ("train", "test")
    }
    first = Path("split.csv").read_bytes()
    facewise("data", "split", people, "--out", "split.csv", "--seed", 1)
    assert Path("split.csv").read_bytes() != first
    facewise("data", "split", people, "--out", "split.csv")
    assert Path("split.csv").read_bytes() == first


def test_split_by_identity_into_named_parts(facewise, people):
    words = ["--by", "identity", "--parts", "fit=0.34,tune=0.33,judge=0.33", "--json"]
    done = facewise("data", "split", people, "--out", "split.csv", *words).json
    parts_found = [(part["part"], part["photos"], part["people"]) for part in done["parts"]]
    assert sorted(parts_found) == [("fit", 6, 1), ("judge", 6, 1), ("tune", 6, 1)]
    assert done["shared_people"] == 0
    assert sorted(person for person, _ in parts("split.csv")) == ["Ada", "Bob", "Cleo"]


def test_a_split_that_leaks_is_not_written(facewise, people):
    for i in range(6):
        (people / "Bob" / f"{i}.png").write_bytes((people / "Ada" / "0.png").read_bytes())
    words = ["--by", "identity", "--parts", "0.34,0.33,0.33"]
    assert (
        "photos by content in common"
        in facewise("data", "split", people, "--out", "s.csv", *words, code=3).err
    )
    assert not Path("s.csv").exists()


def test_prepare(facewise, people, photo):
    photo("people/Ada/two.png", B, C)
    photo("people/Ada/none.png")
    (people / "Bob" / "broken.png").write_text("no photo")
    done = facewise("data", "prepare", people, "--out", "crops", "--size", 96, code=3)
    assert "19 crops of 96×96 pixels in crops." in done.out
    assert "1 photo has several faces: the main one was taken." in done.out
    assert "1 photo has no face: Ada/none.png" in done.err
    assert "broken.png" in done.complaints[0]
    assert open_source("crops").read(0).shape == (96, 96, 3)
    again = facewise("data", "prepare", people, "--out", "crops", "--size", 96, "--json", code=3).json
    assert (again["photos"], again["done_before"]) == (21, 20)
    assert again["counts"] == {"ok": 18, "several faces": 1, "no face": 1, "unreadable": 1}
    assert again["without_face"] == ["Ada/none.png"]
    assert [bad["item"] for bad in again["bad"]] == ["Bob/broken.png"]


def test_crops_can_be_checked_and_split(facewise, people):
    facewise("data", "prepare", people, "--out", "crops")
    assert facewise("data", "check", "crops", "--json").json["label_suspects"]["compared"] == 18
    facewise("data", "split", people, "--out", "a.csv")
    facewise("data", "split", "crops", "--out", "b.csv")
    assert Path("a.csv").read_bytes() == Path("b.csv").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["check", "gone"], 3, "There is no file or folder gone"),
        (["check", ""], 2, "a path is empty"),
        (["check", "people", "--near", "17"], 2, "--near"),
        (["split", "people"], 2, "--out"),
        (["split", "people", "--out", "s.csv", "--by", "hair"], 2, "photo or identity"),
        (["split", "people", "--out", "s.csv", "--parts", "many"], 2, "takes fractions"),
        (["split", "people", "--out", "s.csv", "--parts", "a=0.5,0.5"], 2, "all parts or none"),
        (["split", "people", "--out", "s.csv", "--parts", "0.5,0.4"], 3, "add up to 1"),
        (["split", "people", "--out", "s.csv", "--min-photos", "9"], 3, "Nobody in people has 9 photos"),
        (["split", "people", "--out", "people"], 3, "people is a folder"),
        (["prepare", "people", "--out", "people/crops"], 2, "inside people"),
        (["prepare", "people", "--out", "crops", "--format", "gif"], 2, "png or jpg"),
        (["prepare", "people", "--out", "crops", "--detector", "gone"], 3, "No model named"),
        (["prepare", "gone", "--out", "crops"], 3, "There is no file or folder gone"),
    ],
)
def test_what_cannot_be_done_is_told(facewise, people, words, code, told):
    done = facewise("data", *words, code=code)
    assert told in " ".join(done.err.split())
    if code == 3:
        assert len(done.err.splitlines()) == 1
        assert facewise("data", *words, "--json", code=3).json == {
            "error": done.err[len("facewise: ") :].strip()
        }
    assert not Path("s.csv").exists()


def test_prepare_and_embed_tell_what_changed_since(facewise, photo):
    def shot(i: int, x: int) -> None:
        photo(f"photos/Ada/{i}.png", (x, 80, 60, 1))

    for i in range(4):
        shot(i, 80 + i)
    run = ("data", "prepare", "photos", "--out", "crops"), ("embed", "photos", "--out", "run")
    for words in run:
        assert "changed" not in facewise(*words).out
    shot(0, 120)
    shot(4, 130)
    Path("photos/Ada/3.png").unlink()
    for words in run:
        assert "Photos changed since the last run: 1 added, 1 replaced, 1 gone." in facewise(*words).out
    for words in run:
        assert facewise(*words, "--json").json["changes"] == {"added": 0, "replaced": 0, "gone": 0}
