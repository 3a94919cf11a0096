"""What happens to pixels, each against plain arithmetic, Pillow, or a property."""

import io
import math

import numpy as np
import PIL.Image
import pytest

from facewise.data.augment import pixels

CROP = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
SMOOTH = np.asarray(
    PIL.Image.fromarray(CROP[:8, :8]).resize((112, 112), PIL.Image.Resampling.BICUBIC), np.uint8
)
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize(
    ("b", "c", "g"), [(1.3, 1, 1), (0.5, 1.4, 1), (1.2, 0.6, 0.7), (1, 1, 1.6), (1, 0, 1)]
)
def test_tone_is_its_formula(b, c, g):
    values = CROP * b
    mean = (CROP.mean((0, 1)) @ LUMA) * b
    wanted = 255 * (((values - mean) * c + mean).clip(0, 255) / 255) ** g
    np.testing.assert_allclose(pixels.tone(CROP, b, c, g), wanted, atol=0.51)


def test_no_saturation_is_pillows_grey():
    grey = pixels.colour(CROP, saturation=0.0)
    assert (grey == grey[..., :1]).all()
    pillow = np.asarray(PIL.Image.fromarray(CROP).convert("L"), int)
    assert np.abs(grey[..., 0] - pillow).max() <= 1


@pytest.mark.parametrize("saturation", [0.4, 1.6])
def test_saturation_mixes_with_grey(saturation):
    grey = (CROP @ LUMA)[..., None]
    wanted = (grey + saturation * (CROP - grey)).clip(0, 255)
    np.testing.assert_allclose(pixels.colour(CROP, saturation), wanted, atol=1)  # OpenCV rounds the matrix


def test_hue_turns_about_grey():
    third = 2 * math.pi / 3
    np.testing.assert_array_equal(pixels.colour(CROP, hue=third), np.roll(CROP, 1, axis=-1))
    greys = np.repeat(CROP[..., :1], 3, axis=-1)
    np.testing.assert_allclose(pixels.colour(greys, hue=0.7), greys, atol=1)


def test_blur_spreads_a_dot_by_its_deviation_whatever_the_size():
    for size in (112, 224):
        dot = np.zeros((size, size, 3), np.uint8)
        dot[size // 2, size // 2] = 255
        spread = pixels.blur(dot, 1.5)[..., 0].astype(float)
        place = np.arange(size) - size // 2
        deviation = math.sqrt((spread.sum(0) @ place**2) / spread.sum())
        assert deviation == pytest.approx(1.5 * size / 112, rel=0.12)


@pytest.mark.parametrize("direction", [0.0, 0.6, math.pi / 2, 2.4])
def test_motion_draws_a_dot_out_along_its_direction(direction):
    dot = np.zeros((112, 112, 3), np.uint8)
    dot[56, 56] = 255
    track = pixels.motion(dot, 12, direction)[..., 0].astype(float)
    y, x = np.nonzero(track > 5)
    along = (x - 56) * math.cos(direction) + (y - 56) * math.sin(direction)
    across = -(x - 56) * math.sin(direction) + (y - 56) * math.cos(direction)
    assert np.ptp(along) == pytest.approx(12, abs=1.5)
    assert np.abs(across).max() <= 1
    assert track.sum() == pytest.approx(255, rel=0.05)


def test_noise_is_normal_with_its_deviation():
    flat = np.full((112, 112, 3), 128, np.uint8)
    added = pixels.noise(flat, 10, np.random.default_rng(0)).astype(float) - 128
    assert abs(added.mean()) < 0.2
    assert added.std() == pytest.approx(10, rel=0.02)
    assert (added**4).mean() / added.var() ** 2 == pytest.approx(3, abs=0.25)
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.04
    assert pixels.noise(np.full_like(flat, 255), 10, np.random.default_rng(0)).max() == 255


def test_downscaling_takes_detail_and_keeps_the_mean():
    coarse = pixels.downscale(CROP, 0.25)
    assert coarse.std() < 0.4 * CROP.std()
    assert coarse.mean() == pytest.approx(CROP.mean(), abs=1)
    np.testing.assert_allclose(pixels.downscale(SMOOTH, 0.5)[4:-4, 4:-4], SMOOTH[4:-4, 4:-4], atol=12)


@pytest.mark.parametrize("quality", [20, 60, 95])
def test_jpeg_is_as_good_as_pillows_of_the_same_quality(quality):
    file = io.BytesIO()
    PIL.Image.fromarray(SMOOTH).save(file, "JPEG", quality=quality)
    pillow = np.asarray(PIL.Image.open(file), float)
    ours = pixels.jpeg(SMOOTH, quality).astype(float)
    assert np.abs(ours - SMOOTH).mean() == pytest.approx(np.abs(pillow - SMOOTH).mean(), rel=0.1, abs=0.1)
    assert np.abs(ours - pillow).max() <= 8  # and so red is red and blue is blue


@pytest.mark.parametrize(("area", "aspect"), [(0.1, 1.0), (0.2, 3.0), (0.05, 1 / 3)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (1.0, 1.0), (0.3, 0.8)])
def test_what_is_erased_is_a_rectangle_inside(area, aspect, place):
    white = np.full((112, 112, 3), 255, np.uint8)
    covered = (pixels.erase(white, area, aspect, place, np.random.default_rng(1)) != 255).any(-1)
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert covered.sum() == height * width
    assert height * width / 112**2 == pytest.approx(area, rel=0.05)
    assert height / width == pytest.approx(aspect, rel=0.08)
    assert (columns[0], rows[0]) == (round(place[0] * (112 - width)), round(place[1] * (112 - height)))
    assert (white == 255).all()
