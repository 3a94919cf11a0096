"""A CSV of labels: what is missing, what makes no sense, parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facewise.data.attributes import TEST, VALIDATE, labelled_photos
from facewise.errors import DatasetError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_labels_and_those_that_are_missing(tmp_path: Path) -> None:
    text = "path,Age,gender,emotion\na.png,30.5,Female,\nb.png,,male,happy\n"
    found = labelled_photos(write(tmp_path / "faces.csv", text))
    assert (found.name, found.keys, found.root) == (found.name, ("a.png", "b.png"), tmp_path)
    np.testing.assert_array_equal(found.labels["age"], [30.5, np.nan])
    np.testing.assert_array_equal(found.labels["gender"], [0, 1])
    np.testing.assert_array_equal(found.labels["emotion"], [-1, 3])
    assert "race" not in found.labels
    assert (found.part, found.bad) == (None, ())


def test_lines_that_make_no_sense_are_told_and_the_others_kept(tmp_path: Path) -> None:
    lines = ["path,age,emotion,part", "a.png,30,happy,train", "b.png,500,happy,train", "c.png,30,hapy,train"]
    lines += ["d.png,-1,,val", "e.png,x,,val", "f.png,3,,later", "a.png,31,,val", "g.png,,sad,test"]
    found = labelled_photos(write(tmp_path / "faces.csv", "\n".join(lines)))
    assert found.keys == ("a.png", "g.png")
    told = " ".join(found.bad)
    assert len(found.bad) == 6
    assert "Line 3" in told
    assert "an age of '500': ages are 0 to 120 years" in told
    assert "an unknown emotion 'hapy'; did you mean happy?" in told
    assert "an age of '-1'" in told
    assert "unknown part 'later'" in told
    assert "a.png again" in told
    assert found.only(TEST).keys == ("g.png",)
    with pytest.raises(DatasetError, match="No photo of"):
        found.only(VALIDATE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,person\na.png,ann\n", "has no labels: name a column age, gender, emotion or race"),
        ("age\n3\n", "has no column path"),
        ("path,age\n", "lists no photos"),
        ("path,age\na.png,500\n", "an age of '500'"),
        ("path,age\na.png,3,4\n", "has 3 fields"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        labelled_photos(write(tmp_path / "faces.csv", text))


def test_a_part_needs_its_column(tmp_path: Path) -> None:
    found = labelled_photos(write(tmp_path / "faces.csv", "path,age\na.png,3\n"))
    with pytest.raises(DatasetError, match="no column part"):
        found.only(TEST)
