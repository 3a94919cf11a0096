"""The model files that come inside the package, so that Facewise works the minute it is installed."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "bundled"
"""Where they lie. It may be read-only, and an upgrade replaces it: nothing of a user's is written there."""

BUNDLED_MODELS = {"detector": "facewise-detect-s", "embedder": "facewise-embed-s"}
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
