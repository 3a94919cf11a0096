"""Groups of photos and of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewise.data.lfw import Pair
from facewise.errors import DatasetError, SettingError
from facewise.evaluation.groups_file import age_band, given_groups, group_pairs, read_groups

PAIRS = [
    Pair("a/1.jpg", "a/2.jpg", True, 0),
    Pair("a/1.jpg", "b/1.jpg", False, 0),
    Pair("b/1.jpg", "c/1.jpg", False, 0),
    Pair("a/2.jpg", "d/1.jpg", False, 0),
]


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "groups.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def groups(tmp_path: Path) -> Path:
    return written(
        tmp_path,
        "path,Sex,age,race,note",
        "photos/a/1.jpg,f,29,x,",
        "photos/a/2.jpg,f,30,x,",
        "photos/b/1.jpg,f,64,y,",
        "photos/c/1.jpg,m,,y,",
    )


def test_pairs_within_one_group(tmp_path: Path) -> None:
    by = ["sex", "age", "race", "sex+race"]
    sex, age, race, both = group_pairs(read_groups(groups(tmp_path), by), by, PAIRS, tmp_path / "photos")
    assert (sex.by, sex.labels, sex.across, sex.unknown) == ("sex", ("f", "f", "", ""), 1, 1)
    # The same person at two ages is of no one age.
    assert (age.labels, age.across, age.unknown) == (("", "", "", ""), 2, 2)
    assert (race.labels, race.across, race.unknown) == (("x", "", "y", ""), 2 - 1, 1)
    assert (both.by, both.labels, both.across, both.unknown) == ("sex+race", ("f, x", "", "", ""), 2, 1)


def test_bands_of_age(tmp_path: Path) -> None:
    ages = [0, 17.9, 18, 29, 30, 44.5, 45, 59, 60, 116]
    names = ["under 18", "18 to 29", "30 to 44", "45 to 59", "60 and older"]
    assert [age_band(age) for age in ages] == [name for name in names for _ in (0, 1)]
    assert age_band(20, [19.5, 25]) == "19.5 to under 25"
    found = read_groups(groups(tmp_path), ["age"], bands=(50,))
    assert [row[0] for row in found.rows.values()] == ["under 50", "under 50", "50 and older", ""]
    text = written(tmp_path, "path,age", "1.jpg,20-29", "2.jpg,35")
    assert [row[0] for row in read_groups(text, ["age"]).rows.values()] == ["20-29", "30 to 44"]


def test_paths_meet_wherever_the_files_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = groups(tmp_path)
    for root in (Path("photos"), tmp_path / "x" / ".." / "photos"):
        assert group_pairs(read_groups(path, ["sex"]), ["sex"], PAIRS, root)[0].labels[0] == "f"
    elsewhere = tmp_path / "elsewhere" / "groups.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text(path.read_text())
    found = read_groups(elsewhere, ["sex"], tmp_path)
    assert group_pairs(found, ["sex"], PAIRS, tmp_path / "photos")[0].labels[0] == "f"
    with pytest.raises(DatasetError, match="tells of none of the 5 photos"):
        group_pairs(read_groups(elsewhere, ["sex"]), ["sex"], PAIRS, tmp_path / "photos")


def test_a_photo_twice(tmp_path: Path) -> None:
    again = written(tmp_path, "path,sex", "1.jpg,f", "./1.jpg,f")
    assert len(read_groups(again, ["sex"]).rows) == 1
    with pytest.raises(DatasetError, match=r"Line 3.*contradicts"):
        read_groups(written(tmp_path, "path,sex", "1.jpg,f", "./1.jpg,m"), ["sex"])


@pytest.mark.parametrize("age", ["-1", "nan", "inf", "200"])
def test_ages_nobody_has(tmp_path: Path, age: str) -> None:
    with pytest.raises(DatasetError, match=r"Line 2.*nobody has"):
        read_groups(written(tmp_path, "path,age", f"1.jpg,{age}"), ["age"])


@pytest.mark.parametrize(
    ("by", "bands", "told"),
    [
        (["gender"], (18,), "no column gender"),
        (["sx"], (18,), "did you mean sex"),
        (["sex+"], (18,), "Say which columns"),
        ([], (18,), "Say which columns"),
        (["age"], (30, 18), "must rise"),
        (["age"], (0, 18), "must rise"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, by: list[str], bands: tuple, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        read_groups(groups(tmp_path), by, bands=bands)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nope\.csv"):
        read_groups(tmp_path / "nope.csv", ["sex"])
    with pytest.raises(DatasetError, match="no column path"):
        read_groups(written(tmp_path, "photo,sex", "1.jpg,f"), ["sex"])


def test_groups_of_the_pair_file() -> None:
    found = given_groups(["old", "", "young"])
    assert (found.by, found.labels, found.across, found.unknown) == ("group", ("old", "", "young"), 0, 1)
