"""IResNet: the residual networks of ArcFace, under the key names of InsightFace's arcface_torch.

Deng et al. 2019, "ArcFace" (1801.07698), sec. 3.1: a 3×3 stem at full resolution, units of batch norm,
convolution, batch norm, PReLU, convolution, batch norm, and the embedding head "E".
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, map_side, register

_DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
}
"""Units in each stage."""


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        out = self.bn3(self.conv2(out))
        return out + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """(N, 3, S, S) → (N, D)."""

    def __init__(
        self,
        units: tuple[int, int, int, int],
        embedding_size: int = 512,
        dropout: float = 0.0,
        input_size: int = 112,
        unit: bool = False,
    ) -> None:
        """A network for crops of one size.

        Args:
            units: Residual units in each of the four stages.
            embedding_size: D.
            dropout: Share of features dropped before the last linear layer.
            input_size: S, in pixels.
            unit: Whether embeddings get unit length.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        side = map_side(input_size, 16)
        self.unit, self.embedding_size = unit, embedding_size
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        self.layer1 = _stage(64, 64, units[0])
        self.layer2 = _stage(64, 128, units[1])
        self.layer3 = _stage(128, 256, units[2])
        self.layer4 = _stage(256, 512, units[3])
        self.bn2 = nn.BatchNorm2d(512)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(512 * side * side, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size)
        initialise(self)
        # As published: all dimensions of an embedding keep the same scale.
        self.features.weight.requires_grad = False

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        x = self.prelu(self.bn1(self.conv1(x)))
        x = self.bn2(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
        return finish(self.dropout(x.flatten(1)), (self.fc, self.features), unit=self.unit)


def _stage(inputs: int, outputs: int, units: int) -> nn.Sequential:
    return nn.Sequential(*(_Unit(outputs if i else inputs, outputs, 1 if i else 2) for i in range(units)))


for _name, _units in _DEPTHS.items():
    register(
        BackboneInfo(
            _name, 112, GREY_MEAN, GREY_MEAN, "RGB", "ArcFace, 1801.07698; InsightFace's arcface_torch"
        )
    )(partial(IResNet, _units))
