"""The demo's folder: only its own is ever replaced."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facewise.demo.folder import MARKER, check_apart, claim
from facewise.errors import FacewiseError


def test_a_new_an_empty_and_an_earlier_one(tmp_path):
    claim(tmp_path / "a" / "b")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == [MARKER]
    folder = tmp_path / "empty"
    folder.mkdir()
    claim(folder)
    (folder / "people").mkdir()
    (folder / "people" / "x.jpg").touch()
    (folder / "report.html").touch()
    claim(folder)
    assert [p.name for p in folder.iterdir()] == [MARKER]


@pytest.mark.parametrize("inside", ["notes.txt", MARKER])
def test_what_is_no_demo_is_left_alone(tmp_path, inside):
    (tmp_path / inside).write_text("mine")
    with pytest.raises(FacewiseError, match=rf"no demo, such as {inside}.*--out"):
        claim(tmp_path)
    assert (tmp_path / inside).read_text() == "mine"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    claim(tmp_path / "demo")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    (tmp_path / "demo" / "link").symlink_to(tmp_path / "photos")
    claim(tmp_path / "demo")
    assert (tmp_path / "photos" / "mine.jpg").exists()
    assert not (tmp_path / "demo" / "link").exists()


def test_a_file_and_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FacewiseError, match="--out"):
            claim(place)
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        with pytest.raises(FacewiseError, match="--out"):
            claim(tmp_path / "locked" / "demo")


@pytest.mark.parametrize(("out", "data"), [("p/demo", "p"), ("p", "p/people"), ("p", "p"), ("p/../q", "q")])
def test_photos_and_demo_do_not_lie_in_one_another(tmp_path, monkeypatch, out, data):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FacewiseError, match="lie in one another"):
        check_apart(Path(out), Path(data))
    check_apart(Path("demo"), Path("people"))
    check_apart(Path("people-demo"), Path("people"))
