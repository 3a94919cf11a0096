"""Photos made worse on purpose, as cameras, weather and the web do it, for calibrating by quality.

Each family takes a whole photo, as it is before a face is looked for, and a strength from 0, hardly to be
seen, to 1, where no face is to be told from another. Lengths are those of a face whose eyes are `EYES` pixels
apart, and grow with it, so that a strength means the same at every size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError, nearest_known
from facewise.types import FloatArray, Image

EYES = 42.0
"""Pixels between the eyes that lengths are told for: those of a photo of LFW, 250 pixels wide."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A photo and where its face is.

    Attributes:
        image: (H, W, 3) RGB uint8.
        landmarks: (5, 2) pixels of the photo; see `facewise.types`.
    """

    image: Image
    landmarks: FloatArray

    @property
    def unit(self) -> float:
        """Pixels of this photo that stand for one of a face with `EYES` between the eyes."""
        return max(float(np.hypot(*(self.landmarks[1] - self.landmarks[0]))), 1.0) / EYES


Family: TypeAlias = Callable[[Shot, float, np.random.Generator], Image]
"""Shot, strength in [0, 1] and random numbers to a photo; the shot's own pixels are not changed."""


def _between(low: float, high: float, strength: float) -> float:
    """From low to high in equal ratios."""
    return low * math.pow(high / low, strength)


def _gaussian(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    sigma = _between(0.6, 7.0, strength) * shot.unit
    return _image(cv2.GaussianBlur(shot.image, (0, 0), sigma))


def _motion(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    return _filtered(shot.image, _line(_between(3.0, 30.0, strength) * shot.unit, rng.uniform(0, math.pi)))


def _defocus(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    radius = _between(1.0, 11.0, strength) * shot.unit
    reach = math.ceil(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = np.clip(radius + 0.5 - np.hypot(x, y), 0.0, 1.0)
    return _filtered(shot.image, disk)


def _glass(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Through ribbed or frosted glass: pixels change places with their neighbours."""
    height, width = shot.image.shape[:2]
    reach = _between(0.8, 8.0, strength) * shot.unit
    shifts = rng.normal(0.0, reach, (2, height, width)).astype(np.float32)
    shifts = np.stack([cv2.GaussianBlur(one, (0, 0), max(0.5, reach / 6)) for one in shifts])
    shifts *= np.float32(reach / max(float(shifts.std()), 1e-6))  # blurring them made them smaller
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return _image(
        cv2.remap(shot.image, x + shifts[0], y + shifts[1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    )


def _far(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    """A small face in a small photo."""
    return _resized(shot.image, _small(shot, strength), cv2.INTER_AREA)


def _enlarged(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """A small face made large again, by one way or another."""
    way = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)[rng.integers(3)]
    return _there_and_back(shot, _small(shot, strength), way)


def _mosaic(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    return _there_and_back(shot, _small(shot, strength), cv2.INTER_NEAREST)


def _jpeg(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    return _coded(shot.image, ".jpg", cv2.IMWRITE_JPEG_QUALITY, _between(50.0, 3.0, strength))


def _webp(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    small = _resized(shot.image, _between(1.0, 0.45, strength), cv2.INTER_AREA)
    return _coded(small, ".webp", cv2.IMWRITE_WEBP_QUALITY, _between(50.0, 1.0, strength))


def _small_jpeg(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """As messengers and surveillance keep it: made small and saved poorly."""
    scale = 1.0 - (1.0 - _small(shot, strength)) * rng.uniform(0.3, 1.0)
    small = _resized(shot.image, scale, cv2.INTER_AREA)
    return _coded(small, ".jpg", cv2.IMWRITE_JPEG_QUALITY, _between(70.0, 8.0, strength))


def _noise(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    return _noisy(shot.image, _between(6.0, 110.0, strength), rng)


def _grain(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Noise that is not of single pixels, as film and denoised sensors have it."""
    height, width = shot.image.shape[:2]
    drawn = rng.standard_normal((height, width, 3 if rng.random() < 0.5 else 1), np.float32)
    grain = np.asarray(cv2.GaussianBlur(drawn, (0, 0), rng.uniform(0.7, 2.0) * shot.unit), np.float32)
    grain = grain.reshape(height, width, -1) * (_between(5.0, 60.0, strength) / max(float(grain.std()), 1e-6))
    return _bytes(shot.image + grain)


def _specks(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Dead and hot pixels (salt and pepper)."""
    drawn = rng.random(shot.image.shape[:2])
    share = _between(0.01, 0.4, strength)
    image = shot.image.copy()
    image[drawn < share / 2], image[drawn > 1.0 - share / 2] = 0, 255
    return image


def _dark(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    return _bytes(shot.image * _between(0.5, 0.02, strength))


def _night(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Low light: few photons, made bright again, their noise with them."""
    photons = _between(60.0, 1.5, strength)
    light = rng.poisson((shot.image / 255.0) ** 2.2 * photons) / photons
    return _bytes(np.clip(light, 0.0, 1.0) ** (1 / 2.2) * 255.0 * rng.uniform(0.25, 1.0))


def _bright(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    return _bytes(shot.image * _between(1.3, 9.0, strength))


def _gamma(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    power = _between(1.3, 6.0, strength)
    return _bytes(255.0 * (shot.image / 255.0) ** (power if rng.random() < 0.5 else 1 / power))


def _fog(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Hardly any contrast, about a grey that may be any."""
    left = _between(0.6, 0.03, strength)
    return _bytes(shot.image * left + rng.uniform(20.0, 235.0) * (1.0 - left))


def _backlight(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """One side lit and the other in the dark."""
    height, width = shot.image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, span = rng.uniform(0, 2 * math.pi), 60.0 * shot.unit
    middle = shot.landmarks.mean(axis=0)
    along = ((x - middle[0]) * math.cos(angle) + (y - middle[1]) * math.sin(angle)) / span
    reach = _between(0.5, 5.0, strength)
    return _bytes(shot.image * np.exp(np.clip(along, -1.5, 1.5) * reach)[..., np.newaxis])


def _negative(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    return _bytes(shot.image + (255.0 - 2.0 * shot.image) * (0.35 + 0.65 * strength))


def _posters(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    """Few levels of each colour."""
    levels = round(_between(12.0, 2.0, strength)) - 1
    return _bytes(np.rint(shot.image / 255.0 * levels) * (255.0 / levels))


def _printed(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """A screen of dots or lines over it: print, a photographed display, interlaced video."""
    height, width = shot.image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(2.5, 7.0) * shot.unit
    wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / period))
    if rng.random() < 0.5:
        wave = wave * np.sin((y * math.cos(angle) - x * math.sin(angle)) * (2 * math.pi / period))
    return _bytes(shot.image + (_between(12.0, 150.0, strength) * wave)[..., np.newaxis])


def _smoothed(shot: Shot, strength: float, _: np.random.Generator) -> Image:
    """A beauty filter or a painter: flat patches with sharp edges."""
    side = 2 * round(_between(1.0, 9.0, strength) * shot.unit) + 1
    return _image(cv2.medianBlur(shot.image, min(side, 255)))


def _mask(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Something flat over mouth and chin, and at full strength over the nose."""
    eyes, mouth = shot.landmarks[:2].mean(axis=0), shot.landmarks[3:].mean(axis=0)
    top = mouth + (eyes - mouth) * (0.2 + 0.55 * strength)
    return _covered(shot, top, mouth + (mouth - eyes) * 1.0, 1.5, rng)


def _glasses(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """A dark bar over the eyes, and at full strength from brow to nose."""
    eyes, mouth = shot.landmarks[:2].mean(axis=0), shot.landmarks[3:].mean(axis=0)
    half = (mouth - eyes) * (0.12 + 0.45 * strength)
    return _covered(shot, eyes - half, eyes + half, 1.1, rng)


def _patch(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """A hand, a scarf, a plant: a patch anywhere on the face."""
    middle = shot.landmarks[rng.integers(5)] + rng.normal(0, 8.0 * shot.unit, 2)
    radius = _between(10.0, 40.0, strength) * shot.unit
    image = shot.image.copy()
    axes = (max(1, round(radius)), max(1, round(radius * rng.uniform(0.5, 1.0))))
    centre = (round(float(middle[0])), round(float(middle[1])))
    colour = tuple(int(c) for c in rng.integers(0, 256, 3))
    return _image(cv2.ellipse(image, centre, axes, rng.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA))


def _cut_off(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """The photo ends within the face."""
    height, width = shot.image.shape[:2]
    reach = (1.0 - strength) * 45.0 * shot.unit
    centre, side = shot.landmarks.mean(axis=0), rng.integers(4)
    ends = [0, 0, width, height]
    if side < 2:
        ends[side] = max(0, min(round(float(centre[side]) - reach), (width, height)[side] - 8))
    else:
        ends[side] = max(8, min(round(float(centre[side - 2]) + reach), (width, height)[side - 2]))
    return np.ascontiguousarray(shot.image[ends[1] : ends[3], ends[0] : ends[2]])


def _stretched(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Made wider or narrower, or slanted, as by a layout that keeps no proportions."""
    height, width = shot.image.shape[:2]
    factor = _between(1.08, 2.3, strength)
    if rng.random() < 0.25:
        slant = (factor - 1.0) * (1.0 if rng.random() < 0.5 else -1.0)
        matrix = np.array([[1.0, slant, -slant * float(shot.landmarks[:, 1].mean())], [0.0, 1.0, 0.0]])
        return _image(cv2.warpAffine(shot.image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT))
    # Along one side longer or shorter: both directions of the same error, without making faces small.
    size = (round(width * factor), height) if rng.random() < 0.5 else (width, round(height * factor))
    return _image(cv2.resize(shot.image, size, interpolation=cv2.INTER_LINEAR))


def _lens(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Bulged or pinched about a point of the face: a wide lens too near, a fisheye, a face filter."""
    height, width = shot.image.shape[:2]
    middle = shot.landmarks.mean(axis=0) + rng.normal(0.0, 8.0 * shot.unit, 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    right, down = x - np.float32(middle[0]), y - np.float32(middle[1])
    reach = rng.uniform(30.0, 80.0) * shot.unit
    near = np.exp(-(right**2 + down**2) / np.float32(reach) ** 2)
    most = _between(0.12, 2.0, strength)
    scale = 1.0 / (1.0 + most * near) if rng.random() < 0.6 else 1.0 + most / 2.0 * near
    at_x, at_y = np.float32(middle[0]) + right * scale, np.float32(middle[1]) + down * scale
    return _image(
        cv2.remap(
            shot.image,
            at_x.astype(np.float32),
            at_y.astype(np.float32),
            cv2.INTER_LINEAR,
            None,
            cv2.BORDER_REFLECT,
        )
    )


def _streaks(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Lines before it: rain, scratches, folds of an old print, a wire fence."""
    height, width = shot.image.shape[:2]
    lines = np.zeros((height, width), np.float32)
    angle, spread = rng.uniform(0, math.pi), rng.choice((0.05, 0.3, 1.5))
    length = rng.uniform(8.0, 60.0) * shot.unit
    share = _between(0.016, 0.24, strength)  # of the photo that lines of one pixel would cover
    for _ in range(round(height * width * share / (length * shot.unit))):
        x, y, turn = rng.uniform(0, width), rng.uniform(0, height), angle + rng.normal(0.0, spread)
        end = round(x + length * math.cos(turn)), round(y + length * math.sin(turn))
        thick = max(1, round(shot.unit * rng.uniform(0.5, 2.0)))
        cv2.line(lines, (round(x), round(y)), end, rng.uniform(0.3, 1.0), thick, cv2.LINE_AA)
    shown = cv2.GaussianBlur(lines, (0, 0), rng.uniform(0.4, 1.0) * shot.unit)[..., np.newaxis]
    veil, level = rng.uniform(0.0, 0.4) * strength, rng.choice((235.0, 200.0, 20.0))
    veiled = shot.image * (1.0 - veil) + level * veil
    return _bytes(veiled + (level - veiled) * np.clip(shown * (0.4 + 0.6 * strength), 0.0, 1.0))


def _fields(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Video whose two fields were taken one after the other, while the face moved."""
    shift = _between(1.5, 26.0, strength) * shot.unit * rng.choice((-1, 1))
    moved = np.roll(shot.image, (round(rng.uniform(-0.4, 0.4) * shift), round(shift)), axis=(0, 1))
    tall = max(1, round(shot.unit * rng.uniform(0.5, 2.5)))
    odd = (np.arange(shot.image.shape[0]) // tall) % 2 == 1
    return np.where(odd[:, np.newaxis, np.newaxis], moved, shot.image)


def _sliding(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """A rolling shutter in a shaking hand, a bad scan: lines slide to and fro, or rows of pixels jump."""
    height, width = shot.image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    most, period = _between(1.5, 16.0, strength) * shot.unit, rng.uniform(15.0, 150.0) * shot.unit
    slide = np.sin(2 * math.pi * np.arange(height) / period + rng.uniform(0, 2 * math.pi))
    if rng.random() < 0.4:
        tall = max(1, round(rng.uniform(1.0, 12.0) * shot.unit))
        slide = np.repeat(rng.uniform(-1.0, 1.0, height // tall + 1), tall)[:height]
    moved = x + (most * slide).astype(np.float32)[:, np.newaxis]
    return _image(cv2.remap(shot.image, moved, y, cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT))


def _ghost(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Exposed twice, or behind a window: the photo moved, mirrored or turned shines through itself."""
    height, width = shot.image.shape[:2]
    other = shot.image[:, ::-1] if rng.random() < 0.4 else shot.image
    reach = _between(3.0, 40.0, rng.random()) * shot.unit
    angle = rng.uniform(0, 2 * math.pi)
    other = np.roll(other, (round(reach * math.sin(angle)), round(reach * math.cos(angle))), axis=(0, 1))
    if rng.random() < 0.4:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-40, 40)), 1.0)
        other = _image(cv2.warpAffine(other, turn, (width, height), borderMode=cv2.BORDER_REFLECT))
    share = 0.1 + 0.5 * strength
    return _bytes(shot.image * (1.0 - share) + other * share)


def _photocopied(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Copied, faxed, printed by a thermal printer: black and white, by a local limit or by scattered dots."""
    grey = cv2.cvtColor(shot.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    limit = np.asarray(rng.uniform(17.0, 238.0, grey.shape), np.float32)
    if rng.random() < 0.5:
        blurred = cv2.GaussianBlur(grey, (0, 0), rng.uniform(4.0, 16.0) * shot.unit)
        limit = np.asarray(blurred, np.float32) - 4.0
    sharp = np.float32(_between(0.02, 0.5, strength))
    copy = 255.0 / (1.0 + np.exp(np.clip((limit - grey) * sharp, -30.0, 30.0)))
    share = 0.3 + 0.7 * strength
    return _bytes(shot.image * (1.0 - share) + copy[..., np.newaxis] * share)


def _wavering(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Through hot air, or on creased paper: places move, near ones together."""
    height, width = shot.image.shape[:2]
    reach, patch = _between(1.0, 9.0, strength) * shot.unit, rng.uniform(5.0, 22.0) * shot.unit
    shifts = rng.standard_normal((2, height, width), np.float32)
    shifts = np.stack([cv2.GaussianBlur(one, (0, 0), patch) for one in shifts])
    shifts *= np.float32(reach / max(float(shifts.std()), 1e-9))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return _image(
        cv2.remap(shot.image, x + shifts[0], y + shifts[1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT)
    )


def _sharpened(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Far too much of a sharpening filter, with the seams it makes around edges."""
    soft = cv2.GaussianBlur(shot.image, (0, 0), rng.uniform(0.8, 6.0) * shot.unit).astype(np.float32)
    return _bytes(soft + (shot.image - soft) * _between(2.0, 22.0, strength))


def _lettered(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Words over it, as of agencies and video captions."""
    height, width = shot.image.shape[:2]
    words = np.zeros((height, width), np.uint8)
    size, thick = rng.uniform(0.3, 1.4) * shot.unit, max(1, round(rng.uniform(1.0, 3.5) * shot.unit))
    step = max(6, round(rng.uniform(12.0, 40.0) * shot.unit))
    for y in range(step // 2, height + step, step):
        letters = "".join(chr(c) for c in rng.integers(65, 91, 40))
        place = (round(-rng.uniform(0, 40) * shot.unit), y)
        cv2.putText(words, letters, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
    if rng.random() < 0.5:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.uniform(-45, 45)), 1.3)
        words = _image(cv2.warpAffine(words, turn, (width, height)))
    share = words.astype(np.float32)[..., np.newaxis] / 255.0 * (0.15 + 0.85 * strength)
    return _bytes(shot.image * (1.0 - share) + rng.choice((255.0, 20.0, 128.0)) * share)


def _blinds(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Stripes of light and shade: blinds, a fence, leaves in the sun."""
    height, width = shot.image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(8.0, 40.0) * shot.unit
    way = x * math.cos(angle) + y * math.sin(angle)
    if rng.random() < 0.3:
        way = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), period / 3)
        way = way * np.float32(period / 4 / max(float(way.std()), 1e-9))
    wave = np.sin(way * np.float32(2 * math.pi / period) + rng.uniform(0, 2 * math.pi))
    lit = 1.0 / (1.0 + np.exp(-wave * rng.uniform(2.0, 12.0)))
    reach = _between(0.3, 3.2, strength)
    return _bytes(shot.image * np.exp((lit - 0.6) * reach)[..., np.newaxis])


def _colour(shot: Shot, strength: float, rng: np.random.Generator) -> Image:
    """Lit by one colour, as under stage light or infrared."""
    tint = rng.dirichlet((0.6, 0.6, 0.6)) * 3.0
    left = 1.0 - strength * 0.97
    grey = shot.image.mean(axis=2, keepdims=True) if rng.random() < 0.5 else shot.image
    return _bytes(shot.image * left + grey * tint * (1.0 - left))


FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "gaussian": _gaussian,
        "motion": _motion,
        "defocus": _defocus,
        "glass": _glass,
        "far": _far,
        "enlarged": _enlarged,
        "mosaic": _mosaic,
        "jpeg": _jpeg,
        "webp": _webp,
        "small-jpeg": _small_jpeg,
        "noise": _noise,
        "grain": _grain,
        "specks": _specks,
        "dark": _dark,
        "night": _night,
        "bright": _bright,
        "gamma": _gamma,
        "fog": _fog,
        "backlight": _backlight,
        "negative": _negative,
        "posters": _posters,
        "printed": _printed,
        "smoothed": _smoothed,
        "mask": _mask,
        "glasses": _glasses,
        "patch": _patch,
        "cut-off": _cut_off,
        "colour": _colour,
        "stretched": _stretched,
        "lens": _lens,
        "streaks": _streaks,
        "fields": _fields,
        "sliding": _sliding,
        "ghost": _ghost,
        "photocopied": _photocopied,
        "wavering": _wavering,
        "sharpened": _sharpened,
        "lettered": _lettered,
        "blinds": _blinds,
    }
)
"""By name."""


def degrade(shot: Shot, family: str, strength: float, rng: np.random.Generator) -> Image:
    """A photo made worse.

    Args:
        shot: The photo and its face.
        family: One of `FAMILIES`.
        strength: From 0 to 1.
        rng: Random numbers, for what a family leaves to chance: angles, colours, noise.

    Returns:
        (H', W', 3) RGB uint8; smaller than the photo where the family makes it smaller.

    Raises:
        SettingError: There is no such family, or the strength is out of range.

    Examples:
        >>> points = np.array([[40, 50], [70, 50], [55, 65], [45, 80], [65, 80]], np.float32)
        >>> shot = Shot(np.full((120, 120, 3), 200, np.uint8), points)
        >>> int(degrade(shot, "dark", 1.0, np.random.default_rng(0)).max())
        4
    """
    if family not in FAMILIES:
        raise SettingError(f"There is no degradation {family!r}{nearest_known(family, tuple(FAMILIES))}")
    if not 0.0 <= strength <= 1.0:
        raise SettingError(f"A strength lies from 0 to 1, not at {strength}.")
    return FAMILIES[family](shot, strength, rng)


def _small(shot: Shot, strength: float) -> float:
    """The factor that makes eyes 28 to 4 pixels apart."""
    return min(1.0, _between(28.0, 4.0, strength) / (shot.unit * EYES))


def _resized(image: Image, scale: float, way: int) -> Image:
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image if size == (width, height) else _image(cv2.resize(image, size, interpolation=way))


def _there_and_back(shot: Shot, scale: float, way: int) -> Image:
    height, width = shot.image.shape[:2]
    small = _resized(shot.image, scale, cv2.INTER_AREA)
    return _image(cv2.resize(small, (width, height), interpolation=way))


def _line(length: float, angle: float) -> NDArray[np.float64]:
    """A kernel: the mean along a line."""
    reach = math.ceil(length / 2) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    near = np.clip(length / 2 + 0.5 - np.abs(along), 0.0, 1.0) * np.clip(1.0 - np.abs(across), 0.0, 1.0)
    return np.asarray(near, np.float64)


def _filtered(image: Image, kernel: NDArray[np.float64]) -> Image:
    return _image(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT))


def _coded(image: Image, ending: str, setting: int, quality: float) -> Image:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(ending, bgr, [setting, round(quality)])
    return _image(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))


def _noisy(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    return _bytes(image + rng.standard_normal(image.shape, np.float32) * np.float32(deviation))


def _covered(
    shot: Shot, top: FloatArray, bottom: FloatArray, width: float, rng: np.random.Generator
) -> Image:
    """A flat colour over a strip across the face.

    Args:
        shot: The shot.
        top: (2,) the middle of its upper edge.
        bottom: (2,) of its lower edge.
        width: In eye distances, to either side.
        rng: Of the colour.
    """
    across = (shot.landmarks[1] - shot.landmarks[0]) * width
    corners = np.rint([top - across, top + across, bottom + across, bottom - across]).astype(np.int32)
    known = _CLOTHS[rng.integers(len(_CLOTHS))]
    colour = known if rng.random() < 0.8 else tuple(int(c) for c in rng.integers(0, 256, 3))
    return _image(cv2.fillConvexPoly(shot.image.copy(), corners, colour, cv2.LINE_AA))


_CLOTHS = ((235, 240, 245), (20, 20, 22), (120, 170, 215))
"""What most masks and bars are coloured like: white, black, light blue."""


def _bytes(values: NDArray[np.floating]) -> Image:
    return _image(np.clip(np.rint(values), 0.0, 255.0).astype(np.uint8))


def _image(array: object) -> Image:
    return cast("Image", array)
