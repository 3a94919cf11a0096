"""Files of whole numbers read in blocks, against a loop over lines, and everything that is no such line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facewise.data.integertable import integer_table
from facewise.errors import DatasetError


def read(path: Path, columns: int = 3, block: int = 64) -> np.ndarray:
    found = list(integer_table(path, columns, "a b c", block=block))
    lines = np.cumsum([1] + [len(rows) for _, rows in found])
    assert [line for line, _ in found] == lines[:-1].tolist()
    return np.concatenate([rows for _, rows in found]) if found else np.empty((0, columns), np.int32)


_NUMBER = st.integers(0, 999_999_999)
_BLANK = st.sampled_from([" ", "\t", "  ", " \t "])
_EDGE = st.sampled_from(["", " ", "\t"])


@given(
    rows=st.lists(st.tuples(_NUMBER, _NUMBER, _NUMBER), max_size=40),
    blank=_BLANK,
    edges=st.tuples(_EDGE, _EDGE),
    newline=st.sampled_from(["\n", "\r\n"]),
    end=st.sampled_from(["", "\n", "\n\n", "\r\n \n"]),
    block=st.sampled_from([1, 7, 64, 10_000]),
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_table(tmp_path: Path, rows, blank: str, edges, newline: str, end: str, block: int) -> None:
    path = tmp_path / "table.txt"
    lines = [f"{edges[0]}{blank.join(map(str, row))}{edges[1]}" for row in rows]
    path.write_bytes((newline.join(lines) + end).encode())
    table = read(path, block=block)
    assert table.dtype == np.int32
    assert table.tolist() == [list(row) for row in rows]


@pytest.mark.parametrize("block", [1, 5, 1000])
@pytest.mark.parametrize(
    "bad",
    [
        "1 2", "1 2 3 4", "", "  ", "1 2 x", "1 2 -3", "1 2 3.0", "1,2,3", "1 2 1000000000", "1 2 0000000001",
        "1 2 3é", "1 2 3\0", "1\x0b2 3 4", "1" * 3000,
    ],
)  # fmt: skip
def test_a_line_that_is_no_row_is_named(tmp_path: Path, bad: str, block: int) -> None:
    path = tmp_path / "table.txt"
    for lines, number in (([bad, "1 2 3"], 1), (["1 2 3", "4 5 6", bad, "7 8 9", "bad too"], 3)):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with pytest.raises(DatasetError, match=rf"^Line {number} of .*table\.txt is no `a b c`\.$"):
            read(path, block=block)


def test_numbers_of_a_line_must_not_slip_into_the_next(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    path.write_text("1 2 3\n4 5\n6 7 8 9\n1 2 3\n")  # twelve numbers on four lines
    with pytest.raises(DatasetError, match=r"^Line 2 of"):
        read(path, block=1000)


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no file"):
        read(tmp_path / "none.txt")
    with pytest.raises(DatasetError, match="Cannot read"):
        read(tmp_path)
    (tmp_path / "empty.txt").write_bytes(b"\n\n")
    assert len(read(tmp_path / "empty.txt")) == 0
