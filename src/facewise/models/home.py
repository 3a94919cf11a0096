"""Where Facewise keeps what it downloads and computes for itself."""

from __future__ import annotations

import os
from pathlib import Path

from facewise.errors import FacewiseError


def home() -> Path:
    """The folder of Facewise: `$FACEWISE_HOME`, else `facewise` in `$XDG_CACHE_HOME` or `~/.cache`.

    It is made if missing, for the owner alone.

    Raises:
        FacewiseError: It cannot be made.
    """
    chosen = os.environ.get("FACEWISE_HOME")
    if chosen:
        return _made(Path(chosen).expanduser().absolute())
    # The XDG specification says that a relative path there is to be ignored.
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "")
    if not caches.is_absolute():
        caches = Path("~/.cache").expanduser()
    return _made(caches / "facewise")


def models_folder() -> Path:
    """Where downloaded and imported models are kept: `models` in `home()`, made if missing.

    Raises:
        FacewiseError: It cannot be made.
    """
    return _made(home() / "models")


def cache_folder() -> Path:
    """What can be computed again, such as indexes and timings: `cache` in `home()`, made if missing.

    Raises:
        FacewiseError: It cannot be made.
    """
    return _made(home() / "cache")


def _made(folder: Path) -> Path:
    try:
        # Faces are biometric data: nobody else on the machine needs to look. A folder that is there is the
        # user's own, and keeps the permissions the user gave it.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FacewiseError(
            f"Cannot make the folder {folder} ({error.strerror}): "
            "set FACEWISE_HOME to a folder that can be written."
        ) from error
    return folder
