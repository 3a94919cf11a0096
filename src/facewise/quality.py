"""Whether a face can be decided by: what is measured on its crop, and the words for what is wrong with it.

The words follow the defects of ISO/IEC 29794-5. Limits lie beyond what photos of LFW, CelebA in the wild and
UTKFace have (`docs/quality.md`): a face beyond them is of a kind that thresholds were not measured on. What
lies within is judged by its embedding, see `facewise.models.quality`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray

from facewise.errors import SettingError
from facewise.geometry import pose, sharpness
from facewise.models.calibration import Calibration
from facewise.models.decisions import threshold_for
from facewise.models.quality import QualityRule
from facewise.types import Face, FloatArray, Image, Mesh, Quality

Gate: TypeAlias = Literal["off", "standard", "strict"]
"""Which photos are enrolled: all; those by which something can be decided beside another as poor; or of these
only those that need no much higher threshold for that, with nothing remarked of them (`Quality.remarks`)."""

STRICT = 0.05
"""How much higher the threshold of two such photos may be, with `"strict"`."""

REMEDIES = {
    "too small": "take one from nearer, or use it at its full size",
    "cut off": "take one with the whole face in it",
    "turned": "take one from the front",
    "eyes closed": "take one with the eyes open",
    "mouth open": "take one with the mouth closed",
    "too dark": "take one in more light",
    "overexposed": "take one in less light",
    "without contrast": "take one in clear, even light",
    "unevenly lit": "take one in even light",
    "blurred": "take a sharper one",
    "noisy": "take one in more light",
    "heavily compressed": "use the photo as the camera made it",
    "changed in colour": "use the photo as the camera made it",
    "distorted": "use the photo as the camera made it",
    "covered": "take one with nothing over the face",
}
"""What to do about a reason, by how it begins."""

SMALLEST_EYES = 8.0
"""Pixels of the photo between the eyes."""

FARTHEST_TURN = math.radians(60.0)
"""To the side, or up and down."""

ASIDE = math.radians(30.0)
"""To the side, or up and down, from which a better photo would be one from nearer the front."""

SHUT, GAP = 0.6, 0.15
"""Blendshape of the eye that is shut less, from which eyes count as closed; and how far they are open then at
most. Narrow eyes and laughing ones are not (docs/quality.md)."""

GAPING = 0.4
"""Blendshape from which a mouth counts as open."""

_LEAST_SEEN = 0.7
"""Of the face's box within the photo."""

_DARK, _BRIGHT = 60.0, 190.0
"""Grey level that 95 of 100 pixels are below, above."""

_LEAST_RANGE = 40.0
"""Grey levels from the 5th to the 95th of 100 pixels."""

_LEAST_DETAIL = 1.2
"""Log10 of the mean energy of 12 to 24 waves a crop, in the direction that has least, by variance:
it is blur that takes it away."""

_WAVES = (12.0, 24.0)
_DIRECTIONS = 4


def measure(face: Face, crop: Image, size: tuple[int, int]) -> Quality:
    """How usable a face is, before it is embedded.

    Args:
        face: With box, score and landmarks.
        crop: (S, S, 3) its crop.
        size: (height, width) of the photo.
    """
    import cv2  # noqa: PLC0415  see `facewise.geometry.align`

    yaw, pitch, roll = pose(face.landmarks)
    across = face.landmarks[1] - face.landmarks[0]
    eyes = float(np.hypot(across[0], across[1]))
    reasons = []
    if eyes < SMALLEST_EYES:
        reasons.append(f"too small (the eyes are {eyes:.0f} pixels apart)")
    if _seen(face.box, size) < _LEAST_SEEN:
        reasons.append("cut off by the edge of the photo")
    if max(abs(yaw), abs(pitch)) > FARTHEST_TURN:
        reasons.append(f"turned by {math.degrees(max(abs(yaw), abs(pitch))):.0f}°")
    grey = cast("Image", cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))
    inner = grey[grey.shape[0] // 6 : grey.shape[0] * 5 // 6, grey.shape[1] // 6 : grey.shape[1] * 5 // 6]
    below = np.cumsum(cv2.calcHist([np.ascontiguousarray(inner)], [0], None, [256], (0, 256)))
    low, high = (int(level) for level in np.searchsorted(below, (0.05 * inner.size, 0.95 * inner.size)))
    if high < _DARK:
        reasons.append("too dark")
    elif low > _BRIGHT:
        reasons.append("overexposed")
    elif high - low < _LEAST_RANGE:
        reasons.append("without contrast")
    if detail(grey) < _LEAST_DETAIL:
        reasons.append("blurred")
    return Quality(face.score, eyes, sharpness(grey), yaw, pitch, roll, reasons=tuple(reasons))


def with_mesh(quality: Quality, mesh: Mesh) -> Quality:
    """A measured quality with what a mesh knows better: how the head is turned, and what the face does."""
    turn = max(abs(mesh.pose.yaw), abs(mesh.pose.pitch))
    told = f"turned by {math.degrees(turn):.0f}°"
    reasons = [why for why in quality.reasons if not why.startswith("turned")]
    shapes = mesh.blendshapes
    shut = min(shapes.get("eyeBlinkLeft", 0.0), shapes.get("eyeBlinkRight", 0.0))
    remarks = []
    if turn > FARTHEST_TURN:
        reasons.append(told)
    elif turn > ASIDE:
        remarks.append(told)
    if shut >= SHUT and max(mesh.eyes_open) < GAP:
        remarks.append("eyes closed")
    if shapes.get("jawOpen", 0.0) >= GAPING:
        remarks.append("mouth open")
    pose = mesh.pose
    return replace(
        quality,
        yaw=pose.yaw,
        pitch=pose.pitch,
        roll=pose.roll,
        reasons=tuple(reasons),
        remarks=tuple(remarks),
    )


def embedded(face: Face, vector: FloatArray, rule: QualityRule | None) -> Face:
    """A measured face with its embedding, and the quality that follows from it.

    Args:
        face: With what `measure` found, or without.
        vector: (D,) of unit length.
        rule: Of the embedder's calibration, or None.
    """
    quality = face.quality
    if quality is not None and rule is not None:
        value = float(rule.of(vector[np.newaxis])[0])
        reasons = quality.reasons
        if value < rule.least and not reasons:
            reasons = (rule.kind(vector),)
        quality = replace(quality, value=value, reasons=reasons)
    return replace(face, embedding=vector, quality=quality)


def check_gate(gate: str) -> None:
    """Passes where `gate` is a `Gate`.

    Raises:
        SettingError: It is none.
    """
    if gate not in get_args(Gate):
        raise SettingError(f"The quality asked of photos is {', '.join(get_args(Gate))}, not {gate!r}.")


def unfit(
    quality: Quality | None, vector: FloatArray, calibration: Calibration | None, gate: Gate
) -> str | None:
    """Why a face should not be enrolled, and what to do about it; None where it may be.

    Whoever is enrolled by a poor photo is like everybody whose photo is poor in the same way.

    Args:
        quality: What was measured of the face, or None.
        vector: (D,) its embedding.
        calibration: Of the embedder; one without a rule for quality lets everybody in.
        gate: How much is asked; `"off"` asks as `"standard"` does, and whoever calls decides.
    """
    rule = None if calibration is None else calibration.quality
    if rule is None or calibration is None:
        return None
    (reasons,) = rule.reasons(vector[np.newaxis], [quality])
    if reasons:
        return f"its face is {' and '.join(reasons)}: {_remedy(reasons)}"
    decision = calibration.decision(rule.fmr)
    if decision is None:
        return None
    value = float(rule.of(vector[np.newaxis])[0])
    most = decision.threshold + STRICT if gate == "strict" else np.finfo(np.float64).max
    if threshold_for(value, decision, calibration) <= most:
        return None
    kind = rule.kind(vector)
    return (
        f"its face is too poor to know somebody by (quality {value:.2f}, likely {kind}): {_remedy((kind,))}"
    )


def remarked(quality: Quality | None) -> str | None:
    """What would be better about an enrolled face, and what to do about it; None where nothing would."""
    if quality is None or not quality.remarks:
        return None
    return f"its face could be shown better ({', '.join(quality.remarks)}): {_remedy(quality.remarks)}"


def _remedy(reasons: tuple[str, ...]) -> str:
    found = [todo for start, todo in REMEDIES.items() if any(why.startswith(start) for why in reasons)]
    return ", and ".join(found) if found else "take a better one"


def detail(grey: np.ndarray) -> float:
    """Log10 of the energy of fine detail in the direction that has least; see `_LEAST_DETAIL`.

    Args:
        grey: (S, S) uint8.
    """
    import cv2  # noqa: PLC0415  see `facewise.geometry.align`

    size = len(grey)
    mean, spread = (float(x[0, 0]) for x in cv2.meanStdDev(grey))
    window, places, even, directions = _band(size)
    # The spectrum of the mean's even grey is taken off where it is looked at, not the mean everywhere.
    band = cv2.dft(grey * window).ravel()[places] - np.float32(mean) * even
    energies = directions @ np.square(band) / (spread**2 + 1.0)
    return float(np.log10(energies.min() * (112.0 / size) ** 4 + 1e-9))


def _seen(box: FloatArray, size: tuple[int, int]) -> float:
    """The share of a box that lies within the photo."""
    left, top, right, bottom = (float(x) for x in box)
    area = max(right - left, 1e-6) * max(bottom - top, 1e-6)
    inside = max(0.0, min(right, size[1]) - max(left, 0.0)) * max(0.0, min(bottom, size[0]) - max(top, 0.0))
    return inside / area


def _band(size: int) -> tuple[FloatArray, NDArray[np.intp], FloatArray, FloatArray]:
    """The band of `_WAVES` in the spectrum of a crop.

    Returns:
        A window (S, S), the places (P,) of the band in what `cv2.dft` makes of real numbers, which packs half
        a spectrum into (S, S), what even grey has there (P,), and what each is worth in each direction
        (directions, P).
    """
    import cv2  # noqa: PLC0415  see `facewise.geometry.align`

    if size not in _KEPT:
        hann = np.hanning(size)
        cells = np.arange(size)
        # A column is the real or imaginary part of one x, but the outermost hold their y packed likewise.
        outer = (cells == 0) | ((cells == size - 1) & (size % 2 == 0))
        x = ((cells + 1) // 2)[np.newaxis]
        y = np.where(outer, ((cells + 1) // 2)[:, np.newaxis], np.fft.fftfreq(size)[:, np.newaxis] * size)
        waves, angle = np.hypot(x, y), np.arctan2(y, x)
        band = (waves >= _WAVES[0]) & (waves < _WAVES[1])
        # Of the outermost, what has -y is not there, being the same.
        worth = np.where(outer, 2.0, 1.0) * band
        rows = []
        for k in range(_DIRECTIONS):
            off = np.abs(np.mod(angle - k * math.pi / _DIRECTIONS + math.pi / 2, math.pi) - math.pi / 2)
            row = worth * (off <= math.pi / (2 * _DIRECTIONS))
            rows.append(row[band] / (row.sum() / 2))
        window, places = np.outer(hann, hann).astype(np.float32), np.flatnonzero(band)
        _KEPT[size] = (
            window,
            places,
            cv2.dft(window).ravel()[places].astype(np.float32),
            np.stack(rows).astype(np.float32),
        )
    return _KEPT[size]


_KEPT: dict[int, tuple[FloatArray, NDArray[np.intp], FloatArray, FloatArray]] = {}
