"""Text of other programs and systems: one reader gives the same lines, whatever they are written in."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.errors import DatasetError, SettingError
from facewise.textfile import listed_path, read_text, text_lines, whole_number

LINES = ["Ada", "", "José 李", "two words\tand a tab"]


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_and_line_end_gives_the_same(
    tmp_path: Path, encoding: str, end: str, mark: str
) -> None:
    text = end.join(LINES) + end
    path = tmp_path / "list.txt"
    path.write_bytes((mark + text).encode(encoding))
    assert list(text_lines(path)) == LINES
    assert read_text(path) == text


def test_a_carriage_return_is_part_of_a_name_where_lines_end_in_line_feeds(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"odd\rname\nanother\r\n")
    assert list(text_lines(tmp_path / "a")) == ["odd\rname", "another"]


def test_other_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a\u2028b\x0bc\x85d\n", encoding="utf-8")
    assert list(text_lines(tmp_path / "a")) == ["a\u2028b\x0bc\x85d"]


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"M\xfcller\n")
    with pytest.raises(DatasetError, match=r"Cannot read the list .*a: it is no UTF-8 text; save"):
        read_text(tmp_path / "a", "list")
    with pytest.raises(SettingError, match="no UTF-8 text"):
        list(text_lines(tmp_path / "a", "list", SettingError))
    assert list(text_lines(tmp_path / "a", odd_bytes=True)) == ["M\udcfcller"]
    (tmp_path / "a").write_bytes(codecs.BOM_UTF16_LE + b"a")
    with pytest.raises(DatasetError, match="no UTF-16 text"):
        read_text(tmp_path / "a", odd_bytes=True)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for read in (read_text, lambda *of: list(text_lines(*of))):
        with pytest.raises(DatasetError, match=r"There is no list .*gone; check the path"):
            read(tmp_path / "gone", "list")
        with pytest.raises(DatasetError, match="it is a folder"):
            read(tmp_path, "list")


@given(st.text(max_size=4))
def test_whole_numbers_are_what_python_makes_one_of_plain_digits(text: str) -> None:
    plain = bool(text) and set(text) <= set("0123456789")
    assert whole_number(text) == (int(text) if plain else None)


def test_other_digits_are_no_number() -> None:
    assert [whole_number(text) for text in ("²", "١", "1e3", "-1", "9" * 30, "")] == [None] * 6


def test_paths_of_windows_are_understood_where_the_file_is_there(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a.jpg").touch()
    (tmp_path / "p" / "odd\\name.jpg").touch()
    assert listed_path("p\\a.jpg", tmp_path) == "p/a.jpg"
    assert listed_path("p/odd\\name.jpg", tmp_path) == "p/odd\\name.jpg"
    assert listed_path("p\\gone.jpg", tmp_path) == "p\\gone.jpg"
    assert listed_path("p\\" + "a" * 5000, tmp_path) == "p\\" + "a" * 5000
