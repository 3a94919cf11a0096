"""Where Facewise keeps what it downloads and computes for itself.

Asking where something is makes nothing; a folder that is not there or cannot be read holds nothing. Most of
what Facewise does needs the models inside the package only, and works where no home can be written.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from facewise.errors import FacewiseError, FacewiseWarning


def home() -> Path:
    """The folder of Facewise: `$FACEWISE_HOME`, else `facewise` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises:
        FacewiseError: Neither is set, and the system knows no home of this user.
    """
    chosen = os.environ.get("FACEWISE_HOME")
    # The XDG specification says that a relative path there is to be ignored.
    caches = os.environ.get("XDG_CACHE_HOME") or ""
    try:
        if chosen:
            return Path(chosen).expanduser().absolute()
        return (Path(caches) if Path(caches).is_absolute() else Path("~/.cache").expanduser()) / "facewise"
    except RuntimeError as error:  # a user without a home, as of a container with a number for a user
        raise FacewiseError(
            "This user has no home folder: set FACEWISE_HOME to a folder that can be written."
        ) from error


def models_folder() -> Path:
    """Where downloaded and imported models are kept: `models` in `home()`.

    Raises:
        FacewiseError: As for `home`.
    """
    return home() / "models"


def cache_folder() -> Path:
    """Where what can be computed again is kept, such as crops and timings: `cache` in `home()`.

    Raises:
        FacewiseError: As for `home`.
    """
    return home() / "cache"


def make(folder: Path) -> Path:
    """Make a folder in `home()` if it is missing, for the owner alone.

    Raises:
        FacewiseError: It cannot be made.
    """
    try:
        # Faces are biometric data: nobody else on the machine needs to look. A folder that is there is the
        # user's own, and keeps the permissions the user gave it.
        for outer in reversed([one for one in (folder, *folder.parents) if one.is_relative_to(home())]):
            outer.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FacewiseError(
            f"Cannot make the folder {folder} ({error.strerror}): "
            "set FACEWISE_HOME to a folder that can be written."
        ) from error
    return folder


def make_cache(name: str = "") -> Path:
    """A folder in `cache_folder()` to work in, or in `without_cache` where that cannot be written.

    Args:
        name: Of the folder in the cache; empty is the cache itself.
    """
    try:
        folder = make(cache_folder() / name)
    except FacewiseError as error:
        return without_cache(str(error)) / name
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return folder
    return without_cache(f"The folder {folder} cannot be written.") / name


def without_cache(reason: str) -> Path:
    """A folder for the owner alone that goes with this process, for what cannot be kept; warned of once.

    Args:
        reason: Why it cannot be kept, a sentence.

    Raises:
        FacewiseError: There is no place for one.
    """
    if not _temporary:
        try:
            _temporary.append(Path(tempfile.mkdtemp(prefix="facewise-cache-")))
        except OSError as error:
            raise FacewiseError(
                f"{reason} Nor is there a folder for temporary files: set TMPDIR to one."
            ) from error
        warnings.warn(f"{reason} What is computed now is not kept.", FacewiseWarning, stacklevel=3)
        atexit.register(shutil.rmtree, _temporary[0], ignore_errors=True)
    return _temporary[0]


_temporary: list[Path] = []
"""The folder of `without_cache`, once there is one."""
