"""The demo's folder: a new or empty one, or that of an earlier demo, which is made anew."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from facewise.errors import FacewiseError
from facewise.files import write_bytes

MARKER = "demo.json"
"""In a folder of the demo from its beginning, so that a later demo knows it may be replaced."""


def claim(folder: Path) -> None:
    """Make the folder, empty but for a marker.

    Raises:
        FacewiseError: It is a file, holds something that is no demo, or cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise FacewiseError(f"{folder} is a file, not a folder: name another folder with --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(folder.iterdir())
        if found and not _is_demo(folder):
            raise FacewiseError(
                f"{folder} already holds something that is no demo, such as {found[0].name}: "
                "name a new or empty folder with --out."
            )
        if not os.access(folder, os.W_OK | os.X_OK):
            raise FacewiseError(f"The folder {folder} cannot be written to: name another with --out.")
        write_bytes(folder / MARKER, json.dumps({"facewise": "demo"}).encode())
        for old in found:
            if old.name != MARKER:
                _remove(old)
    except OSError as error:
        raise FacewiseError(
            f"Cannot make the folder {folder} ({error.strerror or error}): name another with --out."
        ) from error


def check_apart(out: Path, data: Path) -> None:
    """Refuse photos inside the folder that is made anew, and a folder that would lie among the photos.

    Raises:
        FacewiseError: One lies in the other.
    """
    made, given = out.resolve(), data.resolve()
    if made.is_relative_to(given) or given.is_relative_to(made):
        raise FacewiseError(
            f"The demo's folder {out} and the photos in {data} lie in one another: name another folder with "
            "--out."
        )


def _is_demo(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / MARKER).read_text(encoding="utf-8"))["facewise"] == "demo")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
