"""The faces `facewise-attributes-s` learns from: UTKFace and FER2013, aligned, no picture in two parts.

UTKFace holds pictures under several names. Those that look alike are one group, and a group is learned from,
validated on or tested on as a whole.
"""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.data.csvfile import read_csv
from facewise.detection import OnnxDetector
from facewise.files import atomic_write, write_bytes
from facewise.geometry import align
from facewise.image import read_image
from facewise.types import Image

SIZE = 112
TRAIN, VALIDATE, TEST = 0, 1, 2

_ALIKE = 0.97
"""Correlation of two pictures of 24×24 grey, from which on they are one; mirrored ones too."""

_SIDE = 24
_BORDER = 0.25
"""Of a picture's side, added all round: these pictures are cut so close that detectors miss the face."""

_ENLARGED = 144
"""Pixels of the side that FER2013's 48 are enlarged to for the detector."""

_BLUR = 3.0
"""Standard deviation in pixels of what FER2013's training part was blurred with; see `sharpened`."""

_NOISE = 0.015
"""Amplitude of the noise over that of a sharp picture at 6 waves."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
GENDERS = ("female", "male")
RACES = ("white", "black", "asian", "indian", "other")


def gather(data: Path, work: Path, detector: OnnxDetector) -> Path:
    """Align all faces and write them as arrays; what is there already is not made again.

    Args:
        data: Folder with `utkface`, `utkface-rest` and `fer2013`.
        work: Where `attributes/` goes.
        detector: Finds the landmarks.

    Returns:
        WORK/attributes, with for each data set `NAME.npy` (N, 112, 112, 3) crops and `NAME.json`: keys,
        labels, `part` (0 train, 1 validation, 2 test) and of which the detector found the face.
    """
    folder = work / "attributes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (("utkface", _utkface), ("fer2013", _fer2013)):
        if not (folder / f"{name}.json").is_file():
            pictures, facts = make(data)
            # FER2013's training part is too blurred for a detector; its pictures are registered.
            trusted = np.array([name != "fer2013" or part != TRAIN for part in facts["part"]])
            crops, found = _aligned(pictures, trusted, detector)
            with atomic_write(folder / f"{name}.npy") as path, path.open("wb") as file:
                np.save(file, crops)
            facts |= {"found": found.tolist()}
            write_bytes(folder / f"{name}.json", json.dumps(facts).encode())
    return folder


def _utkface(data: Path) -> tuple[list[Image], dict[str, list[object]]]:
    rows = []
    for name in ("utkface", "utkface-rest"):
        columns = ("path", "age", "gender", "race")
        rows += [
            (data / name / fields[0], *fields[1:])
            for _, fields in read_csv(data / name / "labels.csv", columns)
        ]
    with ThreadPoolExecutor() as pool:
        pictures = list(pool.map(read_image, [row[0] for row in rows]))
    groups = alike(pictures)
    keys = [f"{row[0].parent.parent.name}/{row[0].name}" for row in rows]
    first = {group: min(keys[i] for i in np.flatnonzero(groups == group)) for group in np.unique(groups)}
    facts = {
        "keys": keys,
        "group": groups.tolist(),
        "part": [part(first[group]) for group in groups],
        "age": [float(row[1]) for row in rows],
        "gender": [GENDERS.index(row[2]) for row in rows],
        "race": [RACES.index(row[3]) for row in rows],
    }
    return pictures, facts


def part(name: str) -> int:
    """A fifth to test on, a tenth of the rest to validate on, drawn by the sha256 of a name."""
    draw = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    return TEST if draw < 0.2 else VALIDATE if draw < 0.28 else TRAIN


def alike(pictures: list[Image]) -> NDArray[np.int64]:
    """(N,) number of each picture's group: those that look the same, as they are or mirrored."""
    grey = np.stack([_small(picture) for picture in pictures])
    mirrored = np.ascontiguousarray(grey.reshape(-1, _SIDE, _SIDE)[:, :, ::-1]).reshape(len(grey), -1)
    group = np.arange(len(grey))
    for start in range(0, len(grey), 1000):
        block = grey[start : start + 1000]
        rows, columns = np.nonzero(np.maximum(block @ grey.T, block @ mirrored.T) >= _ALIKE)
        for i, j in zip((rows + start).tolist(), columns.tolist(), strict=True):
            a, b = _root(group, i), _root(group, j)
            group[max(a, b)] = min(a, b)
    return np.array([_root(group, i) for i in range(len(group))])


def _root(group: NDArray[np.int64], i: int) -> int:
    while group[i] != i:
        i = int(group[i])
    return i


def _small(picture: Image) -> NDArray[np.float32]:
    """(576,) the picture small and grey, of mean 0 and length 1."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    small -= small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6))


def _fer2013(data: Path) -> tuple[list[Image], dict[str, list[object]]]:
    with np.load(data / "fer2013" / "fer2013.npz") as pack:
        header, scans, offsets = pack["header"].tobytes(), pack["scans"].tobytes(), pack["offsets"]
        labels, split, keep, number = pack["labels"], pack["split"], pack["keep"], pack["number"]
    pictures = [read_image(io.BytesIO(header + scans[a:b])) for a, b in pairwise(offsets.tolist())]
    pictures = [sharpened(p) if part == TRAIN else p for p, part in zip(pictures, split, strict=True)]
    large = [cv2.resize(p, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC) for p in pictures]
    facts = {
        "keys": [f"{split[i]}-{number[i]}" for i in range(len(labels))],
        "part": split.tolist(),
        "emotion": labels.tolist(),
        "keep": keep.tolist(),
    }
    return large, facts


def sharpened(picture: Image) -> Image:
    """A picture of FER2013's training part with its blur undone as far as noise allows.

    That part of the set in DATA is blurred: its mean spectrum over that of the other parts is that of a
    Gaussian of 3 pixels, up to 7 waves a picture, where the noise of rounding begins. This is Wiener's filter
    for it, where a sharp picture's spectrum falls with the waves to the power of 1.2.

    Args:
        picture: (48, 48, 3) grey.
    """
    border = 24
    size = 48 + 2 * border
    waves = np.fft.fftfreq(size)
    radius = np.hypot(waves[:, None], waves[None])
    blur = np.exp(-2 * (np.pi * _BLUR * radius) ** 2)
    noise = _NOISE**2 * (np.maximum(radius * 48, 0.5) / 6) ** 2.4
    grey = np.pad(picture[..., 0].astype(np.float32), border, mode="reflect")
    mean = grey.mean()
    undone = np.fft.ifft2(np.fft.fft2(grey - mean) * blur / (blur**2 + noise)).real + mean
    inner = np.clip(undone[border:-border, border:-border], 0, 255).round().astype(np.uint8)
    return np.repeat(inner[..., None], 3, axis=2)


def _aligned(
    pictures: list[Image], trusted: NDArray[np.bool_], detector: OnnxDetector
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Crops (N, 112, 112, 3), and for which a face was found; the others are cut as those are usually.

    Args:
        pictures: Square ones, of one framing.
        trusted: (N,) in which a face is looked for: not those that were blurred.
        detector: Finds the landmarks.
    """
    looked = [picture if sharp else None for picture, sharp in zip(pictures, trusted, strict=True)]
    with ThreadPoolExecutor() as pool:
        points = list(pool.map(lambda p: None if p is None else _landmarks(p, detector), looked))
    found = np.array([point is not None for point in points])
    # Relative to the picture's side, so that pictures of all sizes count alike.
    scaled = [point / pictures[i].shape[0] for i, point in enumerate(points) if point is not None]
    usual = np.median(scaled, axis=0)
    crops = np.empty((len(pictures), SIZE, SIZE, 3), np.uint8)
    for i, (picture, point) in enumerate(zip(pictures, points, strict=True)):
        crops[i] = align(picture, usual * picture.shape[0] if point is None else point, SIZE)
    return crops, found


def _landmarks(picture: Image, detector: OnnxDetector) -> NDArray[np.float32] | None:
    border = round(_BORDER * picture.shape[0])
    padded = np.ascontiguousarray(np.pad(picture, ((border, border), (border, border), (0, 0))))
    faces = detector.detect(padded, threads=1)
    if not faces:
        return None
    middle = np.array(padded.shape[1::-1]) / 2
    # The one these pictures are about: large and in the middle.
    best = max(faces, key=lambda face: face.width - np.linalg.norm(face.landmarks.mean(axis=0) - middle))
    return best.landmarks - np.float32(border)
