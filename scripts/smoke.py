"""Whether this Python imports all of an installed Facewise, and a few commands run.

What needs an extra that is not installed is passed over, and counted.
"""

from __future__ import annotations

import importlib
import pkgutil
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

EXTRAS = {
    "torch", "onnx", "pydantic", "yaml", "safetensors", "matplotlib", "sklearn", "threadpoolctl", "fastapi",
    "starlette", "uvicorn", "python_multipart", "prometheus_client", "cryptography", "httpx", "pymilvus",
    "scipy",
}  # fmt: skip
"""Modules that come with one."""


def import_all() -> tuple[int, int]:
    """How many modules were imported, and how many want an extra."""
    import facewise

    done = passed_over = 0
    for found in pkgutil.walk_packages(facewise.__path__, "facewise."):
        if found.name == "facewise.__main__":
            continue
        try:
            importlib.import_module(found.name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in EXTRAS:
                raise
            passed_over += 1
        else:
            done += 1
    return done, passed_over


def commands(folder: Path) -> None:
    """The runtime half on drawn people."""
    people = str(folder / "people")
    run("data", "synth", "--out", people, "--people", "3", "--photos", "2", "--difficulty", "0")
    photos = sorted(map(str, Path(people).glob("*/*.jpg")))
    gallery = ("--gallery", str(folder / "g.db"))
    # Drawn faces are no photos to the bundled model, which decides nothing by them unless it is told to.
    run("verify", photos[0], photos[1], "--threshold", "0.5")
    run("enroll", "Ada", *photos[:2], *gallery, "--quality", "off")
    run("identify", *photos, *gallery, "--draw", str(folder / "drawn"), "--json")
    run("cluster", people, "--out", str(folder / "c.csv"))
    run("embed", people, "--out", str(folder / "run"))
    run("data", "prepare", people, "--out", str(folder / "crops"))
    run("gallery", "check", *gallery)


def run(*words: str) -> None:
    """Ends everything if the command does not end well."""
    command = [sys.executable, "-m", "facewise", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"`facewise {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")


def main() -> None:
    """Says what was tried."""
    warnings.simplefilter("error", SyntaxWarning)
    began = time.monotonic()
    done, passed_over = import_all()
    with tempfile.TemporaryDirectory() as folder:
        commands(Path(folder))
    seconds = time.monotonic() - began
    print(
        f"Python {platform.python_version()}, OpenCV {version('opencv-python-headless')}: {done} modules "
        f"imported, {passed_over} want an extra that is not here; the commands run ({seconds:.0f} s)."
    )


if __name__ == "__main__":
    main()
