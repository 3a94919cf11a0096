"""Files that name people: one name a line, or a pair file that is about them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from facewise.data.lfw import pair_of, people_of, read_pairs
from facewise.errors import DatasetError
from facewise.filenames import escaped
from facewise.textfile import text_lines

_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|[tnr])")
"""What `people_lines` writes for a character that would break a line."""


def read_people(path: str | os.PathLike[str]) -> set[str]:
    """The names of a file with one a line, or everybody an LFW pair file is about.

    A file is a pair file if all its lines but one (its count line, or a slip, which is then complained of)
    are pairs: a pair file taken for names would name nobody, and let into a test whom it should keep out.

    Args:
        path: The file, such as the `people.txt` of a training run or `pairsDevTrain.txt`.

    Raises:
        DatasetError: The file cannot be read, is empty, or is a pair file with a malformed line.
    """
    path = Path(path)
    lines = [line.strip() for line in text_lines(path, "file of people") if line.strip()]
    if not lines:
        raise DatasetError(f"The file of people {path} is empty.")
    if sum(pair_of(line) is not None for line in lines) >= max(1, len(lines) - 1):
        return people_of(read_pairs(path))
    return {_ESCAPE.sub(lambda found: found[0].encode().decode("unicode_escape"), line) for line in lines}


def people_lines(names: Iterable[str]) -> bytes:
    """The content of a file that names people; what would break a line of it is escaped as in Python."""
    lines = (escaped(name).replace("\n", "\\n") + "\n" for name in names)
    return "".join(lines).encode()
