"""Files that name people, in both of their forms."""

from __future__ import annotations

from pathlib import Path

import pytest

from facewise.data.people import people_lines, read_people
from facewise.errors import DatasetError


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> set[str]:
    path = tmp_path / "people.txt"
    path.write_bytes(text.encode(encoding))
    return read_people(path)


@pytest.mark.parametrize(
    ("text", "people"),
    [
        ("Ada\nBob\n", {"Ada", "Bob"}),
        ("Ada\r\n\r\n  Bob  \nAda", {"Ada", "Bob"}),
        ("José Müller\nAda 2\n17\n", {"José Müller", "Ada 2", "17"}),
        ("Ada", {"Ada"}),
        ("1\nAda\t1\t2\nBob\t1\tCleo\t3\n", {"Ada", "Bob", "Cleo"}),
        ("2\t1\nAda\t1\t2\nBob\t1\tCleo\t3\nDora\t1\t2\nDora\t1\tBob\t3\n", {"Ada", "Bob", "Cleo", "Dora"}),
        ("Ada 1 2\nBob 1 Cleo 3\n", {"Ada", "Bob", "Cleo"}),
        ("Bob\t1\tCleo\t3", {"Bob", "Cleo"}),
    ],
)
def test_names_or_pairs(tmp_path: Path, text: str, people: set[str]) -> None:
    assert read(tmp_path, text) == people


def test_a_mark_of_the_byte_order_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert read(tmp_path, "Ada\nBob\n", "utf-8-sig") == {"Ada", "Bob"}


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "is empty"), (" \n\n", "is empty"), ("Ada\t1\t2\nBob\t1\nCleo\t1\t2\n", "Line 2 .* is no pair")],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        read(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(DatasetError, match=r"(Cannot read the|There is no) file of people"):
            read_people(path)
    with pytest.raises(DatasetError, match=r"file of people .*: it is no UTF-8 text; save it as UTF-8"):
        read(tmp_path, "Müller", "latin-1")


def test_names_that_would_break_a_line_come_back(tmp_path: Path) -> None:
    names = ["Ada", "new\nline", "esc\x1b[2J", "\udcff", "علی\u200cرضا", "tab\tbed"]
    (tmp_path / "people.txt").write_bytes(people_lines(names))
    assert read_people(tmp_path / "people.txt") == set(names)
