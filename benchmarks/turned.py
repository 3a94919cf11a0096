"""Photos as people have them: turned, close up, and with nobody in them; and what looking at them costs.

    benchmarks/turned.py [--photos PREPARED] [--parts turned close false time] [--turned 200] [--close 100]

The bundled detector and the public ones beside it, in one run, with the bundled embedder. "As they lie" is
the same pipeline that looks at photos upright only. PREPARED is what `facewise.data.scenes.prepare_photos`
made; of its held-out photos face-free pictures are put together. Times are taken in turn; ratios are what to
read.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from facewise.boxes import intersection_over_first, intersection_over_union
from facewise.detection import load_detector
from facewise.detection.orientation import in_photo
from facewise.embedding import Embedder
from facewise.image import read_image
from facewise.metrics import binomial_interval
from facewise.models import find_model
from facewise.models.home import make, models_folder
from facewise.pipeline import PhotoFaces, Pipeline, Steps
from facewise.types import Image
from real import SHARED, have_models, photos

BUNDLED = "facewise-detect-s"
PUBLIC = ("retinaface-mobilenet025", "scrfd_500m_320", "yunet_n_dynamic")
SHARES, SIDES = (0.55, 0.77, 1.0), (320, 1024, 3000)
CELEBA = SHARED / "data" / "celeba-wild" / "images"
CROWD = SHARED / "data" / "crowd"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", help="folder of prepared photos, for face-free pictures")
    parser.add_argument("--turned", type=int, default=200, help="photos of LFW")
    parser.add_argument("--close", type=int, default=100, help="faces, half of them of CelebA")
    parser.add_argument("--crowd", type=int, default=200, help="photos of WIDER FACE")
    parser.add_argument("--face-free", type=int, default=2000)
    parser.add_argument(
        "--detectors", nargs="+", choices=PUBLIC, default=PUBLIC, help="beside the bundled one"
    )
    parts = ("turned", "close", "false", "time")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    readers = pipelines(options.detectors)
    threshold = embedder_threshold(readers[BUNDLED])
    lfw, celeba = spread(photos(), options.turned), spread(sorted(CELEBA.glob("*.webp")), options.turned)
    sets = {"LFW": lfw, "CelebA in the wild": celeba}
    if "turned" in options.parts:
        say_turned(readers, sets, threshold)
    if "close" in options.parts:
        say_close(readers, options.close, threshold)
    if "false" in options.parts:
        say_false(readers, options)
    if "time" in options.parts:
        say_time(readers[BUNDLED], sets)


def pipelines(public: Iterable[str]) -> dict[str, Pipeline]:
    """One for the bundled detector and each of these, with the bundled embedder."""
    from facewise.models.importing import import_checkpoint

    have_models()
    embedder = Embedder(find_model(None, kind="embedder"), threads=1)
    found = {}
    for name in (BUNDLED, *public):
        file = SHARED / "models" / f"{name}.onnx"
        if file.exists() and not (models_folder() / file.name).exists():
            import_checkpoint(file, make(models_folder()))
        found[name] = Pipeline(
            load_detector(find_model(name, kind="detector"), threads=1), embedder, threads=1
        )
    return found


def embedder_threshold(pipeline: Pipeline) -> float:
    """At FMR 1e-3."""
    calibration = pipeline.embedder.calibration
    decision = None if calibration is None else calibration.decision()
    assert decision is not None
    return decision.threshold


def spread(paths: Sequence[Path], wanted: int) -> list[Path]:
    """At most so many of them, evenly."""
    return [paths[i] for i in np.linspace(0, len(paths) - 1, min(wanted, len(paths))).astype(int)]


def likeness(one: PhotoFaces, other: PhotoFaces) -> float:
    """Of the main faces; -1 where there is none."""
    if not one.faces or not other.faces:
        return -1.0
    return float(np.vdot(one.faces[0].embedding, other.faces[0].embedding))


def share(hits: Sequence[bool]) -> str:
    """With its exact 95% interval."""
    inside = binomial_interval(sum(hits), len(hits))
    return f"{np.mean(hits):.3f} ({inside.low:.3f} to {inside.high:.3f})"


# Turned


def turned_photos(
    pipeline: Pipeline, paths: Iterable[Path], threshold: float
) -> dict[int, tuple[list[bool], list[float]]]:
    """For each number of quarters: was the same face found in a turned photo, and how alike is it."""
    found: dict[int, tuple[list[bool], list[float]]] = {k: ([], []) for k in (1, 2, 3)}
    for path in paths:
        image = read_image(path)
        upright = pipeline.upright_only().read(image)
        if not upright.faces:
            continue
        for quarters, (hits, similarities) in found.items():
            seen = pipeline.read(np.ascontiguousarray(np.rot90(image, quarters)))
            similarities.append(likeness(upright, seen))
            same = False
            if seen.faces:
                box = in_photo(seen.faces[0], quarters, image.shape[:2]).box
                overlap = float(intersection_over_union(box, upright.faces[0].box))
                same = overlap > 0.5 and similarities[-1] >= threshold
            hits.append(same)
    return found


def say_turned(readers: dict[str, Pipeline], sets: dict[str, list[Path]], threshold: float) -> None:
    print(
        "Turned photos: share in which the main face of the upright photo is found again (overlap above 0.5 "
        f"and similarity of the embedding above {threshold:.3f}), and the median similarity.\n"
    )
    print("| photos | detector | looks | by 90° | by 180° | by 270° | median similarity |")
    print("|---|---|---|---|---|---|---|")
    for label, paths in sets.items():
        for name, pipeline in readers.items():
            for looks, one in (("as they lie", pipeline.upright_only()), ("any way up", pipeline)):
                found = turned_photos(one, paths, threshold)
                cells = [share(hits) for hits, _ in found.values()]
                median = np.median([s for _, similarities in found.values() for s in similarities])
                of = f"{len(found[1][0])} of {label}"
                print(f"| {of} | {name} | {looks} | {' | '.join(cells)} | {median:.3f} |", flush=True)
    print()


# Close up


def close_ups(pipeline: Pipeline, wanted: int) -> list[tuple[Image, np.ndarray]]:
    """Photos and the box of their main face, where a square twice as wide fits: half LFW, half CelebA."""
    found = []
    for paths in (photos(), sorted(CELEBA.glob("*.webp"))):
        taken = 0
        for path in spread(paths, 10 * wanted):
            image = read_image(path)
            faces = pipeline.read(image, Steps(align=False, embed=False)).faces
            if len(faces) != 1 or faces[0].score < 0.95 or max(faces[0].width, faces[0].height) < 60:
                continue
            low, high = square(faces[0].box, SHARES[0])
            if (low < 0).any() or (high > image.shape[1::-1]).any():
                continue
            found.append((image, faces[0].box))
            taken += 1
            if taken == (wanted + 1) // 2:
                break
    return found[:wanted]


def square(box: np.ndarray, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the square about a box of whose side it has this part."""
    middle, side = (box[:2] + box[2:]) / 2, max(box[2] - box[0], box[3] - box[1]) / part
    return np.rint(middle - side / 2).astype(int), np.rint(middle + side / 2).astype(int)


def say_close(readers: dict[str, Pipeline], wanted: int, threshold: float) -> None:
    faces = close_ups(readers[BUNDLED], wanted)
    print(
        f"Close-ups: {len(faces)} faces, cut so that the face has so much of the picture's side, enlarged; "
        f"share whose main face is above {threshold:.3f} to that of the whole photo.\n"
    )
    print("| face | detector | " + " | ".join(f"{side} px" for side in SIDES) + " |")
    print("|---|---|---|---|---|")
    for part in SHARES:
        for name, pipeline in readers.items():
            cells = []
            for side in SIDES:
                hits = []
                for image, box in faces:
                    low, high = np.maximum(square(box, part)[0], 0), square(box, part)[1]
                    cut = image[low[1] : high[1], low[0] : high[0]]
                    scale = side / max(cut.shape[:2])
                    large = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
                    hits.append(likeness(pipeline.read(image), pipeline.read(large)) >= threshold)
                cells.append(share(hits))
            print(f"| {part:.0%} | {name} | {' | '.join(cells)} |")
    print()


# Nobody there


def say_false(readers: dict[str, Pipeline], options: argparse.Namespace) -> None:
    print(
        "False faces a picture, and faces of crowds found (WIDER FACE, at least 12 pixels; overlap of 0.4).\n"
    )
    print("| detector | looks | face-free pictures | crowds: false | crowds: found |")
    print("|---|---|---|---|---|")
    crowds = crowd_photos(options.crowd)
    for name, pipeline in readers.items():
        for looks, one in (("as they lie", pipeline.upright_only()), ("any way up", pipeline)):
            free = "not measured" if options.photos is None else face_free(one, options)
            false, found, faces = 0, 0, 0
            for image, boxes, ignored in crowds:
                seen = one.read(image, Steps(align=False, embed=False)).faces
                at = np.array([face.box for face in seen], np.float32).reshape(-1, 4)
                near = (
                    intersection_over_union(at[:, None], boxes[None])
                    if len(boxes)
                    else np.zeros((len(at), 1))
                )
                inside = intersection_over_first(at[:, None], boxes[None]) if len(boxes) else near
                false += int(((near.max(axis=1) < 0.2) & (inside.max(axis=1) < 0.5)).sum()) if len(at) else 0
                wanted = ~ignored
                faces += int(wanted.sum())
                found += int((near[:, wanted].max(axis=0) >= 0.4).sum()) if len(at) and wanted.any() else 0
            crowd = f"{false / len(crowds):.3f} | {found / faces:.4f} of {faces:,}"
            print(f"| {name} | {looks} | {free} | {crowd} |", flush=True)
    print()


def face_free(pipeline: Pipeline, options: argparse.Namespace) -> str:
    """False faces a picture without any."""
    from facewise.data.scenes import PhotoStore, Pool
    from facewise.training.detection.measure import face_free_picture

    pool = Pool(PhotoStore(options.photos), held_out=True)
    steps = Steps(align=False, embed=False)
    found = [len(pipeline.read(face_free_picture(pool, i), steps).faces) for i in range(options.face_free)]
    return f"{np.mean(found):.4f} of {len(found):,}"


def crowd_photos(wanted: int) -> list[tuple[Image, np.ndarray, np.ndarray]]:
    """Photos of WIDER FACE with the boxes of all their faces, and which of these are no test."""
    boxes = defaultdict(list)
    with (CROWD / "boxes.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["source"] == "wider_val":
                x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
                small = min(width, height) < 12
                boxes[row["path"]].append((x, y, x + width, y + height, row["ignore"] == "1" or small))
    found = []
    for path in spread(sorted(map(Path, boxes)), wanted):
        table = np.array(boxes[path.as_posix()], np.float32)
        found.append((read_image(CROWD / path), table[:, :4], table[:, 4] > 0))
    return found


# Time


def is_sure(pipeline: Pipeline, path: Path) -> bool:
    """Whether a face of a photo is surely an upright one: then it is not looked at again."""
    faces = pipeline.detector.detect(read_image(path))
    return any(face.score >= pipeline.detector.sure for face in faces)


def say_time(pipeline: Pipeline, sets: dict[str, list[Path]]) -> None:
    print(
        "Time of a photo that lies upright, from its bytes to the embeddings of its faces, on one thread:\n"
    )
    print("| photos | as they lie, ms | any way up, ms | ratio | ratio where a face is sure (share) |")
    print("|---|---|---|---|---|")
    for label, paths in sets.items():
        data = [path.read_bytes() for path in paths]
        ways = (pipeline.upright_only(), pipeline)
        best = np.full((2, len(data)), np.inf)
        for _ in range(5):
            for i, photo in enumerate(data):
                for way, reader in enumerate(ways):
                    started = time.perf_counter()
                    reader.read_bytes(photo)
                    best[way, i] = min(best[way, i], time.perf_counter() - started)
        upright, any_way = 1e3 * best.mean(axis=1)
        sure = np.array([is_sure(pipeline, path) for path in paths])
        ratio = best[1, sure].sum() / best[0, sure].sum()
        cells = f"{upright:.2f} | {any_way:.2f} | {any_way / upright:.3f} | {ratio:.3f} ({sure.mean():.2f})"
        print(f"| {len(data)} of {label} | {cells} |")
    print()


if __name__ == "__main__":
    main()
