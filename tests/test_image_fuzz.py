"""Whatever bytes it is given, `read_image` answers with an image or an `ImageError`, soon and quietly."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

from facewise.errors import ImageError
from facewise.image import read_image
from mutations import mutated_images, originals
from photo_formats import newer_originals


def check_image(image: np.ndarray) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.size > 0
    assert image.flags.c_contiguous
    assert image.flags.writeable


def check_sentence(sentence: str) -> None:
    assert sentence.startswith("Cannot read image bytes: ")
    assert sentence.endswith(".")
    assert sentence.isprintable()


def test_originals_are_good() -> None:
    for data in originals():
        check_image(read_image(data))


def test_mutations_are_reproducible() -> None:
    whole = originals()
    assert list(mutated_images(50, 3, whole)) == list(mutated_images(50, 3, whole))
    assert list(mutated_images(50, 3, whole)) != list(mutated_images(50, 4, whole))


@pytest.mark.parametrize("count", [500, pytest.param(4000, marks=pytest.mark.slow)])
def test_damaged_images(count: int, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _, data in mutated_images(count, 20240611, originals()):
            try:
                check_image(read_image(data))
                outcomes["image"] += 1
            except ImageError as error:
                check_sentence(str(error))
                outcomes["error"] += 1
    # The generator is worth something only while it produces both.
    assert min(outcomes["image"], outcomes["error"]) > count * 0.15, outcomes
    assert capfd.readouterr().err == ""


_SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        *((kind, 200) for kind in ("HEIF", "AVIF", "MPO", "JXL", "RAW")),
        *(pytest.param(kind, 2000, marks=_SLOW) for kind in ("HEIF", "AVIF", "MPO", "JXL", "RAW")),
    ],
)
def test_damaged_photos_of_newer_formats(kind: str, count: int, capfd: pytest.CaptureFixture[str]) -> None:
    whole = newer_originals().get(kind)
    if whole is None:
        pytest.skip(f"no decoder of {kind} is installed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for photo in whole:
            check_image(read_image(photo))
        for _, data in mutated_images(count, 20261130, whole):
            try:
                check_image(read_image(data))
            except ImageError as error:
                check_sentence(str(error))
    assert capfd.readouterr().err == ""


def test_an_image_cut_short_is_never_half_a_picture() -> None:
    """Cut anywhere, a file is an error, unless only what follows the last pixel is missing."""
    for number, data in enumerate(originals()):
        whole = read_image(data)
        for keep in {*range(0, len(data), max(1, len(data) // 60)), *range(len(data) - 12, len(data))}:
            try:
                image = read_image(data[:keep])
            except ImageError:
                continue
            assert np.array_equal(image, whole), (number, keep, len(data))
