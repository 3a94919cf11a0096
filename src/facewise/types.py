"""The results Facewise hands out: frozen, slotted, typed. Conventions of shape and unit live here.

Boxes are float32 `[x1, y1, x2, y2]` in pixels of the photo given; landmarks are float32 `(5, 2)`: the eye
at the image's left, the eye at its right, nose tip, mouth corner left, mouth corner right (for a face that is
found in the photo turned, left and right are those of the turned photo); embeddings are float32 `(D,)` of
unit length; similarity is cosine in [-1, 1]. Angles are radians.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Image: TypeAlias = NDArray[np.uint8]
"""RGB, uint8, `(H, W, 3)`, C-contiguous. BGR never crosses a function boundary."""

FloatArray: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """How usable one face is, from what detection and alignment already know.

    Attributes:
        score: The detector's confidence in [0, 1].
        size: Distance between the eyes in pixels of the photo.
        sharpness: Variance of the Laplacian of the aligned grey crop (grey levels squared); low is blurred.
        yaw: Turn to the side, radians, 0 is frontal, positive towards the image's right; roughly, from the
            landmarks, or the mesh's where there is one.
        pitch: Nod, radians, 0 is frontal, positive is looking down; likewise.
        roll: In-plane rotation of the eye line, radians, positive is clockwise in the image.
        value: Quality in [0, 1] as the embedder's calibration sees it, 1 is best; or None where the face was
            not embedded, or the calibration knows nothing of quality.
        reasons: What is so bad about the photo that thresholds were not measured on its like, in words such
            as `"blurred"`: where the calibration knows of quality, nothing is decided by it. Mostly empty.
        remarks: What a better photo would not have, such as `"eyes closed"`, where there is a mesh to tell:
            it is decided by all the same, and only enrolment asks for better, see `facewise.quality.Gate`.
    """

    score: float
    size: float
    sharpness: float
    yaw: float
    pitch: float
    roll: float
    value: float | None = None
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pose:
    """How a head is turned, in radians, relative to the line of sight; all 0 is into the camera.

    Attributes:
        yaw: To the side, positive towards the image's right.
        pitch: Up and down, positive is looking down.
        roll: Tilt in the image, positive is clockwise.
    """

    yaw: float
    pitch: float
    roll: float

    @property
    def degrees(self) -> tuple[float, float, float]:
        """(yaw, pitch, roll) in degrees, for people."""
        return math.degrees(self.yaw), math.degrees(self.pitch), math.degrees(self.roll)

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) from the axes of the head (right, down, towards the viewer) to those of the photo."""
        (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in (self.yaw, self.pitch, self.roll))
        turn = np.array([[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]])
        nod = np.array([[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]])
        tilt = np.array([[cr, -sr, 0.0], [sr, cr, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(tilt @ nod @ turn, np.float64)


@dataclass(frozen=True, slots=True)
class Age:
    """How old a face looks.

    Attributes:
        mean: Years.
        low, high: Years; the age is between them for 90 of 100 faces such as the model was calibrated on.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Guess:
    """Which of a few words fits a face.

    Attributes:
        answer: The most probable one, or None for not sure: its probability is below the model's limit.
        probabilities: Of each word, calibrated; they sum to 1.
    """

    answer: str | None
    probabilities: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a face looks like; it is the look of a photo, not who somebody is.

    Attributes:
        age, gender, emotion, race: None where that was not asked for, or nothing can be said, see `note`.
        note: Why nothing can be said of this face, such as `"blurred"`; or empty.
    """

    age: Age | None = None
    gender: Guess | None = None
    emotion: Guess | None = None
    race: Guess | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Liveness:
    """Whether a face is before the camera, or a picture of one is.

    Attributes:
        score: In [0, 1], 1 looks live.
        live: The decision by a measured threshold, or None where none was measured.
        note: What was decided by, or why nothing was.
    """

    score: float
    live: bool | None
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """One face in 478 points.

    Attributes:
        points: `(478, 3)` float32: x and y in pixels of the photo; z in such pixels too, away from the
            viewer, 0 about the middle of the head. Their order is that of MediaPipe's Face Mesh.
        presence: How surely there is a face where the points are, in [0, 1].
        blendshapes: What the face does, 0 to 1 each, by ARKit's names (`"jawOpen"`); left and right in these
            names are the person's own.
        pose: How the head is turned.
        eyes_open: Gap between the lids as a share of the eye's width, of the eye at the image's left and of
            that at its right: about 0.3 is open, below 0.2 shut.
    """

    points: FloatArray
    presence: float
    blendshapes: Mapping[str, float] = field(repr=False)
    pose: Pose
    eyes_open: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face in one photo.

    Attributes:
        box: `(4,)` float32 `[x1, y1, x2, y2]`, pixels of the photo; may reach past the edge.
        score: Detector confidence in [0, 1].
        landmarks: `(5, 2)` float32, pixels of the photo.
        embedding: `(D,)` float32 of unit length, or None before embedding.
        quality: Measured when the face was aligned, or None before.
        attributes: What it looks like, or None where nobody asked.
        liveness: Whether it is live, where that was asked for, or None.
        mesh: Its points in 3-D, pose and expression, or None where nobody asked, or no face is where the
            detector saw one.
    """

    box: FloatArray
    score: float
    landmarks: FloatArray
    embedding: FloatArray | None = field(default=None, repr=False)
    quality: Quality | None = None
    attributes: Attributes | None = None
    liveness: Liveness | None = None
    mesh: Mesh | None = None

    @property
    def width(self) -> float:
        """Box width in pixels."""
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        """Box height in pixels."""
        return float(self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule a similarity is judged by: a threshold and where it comes from.

    Attributes:
        threshold: Cosine similarity at or above which two faces count as the same person.
        fmr: False match rate the threshold was set for, or None if the user gave the threshold.
        source: Where it comes from, for people: `"LFW View 2, 3000 impostor pairs"` or `"given by the user"`.
        fpir: In a search, the share of strangers that rate lets pass for somebody (false positive
            identification rate); None for a single comparison or a threshold without a rate.
    """

    threshold: float
    fmr: float | None
    source: str
    fpir: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """Are two photos of the same person?

    Attributes:
        similarity: Cosine similarity in [-1, 1].
        same: The decision, or None where the model has no calibration to decide by, the photos are too bad
            for one, or a face was found not to be live.
        threshold: The threshold decided by, which is higher where both photos are poor; or None.
        fmr: False match rate of that threshold, or None.
        probability: Calibrated probability of the same person, or None where none is calibrated.
        faces: The face compared in each photo.
        note: Where the threshold comes from, or why there is no decision.
        prior: Share of same pairs that the probability takes for granted before it looks, or None.
        found: How many faces each photo has, of which `faces` are the ones compared.
        comparisons: 1 where the main faces were compared; where all were with all, how many pairs of faces
            that were: the most alike one is judged.
    """

    similarity: float
    same: bool | None
    threshold: float | None
    fmr: float | None
    probability: float | None
    faces: tuple[Face, Face]
    note: str = ""
    prior: float | None = None
    found: tuple[int, int] = (1, 1)
    comparisons: int = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """One person of a gallery, how alike a probe is to them, and their number there, or None."""

    name: str
    similarity: float
    person: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """Who one face is.

    Attributes:
        face: The face in the photo.
        name: The person, or None: a stranger, or no decision possible (see `decided`).
        similarity: Cosine similarity to the best candidate; -1 for an empty gallery.
        decided: False where neither a calibration nor a given threshold allows a decision, the photo is
            too bad for one, or the face was found not to be live.
        threshold: The threshold decided by, or None.
        fmr: False match rate of that threshold, or None.
        candidates: Best people first.
        fpir: Share of strangers whom that rate would give a name in this gallery, or None.
        twice: Whether another face of the photo was given the same name: one of the two is wrong, as nobody
            is in a photo twice.
        note: Why there is no decision, or empty.
    """

    face: Face
    name: str | None
    similarity: float
    decided: bool
    threshold: float | None = None
    fmr: float | None = None
    candidates: tuple[Candidate, ...] = field(default_factory=tuple)
    fpir: float | None = None
    twice: bool = False
    note: str = ""
