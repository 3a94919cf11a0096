"""`facewise models import`: public checkpoints into the store, and which there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facewise.cli.options import Json, given_path
from facewise.cli.output import BadItems, print_json, say, stderr_console, table, usage_error

if TYPE_CHECKING:
    from facewise.models.importing import Imported
    from facewise.preprocess import Preprocess


def import_model(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Public PyTorch checkpoints (.pt, .pth, .ckpt, .safetensors), ONNX files, or MediaPipe's "
            "Face Landmarker (.task).",
            metavar="CHECKPOINT…",
            parser=given_path,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name in the store. (default: the family's)")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder for the model files. (default: the store)", parser=given_path),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--as", help="What they are, where they do not tell; see --list.", metavar="FAMILY"),
    ] = None,
    families: Annotated[bool, typer.Option("--list", help="List what can be imported, and stop.")] = False,
    json: Json = False,
) -> None:
    """Turn public checkpoints into model files, with the proof that both give the same numbers."""
    from facewise.cli.models import _describe
    from facewise.errors import FacewiseError, ModelError
    from facewise.models.home import make, models_folder

    if families:
        _list_families(json=json)
        return
    checkpoints = checkpoints or []
    if not checkpoints:
        usage_error("Name a checkpoint, or ask with --list what can be imported.")
    if name is not None and len(checkpoints) > 1:
        usage_error("--name goes with a single checkpoint.")
    try:
        from facewise.models.importing import import_checkpoint
    except ModuleNotFoundError as error:
        raise ModelError(
            f"Importing PyTorch checkpoints needs {error.name}: `pip install facewise[train]`."
        ) from error
    bad, done = BadItems("checkpoint"), []
    for path in checkpoints:
        try:
            with stderr_console().status(f"Importing {path.name} …"):
                done.append(import_checkpoint(path, to or make(models_folder()), name=name, family=family))
        except FacewiseError as error:
            bad.add(str(path), error)
    if json:
        print_json(
            {
                "imported": [
                    {**_describe(i.model), "known_checkpoint": i.known,
                     "parity": None if i.parity is None else
                     {"max_difference": i.parity.difference, "of_rms": i.parity.relative,
                      "inputs": i.parity.inputs},
                     "weights": None if i.weights is None else str(i.weights)}
                    for i in done
                ],
                "bad": bad.items,
            }
        )  # fmt: skip
    for imported in [] if json else done:
        _print_imported(imported)
    bad.finish(len(done))


def _print_imported(imported: Imported) -> None:
    parity, card = imported.parity, imported.model.card
    say(f"{card.name} ({card.kind}) → {imported.model.path}")
    if parity is not None:
        say(
            f"  parity with PyTorch on {len(parity.inputs)} inputs: "
            f"largest difference {parity.difference:.1e}, "
            f"{parity.relative:.1e} of the output's RMS"
        )
    if imported.weights is not None:
        say(f"  weights to train from → {imported.weights}")
    if not imported.known:
        what = "its keys fit" if parity is not None else "its inputs and outputs fit"
        say(f"  the file is not one Facewise knows the origin of: {what}, its training is unknown")
    say(f"  licence: {card.licence}")


def _list_families(*, json: bool) -> None:
    from facewise.errors import ModelError

    try:
        from facewise.models.families import FAMILIES
        from facewise.models.foreign_onnx import ONNX_FAMILIES
        from facewise.models.landmarker import LANDMARKER
    except ModuleNotFoundError as error:
        raise ModelError(
            f"Importing checkpoints needs {error.name}: `pip install facewise[train]`."
        ) from error
    cards = [(family.card, "PyTorch", family.note) for family in FAMILIES.values()]
    cards += [(card, "ONNX", "known by its sha256, its outputs, or --as") for card in ONNX_FAMILIES.values()]
    cards.append((LANDMARKER, "TFLite", "a .task file: 478 points, blendshapes, pose"))
    if json:
        print_json(
            {
                "families": [
                    {"name": card.name, "kind": card.kind, "format": form, "source": card.source,
                     "licence": card.licence, "preprocess": card.preprocess.to_dict(),
                     "embedding_size": card.embedding_size, "note": note}
                    for card, form, note in cards
                ]
            }
        )  # fmt: skip
        return
    rows = (
        (card.name, form, *_pixels(card.preprocess), card.embedding_size or "", note)
        for card, form, note in cards
    )
    columns = ("family", "file", "crop", "colour", "mean", "std", "D", "note")
    table("", columns, rows, right=(6,))
    say("More on each, with its source and licence: docs/models/importing.md, and in `--json`.")


def _pixels(preprocess: Preprocess) -> tuple[str, str, str, str]:
    """Size and alignment, colour order, mean and standard deviation, for people."""
    height, width = preprocess.input_shape
    size = "any size" if height is None else f"{height}×{width}"
    margin = f" + {preprocess.margin:.4g}" if preprocess.margin else ""
    how = "" if preprocess.alignment == "none" else f" {preprocess.alignment}{margin}"
    numbers = (
        f"{values[0]:g}" if len(set(values)) == 1 else " ".join(f"{value:g}" for value in values)
        for values in (preprocess.mean, preprocess.std)
    )
    mean, std = numbers
    return f"{size}{how}", preprocess.color, mean, std
