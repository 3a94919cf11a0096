"""Which model a name stands for: those in the store, those inside the package, and which is the default.

A name is looked for in the store first (`FACEWISE_HOME/models`: what the user imported, downloaded or
measured) and then among the models bundled with the package. So a model of the user's own is never hidden by
a bundled one of the same name; a bundled one that is hidden so is listed as such by `installed_models`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from facewise.errors import FacewiseError, ModelError
from facewise.models.bundled import BUNDLED_MODELS, bundled_path, bundled_paths, is_bundled
from facewise.models.calibration import Calibration
from facewise.models.file import ModelFile, read_model, write_model
from facewise.models.file import save_calibration as save_in_place
from facewise.models.home import make, models_folder

PUBLIC_MODELS = {
    "detector": "retinaface-mobilenet025",
    "embedder": "mobilefacenet-foamliu",
    "liveness": "minifasnet-v2",
    "landmarker": "mediapipe-face-landmarker",
}
"""Kind → the model used when none is named and none is bundled: public ones, to be imported by the user."""


_OPTIONS = {
    "detector": "detector",
    "embedder": "model",
    "liveness": "liveness-model",
    "landmarker": "landmarker",
}
"""Kind → the option that names such a model."""


def default_name(kind: str) -> str:
    """The name that stands for no name: the bundled model's, or a public one's in a package without any.

    Args:
        kind: One of `facewise.models.file.KINDS`.
    """
    bundled, public = BUNDLED_MODELS.get(kind), PUBLIC_MODELS.get(kind)
    if bundled is not None and (public is None or bundled_path(bundled) is not None):
        return bundled
    return PUBLIC_MODELS[kind]


def find_model(name: str | os.PathLike[str] | None, *, kind: str) -> ModelFile:
    """A model by its name, by the path of its file, or the default one (`default_name`).

    Args:
        name: A name, looked for in the store and then among the bundled models (`"facewise-embed-s"`), a path
            (ends in `.onnx` or holds a separator), or None.
        kind: One of `facewise.models.file.KINDS`.

    Raises:
        ModelError: There is no such model, or it is of another kind.
    """
    if name is None:
        path = default_path(kind)
        if path is None and kind == "attributes":
            raise ModelError(
                f"This package has no {default_name(kind)}: name a model of attributes, such as one that "
                "`facewise train DATA.csv --recipe attributes` makes."
            )
        if path is None:
            raise ModelError(
                f"No {kind} is installed: bring the default one, {default_name(kind)}, in with "
                f"`facewise models import CHECKPOINT`, or name another model file with "
                f"`--{_OPTIONS[kind]} FILE.onnx`."
            )
        return read_model(path, kind=kind)
    text = os.fspath(name)
    if text.endswith(".onnx") or os.sep in text:
        return read_model(text, kind=kind)
    path = path_of(text)
    if path is None:
        names = sorted({found.path.stem for found in _places()})
        near = difflib.get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names) or 'none yet'}."
        raise ModelError(f"No model named {text!r} is in {told_store()}; {hint}")
    return read_model(path, kind=kind)


def default_path(kind: str) -> Path | None:
    """The file that stands for no name now, or None where none is installed.

    Args:
        kind: One of `facewise.models.file.KINDS`.
    """
    return path_of(default_name(kind))


def path_of(name: str) -> Path | None:
    """The file a name stands for: that in the store, else the bundled one, else None."""
    stored = (path for path in _stored() if path.stem == name)
    return next(stored, None) or bundled_path(name)


@dataclass(frozen=True, slots=True)
class Installed:
    """A model file that a name may stand for.

    Attributes:
        path: The file.
        place: `"store"`; `"bundled"`, inside the package; or `"replaced"`: bundled too, but the store has one
            of the same name, which is the one that is used.
    """

    path: Path
    place: Literal["store", "bundled", "replaced"]

    def read(self) -> ModelFile:
        """The model.

        Raises:
            ModelError: The file is damaged.
        """
        return read_model(self.path)


def installed_models() -> list[Installed]:
    """Every model file in the store and inside the package, by name."""
    return sorted(_places(), key=lambda found: (found.path.stem, found.place != "store"))


def told_store() -> str:
    """What to call the store in a sentence."""
    try:
        return str(models_folder())
    except FacewiseError:
        return "the store, for which this user has no home folder"


def _stored() -> list[Path]:
    """The model files in the store, by name; none where there is no store, or it cannot be read."""
    try:
        folder = models_folder()
        return sorted(
            folder / name
            for name in os.listdir(folder)  # noqa: PTH208  one file is asked for by name often
            if name.endswith(".onnx") and not name.startswith(".")
        )
    except (FacewiseError, OSError):
        return []


def _places() -> Iterator[Installed]:
    stored = _stored()
    for path in stored:
        yield Installed(path, "store")
    names = {path.name for path in stored}
    for path in bundled_paths():
        yield Installed(path, "replaced" if path.name in names else "bundled")


def save_calibration(model: ModelFile, calibration: Calibration) -> ModelFile:
    """Write a calibration into a model file, atomically; the fingerprint stays.

    A bundled model is left as it is: the calibrated one goes into the store under its name, and so is the one
    that name stands for from now on.

    Returns:
        The model as written, with its path.

    Raises:
        FacewiseError: The file cannot be written.
    """
    if not is_bundled(model.path):
        return save_in_place(model, calibration)
    card = replace(model.card, calibration=calibration)
    return write_model(make(models_folder()) / model.path.name, model.network, card)
