"""Crops a second from the store through augmentation into batches, each preset on one thread and on four.

Every round takes all presets and threads in turn. `waits` is what a consumer that takes 256 crops every
256 ms (1000 a second) waited for data, of its whole time, the first batch included. Where albumentations can
be imported, the same changes with it, one thread each, on the same crops.

`known again` is how many of 400 changed crops the public MobileFaceNet finds more like the unchanged one than
99.9 % of the pairs of different people among the unchanged ones are: how much of a face a preset leaves.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from facewise.data.augment import PRESETS, Augmentation, Draw
from facewise.data.batches import Augment, Batches
from facewise.data.samplers import Shuffle
from facewise.data.store import CropStore
from facewise.data.store_build import build_store
from facewise.geometry import align
from facewise.image import read_image
from facewise.types import Image
from real import LFW, SHARED, have_models, public_pipeline

CROPS, BATCH, ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 4096, 256, 5
THREADS = (1, 4)


class AlignedLfw:
    """The first photos of LFW, aligned by the golden landmarks."""

    def __init__(self, photos: int) -> None:
        golden = np.load(SHARED / "reference" / "lfw_retinaface.npz")
        self.name, self.keys = "LFW", tuple(map(str, golden["path"][:photos]))
        self.landmarks = golden["landmarks"][:photos]
        people = [Path(key).parent.name for key in self.keys]
        self.names, labels = np.unique(people, return_inverse=True)
        self.labels = labels.astype(np.int64)

    def read(self, index: int) -> Image:
        """One crop."""
        return align(read_image(LFW / "images" / self.keys[index]), self.landmarks[index])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        store = build_store(AlignedLfw(CROPS), Path(folder), 112)
        built = len(store) / (time.perf_counter() - begun)
        begun = time.perf_counter()
        CropStore.open(folder)
        opened = (time.perf_counter() - begun) * 1e3
        print(f"{len(store)} LFW crops: store built at {built:.0f} photos/s, opened in {opened:.0f} ms.\n")
        presets(store)
        against_albumentations(store)


def presets(store: CropStore) -> None:
    rates: dict[tuple[str, int], list[float]] = {(name, t): [] for name in PRESETS for t in THREADS}
    for number in range(ROUNDS + 1):
        for (name, threads), found in rates.items():
            begun = time.perf_counter()
            crops = sum(len(batch.labels) for batch in batches(store, PRESETS[name], threads).epoch(number))
            if number:  # the first round warms up
                found.append(crops / (time.perf_counter() - begun))
    print("| preset | crops/s, 1 thread | crops/s, 4 threads | ratio | waits, 1 thread | known again |")
    print("|---|---|---|---|---|---|")
    known = known_again(store)
    for name in PRESETS:
        one, four = (float(np.median(rates[name, threads])) for threads in THREADS)
        rest = f"{waits(store, PRESETS[name]):.1%} | {known[name]:.1%}"
        print(f"| {name} | {one:.0f} | {four:.0f} | {four / one:.2f} | {rest} |")


def known_again(store: CropStore) -> dict[str, float]:
    try:
        have_models()
    except ImportError:  # an environment for the comparison with albumentations only
        return dict.fromkeys(PRESETS, math.nan)
    embedder = public_pipeline(flip=False).embedder
    chosen = np.random.default_rng(0).choice(len(store), 400, replace=False)
    crops, labels = store.take(chosen), store.labels[chosen]
    plain = embedder.embed(crops)
    threshold = np.quantile((plain @ plain.T)[labels[:, None] != labels], 0.999)
    known = {}
    for name, augmentation in PRESETS.items():
        changed = [augmentation(crop, np.random.default_rng([0, 0, i])) for i, crop in enumerate(crops)]
        known[name] = float(np.mean((embedder.embed(np.stack(changed)) * plain).sum(1) > threshold))
    return known


def batches(store: CropStore, augmentation: Augment, threads: int) -> Batches:
    return Batches(store, Shuffle(store.labels, BATCH, seed=0), augmentation, threads=threads)


def waits(store: CropStore, augmentation: Augmentation) -> float:
    loader = batches(store, augmentation, threads=1)
    begun = time.perf_counter()
    for _ in loader.epoch(0):
        time.sleep(BATCH / 1000)
    return loader.waited_s / (time.perf_counter() - begun)


def against_albumentations(store: CropStore) -> None:
    try:
        import albumentations
    except ImportError:
        return
    cv2.setNumThreads(1)
    crops = store.take(range(256))
    print("\n| one thread, crops/s | ours | albumentations | ratio |\n|---|---|---|---|")
    for name, ours, theirs in pairs(albumentations):
        rates: list[list[float]] = [[], []]
        ways: tuple[Callable[[Image, int], object], ...] = (
            lambda crop, i, ours=ours: ours(crop, np.random.default_rng([0, 0, i])),
            lambda crop, _, theirs=theirs: theirs(image=crop)["image"],
        )
        for _ in range(ROUNDS):
            for way, found in zip(ways, rates, strict=True):
                begun = time.perf_counter()
                for i, crop in enumerate(crops):
                    way(crop, i)
                found.append(len(crops) / (time.perf_counter() - begun))
        one, other = (float(np.median(found)) for found in rates)
        print(f"| {name} | {one:.0f} | {other:.0f} | {one / other:.2f} |")


def pairs(a) -> Iterator[tuple[str, Augmentation, Callable]]:  # type: ignore[no-untyped-def]
    """Settings of ours and of albumentations that do the same work equally often."""
    degrees = math.degrees(0.17)
    affine = {
        "scale": (0.9, 1.1),
        "rotate": (-degrees, degrees),
        "shear": (-3, 3),
        "translate_percent": (-0.05, 0.05),
    }
    geometry = [a.HorizontalFlip(p=0.5), a.Affine(**affine, p=1.0)]
    shape = {
        "zoom": Draw(1, 0.9, 1.1),
        "rotation": Draw(1, -0.17, 0.17),
        "shear": Draw(1, -0.05, 0.05),
        "shift": Draw(1, -0.05, 0.05),
        "flip": 0.5,
    }
    tone = [a.RandomBrightnessContrast(0.3, 0.3, p=1.0), a.HueSaturationValue(6, 40, 0, p=1.0)]
    tones = {name: Draw(1, 0.7, 1.3) for name in ("brightness", "contrast", "saturation")}
    tones["hue"] = Draw(1, -0.1, 0.1)
    area = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}  # its own choice is the nearest pixel
    worse = [
        a.GaussianBlur(sigma_limit=(0.3, 1.5), p=1.0),
        a.Downscale((0.3, 0.8), interpolation_pair=area, p=1.0),
        a.ImageCompression(quality_range=(30, 90), p=1.0),
    ]
    worsened = {"blur": Draw(1, 0.3, 1.5), "downscale": Draw(1, 0.3, 0.8), "jpeg": Draw(1, 30, 90)}
    noisy = [a.GaussNoise(std_range=(0.01, 0.03), p=1.0)]
    yield "geometry", Augmentation(**shape), a.Compose(geometry)
    yield "tone and colour", Augmentation(**tones), a.Compose(tone)
    yield "blur, downscale, JPEG", Augmentation(**worsened), a.Compose(worse)
    yield "noise", Augmentation(noise=Draw(1, 2.5, 7.5)), a.Compose(noisy)
    everything = Augmentation(**shape, **tones, **worsened, noise=Draw(1, 2.5, 7.5))
    yield "all of these", everything, a.Compose(geometry + tone + worse + noisy)


if __name__ == "__main__":
    main()
