"""The model everything starts from: as a file that embeds, and as weights to train on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facewise.errors import ModelError, SettingError
from facewise.models.file import ModelFile
from facewise.models.store import default_name, find_model
from facewise.training.run import CONFIG, MODEL

CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors")
"""Endings of files that hold weights and no network."""


@dataclass(frozen=True, slots=True)
class Start:
    """What `--from` names.

    Attributes:
        named: As the user named it; None is the default embedder.
        model: The file that embeds.
    """

    named: str | None
    model: ModelFile

    @property
    def weights(self) -> str:
        """What `read_pretrained` is to read."""
        return default_name("embedder") if self.named is None else self.named


def find_start(named: str | Path | None, folder: Path) -> Start:
    """The embedder of a name, a model file, a run's folder or a public checkpoint.

    Args:
        named: Which; None is the default embedder.
        folder: Where the model file of a checkpoint is made.

    Raises:
        ModelError: There is none, or it is not usable.
    """
    if named is None:
        return Start(None, find_model(None, kind="embedder"))
    text = str(named)
    path = Path(text)
    if path.is_dir():
        if not (path / MODEL).is_file():
            hint = "it is not finished" if (path / CONFIG).is_file() else "it is no run"
            raise SettingError(f"There is no {MODEL} in {path}: {hint}; name a model or a finished run.")
        return Start(text, find_model(path / MODEL, kind="embedder"))
    if path.suffix in CHECKPOINTS:
        return Start(text, _imported(path, folder))
    return Start(text, find_model(text, kind="embedder"))


def _imported(path: Path, folder: Path) -> ModelFile:
    from facewise.models.importing import import_checkpoint  # noqa: PLC0415  imports half of PyTorch

    found = import_checkpoint(path, folder).model
    if found.card.kind != "embedder":
        raise ModelError(f"{path} is a {found.card.kind}, not an embedder: name a model of faces.")
    return found
