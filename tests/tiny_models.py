"""Small Facewise model files that really work on drawn photos, and the drawing.

A drawn face is a disc whose four quarters have fully saturated colours: the person. The detector measures
saturation (largest minus smallest channel) and gives every disc its centre, its diameter and five landmarks,
placed so that the aligned crop is the disc's square. Nothing in it is trained, and all of it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facewise.geometry import TEMPLATE_112
from facewise.models import ModelCard, ModelFile, write_model
from facewise.models.attributes import ATTRIBUTES, MOST_YEARS, WORDS, AgeRule, AttributeRule, WordRule
from facewise.models.export import export_onnx
from facewise.preprocess import Preprocess
from facewise.types import Pose

STRIDES = (8, 16, 32)
MIN_SIZES = ((16, 32), (64, 128), (256, 512))
VARIANCES = (0.1, 0.2)
GREY = 70
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255))
LANDMARKS = (TEMPLATE_112 / 112 - 0.5).astype(np.float32)
"""(5, 2) landmarks of a drawn face of diameter 1 around its centre."""


def person(number: int) -> list[tuple[int, int, int]]:
    """The four colours of a person, different for each number below 1296 (upper row, then lower row)."""
    digits = [(number * 577 + 133) // 6**i % 6 for i in range(4)]
    return [COLOURS[d] for d in digits]


def draw(
    size: tuple[int, int], faces: Iterable[tuple[float, float, float] | tuple[float, float, float, int]] = ()
) -> np.ndarray:
    """A grey RGB photo of (height, width) with faces (centre x, centre y, diameter[, person])."""
    canvas = np.full((*size, 3), GREY, dtype=np.float64)
    for i, (cx, cy, diameter, *who) in enumerate(faces):
        reach = diameter / 2 + 1
        rows, columns = (
            slice(max(0, math.floor(middle - reach)), max(0, math.ceil(middle + reach)))
            for middle in (cy, cx)
        )
        part = canvas[rows, columns]
        y, x = np.ogrid[: part.shape[0], : part.shape[1]]
        y, x = y + rows.start + 0.5, x + columns.start + 0.5
        # Soft edges, one pixel wide, keep the area what it should be at any place between pixels.
        cover = np.clip(diameter / 2 - np.hypot(x - cx, y - cy) + 0.5, 0, 1)[..., None]
        right, lower = (x > cx).astype(int), (y > cy).astype(int)
        colour = np.array(person(who[0] if who else i), dtype=np.float64)[2 * lower + right]
        part[:] = part * (1 - cover) + colour * cover
    return np.rint(canvas).astype(np.uint8)


def landmarks_of(x: float, y: float, diameter: float) -> np.ndarray:
    """(5, 2) where the detector puts the landmarks of a drawn face."""
    return np.array([x, y], dtype=np.float32) + np.float32(diameter) * LANDMARKS


class DiscDetector(nn.Module):
    """RetinaFace's signature: (N, 3, H, W) BGR minus mean → (N, A, 4), (N, A), (N, A, 10)."""

    def __init__(self, mean: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        cells, windows = [], []
        for stride, sizes in zip(STRIDES, MIN_SIZES, strict=True):
            inside = torch.arange(stride) + 0.5 - stride / 2
            y, x = torch.meshgrid(inside, inside, indexing="ij")
            cells.append(torch.stack([torch.ones_like(x), x, y, x * x + y * y])[:, None])
            windows.append(torch.cat([_window(stride, size, within=max(sizes)) for size in sizes]))
        self.cells, self.windows = nn.ParameterList(cells), nn.ParameterList(windows)
        self.marks = nn.Parameter(torch.from_numpy(LANDMARKS.reshape(1, 1, 10).copy()))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = x + self.mean
        saturation = (pixels.amax(dim=1, keepdim=True) - pixels.amin(dim=1, keepdim=True)) / 255
        anchors = []
        for stride, cells, windows in zip(STRIDES, self.cells, self.windows, strict=True):
            padded = functional.pad(saturation, (0, stride - 1, 0, stride - 1))
            moments = functional.conv2d(padded, cells, stride=stride)
            sums = functional.conv2d(moments, windows, padding=windows.shape[-1] // 2)
            anchors.append(sums.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)))
        return self._look(torch.cat(anchors, dim=1))

    def _look(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, A, 4), (N, A), (N, A, 10): the disc of the same area and middle as what is in each window."""
        mass = sums[..., :1].clamp(min=1e-6)
        middle = sums[..., 1:3] / mass
        diameter = (mass * (4 / math.pi)).sqrt()
        off = (middle**2).sum(dim=-1, keepdim=True)
        spread = (sums[..., 3:] / mass - off).clamp(min=1e-6)
        wider = diameter.log()
        # One disc and not several: a disc's mean squared distance from its middle is an eighth of d².
        scattered = (8 * spread / diameter**2).log() / math.log(1.6)
        score = (8 * (1 - (wider / math.log(1.5)) ** 2 - off / 0.42**2 - scattered**2)).sigmoid()
        box = torch.cat([middle / VARIANCES[0], wider / VARIANCES[1], wider / VARIANCES[1]], -1)
        marks = (torch.cat([middle] * 5, -1) + diameter * self.marks) / VARIANCES[0]
        return box, score[..., 0], marks


def _window(stride: int, size: int, *, within: int) -> Tensor:
    """(4, 4, K, K): sums of 1, x, y and x² + y² over an anchor's window from those over each cell around it.

    Lengths are in sizes of the anchor; K is what the size `within` needs.
    """
    reach, most = (math.ceil((2.25 * length / stride - 1) / 2) for length in (size, within))
    around = torch.arange(-reach, reach + 1) * float(stride)
    y, x = torch.meshgrid(around, around, indexing="ij")
    kernel = torch.zeros(4, 4, len(around), len(around))
    kernel[0, 0] = kernel[1, 1] = kernel[2, 2] = kernel[3, 3] = 1
    kernel[1, 0], kernel[2, 0], kernel[3, 0] = x, y, x * x + y * y
    kernel[3, 1], kernel[3, 2] = 2 * x, 2 * y
    kernel /= torch.tensor([size**2, size**3, size**3, size**4]).reshape(4, 1, 1, 1)
    return functional.pad(kernel, (most - reach,) * 4)


def write_detector(path: Path) -> ModelFile:
    """A detector of drawn faces."""
    mean = (104.0, 117.0, 123.0)
    onnx = export_onnx(
        DiscDetector(mean),
        torch.zeros(1, 3, 96, 128),
        dynamic={0: "batch", 2: "height", 3: "width"},
        outputs=("boxes", "scores", "landmarks"),
    )
    card = ModelCard(
        kind="detector",
        name=path.stem,
        version="1",
        licence="MIT",
        source="drawn in tests",
        preprocess=Preprocess(None, mean, (1.0, 1.0, 1.0), "BGR", "none"),
        decoder={
            "name": "retinaface",
            "strides": list(STRIDES),
            "min_sizes": [list(sizes) for sizes in MIN_SIZES],
            "variances": list(VARIANCES),
        },
    )
    return write_model(path, onnx, card)


class ColourEmbedder(nn.Module):
    """(N, 3, 112, 112) → (N, D): random projections of tiles, then of all of them."""

    def __init__(self, seed: int, size: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.tiles = nn.Conv2d(3, 16, 16, stride=16, bias=False)
        self.whole = nn.Linear(16 * 7 * 7, size, bias=False)
        with torch.no_grad():
            for weight in self.parameters():
                values = rng.standard_normal(weight.shape) / math.sqrt(weight[0].numel())
                weight.copy_(torch.from_numpy(values.astype(np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        tiles = self.tiles(x)
        out: Tensor = self.whole((tiles + 0.3 * tiles.abs()).flatten(1))
        return out


def write_embedder(path: Path, seed: int, *, size: int = 32) -> ModelFile:
    """An embedder that tells drawn people apart by their colours."""
    onnx = export_onnx(
        ColourEmbedder(seed, size), torch.zeros(2, 3, 112, 112), dynamic={0: "batch"}, outputs=("embedding",)
    )
    preprocess = Preprocess(112, (127.5, 120.0, 110.0), (127.5, 100.0, 90.0), "RGB", "5-point")
    card = ModelCard("embedder", path.stem, "1", "MIT", "drawn in tests", preprocess, embedding_size=size)
    return write_model(path, onnx, card)


class ColourAttributes(nn.Module):
    """(N, 3, 112, 112) → an output for each attribute: random projections of the mean colours of tiles."""

    def __init__(self, seed: int, widths: Iterable[int]) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.heads = nn.ModuleList(nn.Linear(3 * 49, width) for width in widths)
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(torch.from_numpy(rng.standard_normal(weight.shape).astype(np.float32) * 0.2))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        tiles = functional.avg_pool2d(x, 16).flatten(1)
        return tuple(head(tiles) for head in self.heads)


def write_attributes(path: Path, seed: int = 0, *, rule: AttributeRule | None = None) -> ModelFile:
    """A model of all attributes that says something of every crop, the same of the same one."""
    words = {name: WordRule(words, 1.0, 0.8 if name == "gender" else 0.5) for name, words in WORDS.items()}
    rule = AttributeRule(ATTRIBUTES, words, AgeRule()) if rule is None else rule
    widths = [MOST_YEARS + 1 if name == "age" else len(rule.words[name].words) for name in rule.outputs]
    onnx = export_onnx(
        ColourAttributes(seed, widths),
        torch.zeros(2, 3, 112, 112),
        dynamic={0: "batch"},
        outputs=rule.outputs,
    )
    preprocess = Preprocess(112, (127.5, 120.0, 110.0), (60.0, 50.0, 40.0), "RGB", "5-point")
    card = ModelCard("attributes", path.stem, "1", "MIT", "drawn in tests", preprocess, attributes=rule)
    return write_model(path, onnx, card)


class _Border(nn.Module):
    """(N, 3, 80, 80) in grey levels → (N, 3) probabilities; live is the second, more so in the dark."""

    def __init__(self, half: float) -> None:
        super().__init__()
        self.half = half

    def forward(self, x: Tensor) -> Tensor:
        live = torch.sigmoid((self.half - x[:, :, :8].mean(dim=(1, 2, 3))) / 10)
        return torch.stack([(1 - live) / 2, live, (1 - live) / 2], dim=1)


def write_liveness(path: Path, half: float = 110.0, others: tuple[str, ...] = ()) -> ModelFile:
    """A liveness model to which a face is live by how dark it is around it: `half` is a score of a half."""
    network = export_onnx(
        _Border(half), torch.zeros(1, 3, 80, 80), dynamic={0: "batch"}, outputs=["probabilities"]
    )
    card = ModelCard(
        kind="liveness",
        name=path.stem,
        version="1",
        licence="MIT",
        source="tests",
        preprocess=Preprocess(80, (0.0,) * 3, (1.0,) * 3, "BGR", "inside", margin=1.7),
        decoder={"name": "classes", "live": 1, **({"with": list(others)} if others else {})},
    )
    return write_model(path, network, card)


class _Points(nn.Module):
    """(1, 3, 192, 192) in [0, 1] → the same points of every crop; a face is where colours are strong."""

    def __init__(self, points: np.ndarray) -> None:
        super().__init__()
        self.points = nn.Parameter(torch.from_numpy(points.astype(np.float32)))
        self.shapes = nn.Parameter(torch.linspace(0, 1, 52))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        saturation = (x.amax(dim=1) - x.amin(dim=1)).mean(dim=(1, 2)).reshape(1, 1)
        return (
            self.points[None] + 0 * saturation,
            (50 * (saturation - 0.1)).sigmoid(),
            self.shapes[None] + 0 * saturation,
        )


LOOKS_UP = math.radians(6.2)
"""By how much MediaPipe's canonical face looks up where a head of no pitch looks ahead."""


def turned_head(pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """For `write_landmarker`: points of a head so turned, and most of them as the canonical face has them."""
    front = np.random.default_rng(1).uniform(-5, 5, (478, 3))  # right, down, towards the viewer
    seen = 10 * front @ pose.rotation.T * (1, 1, -1) + (96, 96, 0)
    canonical = front[:400] @ Pose(0.0, -LOOKS_UP, 0.0).rotation.T
    return seen, canonical * (1, -1, 1)


def write_landmarker(path: Path, points: np.ndarray, geometry: np.ndarray) -> ModelFile:
    """A landmarker that finds these points (478, 3), in pixels of a 192×192 crop, in every drawn face.

    Args:
        path: Where to.
        points: z away from the viewer.
        geometry: (K, 3) the first of them on a head from the front: x right, y up, z towards the viewer.
    """
    network = export_onnx(
        _Points(points),
        torch.zeros(1, 3, 192, 192),
        dynamic={},
        outputs=["points", "presence", "blendshapes"],
    )
    decoder = {
        "name": "mediapipe-face",
        "blendshapes": [f"shape{i}" for i in range(52)],
        "geometry": geometry.tolist(),
    }
    preprocess = Preprocess(192, (0.0,) * 3, (255.0,) * 3, "RGB", "none")
    card = ModelCard("landmarker", path.stem, "1", "MIT", "drawn in tests", preprocess, decoder=decoder)
    return write_model(path, network, card)
