from __future__ import annotations

from pathlib import Path

import pytest

from facewise.errors import ImageError
from facewise.image import read_image
from facewise.photos import find_photos, search_photos


def test_find_photos(tmp_path: Path) -> None:
    names = [
        "b.JPG",
        "a.png",
        "sub/c.jpeg",
        "sub/deep/d.TIFF",
        "e.txt",
        ".hidden.jpg",
        ".git/f.jpg",
        "z.webp",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    flat = [tmp_path / name for name in ("a.png", "b.JPG", "z.webp")]
    deep = sorted([*flat, tmp_path / "sub/c.jpeg", tmp_path / "sub/deep/d.TIFF"])
    assert find_photos([tmp_path]) == deep
    assert find_photos(str(tmp_path)) == deep
    assert find_photos([tmp_path], recursive=False) == flat
    text, last = tmp_path / "e.txt", tmp_path / "z.webp"
    assert find_photos([text, last, tmp_path, last, tmp_path / "sub/../e.txt"], recursive=False) == [
        text,
        last,
        *flat[:2],
    ]
    assert find_photos([]) == []


def test_find_photos_and_links(tmp_path: Path) -> None:
    person, other = tmp_path / "photos/person", tmp_path / "elsewhere"
    for folder in (person, other):
        folder.mkdir(parents=True)
        (folder / "1.jpg").touch()
    (person / "loop").symlink_to(tmp_path / "photos")
    (person / "self.jpg").symlink_to(person / "self.jpg")
    (person / "broken.png").symlink_to(tmp_path / "absent")
    (tmp_path / "photos/alias").symlink_to(person)
    (tmp_path / "photos/linked").symlink_to(other)
    found = find_photos([tmp_path / "photos"])
    assert [str(path.relative_to(tmp_path / "photos")) for path in found] == [
        "linked/1.jpg",
        "person/1.jpg",
        "person/broken.png",
        "person/self.jpg",
    ]
    for unreadable in ("broken.png", "self.jpg"):
        with pytest.raises(ImageError, match=r"^Cannot read "):
            read_image(person / unreadable)


def test_what_is_missing_is_listed_for_its_reading_to_tell(tmp_path: Path) -> None:
    absent, there = tmp_path / "absent", tmp_path / "there.jpg"
    there.touch()
    assert find_photos([absent, there]) == [absent, there]
    with pytest.raises(ImageError, match="no such file"):
        read_image(absent)


@pytest.mark.parametrize("path", ["http://example.org/a.jpg", "a\0b", ""])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ImageError, match=r"^Cannot read "):
        find_photos([path])


def test_what_is_left_out_is_counted_and_clutter_is_not(tmp_path: Path) -> None:
    photos = ["a.jpg", "sub/b.PNG"]
    others = ["notes.txt", "clip.MOV", "sub/clip2.mov", "sub/Makefile"]
    clutter = [
        "._a.jpg", ".DS_Store", "Thumbs.db", "sub/thumbs.db", "desktop.ini", "@eaDir/a.jpg/SYNO_THUMB.jpg",
        "__MACOSX/._a.jpg", "__MACOSX/a.jpg", ".thumbnails/a.jpg", "$RECYCLE.BIN/a.jpg",
    ]  # fmt: skip
    for name in photos + others + clutter:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = search_photos(tmp_path)
    assert found.photos == [tmp_path / name for name in photos]
    assert list(found.left_out.items()) == [(".mov", 2), ("", 1), (".txt", 1)]
    assert search_photos(tmp_path, recursive=False).left_out == {".mov": 1, ".txt": 1}
    named = search_photos([tmp_path / "notes.txt", tmp_path, tmp_path / "sub"])  # twice over, and by name
    assert named.photos == [tmp_path / name for name in ("notes.txt", *photos)]
    assert named.left_out == {".mov": 2, "": 1}
