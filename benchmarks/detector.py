"""A detector against the public RetinaFace: same faces, landmarks, precision on scenes, false alarms, speed.

    benchmarks/detector.py --photos PREPARED [--detector NAME|FILE] [--lfw FOLDER] [--json FILE]

PREPARED is what `facewise.data.scenes.prepare_photos` made; its held-out photos are used. What is compared
for speed is measured in turn in one run: the ratio is what to read.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facewise.concurrency import side_by_side
from facewise.data.lfw import load_lfw
from facewise.data.scenes import PhotoStore, Pool
from facewise.data.scenes.labels import MIRRORED
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.image import read_image
from facewise.models import find_model
from facewise.training.detection.measure import SceneMeter, agreement, face_free_picture, held_out_scene
from facewise.types import Face, Image
from real import LFW

LOW = 0.02
"""Threshold for average precision."""

SIZES = ((240, 320), (480, 640))


def main() -> None:
    options = _options()
    names = {"ours": options.detector, "reference": options.reference}
    result: dict[str, Any] = {"detector": options.detector, "reference": options.reference}
    if "lfw" in options.parts:
        result["lfw"] = against_reference(names, options)
    if "scenes" in options.parts:
        result["scenes"] = on_scenes(names, options)
    if "face-free" in options.parts:
        result["face-free"] = on_face_free(names, options)
    if "speed" in options.parts:
        result["speed"] = speed(names, options)
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", help="folder of prepared photos, for scenes and face-free pictures")
    parser.add_argument("--detector", default="facewise-detect-s", help="name or file")
    parser.add_argument("--reference", default="retinaface-mobilenet025", help="name or file")
    parser.add_argument("--lfw", default=str(LFW))
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--face-free", type=int, default=5000)
    parser.add_argument("--every", type=int, default=1, help="every n-th photo of LFW only")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--calls", type=int, default=60, help="for speed")
    parser.add_argument("--json", help="file to write")
    parts = ("lfw", "scenes", "face-free", "speed")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    options = parser.parse_args()
    if {"scenes", "face-free"} & set(options.parts) and not options.photos:
        parser.error("scenes and face-free pictures need --photos")
    return options


def _open(name: str, threads: int | None, threshold: float | None = None) -> OnnxDetector:
    settings = None if threshold is None else DetectorSettings(score_threshold=threshold)
    return OnnxDetector(find_model(name, kind="detector"), settings=settings, threads=threads)


def against_reference(names: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Which of the reference's main faces on LFW View 2 are found, and how near the landmarks are."""
    ours, reference = (_open(names[key], options.threads) for key in ("ours", "reference"))
    lfw = load_lfw(options.lfw)
    keys = sorted({photo for pair in lfw.pairs for photo in (pair.a, pair.b)})[:: options.every]

    def look(key: str) -> tuple[list[Face], list[Face], list[Face]]:
        image = read_image(lfw.images / key)
        mirrored = np.ascontiguousarray(image[:, ::-1])
        return (
            reference.detect(image, threads=1),
            ours.detect(image, threads=1),
            _unmirrored(reference.detect(mirrored, threads=1), image.shape[1]),
        )

    answers = list(side_by_side(look, keys, ours.network.threads))
    found = {
        names["ours"]: agreement((first[0], second) for first, second, _ in answers if first),
        f"{names['reference']} on the mirrored photo": agreement(
            (first[0], third) for first, _, third in answers if first
        ),
    }
    photos = next(iter(found.values())).photos
    print(
        f"\n{len(keys)} photos of LFW View 2, {photos} with a face by {names['reference']}, whose answer is"
    )
    print("what counts; distances of landmarks are shares of the eye distance:\n")
    print("| detector | main faces found | as main | median of faces | of points | 95th % |")
    print("|---|---|---|---|---|---|")
    for name, one in found.items():
        print(
            f"| {name} | {one.found:.4f} | {one.main:.4f} | {one.landmarks:.4f} | {one.points:.4f} "
            f"| {one.worst:.4f} |"
        )
    return {name: one.as_dict() | {"each": one.each} for name, one in found.items()}


def _unmirrored(faces: list[Face], width: int) -> list[Face]:
    flip = np.array([-1, 1], np.float32)
    return [
        replace(
            face,
            box=np.array([width - face.box[2], face.box[1], width - face.box[0], face.box[3]], np.float32),
            landmarks=(face.landmarks * flip + np.array([width, 0], np.float32))[MIRRORED],
        )
        for face in faces
    ]


def on_scenes(names: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """Average precision at an overlap of 0.5 on composed scenes of held-out photos."""
    pool = Pool(PhotoStore(options.photos), held_out=True)
    detectors = {name: _open(name, options.threads, LOW) for name in names.values()}

    def look(number: int) -> tuple[Any, dict[str, Any]]:
        scene = held_out_scene(pool, number)
        return scene, {name: one.detect(scene.image, threads=1) for name, one in detectors.items()}

    meters = {name: SceneMeter() for name in detectors}
    threads = next(iter(detectors.values())).network.threads
    for scene, found in side_by_side(look, range(options.scenes), threads):
        for name, faces in found.items():
            meters[name].update(scene, faces)
    values = {name: meter.compute() for name, meter in meters.items()}
    counts = {name: m.compute().faces for name, m in meters[names["ours"]].meters.items()}
    print(f"\nAverage precision at IoU 0.5 on {options.scenes} scenes by shorter side of the face:\n")
    print("| detector | " + " | ".join(f"{name} ({count})" for name, count in counts.items()) + " |")
    print("|---" * (len(counts) + 1) + "|")
    for name, row in values.items():
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in row.values()) + " |")
    return values | {"faces": counts}


def on_face_free(names: dict[str, str], options: argparse.Namespace) -> dict[str, Any]:
    """False alarms at the default threshold, on the half of the held-out photos that it was not set on."""
    pool = Pool(PhotoStore(options.photos), held_out=True, half=1)
    detectors = {name: _open(name, options.threads) for name in names.values()}

    def look(number: int) -> list[int]:
        picture = face_free_picture(pool, number)
        return [len(one.detect(picture, threads=1)) for one in detectors.values()]

    threads = next(iter(detectors.values())).network.threads
    counts = np.array(list(side_by_side(look, range(options.face_free), threads)))
    rates = dict(zip(detectors, (counts.sum(axis=0) / len(counts)).tolist(), strict=True))
    print(f"\nFalse alarms a picture on {len(counts)} face-free pictures, threshold 0.5:\n")
    print("| detector | false alarms a picture | pictures with any |\n|---|---|---|")
    for i, (name, rate) in enumerate(rates.items()):
        print(f"| {name} | {rate:.4f} | {int((counts[:, i] > 0).sum())} |")
    return rates


def speed(names: dict[str, str], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The network alone and the whole detection of a photo, in turn; medians and fastest calls."""
    print("\nMilliseconds a photo, in turn, medians:\n")
    print(f"| size | threads | what | {names['ours']} | {names['reference']} | ratio | of the fastest |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for threads in (1, options.threads):
        detectors = {key: _open(name, threads) for key, name in names.items()}
        for size in SIZES:
            picture = _picture(size, Path(options.lfw))
            inputs = {key: one.model.card.preprocess(picture[None]) for key, one in detectors.items()}
            networks = {key: partial(one.network.run, inputs[key]) for key, one in detectors.items()}
            whole = {key: partial(one.detect, picture, threads=threads) for key, one in detectors.items()}
            for what, calls in (("network", networks), ("detect", whole)):
                taken = _in_turn(calls, options.calls)
                median = {key: float(np.median(times)) for key, times in taken.items()}
                row = {
                    "size": f"{size[1]}×{size[0]}",
                    "threads": detectors["ours"].network.threads,
                    "what": what,
                    **median,
                    "ratio": median["reference"] / median["ours"],
                    "best_ratio": min(taken["reference"]) / min(taken["ours"]),
                }
                rows.append(row)
                print(
                    f"| {row['size']} | {row['threads']} | {what} | {row['ours']:.2f} "
                    f"| {row['reference']:.2f} | {row['ratio']:.2f} | {row['best_ratio']:.2f} |"
                )
    return rows


def _picture(size: tuple[int, int], lfw: Path) -> Image:
    """A photo of LFW in the corner of a grey picture."""
    photo = read_image(min((lfw / "images").glob("*/*.jpg")))[: size[0], : size[1]]
    picture = np.full((*size, 3), 127, np.uint8)
    picture[: photo.shape[0], : photo.shape[1]] = photo
    return picture


def _in_turn(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, by what is called."""
    taken: dict[str, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            begun = time.perf_counter()
            call()
            taken[key].append(1000 * (time.perf_counter() - begun))
    return taken


if __name__ == "__main__":
    main()
