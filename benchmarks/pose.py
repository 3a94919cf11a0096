"""How far off head poses are, with and without the mesh, on drawn people whose pose is known; where zero is.

    benchmarks/pose.py [--people 600] [--seed 4242]
    benchmarks/pose.py --zero [--photos 500]
    benchmarks/pose.py --sizes [--photos 150]
    benchmarks/pose.py --eyes [--people 200]
    benchmarks/pose.py --remarks [--photos 1000]
    benchmarks/pose.py --templates [--people 350]
    benchmarks/pose.py --speed

Needs the landmarker (`facewise models import face_landmarker_v2_with_blendshapes.task`). Drawn people have
yaw, pitch and roll of up to 45° each, all at once, and are found by the installed default detector; five
points are tried as it finds them and where they truly are. `--zero` asks photos of LFW, MEBeauty, UTKFace
and CelebA, one person each as a rule, how people hold their heads: the median pitch of those who look ahead
is taken for zero. `--sizes` shrinks photos of LFW and compares with the mesh of the whole photo. `--eyes`
draws people whose eyes are shut, or look aside by up to 4 mm of the iris and up or down by up to 2, which
is 19° and 10° of an eyeball. `--remarks` counts what quality
remarks of photos by the mesh. `--templates` weighs samples in templates by it: people of LFW with four photos
or more, half of each person's for the template, the others as probes, parted anew 20 times.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.analysis.pose import pose_from_landmarks
from facewise.data.synthetic import Person, View, render
from facewise.image import read_image
from facewise.photos import find_photos
from facewise.pipeline import Pipeline, Steps
from facewise.types import Face, Mesh, Pose
from real import SHARED

MOST = math.radians(45.0)
AHEAD = math.radians(20.0)
"""Yaw up to which somebody looks ahead."""

ANGLES = ("yaw", "pitch", "roll")
WILD = ("lfw/images", "attributes-test/mebeauty", "utkface", "celeba-wild/images")
SIDES = (21, 25, 30, 40, 60)
STEPS = Steps(embed=False, main_only=True)

Floats = NDArray[np.float64]


def drawn(pipeline: Pipeline, people: int, seed: int) -> None:
    """The table of errors."""
    rng, found = np.random.default_rng(seed), []
    for number in range(people):
        yaw, pitch, roll = rng.uniform(-MOST, MOST, 3)
        view = View.draw(seed, number, 1, size=320)
        photo = render(Person.draw(seed, number), replace(view, yaw=yaw, pitch=pitch, roll=roll, cover=0.0))
        faces = pipeline.read(photo.image, STEPS).faces
        if faces and faces[0].mesh is not None:
            face = faces[0]
            told = (
                face.mesh.pose,
                pose_from_landmarks(face.landmarks),
                pose_from_landmarks(photo.truth.landmarks),
            )
            found.append([(yaw, pitch, roll), *map(angles, told)])
    poses = np.degrees(np.array(found, np.float64))
    print(f"{len(poses)} of {people} drawn people found, seed {seed}; degrees, 95% intervals\n")
    print("| by | angle | median error | 90% within | bias | median without bias | 0-15° | 15-30° | 30-45° |")
    print("|---|---|---|---|---|---|---|---|---|")
    for by, column in (("mesh", 1), ("five points found", 2), ("five true points", 3)):
        for i, name in enumerate(ANGLES):
            truth, errors = np.abs(poses[:, 0, i]), poses[:, column, i] - poses[:, 0, i]
            errors = (errors + 180) % 360 - 180
            bands = [np.abs(errors[(truth >= low) & (truth < low + 15)]) for low in (0, 15, 30)]
            low, high = interval(np.abs(errors))
            bias = float(np.median(errors))
            cells = [
                f"{np.median(np.abs(errors)):.1f} ({low:.1f} to {high:.1f})",
                f"{np.quantile(np.abs(errors), 0.9):.1f}",
                f"{bias:+.1f}",
                f"{np.median(np.abs(errors - bias)):.1f}",
                *(f"{np.median(band):.1f}" for band in bands),
            ]
            print(f"| {by} | {name} | {' | '.join(cells)} |")


def zero(pipeline: Pipeline, photos: int) -> None:
    """How people hold their heads in photos."""
    print("| photos | faces | pitch by the mesh | by five points | apart: yaw pitch roll | slope |")
    print("|---|---|---|---|---|---|")
    every = []
    for name in WILD:
        faces = [face for face in sample(pipeline, SHARED / "data" / name, photos) if face.mesh is not None]
        poses = np.array([(angles(f.mesh.pose), angles(pose_from_landmarks(f.landmarks))) for f in faces])
        every.append(poses)
        _row(name, poses)
    _row("all", np.concatenate(every))


def _row(name: str, poses: Floats) -> None:
    ahead = np.degrees(poses[np.abs(poses[:, 0, 0]) < AHEAD, :, 1])
    apart = np.degrees(np.abs(poses[:, 0] - poses[:, 1]))
    slopes = [np.polyfit(*poses[:, :, i].T, 1)[0] for i in range(3)]
    cells = [
        name,
        str(len(poses)),
        *(f"{np.median(column):+.1f}" for column in ahead.T),
        " ".join(f"{v:.1f}" for v in np.median(apart, axis=0)),
        " ".join(f"{v:.2f}" for v in slopes),
    ]
    print(f"| {' | '.join(cells)} |")


def sizes(pipeline: Pipeline, photos: int) -> None:
    """How points and poses suffer where faces are small."""
    rows: dict[int, list[tuple[float, ...] | None]] = {side: [] for side in SIDES}
    for path in chosen(SHARED / "data" / WILD[0], photos):
        image = read_image(path)
        faces = pipeline.read(image, STEPS).faces
        if not faces or faces[0].mesh is None:
            continue
        face, mesh = faces[0], faces[0].mesh
        for side in SIDES:
            scale = side / max(face.width, face.height)
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            box, landmarks = (
                (points + half) * np.float32(scale) - half
                for points, half in ((face.box, np.float32(0)), (face.landmarks, np.float32(0.5)))
            )
            (seen,) = pipeline.landmarker.meshes(small, [Face(box, face.score, landmarks)], threads=1)
            if seen is None:
                rows[side].append(None)
                continue
            places = (seen.points[:, :2] + 0.5) / scale - 0.5
            off = np.linalg.norm(places - mesh.points[:, :2], axis=1).mean() / np.ptp(mesh.points[:, 0])
            rows[side].append((off, *np.degrees(np.abs(np.subtract(angles(seen.pose), angles(mesh.pose))))))
    print("| face, pixels | faces | without points | points off by, of its width | yaw pitch roll off by |")
    print("|---|---|---|---|---|")
    for side, found in rows.items():
        known = np.array([row for row in found if row is not None])
        medians = np.median(known, axis=0) if len(known) else np.full(4, np.nan)
        told = " ".join(f"{v:.1f}°" for v in medians[1:])
        print(f"| {side} | {len(found)} | {found.count(None)} | {medians[0]:.1%} | {told} |")


def speed(pipeline: Pipeline) -> None:
    """Milliseconds of each step on one thread, taken in turn: the fastest and the median of 100."""
    image = read_image(chosen(SHARED / "data" / WILD[0], 1)[0])
    face = pipeline.read(image, replace(STEPS, mesh=False)).faces[0]
    crops = pipeline.cut.of(image, [face.box], face.landmarks[np.newaxis])
    steps: dict[str, Callable[[], object]] = {
        "find faces": lambda: pipeline.detector.detect(image, threads=1),
        "embed one": lambda: pipeline.embedder.embed(crops, threads=1),
        "mesh of one": lambda: pipeline.landmarker.meshes(image, [face], threads=1),
        "pose from five points": lambda: pose_from_landmarks(face.landmarks),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(100):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            taken[name].append(1e3 * (time.perf_counter() - began))
    for name, times in taken.items():
        print(f"{name}: {min(times):.2f} ms, median {np.median(times):.2f}")


def eyes(pipeline: Pipeline, people: int, seed: int) -> None:
    """Whether shut eyes and looks are seen."""
    rng, found = np.random.default_rng(seed), []
    for number in range(people):
        yaw, pitch, roll = rng.uniform(-1, 1, 3) * (0.7, 0.35, 0.3)
        gaze, shut = (rng.uniform(-4, 4), rng.uniform(-2, 2)), number % 4 == 0
        view = replace(
            View.draw(seed, number, 1, size=400), yaw=yaw, pitch=pitch, roll=roll, cover=0.0, glasses="none",
            gaze=gaze, eye_close=1.0 if shut else 0.05,
        )  # fmt: skip
        faces = pipeline.read(render(Person.draw(seed, number), view).image, STEPS).faces
        if faces and faces[0].mesh is not None:
            mesh = faces[0].mesh
            blink = mesh.blendshapes["eyeBlinkLeft"] + mesh.blendshapes["eyeBlinkRight"]
            found.append((shut, -sum(mesh.eyes_open), blink, *gaze, *_irises(mesh), abs(yaw)))
    rows = np.array(found, np.float64)
    shut = rows[:, 0] == 1
    above = [np.mean(rows[shut, i][:, None] > rows[~shut, i]) for i in (1, 2)]
    told = f"AUC {above[0]:.3f} by eyes_open, {above[1]:.3f} by eyeBlink"
    print(f"{shut.sum()} of {len(rows)} with shut eyes: {told}")
    for most in (0.26, 0.7):
        some = rows[~shut & (rows[:, 7] < most)]
        across, down = (np.corrcoef(some[:, 3 + i], some[:, 5 + i])[0, 1] for i in (0, 1))
        told = f"{len(some)} open eyes, yaw within {math.degrees(most):.0f}°"
        print(f"{told}: looks correlate with where irises are by {across:.2f} across, {down:.2f} down")


def _irises(mesh: Mesh) -> Floats:
    """(2,) how far irises are from the middle between the eye's corners, on the head, in widths of an eye."""
    head = (mesh.points * (1, 1, -1)) @ mesh.pose.rotation
    offsets = [
        (head[iris] - (head[outer] + head[inner]) / 2)[:2] / np.linalg.norm((head[outer] - head[inner])[:2])
        for outer, inner, iris in ((33, 133, 468), (263, 362, 473))
    ]
    return np.asarray(np.mean(offsets, axis=0), np.float64)


def remarks(pipeline: Pipeline, photos: int) -> None:
    """How many photos quality has remarks of, and reasons, by the mesh."""
    print("| photos | faces | eyes closed | mouth open | turned by 30° to 60° | farther |")
    print("|---|---|---|---|---|---|")
    for name in WILD:
        faces = list(sample(pipeline, SHARED / "data" / name, photos))
        kinds = ("eyes closed", "mouth open", "turned")
        counts = [sum(any(r.startswith(kind) for r in f.quality.remarks) for f in faces) for kind in kinds]
        counts.append(sum(any(r.startswith("turned") for r in f.quality.reasons) for f in faces))
        print(f"| {name} | {len(faces)} | {' | '.join(map(str, counts))} |")


def templates(pipeline: Pipeline, people: int) -> None:
    """Whether templates are better where samples are weighed by what the mesh tells of them."""
    folders = [
        folder for folder in sorted((SHARED / "data" / WILD[0]).iterdir()) if len(find_photos([folder])) > 3
    ]
    picks = np.random.default_rng(0).permutation(len(folders))[:people]
    rows, who, facts = [], [], []
    for person, pick in enumerate(picks):
        for photo in pipeline.read_many(find_photos([folders[pick]])[:8], Steps(main_only=True)):
            for face in photo.faces:
                quality = face.quality
                frontal = max(math.cos(quality.yaw) * math.cos(quality.pitch), 0.01)
                expression = sum(not remark.startswith("turned") for remark in quality.remarks)
                rows.append(face.embedding)
                who.append(person)
                facts.append((max(quality.value or 0.0, 0.01), frontal, 0.5**expression))
    vectors, people_of, (value, frontal, calm) = np.array(rows), np.array(who), np.array(facts).T
    ways = {
        "all alike": np.ones(len(rows)), "by quality (as templates are)": value,
        "and how frontal": value * frontal, "and its fourth power": value * frontal**4,
        "and half for eyes and mouth": value * frontal * calm,
    }  # fmt: skip
    print(f"{len(rows)} photos of {len(picks)} people\n")
    print("| samples weighed | TAR at FMR 1e-3 | at 1e-4 |\n|---|---|---|")
    for name, weights in ways.items():
        tars = np.array([_tars(vectors, people_of, weights, seed) for seed in range(20)]).mean(axis=0)
        print(f"| {name} | {tars[0]:.4f} | {tars[1]:.4f} |")


def _tars(vectors: Floats, people: NDArray[np.int64], weights: Floats, seed: int) -> tuple[float, float]:
    rng, made, probes, own = np.random.default_rng(seed), [], [], []
    for person in np.unique(people):
        shots = rng.permutation(np.flatnonzero(people == person))
        half = len(shots) // 2
        if half < 2:
            continue
        total = weights[shots[:half]] @ vectors[shots[:half]]
        made.append(total / np.linalg.norm(total))
        probes += shots[half:].tolist()
        own += [len(made) - 1] * (len(shots) - half)
    alike = vectors[probes] @ np.array(made).T
    same = np.arange(len(made)) == np.array(own)[:, np.newaxis]
    first, second = (
        float(np.mean(alike[same] >= np.quantile(alike[~same], 1 - fmr))) for fmr in (1e-3, 1e-4)
    )
    return first, second


def angles(pose: Pose) -> tuple[float, float, float]:
    return pose.yaw, pose.pitch, pose.roll


def interval(values: Floats) -> tuple[float, float]:
    """95% of the medians of bootstrap samples."""
    picks = np.random.default_rng(0).integers(0, len(values), (1000, len(values)))
    low, high = np.quantile(np.median(values[picks], axis=1), (0.025, 0.975))
    return float(low), float(high)


def chosen(folder: Path, photos: int) -> Sequence[Path]:
    """Some photos of a folder, the same each time; of LFW the first of each person."""
    paths = sorted(
        path for path in find_photos([folder]) if "lfw" not in folder.parts or path.stem.endswith("_0001")
    )
    picks = np.random.default_rng(0).permutation(len(paths))[:photos]
    return [paths[i] for i in picks]


def sample(pipeline: Pipeline, folder: Path, photos: int) -> Iterator[Face]:
    for found in pipeline.read_many(chosen(folder, photos), STEPS):
        yield from found.faces


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=600)
    parser.add_argument("--seed", type=int, default=4242)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--zero", action="store_true")
    parser.add_argument("--sizes", action="store_true")
    parser.add_argument("--eyes", action="store_true")
    parser.add_argument("--remarks", action="store_true")
    parser.add_argument("--templates", action="store_true")
    parser.add_argument("--speed", action="store_true")
    asked = parser.parse_args()
    pipeline = Pipeline.load(embed=asked.templates or asked.speed, threads=1, mesh=True)
    if asked.zero:
        zero(pipeline, asked.photos)
    elif asked.sizes:
        sizes(pipeline, asked.photos)
    elif asked.speed:
        speed(pipeline)
    elif asked.templates:
        templates(pipeline, asked.people)
    elif asked.remarks:
        remarks(pipeline, asked.photos)
    elif asked.eyes:
        eyes(pipeline, asked.people, asked.seed)
    else:
        drawn(pipeline, asked.people, asked.seed)


if __name__ == "__main__":
    main()
