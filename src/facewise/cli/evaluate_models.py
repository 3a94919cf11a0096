"""Options and models that the protocols for several models share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import load_pipeline, tell_providers
from facewise.cli.output import tell

if TYPE_CHECKING:
    from facewise.evaluation.side_by_side import Model

Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Embedder: a name in the model store or a model file; repeat to compare."),
]
Aligned = Annotated[
    bool, typer.Option("--aligned", help="The photos are aligned crops already: no face is looked for.")
]
Cache = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Keep crops and embeddings for the next run.")
]


def load_models(
    names: Sequence[str] | None,
    *,
    detector: str | None,
    max_size: int | None = None,
    flip: bool | None,
    provider: str,
    threads: int | None,
    variant: str = "auto",
    aligned: bool = False,
) -> list[Model]:
    """The models to measure, the first first; pipelines share one detector.

    Args:
        names: Embedders; none is the default one.
        detector: See `load_pipeline`.
        max_size: See `load_pipeline`.
        flip: See `load_pipeline`.
        provider: See `load_pipeline`.
        threads: See `load_pipeline`.
        variant: See `load_pipeline`.
        aligned: Embedders alone.
    """
    from facewise.embedding import Embedder
    from facewise.models import find_model
    from facewise.pipeline import Pipeline

    def embedder(name: str | None) -> Embedder:
        found = find_model(name, kind="embedder")
        made = Embedder(found, flip=flip, provider=provider, threads=threads, variant=variant)
        tell_providers([made.provider], made.passed_over)
        return made

    wanted: list[str | None] = list(names) if names else [None]
    if aligned:
        if detector is not None:
            raise typer.BadParameter("Aligned crops need no detector; leave --detector out.")
        return [embedder(name) for name in wanted]
    first = load_pipeline(
        detector=detector,
        max_size=max_size,
        model=wanted[0],
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
    )
    others = [Pipeline(first.detector, embedder(name), threads=threads) for name in wanted[1:]]
    return [first, *others]


def about_model(model: Model, name: str) -> dict[str, Any]:
    """What a measurement was made with, for JSON."""
    from facewise.embedding import Embedder
    from facewise.evaluation.side_by_side import embedder_of

    embedder = embedder_of(model)
    detector = None
    if not isinstance(model, Embedder):
        detector = {"name": model.detector.name, "fingerprint": model.detector.fingerprint}
    return {
        "model": name,
        "embedder": {
            "name": embedder.name,
            "fingerprint": embedder.fingerprint,
            "variant": embedder.variant.name,
        },
        "detector": detector,
        "flip": embedder.flip,
        "providers": model.providers,
    }


def models_line(models: Sequence[Model], names: Sequence[str]) -> str:
    """Which models, for people."""
    from facewise.embedding import Embedder
    from facewise.evaluation.side_by_side import embedder_of

    first = models[0]
    found = "aligned crops" if isinstance(first, Embedder) else first.detector.name
    flips = [embedder_of(model).flip for model in models]
    flip = "with flip averaging" if all(flips) else "without flip averaging"
    if any(flips) and not all(flips):
        flipped = [name for name, one in zip(names, flips, strict=True) if one]
        flip = f"flip averaging of {', '.join(flipped)} alone"
    return f"{found} + {', '.join(names)}, {flip}"


def about_run(started: float) -> dict[str, Any]:
    """Version and time, for JSON."""
    import facewise

    return {"facewise": facewise.__version__, "seconds": round(time.perf_counter() - started, 3)}


def tell_unreadable(unreadable: Iterable[tuple[str, str]], *, faceless: bool = False) -> None:
    """Names the photos that could not be read, each once, and ends with code 3 if any or another was bad.

    Args:
        unreadable: Photo and error.
        faceless: Whether photos without a face were there, named already.
    """
    bad = dict(unreadable)
    for photo, error in bad.items():
        tell(f"facewise: {photo}: {error}")
    if bad or faceless:
        raise typer.Exit(3)
