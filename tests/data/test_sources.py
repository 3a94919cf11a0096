"""Folders of people, CSV lists, LFW's people, and telling them apart."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.data.csvfile import csv_source
from facewise.data.folder import folder_source
from facewise.data.lfw import lfw_people, pairs_within, people_of, read_pairs
from facewise.data.open import open_source
from facewise.data.source import FileSource, Source
from facewise.errors import DatasetError, ImageError


def image(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (3, 2), (value, 10, 20)).save(path)
    return path


def test_a_folder_a_person(tmp_path: Path) -> None:
    for i, key in enumerate(("Bob/b.png", "Ada/2.png", "Ada/1.png", "Ada/deep/er/3.png")):
        image(tmp_path / key, i)
    source = folder_source(tmp_path, tell=pytest.fail)
    assert source.keys == ("Ada/1.png", "Ada/2.png", "Ada/deep/er/3.png", "Bob/b.png")
    assert source.names == ("Ada", "Bob")
    assert source.labels.tolist() == [0, 0, 0, 1]
    assert source.labels.dtype == np.int64
    assert [source.read(i)[0, 0, 0] for i in range(4)] == [2, 1, 3, 0]
    assert isinstance(source, Source)
    assert pickle.loads(pickle.dumps(source)).keys == source.keys


def test_what_a_folder_leaves_out_is_told(tmp_path: Path) -> None:
    for key in ("Ada/1.png", "loose.png", ".hidden/h.png", "Ada/.h.png"):
        image(tmp_path / key)
    (tmp_path / "Nobody").mkdir()
    (tmp_path / "Ada" / "notes.txt").touch()
    told: list[str] = []
    assert folder_source(tmp_path, tell=told.append).keys == ("Ada/1.png",)
    assert len(told) == 3
    for word, sentence in zip(("loose.png", "Nobody", "1 .txt"), told, strict=True):
        assert word in sentence
    with pytest.warns(UserWarning, match="Left out") as warned:
        folder_source(tmp_path)
    assert [str(warning.message) for warning in warned] == told


def test_photos_that_cannot_be_read_are_in_the_dataset(tmp_path: Path) -> None:
    image(tmp_path / "Ada" / "1.png")
    (tmp_path / "Ada" / "2.jpg").write_text("hello")
    source = folder_source(tmp_path)
    with pytest.raises(ImageError, match=r"2\.jpg"):
        source.read(1)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: image(path / "a.png")])
def test_a_folder_without_people(tmp_path: Path, make) -> None:
    make(tmp_path / "folder")
    with pytest.raises(DatasetError, match="no people"):
        folder_source(tmp_path / "folder")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    image(folder / "a.png")
    assert folder_source(tmp_path).keys == ("caf\udce9/a.png",)


def listed(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "path,person\nb.png,Bob\nsub/a.png,Ada\n",
        "﻿path,person\r\nb.png,Bob\r\nsub/a.png,Ada\r\n",
        'age, Person ,PATH\n\n3,Bob,b.png\n4,"Ada","sub/a.png"\n',
        "path,identity\nb.png,Bob\n./sub//a.png,Ada",
        "path,identity,person\nb.png,7,Bob\nsub/a.png,8,Ada",
    ],
)
def test_a_csv(tmp_path: Path, text: str) -> None:
    image(tmp_path / "sub" / "a.png", 5)
    image(tmp_path / "b.png", 6)
    source = csv_source(listed(tmp_path, text))
    assert source.keys == ("b.png", "sub/a.png")
    assert source.names == ("Ada", "Bob")
    assert source.labels.tolist() == [1, 0]
    assert source.read(1)[0, 0, 0] == 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no column path"),
        ("path,person\n", "lists no photos"),
        ("path,name\na.png,Ada\n", "no column person or identity: its first line names path, name"),
        ("path,path,person\na,b,c\n", "column path twice"),
        ("path,person\na.png,Ada\nb.png\n", "Line 3 .* has 1 fields, but .* 2 columns"),
        ("path,person\na.png,Ada\nb.png,Bob,x\n", "Line 3 .* has 3 fields"),
        ("path,person\na.png,Ada\n ,Bob\n", "Line 3 .* has no path"),
        ("path,person\na.png,\n", "Line 2 .* has no person"),
        ("path,person\na.png,Ada\nb.png,Bob\n./a.png,Ada\n", "Line 4 .* lists a.png again, after line 2"),
        ('path,person\na.png,"Ada\n', "is no CSV"),
        ("path,person\na\0.png,Ada\n", "Line 2"),
    ],
)
def test_what_is_wrong_with_a_csv_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        csv_source(listed(tmp_path, text))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_tables_of_other_programs(tmp_path: Path, separator: str, end: str, encoding: str) -> None:
    rows = [("path", "person", "note"), ("a.jpg", "José, B", "1,5"), ("b;1.jpg", "Ada", "")]
    text = end.join(separator.join(f'"{field}"' for field in row) for row in rows) + end
    if separator == ";":
        text = f"sep=;{end}{text}"
    found = csv_source(listed(tmp_path, text.encode(encoding)))
    assert list(found.keys) == ["a.jpg", "b;1.jpg"]
    assert list(found.names) == ["Ada", "José, B"]
    broken = listed(tmp_path, (text + separator.join(["c.jpg", "", ""]) + end).encode(encoding))
    with pytest.raises(DatasetError, match=rf"^Line {4 + (separator == ';')} of .* has no person"):
        csv_source(broken)


def test_a_table_made_on_windows_finds_its_photos(tmp_path: Path) -> None:
    image(tmp_path / "p" / "a.png")
    found = csv_source(listed(tmp_path, "path,person\np\\a.png,Ada\n"))
    assert list(found.keys) == ["p/a.png"]
    assert found.read(0).shape[2] == 3


def test_no_csv(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no file"):
        csv_source(tmp_path / "gone.csv")
    with pytest.raises(DatasetError, match="Cannot read"):
        csv_source(tmp_path)


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    for name, photos in {"Ada": 3, "Bob": 2, "Cleo": 1}.items():
        for number in range(1, photos + 1):
            image(tmp_path / "images" / name / f"{name}_{number:04d}.jpg")
    (tmp_path / "pairsDevTest.txt").write_text("1\nBob\t1\t2\nBob\t1\tCleo\t1\n")
    return tmp_path


def test_people_of_lfw(lfw: Path) -> None:
    everybody = lfw_people(lfw)
    assert everybody.names == ("Ada", "Bob", "Cleo")
    assert everybody.keys[0] == "Ada/Ada_0001.jpg"
    assert lfw_people(lfw, exclude_pairs=["pairsDevTest.txt"]).names == ("Ada",)
    assert lfw_people(lfw, at_least=2).names == ("Ada", "Bob")
    with pytest.raises(DatasetError, match="Nobody"):
        lfw_people(lfw, exclude_pairs=["pairsDevTest.txt"], at_least=4)
    with pytest.raises(DatasetError, match="no pair file"):
        lfw_people(lfw, exclude_pairs=["gone.txt"])
    pairs = read_pairs(lfw / "pairsDevTest.txt")
    assert people_of(pairs) == {"Bob", "Cleo"}
    assert pairs_within(pairs, lfw_people(lfw, at_least=2)) == pairs[:1]


def test_opening_tells_datasets_apart(lfw: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert open_source(lfw).keys[0] == "Ada/Ada_0001.jpg"
    assert open_source(lfw / "images").keys == open_source(lfw).keys
    listed = tmp_path_factory.mktemp("csv")
    image(listed / "images" / "a.png")
    with pytest.raises(DatasetError, match="Nothing says who"):
        open_source(listed)
    (listed / "ages.csv").write_text("path,age\nimages/a.png,3\n")
    (listed / "people.csv").write_text("path,person\nimages/a.png,Ada\n")
    assert open_source(listed).keys == open_source(listed / "people.csv").keys == ("images/a.png",)
    (listed / "more.csv").write_text("path,person\nimages/a.png,Ada\n")
    with pytest.raises(DatasetError, match=r"several lists of people, more\.csv, people\.csv"):
        open_source(listed)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone", "no file or folder"),
        ("file.txt", "is no dataset"),
        ("lfw.bin", "pairs"),
        ("up", "name .*up/in"),
    ],
)
def test_what_is_no_dataset(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file.txt").touch()
    (tmp_path / "lfw.bin").touch()
    image(tmp_path / "up" / "in" / "Ada" / "a.png")
    image(tmp_path / "up" / "in" / "Bob" / "b.png")
    with pytest.raises(DatasetError, match=told):
        open_source(tmp_path / name)


@pytest.mark.real
def test_real_datasets(shared: Path) -> None:
    """As data/README.md counts them."""
    data = shared / "data"

    def counted(source: Source) -> tuple[int, int]:
        assert isinstance(source, FileSource)
        return len(source.names), len(source.keys)

    assert counted(lfw_people(data / "lfw", exclude_pairs=["pairsDevTest.txt"])) == (4786, 10492)
    assert counted(lfw_people(data / "lfw", exclude_pairs=["pairs.txt"])) == (1468, 1549)
    assert counted(lfw_people(data / "lfw", at_least=10)) == (158, 4324)
    assert counted(open_source(data / "lfw")) == (5749, 13233)
    assert counted(open_source(data / "celeba-wild")) == (299, 6300)
    view1 = [read_pairs(data / "lfw" / f"pairsDev{part}.txt") for part in ("Train", "Test")]
    assert people_of(view1[0]).isdisjoint(people_of(view1[1]))
    assert len(people_of(view1[1])) == 963
    train = lfw_people(data / "lfw", exclude_pairs=["pairsDevTest.txt"])
    assert len(pairs_within(view1[0], train)) == 2200
    assert pairs_within(view1[1], train) == ()
    with pytest.raises(DatasetError, match="Nothing says who"):
        open_source(data / "utkface")
