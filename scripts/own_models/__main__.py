"""`make models DATA=…`: everything from public photos and checkpoints to the models in the package.

Each step leaves its result in the work folder and is not done again; stopped anywhere, the same command goes
on.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from facewise.errors import FacewiseError

ROOT = Path(__file__).resolve().parents[2]

STEPS = ("photos", "embedder", "detector", "quantize", "attributes", "measure", "cards")
"""In their order. `bundle` is for those who release Facewise, so it is done only when it is named."""


def main() -> int:
    """Run the steps asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make models", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with data/ and models/")
    parser.add_argument("--work", type=Path, default=Path("runs/own-models"), help="where everything is kept")
    parser.add_argument(
        "--steps", nargs="+", choices=(*STEPS, "bundle"), default=STEPS, help="default: all but bundle"
    )
    arguments = parser.parse_args()
    work: Path = arguments.work.resolve()
    data: Path = arguments.data.resolve()
    # A store of its own: what a user has under the same names must not teach, nor be replaced.
    os.environ["FACEWISE_HOME"] = str(work / "home")
    try:
        for step in (*STEPS, "bundle"):
            if step in arguments.steps:
                print(f"== {step}", flush=True)
                _STEPS[step](data, work)
    except FacewiseError as error:
        print(f"make models: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("make models: stopped; the same command goes on.", file=sys.stderr)
        return 130
    return 0


def _photos(data: Path, work: Path) -> None:
    from facewise.embedding import Embedder
    from facewise.models import find_model
    from facewise.models.importing import import_checkpoint
    from facewise.pipeline import Pipeline
    from scripts.own_models.embedder import TEACHER
    from scripts.own_models.photos import gather

    models = work / "home" / "models"
    for checkpoint in ("retinaface_mobilenet025.pth", TEACHER):
        import_checkpoint(data / "models" / checkpoint, models)
    detector = Pipeline.load("retinaface-mobilenet025", embed=False)
    teacher = Embedder(find_model("mobilefacenet-foamliu", kind="embedder"), flip=True)
    gather(data / "data", work, detector, teacher, print)


def _embedder(data: Path, work: Path) -> None:
    from scripts.own_models.embedder import TEACHER, train_embedder

    train_embedder(work / "embed.csv", data / "models" / TEACHER, work)


def _detector(data: Path, work: Path) -> None:
    from scripts.own_models.detector import make_detector

    make_detector(data / "data", work)


def _quantize(_: Path, work: Path) -> None:
    from scripts.own_models.embedder import quantize_embedder

    quantize_embedder(work / "embed.csv", work)


def _attributes(data: Path, work: Path) -> None:
    from facewise.detection import OnnxDetector
    from facewise.models import read_model
    from scripts.own_models.attribute_faces import gather
    from scripts.own_models.attributes import quantize_attributes, train
    from scripts.own_models.detector import NAME
    from scripts.own_models.embedder import TEACHER
    from scripts.own_models.emotion_teacher import FILE

    detector = OnnxDetector(read_model(work / f"{NAME}.onnx"), threads=1)
    folder = gather(data / "data", work, detector)
    train(folder, data / "models" / TEACHER, data / "models" / FILE, work)
    quantize_attributes(folder, work)


def _measure(data: Path, work: Path) -> None:
    from scripts.own_models.measures import measure

    measure(data / "data", work)


def _cards(_: Path, work: Path) -> None:
    from scripts.own_models.attribute_card import write_attribute_card
    from scripts.own_models.cards import write_cards

    write_cards(work, work / "cards")
    write_attribute_card(work, work / "cards")


def _bundle(_: Path, work: Path) -> None:
    from scripts.own_models.bundle import bundle

    bundle(work, ROOT)


_STEPS: dict[str, Callable[[Path, Path], None]] = {
    "photos": _photos,
    "embedder": _embedder,
    "detector": _detector,
    "quantize": _quantize,
    "attributes": _attributes,
    "measure": _measure,
    "cards": _cards,
    "bundle": _bundle,
}

if __name__ == "__main__":
    sys.exit(main())
