"""What a run writes down as it goes: `metrics.jsonl`, and TensorBoard files if TensorBoard is installed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from facewise.errors import FacewiseError
from facewise.files import write_bytes

FILE = "metrics.jsonl"


class MetricsLog:
    """One JSON object a line, each with `step` and `kind` (`train`, `validation`), appended as they come."""

    def __init__(self, folder: Path | None, *, resume_step: int = 0, tensorboard: bool = True) -> None:
        """Open the log; lines past the step a run resumes from are dropped, as they will come again.

        Args:
            folder: Of the run; None writes nothing, as in all processes but one.
            resume_step: See above.
            tensorboard: Write its files too, if it is installed.

        Raises:
            FacewiseError: The file cannot be written.
        """
        self._file: TextIO | None = None
        self._board: Any = None
        if folder is None:
            return
        self.path = folder / FILE
        kept = [line for line in read_metrics(folder) if line["step"] <= resume_step] if resume_step else []
        write_bytes(self.path, b"".join(json.dumps(line).encode() + b"\n" for line in kept))
        self._board = _tensorboard(folder, resume_step) if tensorboard else None
        self._file = self.path.open("a", encoding="ascii")

    def write(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """Add a line.

        Raises:
            FacewiseError: The disk is full.
        """
        if self._file is None:
            return
        try:
            self._file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
            self._file.flush()
        except OSError as error:
            raise FacewiseError(f"Cannot write {self.path}: {error.strerror or error}.") from error
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The lines of a run's log; a last line that was cut off is left out."""
    try:
        lines = (Path(folder) / FILE).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  optional

        return SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step or None)
    except (ImportError, UnicodeEncodeError):  # it writes to no folder whose name is not UTF-8
        return None
