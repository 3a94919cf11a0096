"""Checkpoints: one safetensors file with every tensor of a run and, in its header, where the run was.

Nothing else is needed to go on to the same numbers: what is drawn at random depends on seed and step alone.
A class matrix that is split over processes has files of its own beside it (`facewise.training.shards`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from facewise.errors import FacewiseError, ModelError
from facewise.files import atomic_write

LAST, BEST = "last", "best"
_FILE = "state.safetensors"


@dataclass(slots=True)
class Progress:
    """Where a run is.

    Attributes:
        epoch: The epoch under way, from 0.
        step_in_epoch: Steps done of it.
        step: Steps done in all.
        loss_sum, photos, correct: Of the epoch so far, so that a resumed epoch's averages are whole.
        best: The best value so far of what the best checkpoint is chosen by (higher is better), or None.
        since_best: Validations since.
        seconds: Training time so far, over all restarts.
        finished: Whether there is nothing left to do.
    """

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    photos: int = 0
    correct: int = 0
    best: float | None = None
    since_best: int = 0
    seconds: float = 0.0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        tensors: By name: `network.…`, `head.…`, `ema.…`, `optimizer.…`.
        progress: Where the run was.
        identity: Of the run: a checkpoint of another configuration or other data is refused.
    """

    tensors: Mapping[str, Tensor]
    progress: Progress
    identity: Mapping[str, str] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, without the part's name."""
        start = name + "."
        return {
            key.removeprefix(start): value for key, value in self.tensors.items() if key.startswith(start)
        }


def folder_of(run: str | os.PathLike[str], name: str) -> Path:
    """The folder of a checkpoint: `checkpoints/last` or `checkpoints/best`, of a run."""
    return Path(run) / "checkpoints" / name


def save(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: whatever happens, the one before or the new one is whole.

    Raises:
        FacewiseError: It cannot be written; the one before is still there.
    """
    header = {
        "progress": json.dumps(asdict(checkpoint.progress)),
        "identity": json.dumps(dict(checkpoint.identity)),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    try:
        with atomic_write(folder / _FILE) as temporary:
            save_file(_unshared(tensors), temporary, header)
    except SafetensorError as error:  # what it makes of a full disk
        raise FacewiseError(
            f"Cannot write {folder / _FILE}: {error}; what was saved before is whole."
        ) from error


def copy(source: Path, target: Path) -> None:
    """Copy a whole checkpoint, as of the last to the best, atomically."""
    with atomic_write(target / _FILE) as temporary:
        shutil.copyfile(source / _FILE, temporary)


def exists(folder: Path) -> bool:
    """Whether there is a checkpoint."""
    return (folder / _FILE).is_file()


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ModelError: There is none, or it is damaged.
    """
    path = folder / _FILE
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        known = {f.name for f in fields(Progress)}
        progress = Progress(**{k: v for k, v in json.loads(header["progress"]).items() if k in known})
        return Checkpoint(tensors, progress, json.loads(header["identity"]))
    except FileNotFoundError as error:
        raise ModelError(f"There is no checkpoint in {folder}; this run cannot be resumed.") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"The checkpoint {path} is damaged ({error}); use another one.") from error


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Safetensors refuses two names for one piece of memory: give each its own."""
    seen: set[int] = set()
    own = {}
    for name, tensor in tensors.items():
        own[name] = tensor.clone() if tensor.data_ptr() in seen and tensor.numel() else tensor
        seen.add(tensor.data_ptr())
    return own
