"""The bundled models against the public ones, in one run: the embedder alone, and a whole identification.

FACEWISE_EMBEDDER and FACEWISE_DETECTOR name others than the bundled ones.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from facewise.embedding import Embedder
from facewise.evaluation.pace import in_turn
from facewise.gallery import Gallery, Sample
from facewise.hardware import available_threads
from facewise.image import read_image
from facewise.models import ModelFile, find_model
from facewise.models.bundled import BUNDLED_MODELS
from facewise.pipeline import Pipeline, Steps
from facewise.types import Image
from real import LFW, PUBLIC, have_models, public_pipeline

ROUNDS, CROPS, PEOPLE = 31, 64, 1000


def main() -> None:
    have_models()
    ours = [
        os.environ.get(f"FACEWISE_{kind.upper()}", BUNDLED_MODELS[kind]) for kind in ("detector", "embedder")
    ]
    embedder_alone(find_model(PUBLIC[1], kind="embedder"), find_model(ours[1], kind="embedder"))
    identification(ours)


def embedder_alone(public: ModelFile, ours: ModelFile) -> None:
    """From pixels, against the float32 network of the same layers in bare ONNX Runtime at its best batch."""
    crops = np.random.default_rng(0).integers(0, 256, (CROPS, 112, 112, 3), dtype=np.uint8)
    ready = public.card.preprocess(crops)
    print(
        f"{ours.card.name} from pixels against {public.card.name} (float32, the same layers) in bare ONNX "
        "Runtime:\n"
    )
    print("| threads | bare, crops/s | its best batch | ours, crops/s | ratio |\n|---|---|---|---|---|")
    for threads in sorted({1, available_threads()}):
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        bare = ort.InferenceSession(public.network, options, providers=["CPUExecutionProvider"])
        name = bare.get_inputs()[0].name

        def run(batch: int, bare: ort.InferenceSession = bare, name: str = name) -> None:
            for start in range(0, CROPS, batch):
                bare.run(None, {name: ready[start : start + batch]})

        mine = Embedder(ours, flip=False, threads=threads)
        sizes = (1, 2, 4, 8, 16, 32, 64)
        best = min(
            sizes,
            key=lambda batch: in_turn(lambda: run(batch), lambda: None, rounds=3)[0],
        )
        took, ratio = in_turn(lambda: run(best), lambda: mine.embed(crops), rounds=ROUNDS)  # noqa: B023
        print(f"| {threads} | {CROPS / took:.0f} | {best} | {CROPS / took * ratio:.0f} | {ratio:.2f} |")


def identification(ours: list[str]) -> None:
    """Detect, align, embed and match one photo of 640×480 pixels with one face, from decoded pixels."""
    photo = picture()
    print(f"\nOne photo of 640×480 with one face: detect, align, embed, match with {PEOPLE:,} people:\n")
    print("| threads | public models, ms | bundled models, ms | ratio |\n|---|---|---|---|")
    for threads in sorted({1, available_threads()}):
        with tempfile.TemporaryDirectory() as folder:
            pipelines = [public_pipeline(threads=threads), Pipeline.load(*ours, threads=threads)]
            galleries = [
                gallery_of(pipeline, Path(folder) / f"{i}.db") for i, pipeline in enumerate(pipelines)
            ]
            for pipeline in pipelines:
                assert len(pipeline.read(photo).faces) == 1, f"{pipeline.detector.name} finds other faces"
            first, second = (lambda g=gallery: g.identify(photo, threshold=0.9) for gallery in galleries)
            took, ratio = in_turn(first, second, rounds=ROUNDS)
            print(f"| {threads} | {1000 * took:.1f} | {1000 * took / ratio:.1f} | {ratio:.2f} |")
            print_steps(pipelines, photo)
            for gallery in galleries:
                gallery.close()


def print_steps(pipelines: list[Pipeline], photo: Image) -> None:
    """Of that, finding the faces."""
    steps = Steps(align=False, embed=False)
    first, second = (lambda p=pipeline: p.read(photo, steps) for pipeline in pipelines)
    took, ratio = in_turn(first, second, rounds=ROUNDS)
    print(f"| of it detecting | {1000 * took:.1f} | {1000 * took / ratio:.1f} | {ratio:.2f} |")


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
