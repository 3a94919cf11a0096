"""Files of pairs: what they may say, and what is wrong with those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewise.data.lfw import Pair
from facewise.errors import DatasetError
from facewise.evaluation.pair_file import read_pair_file


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_least_a_file_must_say(tmp_path: Path) -> None:
    file = read_pair_file(written(tmp_path, "a,b,same", "x/1.jpg,x/2.jpg,1", "x/1.jpg,y/1.jpg,0"))
    assert file.pairs == (Pair("x/1.jpg", "x/2.jpg", True, 0), Pair("x/1.jpg", "y/1.jpg", False, 0))
    assert (file.folded, file.people, file.groups, file.twice) == (False, None, None, 0)
    assert file.root == tmp_path
    assert file.everybody() == {"x/1.jpg", "x/2.jpg", "y/1.jpg"}


def test_everything_a_file_may_say(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "Note,same,FOLD,a,b,person_b,identity_a,group",
        "ok,TRUE,3,1.jpg,2.jpg,ada,ada,old",
        "?,different,11,./1.jpg,3.jpg,bob,ada,",
        "?,0,11,3.jpg,1.jpg,ada,bob,young",
    )
    file = read_pair_file(path, tmp_path / "photos")
    assert [(p.a, p.b, p.same, p.fold) for p in file.pairs] == [
        ("1.jpg", "2.jpg", True, 3), ("1.jpg", "3.jpg", False, 11), ("3.jpg", "1.jpg", False, 11)
    ]  # fmt: skip
    assert file.people == (("ada", "ada"), ("ada", "bob"), ("bob", "ada"))
    assert file.groups == ("old", "", "young")
    assert (file.folded, file.twice, file.root) == (True, 1, tmp_path / "photos")
    assert file.everybody() == {"ada", "bob"}


@pytest.mark.parametrize("words", [("same", "different"), ("true", "False"), ("1", "0")])
def test_ways_to_say_same(tmp_path: Path, words: tuple[str, str]) -> None:
    file = read_pair_file(written(tmp_path, "a,b,same", f"1,2,{words[0]}", f"1,3,{words[1]}"))
    assert [pair.same for pair in file.pairs] == [True, False]


def test_folds_with_names_are_numbered_as_they_come(tmp_path: Path) -> None:
    file = read_pair_file(written(tmp_path, "a,b,same,fold", "1,2,1,z", "1,3,0,a", "2,3,0,z"))
    assert [pair.fold for pair in file.pairs] == [0, 1, 0]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["a,b", "1,2"], "no column same"),
        (["a,b,same"], "lists no pairs"),
        (["a,b,same", "1,2,maybe"], "Line 2.*'maybe'"),
        (["a,b,same", "1,1,1"], "Line 2.*with itself"),
        (["a,b,same", "1,./1,1"], "Line 2.*with itself"),
        (["a,b,same", "1,2,1", "2,1,0"], "Line 3.*contradicts"),
        (["a,b,same", "1,2,1,0"], "Line 2.*4 fields"),
        (["a,b,same", "1,,1"], "Line 2.*no b"),
        (["a,b,same,identity_a", "1,2,1,ada"], "no column identity_b or person_b"),
        (["a,b,same,identity_a,identity_b", "1,2,1,ada,bob"], "Line 2.*same person.*ada and bob"),
        (["a,b,same,identity_a,identity_b", "1,2,0,ada,ada"], "Line 2.*different people.*ada and ada"),
        (
            ["a,b,same,identity_a,identity_b", "1,2,0,ada,bob", "2,3,0,cyd,ada"],
            "Line 3.*2 shows cyd.*earlier line says bob",
        ),
        (["a,b,same,identity_a,identity_b", "1,2,0,ada,"], "Line 2.*no identity_b"),
        (["a,b,same,fold", "1,2,1,"], "Line 2.*no fold"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, lines: list[str], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        read_pair_file(written(tmp_path, *lines))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nope\.csv"):
        read_pair_file(tmp_path / "nope.csv")


def test_a_file_made_on_windows_finds_its_photos(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "p" / name).touch()
    (tmp_path / "pairs.csv").write_bytes("a;b;same\r\np\\a.jpg;p\\b.jpg;1\r\n".encode("utf-16"))
    found = read_pair_file(tmp_path / "pairs.csv")
    assert found.pairs == (Pair("p/a.jpg", "p/b.jpg", True, 0),)
