"""Augmentation: one warp against its parts, nothing set changes nothing, what is drawn, presets, settings."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.augment import PRESETS, Augmentation, Draw, Warp, augmentation, warp
from facewise.data.augment.augmentation import CHANCES, LIMITS
from facewise.errors import SettingError


def crop_of(size=112, seed=0):
    """Smooth colours with a few edges, as faces are."""
    y, x = np.mgrid[:size, :size] / size
    waves = [np.sin(3 * x + i) * np.cos(4 * y + 2 * i + seed) for i in range(3)]
    picture = 128 + 60 * np.stack(waves, -1)
    picture[size // 4 : size // 2, size // 4 : size // 3] += 50
    return picture.clip(0, 255).astype(np.uint8)


def rng(*seed):
    return np.random.default_rng(seed or 0)


warps = st.builds(
    Warp,
    zoom=st.floats(0.5, 2),
    shear=st.floats(-1, 1),
    rotation=st.floats(-3, 3),
    flip=st.booleans(),
    shift_x=st.floats(-0.5, 0.5),
    shift_y=st.floats(-0.5, 0.5),
)


@given(warps, st.integers(8, 200), st.tuples(st.floats(0, 200), st.floats(0, 200)))
def test_the_one_matrix_is_its_parts_one_after_another(change, size, point):
    x, y = point[0] - (size - 1) / 2, point[1] - (size - 1) / 2
    x, y = x * change.zoom, y * change.zoom
    x = x + math.tan(change.shear) * y
    length, angle = math.hypot(x, y), math.atan2(-y, x)  # as seen: y upwards
    x, y = length * math.cos(angle + change.rotation), -length * math.sin(angle + change.rotation)
    x = -x if change.flip else x
    wanted = (x + (size - 1) / 2 + change.shift_x * size, y + (size - 1) / 2 + change.shift_y * size)
    np.testing.assert_allclose(change.matrix(size) @ [*point, 1], wanted, atol=1e-8)


@pytest.mark.parametrize(
    ("change", "oracle"),
    [
        (Warp(rotation=math.pi / 2), np.rot90),
        (Warp(rotation=math.pi, flip=True), np.flipud),
        (Warp(flip=True), np.fliplr),
        (Warp(shift_x=0.25, shift_y=-0.5), lambda crop: np.pad(crop[8:, :12], ((0, 8), (4, 0), (0, 0)))),
    ],
)
def test_warps_that_move_whole_pixels_are_exact(change, oracle):
    crop = crop_of(16)
    np.testing.assert_array_equal(warp(crop, change), oracle(crop))


def test_a_zoomed_crop_is_the_middle_enlarged():
    crop = crop_of(64)
    zoomed = warp(crop, Warp(zoom=2.0))
    np.testing.assert_allclose(
        zoomed[1::2, 1::2].astype(int)[8:-8, 8:-8], crop[16:48, 16:48][8:-8, 8:-8], atol=25
    )
    assert np.abs(zoomed[31:33, 31:33].mean((0, 1)) - crop[31:33, 31:33].mean((0, 1))).max() < 3


@pytest.mark.parametrize(("border", "corner"), [("black", 0), ("replicate", 200), ("reflect", 200)])
def test_the_border_is_what_was_asked_for(border, corner):
    crop = np.full((32, 32, 3), 200, np.uint8)
    moved = warp(crop, Warp(zoom=0.5), border)
    assert (moved[0, 0] == corner).all()
    assert (moved[16, 16] == 200).all()


@settings(max_examples=20)
@given(st.integers(0, 9), st.sampled_from([16, 31, 112]))
def test_nothing_set_leaves_the_pixels(seed, size):
    crop = crop_of(size, seed)
    neutral = {
        name: Draw(1, 1, 1) for name in ("zoom", "brightness", "contrast", "gamma", "saturation", "downscale")
    }
    neutral |= {
        name: Draw(1, 0, 0) for name in ("rotation", "shift", "shear", "hue", "blur", "noise", "erase")
    }
    for nothing in (Augmentation(), Augmentation(**neutral)):
        same = nothing(crop, rng(seed))
        np.testing.assert_array_equal(same, crop)
        assert not np.shares_memory(same, crop)


def test_flipping_twice_is_nothing():
    crop, flip = crop_of(), Augmentation(flip=1.0)
    assert not np.array_equal(flip(crop, rng()), crop)
    np.testing.assert_array_equal(flip(flip(crop, rng(1)), rng(2)), crop)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "none"])
@pytest.mark.parametrize("size", [32, 112])
def test_presets_keep_form_and_input_and_repeat(name, size):
    crop, changed = crop_of(size), 0
    for seed in range(60):
        before = crop.copy()
        first, again = (PRESETS[name](crop, rng(seed, 7)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(crop, before)
        assert (first.shape, first.dtype, first.flags.c_contiguous) == (crop.shape, np.uint8, True)
        assert not np.shares_memory(first, crop)
        changed += not np.array_equal(first, crop)
    assert changed > 20


def test_probabilities_are_kept_and_parts_are_drawn_apart():
    crop, times = crop_of(16), 2000
    half = Augmentation(flip=0.3, grey=0.5)
    flips = greys = both = 0
    for seed in range(times):
        found = half(crop, rng(seed))
        grey = bool((found == found[..., :1]).all())
        flip = np.array_equal(found, Augmentation(flip=1.0, grey=float(grey))(crop, rng()))
        flips, greys, both = flips + flip, greys + grey, both + (flip and grey)
    for count, chance in ((flips, 0.3), (greys, 0.5), (both, 0.15)):
        assert abs(count / times - chance) < 4 * math.sqrt(chance * (1 - chance) / times)


def test_amounts_are_drawn_evenly_over_the_range():
    grey = np.full((16, 16, 3), 100, np.uint8)
    bright = Augmentation(brightness=Draw(1, 0.5, 1.5))
    levels = np.array([bright(grey, rng(seed))[0, 0, 0] for seed in range(1500)], float)
    assert 50 <= levels.min() < 52
    assert 148 < levels.max() <= 150
    assert abs(levels.mean() - 100) < 4 * (100 / math.sqrt(12)) / math.sqrt(1500)
    assert abs(np.histogram(levels, 4, (50, 150))[0] - 375).max() < 4 * math.sqrt(1500 * 0.25 * 0.75)


def test_both_directions_are_shifted_by_draws_of_their_own():
    dot = np.zeros((33, 33, 3), np.uint8)
    dot[16, 16] = 255
    moved = Augmentation(shift=Draw(1, -0.25, 0.25))
    weight, places = np.arange(33.0), []
    for seed in range(400):
        shown = moved(dot, rng(seed))[..., 0].astype(float)
        places.append(
            ((shown.sum(0) @ weight) / shown.sum() - 16, (shown.sum(1) @ weight) / shown.sum() - 16)
        )
    x, y = np.array(places).T
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.2
    for shifts in (x, y):
        assert abs(shifts.mean()) < 1
        assert 7.5 < np.abs(shifts).max() <= 8.5


def test_setting_one_part_does_not_change_what_is_drawn_for_another():
    crop = crop_of()
    turned = Augmentation(rotation=Draw(0.5, -0.3, 0.3))
    with_more = replace(turned, jpeg=Draw(0.0, 50, 60), grey=1.0, blur=Draw(1, 0, 0))
    for seed in range(10):
        alone = turned(crop, rng(seed))
        np.testing.assert_array_equal(Augmentation(grey=1.0)(alone, rng()), with_more(crop, rng(seed)))


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ({"flip": 1.5}, "flip"),
        ({"grey": math.nan}, "grey"),
        ({"jpeg": Draw(0.5, 0, 90)}, "jpeg"),
        ({"zoom": Draw(0.5, 1.2, 0.8)}, "zoom"),
        ({"zoom": Draw(1, math.nan, 2)}, "zoom"),
        ({"rotation": Draw(-0.1, 0, 1)}, "rotation"),
        ({"rotation": Draw(1, -20, 20)}, "rotation"),
        ({"blur": 0.3}, "blur"),
        ({"border": "white"}, "border"),
    ],
)
def test_a_bad_setting_is_named(setting, named):
    with pytest.raises(SettingError, match=named):
        Augmentation(**setting)


@pytest.mark.parametrize(
    "crop", [np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)]
)
def test_what_is_no_crop_is_refused(crop):
    with pytest.raises(SettingError, match="crop"):
        PRESETS["light"](crop, rng())


def test_settings_and_checks_name_the_same_parts():
    assert {field.name for field in fields(Augmentation)} == {*LIMITS, *CHANCES, "border"}


def test_a_preset_is_changed_by_numbers_and_lists():
    changed = augmentation(
        "light", rotation=0.1, zoom=0.2, flip=0, jpeg=[0.2, 40, 90], saturation=0, border="reflect"
    )
    assert changed.rotation == Draw(1, -0.1, 0.1)
    assert changed.zoom == Draw(1, 0.8, 1.2)
    assert (changed.flip, changed.jpeg, changed.border) == (0, Draw(0.2, 40, 90), "reflect")
    assert changed.saturation.probability == 0
    assert changed.shift == PRESETS["light"].shift
    assert augmentation() == Augmentation()


@pytest.mark.parametrize(
    ("preset", "change", "said"),
    [
        ("heavy", {}, "light, medium"),
        ("none", {"rotatoin": 1}, "did you mean rotation"),
        ("none", {"jpeg": 50}, r"jpeg must be \[probability"),
        ("none", {"jpeg": [50, 90]}, "jpeg"),
        ("none", {"jpeg": "bad"}, "jpeg"),
        ("none", {"flip": [0.5, 0, 1]}, "flip must be a probability"),
        ("none", {"erase": [0.5, 0.1, 2]}, "erase must range"),
    ],
)
def test_a_bad_change_is_told(preset, change, said):
    with pytest.raises(SettingError, match=said):
        augmentation(preset, **change)
