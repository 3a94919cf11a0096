"""The bundled models against the public ones, in one run: a whole identification of one photo.

FACEWISE_EMBEDDER and FACEWISE_DETECTOR name others than the bundled ones.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from facewise.evaluation.pace import in_turn
from facewise.gallery import Gallery, Sample
from facewise.hardware import available_threads
from facewise.image import read_image
from facewise.models.bundled import BUNDLED_MODELS
from facewise.pipeline import Pipeline, Steps
from facewise.types import Image
from facewise.variants import VARIANTS
from real import LFW, have_models, public_pipeline

ROUNDS, PEOPLE = 31, 1000


def main() -> None:
    have_models()
    ours = [
        os.environ.get(f"FACEWISE_{kind.upper()}", BUNDLED_MODELS[kind]) for kind in ("detector", "embedder")
    ]
    identification(ours)


def identification(ours: list[str]) -> None:
    """Detect, align, embed and match one photo of 640×480 pixels with one face, from decoded pixels."""
    photo = picture()
    print(f"One photo of 640×480 with one face: detect, align, embed, match with {PEOPLE:,} people:\n")
    print("| threads | variant | public models, ms | bundled models, ms | ratio |\n|---|---|---|---|---|")
    for threads in sorted({1, available_threads()}):
        for variant in VARIANTS:
            public, bundled = public_pipeline(threads=threads), load(ours, threads, variant)
            with tempfile.TemporaryDirectory() as folder:
                galleries = [
                    gallery_of(pipeline, Path(folder) / f"{i}.db")
                    for i, pipeline in enumerate((public, bundled))
                ]
                for pipeline in (public, bundled):
                    assert len(pipeline.read(photo).faces) == 1, f"{pipeline.detector.name} finds other faces"
                first, second = (lambda g=gallery: g.identify(photo, threshold=0.9) for gallery in galleries)
                took, ratio = in_turn(first, second, rounds=ROUNDS)
                for gallery in galleries:
                    gallery.close()
            runs = variant if variant != "auto" else f"auto: {bundled.embedder.variant.name}"
            print(
                f"| {threads} | {runs} | {1000 * took:.1f} | {1000 * took / ratio:.1f} | {ratio:.2f} |",
                flush=True,
            )
        print_steps(threads, [public, bundled], photo)


def load(ours: list[str], threads: int, variant: str) -> Pipeline:
    """Our models, with what is faster here found out."""
    pipeline = Pipeline.load(*ours, threads=threads, variant=variant)
    pipeline.embedder.settle()
    return pipeline


def print_steps(threads: int, pipelines: list[Pipeline], photo: Image) -> None:
    """Of that, finding the faces."""
    steps = Steps(align=False, embed=False)
    first, second = (lambda p=pipeline: p.read(photo, steps) for pipeline in pipelines)
    took, ratio = in_turn(first, second, rounds=ROUNDS)
    print(f"| {threads} | of it detecting | {1000 * took:.1f} | {1000 * took / ratio:.1f} | {ratio:.2f} |")


def gallery_of(pipeline: Pipeline, path: Path) -> Gallery:
    """People with random embeddings."""
    gallery = Gallery.open(path, pipeline=pipeline)
    vectors = np.random.default_rng(0).normal(size=(PEOPLE, pipeline.embedder.embedding_size))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for i, vector in enumerate(vectors.astype(np.float32)):
        gallery.enroll_embeddings(f"person {i}", [Sample(vector)], fingerprint=pipeline.embedder.fingerprint)
    return gallery


def picture() -> Image:
    """A photo of LFW, 480 pixels high, before a blurred copy of itself."""
    face = cv2.resize(read_image(min((LFW / "images").glob("*/*.jpg"))), (480, 480))
    behind = cv2.GaussianBlur(cv2.resize(face, (640, 480)), (0, 0), 60)
    behind[:, 80:560] = face
    return np.ascontiguousarray(behind)


if __name__ == "__main__":
    main()
