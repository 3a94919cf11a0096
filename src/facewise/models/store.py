"""Where model files are kept, and which are used when none is named."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from facewise.errors import ModelError
from facewise.models.file import ModelFile, read_model
from facewise.models.home import models_folder

DEFAULT_MODELS = {"detector": "retinaface-mobilenet025", "embedder": "mobilefacenet-foamliu"}
"""Kind → the model used when none is named."""


def find_model(name: str | os.PathLike[str] | None, *, kind: str) -> ModelFile:
    """A model by its name in the store, by the path of its file, or the default one.

    Args:
        name: A name (`"mobilefacenet-foamliu"`), a path (ends in `.onnx` or holds a separator), or None.
        kind: `"embedder"` or `"detector"`.

    Raises:
        ModelError: There is no such model, or it is of another kind.
    """
    if name is None:
        default = DEFAULT_MODELS[kind]
        path = models_folder() / f"{default}.onnx"
        if not path.exists():
            raise ModelError(
                f"No {kind} is installed: bring the default one, {default}, in with "
                f"`facewise models import CHECKPOINT`, or name another model file with "
                f"`--{'model' if kind == 'embedder' else 'detector'} FILE.onnx`."
            )
        return read_model(path, kind=kind)
    text = os.fspath(name)
    if text.endswith(".onnx") or os.sep in text:
        return read_model(text, kind=kind)
    path = models_folder() / f"{text}.onnx"
    if not path.exists():
        names = [p.stem for p in stored_paths()]
        near = difflib.get_close_matches(text, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names) or 'none yet'}."
        raise ModelError(f"No model named {text!r} is in {models_folder()}; {hint}")
    return read_model(path, kind=kind)


def stored_paths() -> list[Path]:
    """Paths of the model files in the store, by name."""
    folder = models_folder()
    return sorted(folder.glob("*.onnx")) if folder.is_dir() else []


def stored_models() -> Iterator[tuple[Path, ModelFile | ModelError]]:
    """Every model file in the store, or what is wrong with it."""
    for path in stored_paths():
        try:
            yield path, read_model(path)
        except ModelError as error:
            yield path, error
