"""A CSV of photos and people."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from facewise.data.folder import labelled
from facewise.data.source import FileSource
from facewise.errors import DatasetError
from facewise.image import source_name
from facewise.textfile import listed_path, read_text

if TYPE_CHECKING:
    from _csv import Reader

PERSON_COLUMNS = ("person", "identity")
"""What the column of people may be called; the first one there counts."""


def csv_source(path: str | os.PathLike[str]) -> FileSource:
    """The photos a CSV lists, in its order.

    The first line names the columns: `path`, relative to the folder of the CSV, and `person` or `identity`;
    other columns are no part of the dataset.

    Raises:
        DatasetError: The file is missing or malformed; the line is named.
    """
    path = Path(path)
    name, entries, seen = source_name(path), list[tuple[str, str]](), dict[str, int]()
    for line, fields in read_csv(path, ("path", PERSON_COLUMNS)):
        key, person = listed_path(fields[0], path.parent), fields[1]
        if key in seen:
            raise DatasetError(
                f"Line {line} of {name} lists {source_name(key)} again, after line {seen[key]}."
            )
        seen[key] = line
        entries.append((key, person))
    if not entries:
        raise DatasetError(f"{name} lists no photos: add lines with a path and a person.")
    return labelled(name, path.parent, entries)


def read_csv(
    path: Path, columns: tuple[str | tuple[str, ...], ...], *, blank: Collection[str] = ()
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The wanted columns of a CSV with a header; see `facewise.textfile` for its text.

    Between the fields are commas, semicolons or tabs: whichever gives the first line the most columns, or a
    line `sep=;` before it says so, as spreadsheets write it.

    Args:
        path: The file.
        columns: Names; a tuple of names stands for the first of them that is there.
        blank: Columns whose fields may be empty.

    Yields:
        Line number and the fields, blanks around them removed; empty lines are passed over.

    Raises:
        DatasetError: The file is missing or no CSV, a column is missing, or a line has a field too many, too
            few, or one empty that may not be.
    """
    name = source_name(path)
    # Paths that are no UTF-8 survive being written and read back.
    rows, skipped = _rows(read_text(path, odd_bytes=True))
    try:
        header = [field.strip().lower() for field in next(rows, [])]
        wanted = [_column(header, column, name) for column in columns]
        needed = {i for i in wanted if header[i] not in blank}
        for row in rows:
            if row:
                line = rows.line_num + skipped
                yield line, _fields(row, header, wanted, needed, f"Line {line} of {name}")
    except csv.Error as error:
        raise DatasetError(f"Line {rows.line_num + skipped} of {name} is no CSV: {error}.") from error


def columns_of(path: Path) -> set[str]:
    """The names in the first line of a CSV; none of a file that cannot be read."""
    try:
        rows, _ = _rows(read_text(path, odd_bytes=True))
        return {field.strip().lower() for field in next(rows, [])}
    except (DatasetError, csv.Error):
        return set()


_SAYS_SEPARATOR = re.compile(r'"?sep=(.)"?\r?(?:\n|\Z|(?<=\r))', re.IGNORECASE)


def _rows(text: str) -> tuple[Reader, int]:
    """The rows of a CSV, and how many lines were passed over before them."""
    said = _SAYS_SEPARATOR.match(text)
    if said is not None:
        return csv.reader(io.StringIO(text[said.end() :], newline=""), delimiter=said[1], strict=True), 1
    first = re.match(r"[^\r\n]*", text)
    header = "" if first is None else first[0]
    separator = max(",;\t", key=lambda one: len(next(csv.reader([header], delimiter=one), [])))
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 0


def _column(header: list[str], column: str | tuple[str, ...], name: str) -> int:
    names = (column,) if isinstance(column, str) else column
    for one in names:
        if header.count(one) > 1:
            raise DatasetError(f"The first line of {name} names the column {one} twice.")
        if one in header:
            return header.index(one)
    there = ", ".join(field for field in header if field) or "nothing"
    raise DatasetError(f"{name} has no column {' or '.join(names)}: its first line names {there}.")


def _fields(
    row: list[str], header: list[str], wanted: list[int], needed: Collection[int], where: str
) -> tuple[str, ...]:
    if len(row) != len(header):
        raise DatasetError(f"{where} has {len(row)} fields, but the first line names {len(header)} columns.")
    fields = tuple(row[i].strip() for i in wanted)
    for column, field in zip(wanted, fields, strict=True):
        if not field and column in needed:
            raise DatasetError(f"{where} has no {header[column]}.")
        if "\0" in field:
            raise DatasetError(f"{where} holds a NUL character.")
    return fields
