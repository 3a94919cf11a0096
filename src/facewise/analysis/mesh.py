"""Faces to 478 points in 3-D, their expression and pose, by MediaPipe's Face Landmarker.

A face is cut from the photo as MediaPipe does: a square about it, half as long again as the face, turned so
that its eyes are level.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from facewise.analysis.pose import pose_of
from facewise.errors import ModelError
from facewise.models.file import ModelFile
from facewise.models.store import find_model
from facewise.network import AUTO, Network
from facewise.types import Face, FloatArray, Image, Mesh, Pose
from facewise.variants import Variant

POINTS = 478

PRESENT = 0.5
"""Presence from which a face is one: MediaPipe's `min_face_presence_confidence`."""

SMALLEST = 20.0
"""Pixels of the box's longer side below which a face gets no points: at 20 they are off by 2% of the face's
width as a rule and the pose by 2° (docs/landmarks.md)."""

_ENLARGED, _LOWER = 1.39, 0.056
"""Side of the square that is cut, and how far down the face its middle is from the box's, in longer sides of
the box: on average the square that MediaPipe takes in videos, which is 1.5 times as large as all points."""

_NODDED = Pose(0.0, math.radians(6.2), 0.0).rotation
"""The canonical face looks up by so much: see `facewise.analysis.pose`."""

_LIDS = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
"""Of the eye at the image's left and at its right: its corner, two points of the upper lid, the other corner,
two of the lower lid, as the eye aspect ratio takes them (Soukupová and Čech 2016, equation 1)."""

_FARTHEST = 1e7
"""Pixels; a face farther out, or larger, is none."""


class Landmarker:
    """Photos and the faces in them to meshes.

    Args:
        model: A model file of kind `"landmarker"`.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.

    Attributes:
        model: The model file.
        blendshapes: What it tells of the expression, in the network's order.

    Raises:
        ModelError: The model is of another kind or does not load, or the provider is not to be had.
        SettingError: An unknown provider, or a thread count below 1.

    Examples:
        >>> landmarker = Landmarker.load()  # doctest: +SKIP
        >>> landmarker.meshes(photo, faces)[0].pose.degrees  # doctest: +SKIP
        (12.1, -3.4, 0.8)
    """

    def __init__(self, model: ModelFile, *, provider: str = AUTO, threads: int | None = None) -> None:
        card, size = model.card, model.card.preprocess.size
        if card.kind != "landmarker" or card.decoder is None or size is None:
            raise ModelError(f"{model.path} is no landmarker with a fixed crop size.")
        self.model = model
        try:
            self.blendshapes = tuple(str(name) for name in card.decoder["blendshapes"])
            canonical = np.array(card.decoder["geometry"], np.float64)
            sound = canonical.ndim == 2 and canonical.shape[1] == 3 and bool(np.isfinite(canonical).all())
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ModelError(f"The landmarker {self.name} does not say what its numbers are.") from error
        if not sound or not 3 <= len(canonical) <= POINTS:
            raise ModelError(f"The landmarker {self.name} has a geometry that is none of a face.")
        # The file's y is up; everywhere else it is down.
        canonical = canonical * (1.0, -1.0, 1.0) @ _NODDED.T
        self._canonical = canonical - canonical.mean(axis=0)
        self._size: int = size
        self.network = Network(model, provider=provider, threads=threads)
        wanted = ((1, POINTS, 3), (1, 1), (1, len(self.blendshapes)))
        if self.network.output_shapes != wanted:
            raise ModelError(
                f"The landmarker {self.name} gives numbers of shape {self.network.output_shapes}, "
                f"not {wanted}."
            )

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        provider: str = AUTO,
        threads: int | None = None,
    ) -> Landmarker:
        """The landmarker of a name or path; None is the default one. Arguments and errors as above."""
        return cls(find_model(name, kind="landmarker"), provider=provider, threads=threads)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.model.card.name

    @property
    def provider(self) -> str:
        """The provider in use."""
        return self.network.provider

    @property
    def passed_over(self) -> Mapping[str, str]:
        """See `Network`."""
        return self.network.passed_over

    @property
    def variant(self) -> Variant:
        """The network in use, and why."""
        return self.network.variant

    def probe(self) -> None:
        """Run the network once, on a grey picture.

        Raises:
            ModelError: It fails, or gives what is no number.
        """
        self._answers(np.full((self._size, self._size, 3), 127, np.uint8), None)

    def meshes(self, image: Image, faces: Sequence[Face], *, threads: int | None = None) -> list[Mesh | None]:
        """The mesh of each face; None of one that is smaller than `SMALLEST`, or is none to the network.

        Args:
            image: (H, W, 3) RGB uint8.
            faces: That a detector found in it.
            threads: 1 keeps the work on the calling thread, for callers that run side by side.

        Raises:
            ModelError: The network fails, or gives what is no number.
        """
        return [self._mesh(image, face, threads) for face in faces]

    def _mesh(self, image: Image, face: Face, threads: int | None) -> Mesh | None:
        square = _square(face)
        if square is None:
            return None
        to_crop = _matrix(*square, self._size)
        seen, presence, shapes = self._answers(_cut(image, to_crop, self._size), threads)
        if presence[0] < PRESENT:
            return None
        points = _in_photo(seen.astype(np.float64), to_crop)
        return Mesh(
            points=points.astype(np.float32),
            presence=float(presence[0]),
            blendshapes=dict(zip(self.blendshapes, shapes.tolist(), strict=True)),
            pose=self._pose(points),
            eyes_open=_eyes_open(points),
        )

    def _answers(self, crop: Image, threads: int | None) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Points (478, 3) in pixels of the crop, presence (1,) and blendshapes (52,)."""
        network = self.network.single if threads == 1 else self.network
        outputs = [output[0] for output in network.run(self.model.card.preprocess(crop[np.newaxis]))]
        if not all(np.isfinite(output).all() for output in outputs):
            raise ModelError(f"The landmarker {self.name} gave what is no number; the model file is broken.")
        points, presence, shapes = outputs
        return points, presence, shapes

    def _pose(self, points: NDArray[np.float64]) -> Pose:
        """The rotation that takes the canonical face to the points, by least squares.

        Kabsch 1976, "A solution for the best rotation to relate two sets of vectors". All points count alike:
        on drawn people that is nearer to the truth, and moves less with the mouth, than the 33 points and
        weights of MediaPipe (docs/landmarks.md).
        """
        seen = points[: len(self._canonical)] * (1.0, 1.0, -1.0)
        left, _, right = np.linalg.svd((seen - seen.mean(axis=0)).T @ self._canonical)
        mirrored = np.sign(np.linalg.det(left @ right))
        return pose_of(left @ np.diag([1.0, 1.0, mirrored]) @ right)


def _square(face: Face) -> tuple[complex, float, float] | None:
    """Middle x + iy, side and tilt in radians of what is cut of a photo; None of what is no face."""
    x1, y1, x2, y2 = (float(v) for v in face.box)
    (left_x, left_y), (right_x, right_y) = face.landmarks[:2].tolist()
    side = _ENLARGED * max(x2 - x1, y2 - y1)
    tilt = math.atan2(right_y - left_y, right_x - left_x)
    down = complex(-math.sin(tilt), math.cos(tilt))
    middle = complex(x1 + x2, y1 + y2) / 2 + _LOWER / _ENLARGED * side * down
    if not (math.isfinite(tilt) and abs(middle) < _FARTHEST and _ENLARGED * SMALLEST <= side < _FARTHEST):
        return None
    return middle, side, tilt


def _matrix(middle: complex, side: float, tilt: float, size: int) -> NDArray[np.float64]:
    """(2, 3) from pixels of the photo to those of the crop."""
    scale = size / side
    cosine, sine = scale * math.cos(tilt), scale * math.sin(tilt)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = size / 2 - turn @ (middle.real, middle.imag)
    return np.concatenate([turn, shift[:, np.newaxis]], axis=1)


def _cut(image: Image, to_crop: NDArray[np.float64], size: int) -> Image:
    import cv2  # noqa: PLC0415  see `facewise.geometry.align`

    return np.asarray(
        cv2.warpAffine(image, to_crop, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT),
        np.uint8,
    )


def _in_photo(points: NDArray[np.float64], to_crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, 3) points of the crop in pixels of the photo."""
    back = np.linalg.inv(to_crop[:, :2])
    flat = (points[:, :2] - to_crop[:, 2]) @ back.T
    return np.concatenate([flat, points[:, 2:] * math.sqrt(np.linalg.det(back))], axis=1)


def _eyes_open(points: NDArray[np.float64]) -> tuple[float, float]:
    left, right = (_aspect(points[list(lids)]) for lids in _LIDS)
    return left, right


def _aspect(eye: NDArray[np.float64]) -> float:
    """Of an eye's six points (6, 3), the gap between its lids as a share of its width."""
    gaps = np.linalg.norm(eye[1] - eye[5]) + np.linalg.norm(eye[2] - eye[4])
    return float(gaps / (2 * max(float(np.linalg.norm(eye[0] - eye[3])), 1e-9)))
