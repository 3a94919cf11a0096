"""What a run's numbers depend on besides its settings: code, versions, data, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import facewise
from facewise import hardware
from facewise.training.pace import Choice

_PACKAGES = ("torch", "numpy", "opencv-python-headless", "onnx", "onnxruntime", "pydantic", "safetensors")


def environment(*, data: str, data_hash: str, seed: int, world_size: int, pace: Choice) -> dict[str, Any]:
    """Everything `environment.json` says.

    Args:
        data: The dataset as it was named.
        data_hash: Of the crops and labels trained on.
        seed: Of the run.
        world_size: Processes.
        pace: How the network is computed.
    """
    return {
        "facewise": facewise.__version__,
        "git": _git(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "data": data,
        "data_hash": data_hash,
        "seed": seed,
        "processes": world_size,
        "pace": pace.facts(),
        "machine": {
            "system": platform.platform(),
            **hardware.facts(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def git_hash() -> str | None:
    """The commit Facewise runs from, with `+` if files differ from it; None if it is installed."""
    git = _git()
    return None if git is None else git["hash"] + ("+" if git["diff"] else "")


@cache  # what runs is what was there when it was loaded
def _git() -> dict[str, str] | None:
    folder = Path(facewise.__file__).parent
    found = _run(folder, "rev-parse", "HEAD")
    if found is None or _run(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    return {"hash": found.strip(), "diff": _run(folder, "diff", "HEAD", "--", ".") or ""}


def _run(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  our own words
            ["git", "-C", str(folder), *words],  # noqa: S607  git is where the user has it
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
