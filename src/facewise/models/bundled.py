"""The model files that come inside the package, so that Facewise works the minute it is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "bundled"
"""Where they lie. It may be read-only, and an upgrade replaces it: nothing of a user's is written there."""

BUNDLED_MODELS = {
    "detector": "facewise-detect-s",
    "embedder": "facewise-embed-s",
    "attributes": "facewise-attributes-s",
}
"""Kind → the bundled model used when none is named."""


def bundled_paths() -> list[Path]:
    """Paths of the model files inside the package, by name; empty in a package built without them."""
    return sorted(FOLDER.glob("*.onnx")) if FOLDER.is_dir() else []


def bundled_path(name: str) -> Path | None:
    """The model file of this name inside the package, or None."""
    return next((path for path in bundled_paths() if path.stem == name), None)


def is_bundled(path: Path) -> bool:
    """Whether a model file lies inside the package."""
    return path.parent == FOLDER


def provenance(sha256: str) -> dict[str, Any] | None:
    """What a bundled file learned from and who taught it, as its card in docs/models says; None of another.

    Args:
        sha256: Of the file, in hex: a file of the same name that somebody brought in is another one.
    """
    path = FOLDER / "provenance.json"
    told = json.loads(path.read_text(encoding="utf-8")).values() if path.is_file() else ()
    found = next((entry for entry in told if entry["sha256"] == sha256), None)
    return None if found is None else {key: found[key] for key in ("learned_from", "taught_by")}
