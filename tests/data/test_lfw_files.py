"""LFW on disk: both kinds of official pair files, and everything that may be wrong with them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from facewise.data.lfw import lfw_people, pair_of, read_pairs
from facewise.errors import DatasetError
from facewise.evaluation import Pair, load_lfw

VIEW2 = """2\t2
Ada_Lovelace\t1\t2
Ada_Lovelace\t1\t3
Ada_Lovelace\t2\tBob\t1
Bob\t2\tCleo\t12
Bob\t1\t2
Cleo\t1\t12
Cleo\t1\tAda_Lovelace\t3
Dora\t1\tBob\t2
"""
VIEW1 = """2
Ada_Lovelace 1 2
Cleo 1 12
Ada_Lovelace 2 Bob 1
Dora 1 Bob 2
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of photos that fits the pairs above."""
    for name, numbers in {"Ada_Lovelace": (1, 2, 3), "Bob": (1, 2), "Cleo": (1, 12), "Dora": (1,)}.items():
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in numbers:
            (folder / f"{name}_{number:04d}.jpg").write_bytes(b"")
    (tmp_path / "images" / "Nobody").mkdir()
    (tmp_path / "images" / "readme.txt").write_text("no person")
    written(tmp_path, VIEW2)
    return tmp_path


def test_view_2(tmp_path: Path) -> None:
    assert read_pairs(written(tmp_path, VIEW2)) == (
        Pair("Ada_Lovelace/Ada_Lovelace_0001.jpg", "Ada_Lovelace/Ada_Lovelace_0002.jpg", True, 0),
        Pair("Ada_Lovelace/Ada_Lovelace_0001.jpg", "Ada_Lovelace/Ada_Lovelace_0003.jpg", True, 0),
        Pair("Ada_Lovelace/Ada_Lovelace_0002.jpg", "Bob/Bob_0001.jpg", False, 0),
        Pair("Bob/Bob_0002.jpg", "Cleo/Cleo_0012.jpg", False, 0),
        Pair("Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg", True, 1),
        Pair("Cleo/Cleo_0001.jpg", "Cleo/Cleo_0012.jpg", True, 1),
        Pair("Cleo/Cleo_0001.jpg", "Ada_Lovelace/Ada_Lovelace_0003.jpg", False, 1),
        Pair("Dora/Dora_0001.jpg", "Bob/Bob_0002.jpg", False, 1),
    )


def test_view_1_with_and_without_a_count(tmp_path: Path) -> None:
    pairs = read_pairs(written(tmp_path, VIEW1))
    assert [pair.same for pair in pairs] == [True, True, False, False]
    assert {pair.fold for pair in pairs} == {0}
    assert pairs[2] == Pair("Ada_Lovelace/Ada_Lovelace_0002.jpg", "Bob/Bob_0001.jpg", False, 0)
    assert read_pairs(written(tmp_path, VIEW1.removeprefix("2\n"))) == pairs


def test_blank_lines_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    expected = read_pairs(written(tmp_path, VIEW2))
    assert read_pairs(written(tmp_path, VIEW2.replace("\n", "\r\n") + "\n\n")) == expected


@pytest.mark.parametrize(
    "line",
    [
        "Bob",
        "Bob 1",
        "Bob one 2",
        "Bob 1 Cleo",
        "Bob 1 Cleo x",
        "Bob 1 2 3 4",
        "Bob 1 -2",
        "Bob 1 Cleo 2 5",
        "1 2",
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    lines = VIEW2.splitlines()
    lines[5] = line
    with pytest.raises(DatasetError, match=r"^Line 6 of .*pairs\.txt is no pair"):
        read_pairs(written(tmp_path, "\n".join(lines)))
    lines = VIEW1.removeprefix("2\n").splitlines()
    lines[1] = line
    with pytest.raises(DatasetError, match=r"^Line 2 of"):
        read_pairs(written(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("name", ["../etc", "a/b", "..", "a\\b"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="no person's name"):
        read_pairs(written(tmp_path, f"{name} 1 2\n"))


@pytest.mark.parametrize(
    "text",
    [
        VIEW2.replace("Bob\t1\t2\n", ""),
        VIEW2 + "Dora\t1\tCleo\t1\n",
        VIEW2 + "Bob\t1\t2\nCleo\t1\t12\nDora\t1\tBob\t2\nDora\t1\tBob\t1\n",
        VIEW2.replace("2\t2", "3\t2", 1),
        VIEW2.replace("2\t2", "2\t3", 1),
        VIEW2.replace("Bob\t1\t2\n", "Dora\t1\tCleo\t1\n"),
        VIEW1.replace("2\n", "3\n", 1),
        VIEW1.replace("Cleo 1 12\n", ""),
    ],
    ids=[
        "one too few", "one too many", "a fold too many", "a fold short", "pairs short", "of the wrong kind",
        "view 1 short", "view 1 one too few",
    ],
)  # fmt: skip
def test_counts_that_are_not_as_promised(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match="promises"):
        read_pairs(written(tmp_path, text))


@pytest.mark.parametrize("text", ["", "\n\n", "10 300\n", "2\n"], ids=repr)
def test_a_file_without_pairs(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match="holds no pairs"):
        read_pairs(written(tmp_path, text))


def test_a_file_that_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no pair file"):
        read_pairs(tmp_path / "gone.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="Cannot read the pair file"):
        read_pairs(tmp_path / "binary")
    with pytest.raises(DatasetError, match="Cannot read the pair file"):
        read_pairs(tmp_path)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "A B\t1\t4",
            Pair("A B/A B_0001.jpg", "A B/A B_0004.jpg", True, 0),
        ),
        ("A B 1 4", Pair("A B/A B_0001.jpg", "A B/A B_0004.jpg", True, 0)),
        ("A B 1 Bob 2", Pair("A B/A B_0001.jpg", "Bob/Bob_0002.jpg", False, 0)),
        ("Bob;1;Ada B;3;", Pair("Bob/Bob_0001.jpg", "Ada B/Ada B_0003.jpg", False, 0)),
        ("Bob,1,2,", Pair("Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg", True, 0)),
        ("47\t1\t2", Pair("47/47_0001.jpg", "47/47_0002.jpg", True, 0)),
        ("Bob ² 3", None),
        ("²", None),
        ("Bob 1 2 3 4", None),
    ],
    ids=repr,
)
def test_lines_of_other_programs(line: str, expected: Pair | None) -> None:
    assert pair_of(line) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_pair_files_of_other_systems(tmp_path: Path, encoding: str, end: str) -> None:
    (tmp_path / "pairs.txt").write_bytes(VIEW2.replace("\n", end).encode(encoding))
    assert read_pairs(tmp_path / "pairs.txt") == read_pairs(written(tmp_path, VIEW2))


def test_people_and_their_photos(root: Path) -> None:
    lfw = load_lfw(root)
    assert lfw.images == root / "images"
    assert lfw.people == {
        "Ada_Lovelace": tuple(f"Ada_Lovelace/Ada_Lovelace_000{i}.jpg" for i in (1, 2, 3)),
        "Bob": ("Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg"),
        "Cleo": ("Cleo/Cleo_0001.jpg", "Cleo/Cleo_0012.jpg"),
        "Dora": ("Dora/Dora_0001.jpg",),
    }
    assert lfw.pairs == read_pairs(root / "pairs.txt")


@pytest.mark.parametrize("name", ["images", "lfw", "lfw-deepfunneled", "."])
def test_where_the_people_may_be(root: Path, name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (root / "pairs.txt").rename(other / "pairs.txt")
    if name == ".":
        for folder in (root / "images").iterdir():
            folder.rename(other / folder.name)
    else:
        (root / "images").rename(other / name)
    assert len(load_lfw(other).people) == 4


def test_another_pair_file(root: Path) -> None:
    (root / "pairsDevTest.txt").write_text(VIEW1)
    assert len(load_lfw(root, root / "pairsDevTest.txt").pairs) == 4


def test_photos_of_the_pairs_that_are_not_there(root: Path) -> None:
    (root / "images" / "Bob" / "Bob_0002.jpg").unlink()
    (root / "images" / "Dora" / "Dora_0001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"^2 photos of the pairs.*Bob/Bob_0002\.jpg"):
        load_lfw(root)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no folder"):
        load_lfw(tmp_path / "gone")
    with pytest.raises(DatasetError, match="There is no pair file"):
        load_lfw(tmp_path)


@pytest.mark.real
def test_the_official_files(shared: Path) -> None:
    """As data/README.md and the LFW report count them."""
    lfw = load_lfw(shared / "data" / "lfw")
    assert (len(lfw.people), sum(map(len, lfw.people.values()))) == (5749, 13233)
    assert sum(len(photos) > 1 for photos in lfw.people.values()) == 1680
    assert Counter((pair.fold, pair.same) for pair in lfw.pairs) == {
        (fold, same): 300 for fold in range(10) for same in (True, False)
    }
    assert lfw.pairs[0] == Pair(
        "Abel_Pacheco/Abel_Pacheco_0001.jpg", "Abel_Pacheco/Abel_Pacheco_0004.jpg", True, 0
    )
    for name, each in (("pairsDevTrain.txt", 1100), ("pairsDevTest.txt", 500)):
        pairs = read_pairs(shared / "data" / "lfw" / name)
        assert Counter(pair.same for pair in pairs) == {True: each, False: each}


def test_appledouble_files_and_clutter_are_nobodys_photos(tmp_path: Path) -> None:
    for name in (
        "Ada/Ada_0001.jpg",
        "Ada/._Ada_0001.jpg",
        "Ada/Thumbs.db",
        "Bob/Bob_0001.jpg",
        "@eaDir/x.jpg",
    ):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).touch()
    assert list(lfw_people(tmp_path).keys) == ["Ada/Ada_0001.jpg", "Bob/Bob_0001.jpg"]
