"""`facewise models …`: the model store."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from facewise.cli.import_models import import_model
from facewise.cli.options import Json
from facewise.cli.output import count, print_json, say, stderr_console, table, tell
from facewise.cli.quantize import quantize
from facewise.cli.show_model import show

app = typer.Typer(help="Look after the models.", no_args_is_help=True)
app.command()(quantize)
app.command()(show)
app.command("import")(import_model)


@app.command("list")
def list_models(
    available: Annotated[
        bool, typer.Option("--available", help="What can be downloaded, instead of what is here.")
    ] = False,
    json: Json = False,
) -> None:
    """Models in the store and bundled with Facewise, or models that can be downloaded."""
    if available:
        _list_zoo(json=json)
        return
    from facewise.errors import ModelError
    from facewise.models import installed_models
    from facewise.models.store import told_store

    good, broken = [], []
    for found in installed_models():
        try:
            good.append((found, found.read()))
        except ModelError as wrong:
            broken.append((found.path, wrong))
    if json:
        print_json({"folder": told_store(),
                    "models": [{**_describe(model), "place": found.place} for found, model in good],
                    "broken": [{"path": str(p), "error": str(e)} for p, e in broken]})  # fmt: skip
    else:
        columns = ("name", "kind", "place", "fingerprint", "MB", "licence", "thresholds at FMR")
        table("", columns, (_row(found, model) for found, model in good), right=(4,))
        stored = sum(found.place == "store" for found, _ in good)
        bundled = f", {len(good) - stored} bundled with Facewise" if len(good) > stored else ""
        say(f"{count(stored, 'model')} in {told_store()}{bundled}.")
    for _, error in broken:
        tell(f"facewise: {error}")
    if broken:
        raise typer.Exit(3)


@app.command()
def download(
    names: Annotated[
        list[str], typer.Argument(help="Names from `models list --available`.", metavar="NAME…")
    ],
    json: Json = False,
) -> None:
    """Download public models: resumed where it broke, checked by sha256, ready to use."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from facewise.cli.output import BadItems
    from facewise.errors import FacewiseError
    from facewise.models.install import install
    from facewise.models.zoo import find

    bad, done = BadItems("model"), []
    entries = [find(name) for name in names]
    console = stderr_console()
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        console=console, transient=True, redirect_stdout=False, disable=not console.is_terminal,
    )  # fmt: skip
    with bar:
        for entry in entries:
            tell(f"{entry.name}: {entry.licence} ({_commercial(entry.commercial)})")
            task = bar.add_task(entry.name, total=entry.size)

            def told(here: int, total: int | None, task: Any = task) -> None:
                bar.update(task, completed=here, total=total)

            try:
                models, left = install(entry, progress=told)
            except FacewiseError as error:
                bad.add(entry.name, error)
                continue
            done += models
            for sentence in left:
                tell(sentence)
    if json:
        print_json({"installed": [_describe(model) for model in done], "bad": bad.items})
    else:
        for model in done:
            say(f"{model.card.name} ({model.card.kind}) → {model.path}")
    bad.finish(len(done))


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or files. (default: all there are)", metavar="NAME…")
    ] = None,
    json: Json = False,
) -> None:
    """Check model files: do they read, load and run, and give what they say?"""
    from facewise.cli.output import BadItems
    from facewise.errors import FacewiseError
    from facewise.models import installed_models

    bad, good = BadItems("model"), []
    for name in names or [str(found.path) for found in installed_models()]:
        try:
            model = _find(name)
            _probe(model)
            good.append(model)
        except FacewiseError as error:
            bad.add(name, error)
    if json:
        print_json({"good": [_describe(model) for model in good], "bad": bad.items})
    elif good:
        table("", ("name", "sha256"), ((m.card.name, m.sha256) for m in good))
        say(f"{count(len(good), 'model is', 'models are')} sound.")
    elif not bad.items:
        say("There is no model in the store.")
    bad.finish(len(good))


def _probe(model: Any) -> None:
    """Load each network of a model and run it once on a grey picture."""
    import numpy as np

    from facewise.analysis.attributes import AttributeModel
    from facewise.analysis.liveness import LivenessModel
    from facewise.analysis.mesh import Landmarker
    from facewise.detection import load_detector
    from facewise.embedding import Embedder
    from facewise.variants import variants_of

    for variant in variants_of(model):
        if model.card.kind == "detector":
            load_detector(model, variant=variant).detect(np.full((96, 128, 3), 127, dtype=np.uint8))
        elif model.card.kind == "attributes":
            teller = AttributeModel(model, variant=variant)
            teller.predict(np.full((1, teller.crop_size, teller.crop_size, 3), 127, dtype=np.uint8))
        elif model.card.kind == "liveness":
            grey = np.full((96, 128, 3), 127, dtype=np.uint8)
            LivenessModel([model]).scores(grey, [[40, 20, 80, 70]])
        elif model.card.kind == "landmarker":
            Landmarker(model).probe()
        else:
            embedder = Embedder(model, variant=variant)
            embedder.embed(np.full((1, embedder.crop_size, embedder.crop_size, 3), 127, dtype=np.uint8))


def _find(name: str) -> Any:
    import os

    from facewise.errors import ModelError
    from facewise.models import read_model
    from facewise.models.store import path_of, told_store

    if name.endswith(".onnx") or os.sep in name:
        return read_model(name)
    path = path_of(name)
    if path is None:
        raise ModelError(f"No model named {name!r} is in {told_store()}: see `facewise models list`.")
    return read_model(path)


def _describe(model: Any) -> dict[str, Any]:
    card = model.card
    trained = card.trained_on
    return {
        "name": card.name,
        "kind": card.kind,
        "version": card.version,
        "path": str(model.path),
        "bytes": len(model.network),
        "sha256": model.sha256,
        "fingerprint": model.fingerprint,
        "licence": card.licence,
        "source": card.source,
        "preprocess": card.preprocess.to_dict(),
        "embedding_size": card.embedding_size,
        "decoder": card.decoder,
        "training": dict(card.training),
        "trained_on": None
        if trained is None
        else {
            "photos": trained.photos,
            "people": trained.people,
            "listed": trained.listed,
        },
        "calibration": None if card.calibration is None else card.calibration.to_dict(),
        "attributes": None if card.attributes is None else card.attributes.to_dict(),
        **({} if card.liveness is None else {"liveness": card.liveness.to_dict()}),
    }


def _row(found: Any, model: Any) -> tuple[str, ...]:
    from facewise.models import default_name

    name, card = found.path.stem, model.card
    default = found.place != "replaced" and name == default_name(card.kind)
    return (
        name,
        f"{card.kind}, the default" if default else card.kind,
        "bundled, replaced by the store's" if found.place == "replaced" else found.place,
        model.fingerprint[:12],
        f"{len(model.network) / 1e6:.1f}",
        card.licence,
        _fmrs(model),
    )


def _fmrs(model: Any) -> str:
    calibration = model.card.calibration
    if model.card.kind != "embedder":
        return ""
    return "none" if calibration is None else ", ".join(f"{rate:g}" for rate in calibration.rates())


def _list_zoo(*, json: bool) -> None:
    from dataclasses import asdict

    from facewise.models.zoo import zoo

    entries = list(zoo().values())
    if json:
        print_json({"available": [asdict(entry) for entry in entries]})
        return
    rows = (
        (
            e.name,
            e.kind,
            "?" if e.size is None else f"{e.size / 1e6:.1f}",
            f"{e.licence} ({_commercial(e.commercial)})",
            "yes" if e.usable else f"not yet: {e.reason}",
        )
        for e in entries
    )
    table("", ("name", "kind", "MB", "licence", "runs here"), rows, right=(2,))
    say("Facts and sources: docs/models/zoo.md. A licence is its owner's; read it before you rely on it.")


def _commercial(allowed: object) -> str:
    return {True: "commercial use allowed", False: "no commercial use"}.get(allowed, "commercial use unclear")  # type: ignore[call-overload,no-any-return]
