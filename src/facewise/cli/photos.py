"""`facewise detect`, `align` and `embed`: photos in, faces, crops and embeddings out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from facewise.cli.options import (
    Detector,
    Flip,
    Json,
    MaxSize,
    MinFace,
    Model,
    Photos,
    Provider,
    Score,
    Threads,
    load_pipeline,
)
from facewise.cli.output import BadItems, face_dict, print_json, say, table, tell, with_progress

if TYPE_CHECKING:
    from facewise.pipeline import PhotoFaces, Pipeline, Steps

MainOnly = Annotated[bool, typer.Option("--main", help="Only the main face of each photo.")]


def detect(
    paths: Photos,
    draw: Annotated[Path | None, typer.Option("--draw", help="Folder for photos with boxes drawn.")] = None,
    detector: Detector = None,
    score: Score = 0.5,
    max_size: MaxSize = 1024,
    min_face: MinFace = 0.0,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Find faces: boxes and five landmarks, in pixels of the photo."""
    from facewise.drawing import BLUE, draw_faces, save_image
    from facewise.image import read_image
    from facewise.pipeline import Steps

    pipeline = load_pipeline(
        detector=detector, embed=False, provider=provider, threads=threads,
        score=score, max_size=max_size, min_face=min_face,
    )  # fmt: skip
    bad, results = BadItems("photo"), []
    names = _Names()
    for photo in _read(pipeline, paths, Steps(align=False, embed=False), bad, "Detecting"):
        results.append(photo)
        if draw is not None:
            labels = [f"{face.score:.2f}" for face in photo.faces]
            picture = draw_faces(read_image(photo.source), photo.faces, labels, [BLUE] * len(labels))
            save_image(draw / f"{names.of(photo.source)}.jpg", picture)
    if json:
        print_json({"photos": [_photo_dict(photo) for photo in results], "bad": bad.items})
    else:
        table(
            "",
            ("photo", "faces", "score", "box (x1 y1 x2 y2)"),
            (_detect_row(photo) for photo in results),
            right=(1,),
        )
        say(f"{sum(len(p.faces) for p in results)} faces in {len(results)} photos.")
        if draw is not None:
            say(f"Drawn in {draw}.")
    bad.finish()


def align(
    paths: Photos,
    out: Annotated[Path, typer.Option("--out", help="Folder for the crops.")],
    size: Annotated[int, typer.Option("--size", min=16, max=1024, help="Side of a crop in pixels.")] = 112,
    main: MainOnly = False,
    detector: Detector = None,
    min_face: MinFace = 0.0,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Cut aligned face crops, one PNG a face, named after the photo."""
    from facewise.drawing import save_image
    from facewise.pipeline import Pipeline, Steps

    loaded = load_pipeline(
        detector=detector, embed=False, provider=provider, threads=threads, min_face=min_face
    )
    pipeline = Pipeline(loaded.detector, None, crop_size=size, threads=threads)
    bad, crops, without = BadItems("photo"), [], []
    names = _Names()
    steps = Steps(embed=False, main_only=main, keep_crops=True)
    for photo in _read(pipeline, paths, steps, bad, "Aligning"):
        stem = names.of(photo.source)
        if photo.crops is None or not photo.faces:
            without.append(photo.source)
            continue
        for i, (face, crop) in enumerate(zip(photo.faces, photo.crops, strict=True)):
            path = out / (f"{stem}.png" if len(photo.faces) == 1 else f"{stem}_{i}.png")
            save_image(path, crop)
            crops.append({"photo": photo.source, "crop": str(path), **face_dict(face)})
    if json:
        print_json({"crops": crops, "without_face": without, "bad": bad.items})
    else:
        say(f"{len(crops)} crops of {size}×{size} pixels in {out}.")
    _tell_without(without)
    bad.finish()


def embed(
    paths: Photos,
    out: Annotated[Path, typer.Option("--out", help="The .npz file to write.")],
    main: MainOnly = False,
    detector: Detector = None,
    model: Model = None,
    flip: Flip = None,
    min_face: MinFace = 0.0,
    provider: Provider = "cpu",
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Embed faces into an .npz file: one row a face, with its photo and the model's fingerprint."""
    import time

    import numpy as np

    from facewise.cli.output import usage_error
    from facewise.files import atomic_write
    from facewise.pipeline import Steps

    if out.suffix != ".npz":
        usage_error(f"--out must name a .npz file, not {out}.")
    pipeline = load_pipeline(
        detector=detector, model=model, flip=flip, provider=provider, threads=threads, min_face=min_face
    )
    bad, rows, without = BadItems("photo"), [], []
    started, photos = time.perf_counter(), 0
    for photo in _read(pipeline, paths, Steps(main_only=main), bad, "Embedding"):
        photos += 1
        rows += [(photo.source, photo.sha256, i, face) for i, face in enumerate(photo.faces)]
        if not photo.faces:
            without.append(photo.source)
    seconds = time.perf_counter() - started
    embedder = pipeline.embedder
    vectors = [face.embedding for *_, face in rows if face.embedding is not None]
    with atomic_write(out, private=True) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            embedding=np.stack(vectors) if vectors else np.empty((0, embedder.embedding_size), np.float32),
            photo=np.array([row[0] for row in rows], dtype=np.str_),
            photo_sha256=np.array([row[1] for row in rows], dtype=np.str_),
            face=np.array([row[2] for row in rows], dtype=np.int32),
            box=np.array([row[3].box for row in rows], dtype=np.float32).reshape(-1, 4),
            landmarks=np.array([row[3].landmarks for row in rows], dtype=np.float32).reshape(-1, 5, 2),
            score=np.array([row[3].score for row in rows], dtype=np.float32),
            model=np.array(embedder.name),
            fingerprint=np.array(embedder.fingerprint),
            flip=np.array(embedder.flip),
        )
    summary: dict[str, Any] = {
        "out": str(out), "photos": photos, "faces": len(rows), "seconds": round(seconds, 3),
        "photos_per_second": round(photos / max(seconds, 1e-9), 2), "model": embedder.name,
        "fingerprint": embedder.fingerprint, "flip": embedder.flip, "without_face": without, "bad": bad.items,
    }  # fmt: skip
    if json:
        print_json(summary)
    else:
        say(
            f"{len(rows)} faces of {photos} photos in {out} "
            f"({seconds:.1f} s, {summary['photos_per_second']} photos/s, {embedder.name})."
        )
    _tell_without(without)
    bad.finish()


def _read(
    pipeline: Pipeline, paths: list[Path], steps: Steps, bad: BadItems, label: str
) -> Iterator[PhotoFaces]:
    """Every readable photo; the others go to `bad`."""
    from facewise.errors import ImageError
    from facewise.photos import find_photos

    photos = find_photos(paths)
    if not photos:
        raise ImageError(f"No photos were found in {', '.join(map(str, paths))}.")
    for photo in with_progress(label, pipeline.read_many(photos, steps), len(photos)):
        if photo.error is not None:
            bad.add(photo.source, photo.error)
        else:
            yield photo


class _Names:
    """File names for results: the photo's stem, numbered where two photos share it."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, source: str) -> str:
        stem = Path(os.path.basename(source)).stem  # noqa: PTH119
        self._seen[stem] += 1
        return stem if self._seen[stem] == 1 else f"{stem}-{self._seen[stem]}"


def _photo_dict(photo: PhotoFaces) -> dict[str, Any]:
    return {
        "photo": photo.source,
        "sha256": photo.sha256,
        "width": photo.size[1],
        "height": photo.size[0],
        "faces": [face_dict(face) for face in photo.faces],
    }


def _detect_row(photo: PhotoFaces) -> tuple[object, ...]:
    boxes = "\n".join(" ".join(f"{v:.1f}" for v in face.box) for face in photo.faces)
    return photo.source, len(photo.faces), "\n".join(f"{face.score:.3f}" for face in photo.faces), boxes


def _tell_without(without: list[str]) -> None:
    if without:
        plural = "photo has" if len(without) == 1 else "photos have"
        tell(f"{len(without)} {plural} no face: {', '.join(without)}")
