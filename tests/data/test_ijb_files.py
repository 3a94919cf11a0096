"""The lists of IJB-B and IJB-C, and everything that may be wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facewise.data.ijb import load_ijb
from facewise.errors import DatasetError

FACES = ["1.jpg 30 7", "2.jpg 12 8", "3.jpg 30 7", "sub/4.jpg 45 9", "5.jpg 50 10"]
POINTS = [
    "1.jpg 1 2 3 4 5 6 7 8 9 10.5 0.9",
    "2.jpg 11 12 13 14 15 16 17 18 19 20 1",
    "3.jpg -1 2 3 4 5 6 7 8 9 10 0",
    "sub/4.jpg 1e1 2 3 4 5 6 7 8 9 10 0.5",
    "5.jpg 1 2 3 4 5 6 7 8 9 10 0.25",
]
PAIRS = ["30 12 0", "30 45 1", "12 50 1"]
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,FACE_X"
G1, G2 = [HEADER, "30,5,a.jpg,1", "30,5,b.jpg,2"], [HEADER, "12,6,c.jpg,3"]
PROBES = [HEADER, "50,6,d.jpg,1", "45,5,e.jpg,1"]


def write(root: Path, subset: str = "IJBC") -> Path:
    start, galleries = subset.lower(), ("G1", "G2") if subset == "IJBC" else ("S1", "S2")
    (root / subset / "loose_crop").mkdir(parents=True)
    meta = root / subset / "meta"
    meta.mkdir()
    files = {
        "face_tid_mid.txt": FACES, "name_5pts_score.txt": POINTS, "template_pair_label.txt": PAIRS,
        f"1N_gallery_{galleries[0]}.csv": G1, f"1N_gallery_{galleries[1]}.csv": G2,
        "1N_probe_mixed.csv": PROBES,
    }  # fmt: skip
    for name, lines in files.items():
        (meta / f"{start}_{name}").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "ijb")


@pytest.mark.parametrize("subset", ["IJBB", "IJBC"])
def test_what_is_in_the_files(tmp_path: Path, subset: str) -> None:
    root = write(tmp_path, subset)
    data = load_ijb(root, one_to_n=True)
    faces = data.faces
    assert (data.subset, data.crops, len(faces)) == (subset, root / subset / "loose_crop", 5)
    assert faces.names == ("1.jpg", "2.jpg", "3.jpg", "sub/4.jpg", "5.jpg")
    assert faces.template_ids.tolist() == [12, 30, 45, 50]
    assert faces.template_ids[faces.templates].tolist() == [30, 12, 30, 45, 50]
    assert faces.media.tolist() == [7, 8, 7, 9, 10]
    assert faces.landmarks.shape == (5, 5, 2)
    assert faces.landmarks[0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10.5]]
    np.testing.assert_array_equal(faces.scores, np.float32([0.9, 1, 0, 0.5, 0.25]))
    ids = faces.template_ids
    assert ids[data.pairs.first].tolist() == [30, 30, 12]
    assert ids[data.pairs.second].tolist() == [12, 45, 50]
    assert data.pairs.same.tolist() == [False, True, True]
    assert data.one_to_n is not None
    one, two = data.one_to_n.galleries
    assert (one.name, two.name) == (("S1", "S2") if subset == "IJBB" else ("G1", "G2"))
    assert (ids[one.templates].tolist(), one.subjects.tolist()) == ([30], [5])
    assert (ids[two.templates].tolist(), two.subjects.tolist()) == ([12], [6])
    probes = data.one_to_n.probes
    assert (ids[probes.templates].tolist(), probes.subjects.tolist()) == ([45, 50], [5, 6])
    # The folder itself will do as well, and 1:N is read only where it is asked for.
    (root / subset / "meta" / f"{subset.lower()}_1N_probe_mixed.csv").unlink()
    assert load_ijb(root / subset).one_to_n is None


def test_which_subset(tmp_path: Path, root: Path) -> None:
    write(root, "IJBB")
    with pytest.raises(DatasetError, match="choose one of them"):
        load_ijb(root)
    assert load_ijb(root, "IJBB").subset == "IJBB"
    with pytest.raises(DatasetError, match="no subset 'IJBA'"):
        load_ijb(root, "IJBA")
    with pytest.raises(DatasetError, match="no IJB-B or IJB-C"):
        load_ijb(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="holds no IJBC"):
        load_ijb(root / "IJBB", "IJBC")
    (root / "IJBC" / "loose_crop").rmdir()
    with pytest.raises(DatasetError, match=r"no folder .*loose_crop"):
        load_ijb(root, "IJBC")


def change(root: Path, name: str, edit: Callable[[list[str]], list[str]]) -> None:
    path = root / "IJBC" / "meta" / f"ijbc_{name}"
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n", encoding="utf-8")


def put(line: int, text: str) -> Callable[[list[str]], list[str]]:
    """Line `line`, from 1, becomes `text`."""
    return lambda lines: [*lines[: line - 1], text, *lines[line:]]


def empty(_: list[str]) -> list[str]:
    return []


_MEDIA, _POINTS, _PAIRS = "face_tid_mid.txt", "name_5pts_score.txt", "template_pair_label.txt"
_G1, _PROBES = "1N_gallery_G1.csv", "1N_probe_mixed.csv"


@pytest.mark.parametrize(
    ("name", "edit", "told"),
    [
        (_MEDIA, put(2, "2.jpg 12"), "Line 2 of .*face_tid_mid.txt is no `image template medium`"),
        (_MEDIA, put(2, "2.jpg 12 8 9"), "Line 2 of "),
        (_MEDIA, put(3, "3.jpg x 7"), "Line 3 of "),
        (_MEDIA, put(3, "3.jpg 30 -7"), "Line 3 of "),
        (_MEDIA, put(3, "3.jpg 30 7.5"), "Line 3 of "),
        (_MEDIA, put(3, "3.jpg 30 1234567890123"), "Line 3 of "),
        (_MEDIA, put(3, ""), "Line 3 of .*face_tid_mid.txt is empty"),
        (_MEDIA, put(1, "../1.jpg 30 7"), "Line 1 of .*no photo of the dataset"),
        (_MEDIA, put(1, "/etc/passwd 30 7"), "Line 1 of .*no photo of the dataset"),
        (_MEDIA, put(1, "a\\1.jpg 30 7"), "Line 1 of .*no photo of the dataset"),
        (_MEDIA, empty, "lists no photos"),
        (_MEDIA, lambda lines: lines[:-1], "lists 4 photos, but .*5pts_score.txt 5"),
        (_POINTS, put(2, "3.jpg 11 12 13 14 15 16 17 18 19 20 1"), "Line 2 of .*'3.jpg'.*about '2.jpg'"),
        (_POINTS, put(2, "2.jpg 11 12 13"), "Line 2 of .*is no `image x1 y1"),
        (_POINTS, put(2, "2.jpg 11 12 13 14 15 16 17 18 19 twenty 1"), "Line 2 of .*is no `image x1 y1"),
        (_POINTS, put(2, "2.jpg 11 12 13 14 15 16 17 18 19 nan 1"), "Line 2 of .*not finite"),
        (_POINTS, put(2, "2.jpg 11 12 13 14 15 16 17 18 19 1e99 1"), "Line 2 of .*not finite"),
        (_POINTS, put(4, "sub/4.jpg 1 2 3 4 5 6 7 8 9 10 inf"), "Line 4 of .*score"),
        (_POINTS, put(4, "sub/4.jpg 1 2 3 4 5 6 7 8 9 10 -0.1"), "Line 4 of .*score"),
        (_POINTS, empty, "lists no photos"),
        (_PAIRS, put(2, "30 45 2"), "Line 2 of .*pair_label.txt is no `template template 1-or-0`"),
        (_PAIRS, put(2, "30 45"), "Line 2 of .*pair_label.txt is no `template template 1-or-0`"),
        (_PAIRS, put(2, "30 46 1"), "Line 2 of .*names template 46, but no photo"),
        (_PAIRS, put(3, "99999 46 1"), "Line 3 of .*names template 99999"),
        (_PAIRS, put(3, "45 45 1"), "Line 3 of .*compares template 45 with itself"),
        (_PAIRS, empty, "holds no pairs"),
        (_G1, put(2, "31,5,a.jpg,1"), "Line 2 of .*G1.csv names template 31"),
        (_G1, put(3, "30,6,b.jpg,2"), "Line 3 of .*gives template 30 to another person"),
        (_G1, put(3, "thirty,6,b.jpg,2"), "Line 3 of .*whole numbers"),
        (_G1, put(3, "30,6,b.jpg"), "Line 3 of .*3 fields"),
        (_G1, put(3, "30,,b.jpg,2"), "Line 3 of .*no subject_id"),
        (_G1, put(1, "TEMPLATE,SUBJECT_ID,FILENAME,FACE_X"), "no column template_id"),
        (_G1, lambda lines: lines[:1], "lists no templates"),
        (_G1, lambda _: [HEADER, "30,6,a.jpg,1"], "G1 and G2 .* share people"),
        (_G1, lambda _: [HEADER, "12,5,a.jpg,1"], "Template 12 is in both G1 and G2"),
        (_PROBES, put(2, "12,6,a.jpg,1"), "Template 12 is in both G2 and probe_mixed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(root: Path, name: str, edit, told: str) -> None:
    change(root, name, edit)
    with pytest.raises(DatasetError, match=told):
        load_ijb(root, one_to_n=True)


@pytest.mark.parametrize("name", [_POINTS, _PAIRS, _G1, _PROBES])
def test_a_file_that_is_not_there(root: Path, name: str) -> None:
    (root / "IJBC" / "meta" / f"ijbc_{name}").unlink()
    with pytest.raises(DatasetError, match=f"There is no file .*{re.escape(name)}"):
        load_ijb(root, one_to_n=True)


@pytest.mark.parametrize("name", [_MEDIA, _POINTS])
def test_a_file_that_is_no_text(root: Path, name: str) -> None:
    (root / "IJBC" / "meta" / f"ijbc_{name}").write_bytes(b"\xff\x81\x00\xfe")
    with pytest.raises(DatasetError, match="it is no UTF-8 text"):
        load_ijb(root)


def test_empty_lines_at_the_end_are_no_fault(root: Path) -> None:
    for name in (_MEDIA, _POINTS, _PAIRS):
        change(root, name, lambda lines: [*lines, "", " "])
    assert len(load_ijb(root).faces) == 5
