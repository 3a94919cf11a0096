"""Any legal file name in every command: it never ends a run, and reaches no terminal raw."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pytest

from facewise.data.open import open_source
from facewise.filenames import unshowable

A = (90, 80, 60, 1)
NAMES = [
    os.fsdecode(b"\xff\xfe.png"), "a" * 251 + ".png", "李" * 83 + ".png", "new\nline.png", "clear\x1b[2J.png",
    "rtl\u202egnp.png", "علی\u200cرضا.png", "-x \"q\" '$(x)'.png",
]  # fmt: skip
"""Legal names that some program or other cannot have."""


@pytest.fixture
def people(photo) -> Path:
    """Two people whose folders and photos have such names, each name once in each folder."""
    for i, name in enumerate(NAMES):
        photo(f"in/{NAMES[0][:-4]}/{name}", (90 + i, 80, 60, 1))
        photo(f"in/{'王' * 85}/{name}", (220, 150 - i, 90, 2))
    return Path("in")


def tame(text: str) -> bool:
    """Whether nothing in it moves a terminal's cursor or breaks it."""
    return not any(unshowable(c) for c in text if c != "\n")


def every_photo(found: list[dict], people: Path) -> None:
    assert sorted(one["photo"] for one in found) == sorted(str(path) for path in people.glob("*/*"))


def test_detect_and_align(facewise, people):
    done = facewise("detect", people, "--draw", "drawn", "--json")
    every_photo(done.json["photos"], people)
    assert done.json["bad"] == []
    assert len(list(Path("drawn").iterdir())) == 16
    assert len(facewise("align", people, "--out", "crops", "--json").json["crops"]) == 16
    assert len(list(Path("crops").iterdir())) == 16
    told = facewise("detect", people).out
    assert tame(told)
    assert f"in/{'王' * 85}/{NAMES[6]}" in told  # a joiner is a letter of a name


def test_galleries(facewise, people, photo):
    # A person's name is text; a photo's need not be.
    assert "8 photos" in facewise("enroll", "Ada", *people.glob("王*/*"), "--gallery", "g.db").out
    done = facewise("identify", people, "--gallery", "g.db", "--draw", "drawn", "--threshold", 0.5, "--json")
    every_photo(done.json["photos"], people)
    assert len(list(Path("drawn").iterdir())) == 16
    assert tame(facewise("gallery", "show", "Ada", "--gallery", "g.db").out)
    done = facewise("enroll", "--folder", people, "--gallery", "h.db", code=3)
    assert len(done.complaints) == 9
    assert "8 photos of 1 person" in done.out
    assert tame(done.err)


def test_embed_cluster_and_tables(facewise, people):
    assert facewise("embed", people, "--out", "e.npz", "--json").json["faces"] == 16
    assert facewise("embed", people, "--out", "parts", "--json").json["faces"] == 16
    facewise("embed", "--out", "parts", "--merge", "m.npz")
    done = facewise("embed", "--out", "parts", "--into", "e.db", code=3)
    assert "8 samples of 1 person" in done.out
    done = facewise("cluster", people, "--out", "c.csv", "--draw", "c.png", "--threshold", 0.5)
    assert tame(done.out)
    with Path("c.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        every_photo(list(csv.DictReader(file)), people)


def test_datasets(facewise, people):
    facewise("data", "check", people, "--no-suspects")
    facewise("data", "split", people, "--out", "s.csv", "--parts", "0.5,0.5")
    facewise("data", "prepare", people, "--out", "p")
    crops = open_source("p")
    assert crops.keys == open_source(people).keys
    assert crops.read(0).shape == (112, 112, 3)
    before = sorted(Path("p").rglob("*"))
    assert facewise("data", "prepare", people, "--out", "p", "--json").json["done_before"] == 16
    assert sorted(Path("p").rglob("*")) == before


def test_a_folder_whose_name_is_no_text(facewise, people):
    away = Path(os.fsdecode(b"\xff\x1b"))
    people.rename(away)
    done = facewise("detect", away, "--draw", away / "drawn")
    assert tame(done.out)
    assert len(list((away / "drawn").iterdir())) == 16
    facewise("enroll", "Ada", away / ("王" * 85), "--gallery", away / "g.db")
    done = facewise("identify", away / "missing", away / ("王" * 85), "--gallery", away / "g.db", code=3)
    assert tame(done.out + done.err)
    assert len(done.complaints) == 2


@pytest.mark.parametrize(
    "command", [("detect", "--draw"), ("align", "--out"), ("data prepare", "--out")], ids=str
)
def test_a_name_that_cannot_be_written_costs_one_photo(facewise, photo, monkeypatch, command):
    """As on a system that takes fewer characters than the one the photos came from."""
    for name in ("1.png", "2: no.png", "3.png"):
        photo(f"in/Ada/{name}", A)
    replace = Path.replace

    def refuse(self, target):
        if "no" in Path(target).name:
            raise OSError(errno.EINVAL, "Invalid argument", str(self), None, str(target))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    words, option = command
    done = facewise(*words.split(), "in", option, "out", code=3)
    assert len(done.complaints) == 2
    assert "2: no.png" in done.complaints[0]
    assert "rename" in done.complaints[0].lower()
    assert sorted(path.stem for path in Path("out").rglob("*g")) == ["1", "3"]


def test_a_path_that_is_too_long_costs_one_photo(facewise, photo):
    photo("a.png", A)
    facewise("enroll", "Ada", "a.png", "--gallery", "g.db")
    for words in (("detect",), ("identify", "--gallery", "g.db", "--threshold", 0.5)):
        done = facewise(*words, "b" * 300 + ".png", "a.png", "--json", code=3)
        assert [one["photo"] for one in done.json["photos"]] == ["a.png"]
        assert "File name too long" in done.json["bad"][0]["error"]
