"""LFW, CFP-FP, AgeDB-30, CALFW and CPLFW as InsightFace distributes them: aligned crops in one file.

Huang et al. 2007 (LFW), Sengupta et al. 2016 (CFP), Moschoglou et al. 2017 (AgeDB), Zheng et al. 2017
(CALFW) and 2018 (CPLFW); the files and their folds as in `recognition/arcface_torch/eval/verification.py` of
InsightFace (Deng et al. 2019).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.data.bin import BinPairs
from facewise.data.lfw import Pair
from facewise.embedding import Embedder
from facewise.errors import DatasetError, SettingError
from facewise.evaluation.cache import FaceCache
from facewise.evaluation.crops import embed_crops
from facewise.evaluation.embedded import Progress
from facewise.evaluation.folds import FOLDS, accuracy_as_insightface, given_folds
from facewise.evaluation.leak_check import Leaks, LeftOutFor
from facewise.evaluation.pair_protocol import PairsResult, measure_pairs
from facewise.evaluation.pairs import MOST_UNREADABLE, scored_pairs

_TITLES = {
    "lfw": "LFW",
    "cfp_ff": "CFP-FF",
    "cfp_fp": "CFP-FP",
    "agedb_30": "AgeDB-30",
    "calfw": "CALFW",
    "cplfw": "CPLFW",
}


@dataclass(frozen=True, slots=True, eq=False)
class BinResult:
    """How one model does on one file.

    Attributes:
        title: Name of the data set where the file has its usual name, else the file's.
        pairs: What was measured.
        insightface_accuracy: As InsightFace's own evaluation computes it from the same similarities.
    """

    title: str
    pairs: PairsResult
    insightface_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "dataset": self.title,
            "insightface_accuracy": self.insightface_accuracy,
            **self.pairs.to_dict(),
        }


def bin_title(path: str) -> str:
    """What to call a file."""
    stem = Path(path).stem
    return _TITLES.get(stem.lower().replace("-", "_"), stem)


def bin_folds(pairs: int) -> NDArray[np.int64]:
    """(P,) ten folds in the file's order, the first ones longer by one: scikit-learn's KFold, not shuffled.

    Raises:
        DatasetError: Fewer than two pairs.
    """
    if pairs < 2:
        raise DatasetError("A verification file needs at least two pairs.")
    parts = np.array_split(np.arange(pairs), min(FOLDS, pairs))
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def images_of_bin(data: BinPairs) -> dict[str, int]:
    """What the different images are called, and the place of each in `contents`."""
    found: dict[str, int] = {}
    for i, name in enumerate(_names(data)):
        found.setdefault(name, i)
    return found


def without_images(data: BinPairs, leaks: Leaks) -> tuple[BinPairs, LeftOutFor]:
    """The pairs without an image that was trained on; folds are made of those left.

    Raises:
        DatasetError: Too few are left.
    """
    contents = iter(_names(data))
    pairs = [Pair(a, b, bool(same), 0) for a, b, same in zip(contents, contents, data.same, strict=True)]
    keep, gone = leaks.kept(pairs, None, data.name)
    return (
        BinPairs(
            data.name,
            tuple(data.contents[place] for i in keep for place in (2 * i, 2 * i + 1)),
            data.same[keep],
        ),
        gone,
    )


def _names(data: BinPairs) -> list[str]:
    """What each image is called: by the first place of its content."""
    first: dict[bytes, int] = {}
    return [f"image {first.setdefault(content, i)}" for i, content in enumerate(data.contents)]


def evaluate_bin(
    data: BinPairs,
    embedder: Embedder,
    *,
    cache: FaceCache | None = None,
    progress: Progress = lambda _: None,
    most_unreadable: float = MOST_UNREADABLE,
) -> BinResult:
    """Measure one model on a verification file; its crops are embedded as they are.

    Args:
        data: The pairs.
        embedder: Its flip setting is used; InsightFace always flips.
        cache: See `embed_crops`.
        progress: Told as images are done; there are two a pair.
        most_unreadable: Share of the images or pairs that may be unreadable and left out.

    Raises:
        DatasetError: The file's pairs leave one kind out, or too many images cannot be read.
        SettingError: The model cuts faces by their box, and these are 5-point crops.
    """
    if embedder.cut.alignment != "5-point":
        raise SettingError(
            f"The model {embedder.name} cuts faces by the detector's box, and {data.name} holds 5-point "
            "crops; measure it on photos, with `facewise eval lfw` or `eval pairs`."
        )
    keys, unique = _names(data), list(images_of_bin(data).values())
    names = [f"image {i} of {data.name}" for i in unique]
    done = embed_crops(embedder, [data.contents[i] for i in unique], names, cache=cache, progress=progress)
    progress(len(keys) - len(unique))
    folds = bin_folds(len(data))
    pairs = [
        Pair(keys[2 * i], keys[2 * i + 1], bool(same), int(fold))
        for i, (same, fold) in enumerate(zip(data.same, folds, strict=True))
    ]
    embedded = {f"image {i}": one for i, one in zip(unique, done, strict=True)}
    scored = scored_pairs(pairs, embedded, name=data.name, most_unreadable=most_unreadable)
    folds = folds[scored.places]
    how = f"{len(np.unique(folds))} in the file's order"
    return BinResult(
        title=bin_title(data.name),
        pairs=measure_pairs(scored, folds=given_folds(folds, how)),
        insightface_accuracy=accuracy_as_insightface(scored.similarities, scored.same, folds),
    )
