"""`facewise classify …`: who of a closed set of people is it, by a classifier on embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.classify_told import (
    about,
    learned_dict,
    prediction_dict,
    print_evaluated,
    print_learned,
    rows_of,
    rule_told,
)
from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    Model,
    Photos,
    Provider,
    Threads,
    Variant,
    given_path,
    load_pipeline,
    need_training,
    reads_photos,
    tell_providers,
)
from facewise.cli.output import (
    BadItems,
    check_output_file,
    count,
    face_dict,
    print_json,
    progress_bar,
    say,
    table,
    tell,
    with_progress,
)

if TYPE_CHECKING:
    from facewise.classify import Classifier, Prediction
    from facewise.data.source import Source
    from facewise.types import Face

app = typer.Typer(help="Name a closed set of people by a classifier on embeddings.", no_args_is_help=True)

ClassifierOption = Annotated[
    Path,
    typer.Option(
        "--classifier", help="The file that `classify fit` or a fine-tuning wrote.", parser=given_path
    ),
]
Grid = Annotated[
    Path | None,
    typer.Option("--out", help="Picture of the photos with who they are taken for.", parser=given_path),
]
Cache = Annotated[bool, typer.Option("--cache/--no-cache", help="Keep faces and embeddings for next time.")]

_DRAWN = 24
"""Photos of a picture: as many as one looks at."""


@app.command()
@reads_photos
def fit(
    data: Annotated[
        Path, typer.Argument(help="A folder per person, a CSV, LFW, or prepared crops.", parser=given_path)
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The classifier file to write, NAME.onnx.", parser=given_path)
    ],
    method: Annotated[str, typer.Option("--method", help="svc, knn, lda or logistic.")] = "svc",
    test: Annotated[
        float, typer.Option("--test", help="Share of each person's photos that is held out to measure on.")
    ] = 0.2,
    fpir: Annotated[float, typer.Option("--fpir", help="Share of strangers who may be given a name.")] = 0.01,
    unknown: Annotated[
        bool, typer.Option("--unknown/--no-unknown", help="Tell strangers, or give everybody a name.")
    ] = True,
    min_photos: Annotated[
        int, typer.Option("--min-photos", min=1, help="Leave out people with fewer photos.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of what is drawn at random.")] = 0,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Keep hashes of the photos in the file.")
    ] = True,
    cache: Cache = True,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    flip: Flip = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Learn people from photos: StandardScaler, PCA and a classifier on their embeddings."""
    need_training()
    from facewise.classify.fitting import learn_people
    from facewise.evaluation.side_by_side import faces_kept

    check_output_file(out)
    source = _open(data, min_photos)
    embeds = _embeds(
        source,
        detector,
        model,
        flip=flip,
        provider=provider,
        threads=threads,
        variant=variant,
        max_size=max_size,
    )
    with (
        faces_kept(keep=cache, models=1) as kept,
        progress_bar(source.name, len(source.keys)) as done,
    ):
        learned = learn_people(
            source,
            embeds,
            out,
            method=method,
            test=test,
            seed=seed,
            fpir=fpir if unknown else None,
            record_photos=record,
            cache=kept,
            progress=done,
        )
    bad = BadItems("photo")
    for photo, error in learned.left_out:
        bad.add(photo, error)
    if json:
        print_json(learned_dict(learned) | {"providers": embeds.providers, "bad": bad.items})
    else:
        print_learned(learned)
    bad.finish(learned.photos)


@app.command()
@reads_photos
def predict(
    paths: Photos,
    classifier: ClassifierOption,
    unknown: Annotated[
        bool, typer.Option("--unknown/--no-unknown", help="Tell strangers, or give everybody a name.")
    ] = True,
    out: Grid = None,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """Who of the classifier's people is in each photo; every face is told, strangers as unknown."""
    from facewise.cli.photos import photos_in
    from facewise.pipeline import Steps

    if out is not None:
        _check_picture(out)
    named, pipeline = _ready(
        classifier, detector, model, provider=provider, threads=threads, variant=variant, max_size=max_size
    )
    bad = BadItems("photo")
    card, photos = named.file.card, photos_in(paths, bad)
    steps = Steps(embed=card.features == "unit", keep_crops=card.features == "raw")
    results: list[tuple[Path, str, tuple[Face, ...], list[Prediction]]] = []
    answers = zip(photos, pipeline.read_many(photos, steps), strict=True)
    for path, found in with_progress("Classifying", answers, len(photos)):
        if found.error is not None:
            bad.add(str(path), found.error)
            continue
        predictions = []
        if found.faces:
            unit = card.features == "unit"
            vectors = _unit(found.faces) if unit else pipeline.embedder.features(found.crops)
            predictions = named.predict(
                vectors,
                unknown=unknown,
                calibration=pipeline.embedder.calibration,
                qualities=[face.quality for face in found.faces],
            )
        results.append((path, found.source, found.faces, predictions))
    if json:
        print_json(
            {
                "classifier": about(named.file),
                "providers": pipeline.providers,
                "photos": [
                    {
                        "photo": str(path),
                        "faces": [
                            face_dict(face) | prediction_dict(one)
                            for face, one in zip(faces, predictions, strict=True)
                        ],
                    }
                    for path, _, faces, predictions in results
                ],
                **bad.told,
            }
        )
    elif results:
        rows = (row for _, name, _, predictions in results for row in rows_of(name, predictions))
        table("", ("photo", "who", "probability", "cosine", "likeliest"), rows, right=(2, 3))
        say(rule_told(named.file, asked=unknown))
    if out is not None and results:
        from facewise.classify.picture import draw_predictions

        draw_predictions(out, [(path, faces, found) for path, _, faces, found in results[:_DRAWN]])
        tell(f"{min(len(results), _DRAWN)} of {count(len(results), 'photo')} drawn in {out}.")
    bad.finish(len(results))


@app.command()
@reads_photos
def evaluate(
    data: Annotated[
        Path, typer.Argument(help="A folder per person, a CSV, LFW, or prepared crops.", parser=given_path)
    ],
    classifier: ClassifierOption,
    leaks: Annotated[
        str,
        typer.Option("--leaks", help="Photos it was fitted on: refuse, exclude or mark."),
    ] = "refuse",
    unknown: Annotated[
        bool, typer.Option("--unknown/--no-unknown", help="Tell strangers, or give everybody a name.")
    ] = True,
    min_photos: Annotated[
        int, typer.Option("--min-photos", min=1, help="Leave out people with fewer photos.")
    ] = 1,
    out: Grid = None,
    cache: Cache = True,
    detector: Detector = None,
    max_size: MaxSize = None,
    model: Model = None,
    provider: Provider = "auto",
    threads: Threads = None,
    variant: Variant = "auto",
    json: Json = False,
) -> None:
    """How right a classifier is on photos whose people are known; who is none of its people is a stranger."""
    from facewise.classify import Classifier
    from facewise.classify.evaluating import evaluate_people
    from facewise.classify.file import read_classifier
    from facewise.classify.vectors import find_embedder
    from facewise.cli.evaluate_leaks import policy_of
    from facewise.evaluation.side_by_side import faces_kept

    policy = policy_of(leaks)
    if out is not None:
        _check_picture(out)
    file = read_classifier(classifier)
    embedder = str(find_embedder(file, model).path)
    source = _open(data, min_photos)
    embeds = _embeds(
        source,
        detector,
        embedder,
        flip=file.card.flip,
        provider=provider,
        threads=threads,
        variant=variant,
        max_size=max_size,
    )
    with (
        faces_kept(keep=cache, models=1) as kept,
        progress_bar(source.name, len(source.keys)) as done,
    ):
        found = evaluate_people(
            Classifier(file), source, embeds, leaks=policy, unknown=unknown, cache=kept, progress=done
        )
    bad = BadItems("photo")
    for photo, error in found.left_out:
        bad.add(photo, error)
    if json:
        told = {"classifier": about(file), "providers": embeds.providers, **found.to_dict()}
        print_json(told | {"bad": bad.items})
    else:
        print_evaluated(found, file, asked=unknown)
    if out is not None:
        from facewise.classify.picture import draw_evaluated

        drawn = draw_evaluated(out, found, source, embeds, most=_DRAWN)
        tell(f"{drawn} of {count(len(found.photos), 'photo')} drawn in {out}, the wrong ones first.")
    bad.finish(len(found.photos))


def _open(data: Path, min_photos: int) -> Source:
    """The dataset, without people of whom there are too few photos."""
    import numpy as np

    from facewise.data.open import open_source
    from facewise.data.source import FileSource
    from facewise.errors import DatasetError

    source = open_source(data, tell=tell)
    counts = np.bincount(source.labels, minlength=len(source.names))
    kept = np.flatnonzero(counts[source.labels] >= min_photos)
    if not len(kept):
        raise DatasetError(f"Nobody of {source.name} has {min_photos} photos; lower --min-photos.")
    if len(kept) == len(source.keys) or not isinstance(source, FileSource):
        return source
    people, labels = np.unique(source.labels[kept], return_inverse=True)
    return FileSource(
        source.name, source.root, [source.keys[i] for i in kept], labels, [source.names[i] for i in people]
    )


def _embeds(source: Source, detector: str | None, model: str | None, **options: Any) -> Any:
    """A pipeline, or for crops that are aligned an embedder alone."""
    from facewise.classify.vectors import is_aligned
    from facewise.embedding import Embedder
    from facewise.models import find_model

    if is_aligned(source):
        made = Embedder(find_model(model, kind="embedder"), **options)
        tell_providers([made.provider], made.passed_over)
        return made
    return load_pipeline(detector=detector, model=model, **options)


def _ready(path: Path, detector: str | None, model: str | None, **options: Any) -> tuple[Classifier, Any]:
    """The classifier, and the pipeline whose embeddings it takes."""
    from facewise.classify import Classifier
    from facewise.classify.file import read_classifier
    from facewise.classify.vectors import find_embedder

    file = read_classifier(path)
    pipeline = load_pipeline(
        detector=detector,
        model=str(find_embedder(file, model).path),
        flip=file.card.flip,
        **options,
    )
    return Classifier(file), pipeline


def _check_picture(path: Path) -> None:
    from facewise.drawing import check_drawable

    check_drawable(path)
    check_output_file(path)


def _unit(faces: Sequence[Face]) -> Any:
    import numpy as np

    return np.stack([face.embedding for face in faces if face.embedding is not None])
