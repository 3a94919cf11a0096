"""Names as people see them, and the names that results are given on disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.filenames import LONGEST, escaped, file_name, same_file, shown


@pytest.mark.parametrize(
    "name",
    [
        "Jürgen.jpg", "李.jpg", "علی\u200cرضا.jpg", "👩\u200d👧.jpg", "3.04\u202fPM.png", "a\u200fb",
        "it's \"so\" $(x).jpg",
    ],
)  # fmt: skip
def test_names_of_people_are_shown_as_they_are(name: str) -> None:
    assert shown(name) == escaped(name) == name


@pytest.mark.parametrize(
    "name", ["", "a\nb", "a\x1b[2J", "a\x7f", "a\x85", "a\u2028", "a\u202egpj", "a\udcff"]
)
def test_names_that_would_break_a_line_are_quoted(name: str) -> None:
    assert shown(name) == repr(name)
    assert escaped(name).replace("\n", "").isprintable()


@given(st.text(max_size=300), st.sampled_from(["", ".png", "-2.jpg", "_10.png"]))
def test_a_file_name_always_has_room(stem: str, tail: str) -> None:
    stem = stem.encode("utf-8", "replace").decode()
    name = file_name(stem, tail)
    assert len(os.fsencode(name)) <= LONGEST
    assert name.endswith(tail)
    assert name == stem + tail or len(os.fsencode(stem + tail)) > LONGEST


def test_long_names_stay_apart_and_are_the_same_each_time() -> None:
    stems = ["李" * 90, "李" * 91, "李" * 90 + "a", os.fsdecode(b"\xff" * 300)]
    names = [file_name(stem, ".png") for stem in stems]
    assert len(set(names)) == len(stems)
    assert names == [file_name(stem, ".png") for stem in stems]
    assert names[0].startswith("李" * 70)


def test_what_is_one_file_on_some_system() -> None:
    assert same_file("É.png") == same_file("é.PNG")
    assert same_file("a.png") != same_file("b.png")


def test_every_name_it_gives_can_be_had(tmp_path: Path) -> None:
    for stem in ("a" * 255, "李" * 90, os.fsdecode(b"\xff\xfe"), "new\nline", "-x"):
        (tmp_path / file_name(stem, ".png")).touch()
    assert len(list(tmp_path.iterdir())) == 5
