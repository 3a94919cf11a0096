"""Photos made worse on purpose: every family keeps its word on shape, chance and strength."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from facewise.data.degrade import EYES, FAMILIES, Shot, degrade
from facewise.errors import SettingError

OF_ANOTHER_SIZE = {"far", "webp", "small-jpeg", "cut-off", "stretched"}
"""Families that may change the photo's size; of these `stretched` alone makes it larger."""


@pytest.fixture(scope="module")
def shot() -> Shot:
    """A photo with edges of all directions, fine detail and a face in its middle."""
    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.normal(0, 1, (250, 250, 3)), (0, 0), 1.5)
    image += 2.5 * cv2.GaussianBlur(rng.normal(0, 4, (250, 250, 3)), (0, 0), 6.0)
    image = np.clip(128 + 160 * image, 0, 255).astype(np.uint8)
    image[90:150, 90:160] = np.clip(image[90:150, 90:160].astype(int) + 40, 0, 255)
    points = [[104, 110], [104 + EYES, 110], [125, 135], [108, 158], [142, 158]]
    return Shot(image, np.array(points, np.float32))


def damage(shot: Shot, family: str, strength: float, seed: int = 0) -> float:
    """Root mean square change of the face's pixels, in grey levels."""
    made = degrade(shot, family, strength, np.random.default_rng(seed))
    if family == "cut-off":
        kept = made.shape[0] * made.shape[1]
        return 255.0 * (1.0 - kept / (shot.image.shape[0] * shot.image.shape[1]))
    size = shot.image.shape[1], shot.image.shape[0]
    back = cv2.resize(made, size, interpolation=cv2.INTER_CUBIC).astype(float)
    return float(np.sqrt(np.square(back - shot.image)[70:180, 70:180].mean()))


@pytest.mark.parametrize("family", FAMILIES)
def test_each_gives_a_photo_and_leaves_its_own_alone(shot, family):
    before = shot.image.copy()
    for strength in (0.0, 0.5, 1.0):
        made = degrade(shot, family, strength, np.random.default_rng(1))
        assert made.dtype == np.uint8
        assert made.ndim == 3
        assert made.shape[2] == 3
        assert min(made.shape[:2]) >= 1
        assert family in OF_ANOTHER_SIZE or made.shape == shot.image.shape
        assert family == "stretched" or max(made.shape) <= 250
        again = degrade(shot, family, strength, np.random.default_rng(1))
        assert np.array_equal(made, again)
    assert np.array_equal(shot.image, before)


@pytest.mark.parametrize("family", FAMILIES)
def test_more_strength_does_more_damage(shot, family):
    steps = [np.mean([damage(shot, family, s, seed) for seed in range(6)]) for s in (0.0, 0.5, 1.0)]
    assert steps[0] < steps[1] < steps[2]
    assert steps[2] > 1.2 * steps[0]


@pytest.mark.parametrize("family", ["gaussian", "motion", "defocus", "enlarged", "lens"])
def test_lengths_grow_with_the_face(shot, family):
    """The same strength does the same to the same face twice as large."""
    double = Shot(cv2.resize(shot.image, (500, 500), interpolation=cv2.INTER_CUBIC), shot.landmarks * 2 + 0.5)
    made = degrade(double, family, 0.6, np.random.default_rng(0))
    halved = cv2.resize(made, (250, 250), interpolation=cv2.INTER_AREA).astype(float)
    large = np.sqrt(np.square(halved - shot.image)[70:180, 70:180].mean())
    assert large == pytest.approx(damage(shot, family, 0.6), rel=0.3)


def test_a_photo_of_no_eyes_apart_is_degraded_too():
    nowhere = Shot(np.full((40, 50, 3), 90, np.uint8), np.zeros((5, 2), np.float32))
    for family in FAMILIES:
        assert degrade(nowhere, family, 0.5, np.random.default_rng(0)).size


def test_odd_requests_are_refused(shot):
    with pytest.raises(SettingError, match="gaussian"):
        degrade(shot, "gausian", 0.5, np.random.default_rng(0))
    for strength in (-0.1, 1.1, float("nan")):
        with pytest.raises(SettingError, match="from 0 to 1"):
            degrade(shot, "dark", strength, np.random.default_rng(0))
