"""Photos of the user's own, LFW among them: who is used, and with which models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from facewise.data.lfw import Lfw, images_of, load_lfw
from facewise.data.open import open_source
from facewise.data.prepared import PreparedSource
from facewise.data.source import FileSource
from facewise.demo.cast import People, people_of
from facewise.demo.detectors import is_missing
from facewise.demo.plan import Plan
from facewise.demo.teller import Teller
from facewise.errors import DatasetError
from facewise.models.home import make, models_folder

_CHECKPOINTS = {"detector": "retinaface_mobilenet025.pth", "embedder": "mobilefacenet_foamliu.pt"}
"""Public checkpoints that may lie beside a dataset, in `models/` next to the folder it is in."""


@dataclass(frozen=True, slots=True)
class RealPhotos:
    """A dataset of real photos.

    Attributes:
        source: The photos.
        lfw: The dataset with its pairs, if it is LFW.
    """

    source: FileSource
    lfw: Lfw | None

    def people(self, plan: Plan) -> People:
        """Who plays what.

        Of LFW, who is measured on, enrolled or a stranger is in View 2, whose people no honest model has
        seen, and in no fold that is measured; the trainings learn from others, those of the measured folds
        among them.

        Raises:
            DatasetError: There are too few people.
        """
        unseen = None
        if self.lfw is not None:
            pairs = self.lfw.pairs
            in_view_2 = {photo.split("/")[0] for pair in pairs for photo in (pair.a, pair.b)}
            measured = {photo.split("/")[0] for p in pairs if p.fold in plan.folds for photo in (p.a, p.b)}
            unseen = in_view_2 - measured
        return people_of(self.source, plan, drawn=False, unseen=unseen)


def open_photos(folder: Path, teller: Teller) -> RealPhotos:
    """Photos of a folder per person, or LFW.

    Raises:
        DatasetError: There is no such folder, or it holds no photos.
    """
    source = open_source(folder, tell=teller.note)
    if not isinstance(source, FileSource) or isinstance(source, PreparedSource):
        raise DatasetError(
            f"The demo needs photos that are files, in a sub-folder for each person; {folder} holds crops or "
            "records."
        )
    lfw = load_lfw(folder) if (folder / "pairs.txt").is_file() and images_of(folder) != folder else None
    return RealPhotos(source, lfw)


def import_beside(folder: Path, teller: Teller) -> None:
    """Bring in the public checkpoints that lie beside a dataset, of kinds that no model is installed of.

    Raises:
        ModelError: A checkpoint is there but cannot be used.
    """
    for kind, checkpoint in _CHECKPOINTS.items():
        path = folder.resolve().parent.parent / "models" / checkpoint
        if not is_missing(kind) or not path.is_file():
            continue
        try:
            from facewise.models.importing import import_checkpoint  # noqa: PLC0415  needs the train extra
        except ModuleNotFoundError:
            teller.note(f"{path} could be the {kind}, but importing it needs `pip install facewise[train]`.")
            continue
        made = import_checkpoint(path, make(models_folder()))
        teller.note(
            f"No {kind} is installed: {checkpoint}, which lies beside the photos, was imported as "
            f"{made.model.card.name}."
        )
