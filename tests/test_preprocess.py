"""Pixels to network input, against the formula written out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import ModelError
from facewise.preprocess import Preprocess

IMAGENET = Preprocess(112, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CAFFE = Preprocess(None, (104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "BGR", "none")
PIXELS = np.random.default_rng(3).integers(0, 256, (3, 14, 17, 3), dtype=np.uint8)


def by_hand(preprocess: Preprocess, images: np.ndarray) -> np.ndarray:
    ordered = images if preprocess.color == "RGB" else images[..., [2, 1, 0]]
    scaled = (ordered.astype(np.float64) - np.array(preprocess.mean)) / np.array(preprocess.std)
    return scaled.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("preprocess", [IMAGENET, CAFFE, Preprocess(9, (1, 2, 3), (4, 5, 6), "BGR")])
def test_is_the_formula(preprocess: Preprocess) -> None:
    batch = preprocess(PIXELS)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert batch.shape == (3, 3, 14, 17)
    np.testing.assert_allclose(batch, by_hand(preprocess, PIXELS), rtol=1e-5, atol=2e-5)


def test_rgb_and_bgr_are_told_apart() -> None:
    rgb, bgr = Preprocess(None, (1, 2, 3), (4, 5, 6)), Preprocess(None, (1, 2, 3), (4, 5, 6), "BGR")
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(rgb(red)[0, :, 0, 0], [254 / 4, -2 / 5, -3 / 6], rtol=1e-6)
    np.testing.assert_allclose(bgr(red)[0, :, 0, 0], [-1 / 4, -2 / 5, 252 / 6], rtol=1e-6)
    np.testing.assert_array_equal(rgb(red[..., ::-1]), bgr(red))


def test_takes_mirrored_views_and_leaves_the_pixels_alone() -> None:
    before = PIXELS.copy()
    np.testing.assert_array_equal(IMAGENET(PIXELS[:, :, ::-1]), IMAGENET(PIXELS)[:, :, :, ::-1])
    np.testing.assert_array_equal(PIXELS, before)
    assert IMAGENET(PIXELS[:0]).shape == (0, 3, 14, 17)


def test_reads_back_what_it_writes() -> None:
    for preprocess in (IMAGENET, CAFFE):
        assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess


GOOD = IMAGENET.to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": True},
        {"size": -112},
        {"size": "112"},
        {"size": 112.5},
        {"mean": [1, 2]},
        {"mean": [1, 2, 3, 4]},
        {"mean": "abc"},
        {"mean": None},
        {"mean": [1, 2, float("nan")]},
        {"mean": [1, 2, float("inf")]},
        {"std": [1, 0, 1]},
        {"std": [1, -1, 1]},
        {"std": [1, 1, float("nan")]},
        {"std": 5},
        {"color": "rgb"},
        {"color": None},
        {"alignment": "eyes"},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="preprocess"):
        Preprocess.from_dict(GOOD | change)


@pytest.mark.parametrize("key", list(GOOD))
def test_what_is_missing_is_named(key: str) -> None:
    with pytest.raises(ModelError, match=key):
        Preprocess.from_dict({k: v for k, v in GOOD.items() if k != key})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=100)
@given(st.dictionaries(st.sampled_from(list(GOOD)), json_values))
def test_any_json_is_a_preprocess_or_a_model_error(changes: dict[str, object]) -> None:
    try:
        preprocess = Preprocess.from_dict(GOOD | changes)
    except ModelError:
        return
    assert (
        np.isfinite(preprocess(PIXELS)).all()
        or max(map(abs, preprocess.mean)) > 1e30
        or min(preprocess.std) < 1e-30
    )
