"""Looks of aligned crops: near for copies, far for others, and compared as a naive loop would."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.data.look import ALIKE, NEAR, look_of, looks_alike, nearest_bits
from facewise.data.synthetic import SyntheticSource
from facewise.geometry import align
from facewise.models.trained_on import LOOK, TrainedOn

looks = st.lists(st.binary(min_size=LOOK, max_size=LOOK), max_size=12)


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    people = SyntheticSource(20, 3, seed=5, size=160)
    return [align(people.read(i), people.truth(i).landmarks, 112) for i in range(60)]


def bits(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def known(some: list[bytes]) -> np.ndarray:
    return TrainedOn.of(len(some), [], [], some).look_words()


def copies(crop: np.ndarray) -> list[np.ndarray]:
    """Saved as JPEG, at half the size, a little brighter, in grey."""
    data = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return [
        cv2.imdecode(data, cv2.IMREAD_COLOR),
        cv2.resize(crop, (56, 56), interpolation=cv2.INTER_AREA),
        np.clip(crop * 1.1 + 4, 0, 255).astype(np.uint8),
        np.repeat(grey[:, :, None], 3, axis=2),
    ]


def test_copies_look_alike_and_others_do_not(crops: list[np.ndarray]) -> None:
    seen = [look_of(crop) for crop in crops]
    assert {len(look) for look in seen} == {LOOK}
    for i, crop in enumerate(crops):
        again = [look_of(copy) for copy in copies(crop)]
        assert all(bits(seen[i], look) <= ALIKE for look in again)
        others = seen[:i] + seen[i + 1 :]
        assert looks_alike(again, known(others)) == [False] * len(again)


def test_the_look_is_that_of_the_formula(crops: list[np.ndarray]) -> None:
    """The cosine transform written out, and the frequencies sorted one by one."""
    grey = cv2.resize(cv2.cvtColor(crops[0], cv2.COLOR_RGB2GRAY), (32, 32), interpolation=cv2.INTER_AREA)
    n = np.arange(32)
    basis = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / 64) * np.where(n[:, None], 0.25, 32**-0.5)
    whole = basis @ grey.astype(float) @ basis.T
    places = sorted(((u, v) for u in range(32) for v in range(32)), key=lambda p: (p[0] ** 2 + p[1] ** 2, *p))
    values = np.array([whole[place] for place in places[1:129]])
    assert look_of(crops[0]) == np.packbits(values > np.median(values)).tobytes()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_crop_of_one_colour_looks_like_nothing(value: int) -> None:
    flat = look_of(np.full((112, 112, 3), value, np.uint8))
    assert flat == b""
    assert looks_alike([flat, flat], known([b"x" * LOOK])) == [False, False]


@given(looks, looks)
def test_as_a_naive_loop(some: list[bytes], others: list[bytes]) -> None:
    expected = [min((bits(look, other) for other in others if look), default=129) for look in [*some, b""]]
    assert nearest_bits([*some, b""], known(others)).tolist() == expected
    assert looks_alike([*some, b""], known(others)) == [number <= ALIKE for number in expected]


def test_crops_aligned_a_little_otherwise_are_compared_once_more(crops: list[np.ndarray]) -> None:
    """Moved by up to two pixels, turned by up to three degrees; others stay others."""
    rng = np.random.default_rng(0)
    moved = []
    for crop in crops:
        matrix = cv2.getRotationMatrix2D((56, 56), rng.uniform(-3, 3), rng.uniform(0.96, 1.04))
        matrix[:, 2] += rng.uniform(-2, 2, 2)
        moved.append(cv2.warpAffine(crop, matrix, (112, 112), borderMode=cv2.BORDER_REPLICATE))
    seen, again = [look_of(crop) for crop in crops], [look_of(crop) for crop in moved]
    plain = [looks_alike([look], known([one]))[0] for look, one in zip(again, seen, strict=True)]
    asked: list[int] = []

    def crop_of(place: int) -> np.ndarray:
        asked.append(place)
        return moved[place]

    closer = looks_alike(again, known(seen), crop_of)
    assert sum(closer) > 50 > sum(plain)
    # Only those in doubt are asked for.
    nearest = nearest_bits(again, known(seen))
    assert asked == np.flatnonzero((nearest > ALIKE) & (nearest <= NEAR)).tolist()
    half = known(seen[:30])
    assert not any(looks_alike(again[30:], half, lambda place: moved[30 + place]))
    # A crop that is not to be had is like nothing.
    assert looks_alike(again, known(seen), lambda _: None) == looks_alike(again, known(seen))


def test_many_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    some = [rng.bytes(LOOK) for _ in range(50)]
    near = [bytes([look[0] ^ 7, *look[1:]]) for look in some[::3]]
    monkeypatch.setattr("facewise.data.look._BLOCK", 40)
    assert looks_alike(some, known(near)) == [i % 3 == 0 for i in range(50)]
