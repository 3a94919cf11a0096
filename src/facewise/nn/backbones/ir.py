"""IR and SE-IR networks under the key names of face.evoLVe, TreB1eN's InsightFace_Pytorch and AdaFace.

The residual units of ArcFace (Deng et al. 2019, 1801.07698, sec. 3.1) with one batch norm fewer than
IResNet's; SE adds squeeze and excitation (Hu et al. 2018, 1709.01507). TreB1eN's weights want BGR. AdaFace's
(Kim et al. 2022, 2204.00964) have all of IResNet's batch norms, the last without weights, and want BGR too.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from facewise.nn.backbones.base import GREY_MEAN, BackboneInfo, finish, initialise, map_side, register

_CHANNELS = (64, 128, 256, 512)
"""Of each stage; the first unit of each has stride 2."""
_IR50 = (3, 4, 14, 3)
"""Units of each stage."""


class _SqueezeExcite(nn.Module):
    """Weigh channels by what all of the map says (1709.01507, eq. 3)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.sigmoid(self.fc2(self.relu(self.fc1(self.avg_pool(x)))))
        return x * scale


class _Unit(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, *, squeeze: bool, norm: bool) -> None:
        super().__init__()
        # Where the width stays, the shortcut takes every stride-th pixel.
        self.shortcut_layer: nn.Module = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            *((nn.BatchNorm2d(outputs),) if norm else ()),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *((_SqueezeExcite(outputs),) if squeeze else ()),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return out


class IR(nn.Module):
    """(N, 3, S, S) → (N, D)."""

    def __init__(
        self,
        squeeze: bool,
        embedding_size: int = 512,
        dropout: float = 0.5,
        input_size: int = 112,
        unit: bool = True,
        *,
        units: tuple[int, int, int, int] = _IR50,
        adaface: bool = False,
    ) -> None:
        """A network for crops of one size.

        Args:
            squeeze: Whether units squeeze and excite.
            embedding_size: D.
            dropout: Share of features dropped before the last linear layer; face.evoLVe's by default.
            input_size: S, in pixels.
            unit: Whether embeddings get unit length.
            units: Residual units in each of the four stages.
            adaface: As AdaFace has it: a batch norm between a unit's first convolution and its PReLU, and a
                last batch norm without weights.

        Raises:
            SettingError: The input is too small.
        """
        super().__init__()
        side = map_side(input_size, 16)
        self.unit, self.embedding_size = unit, embedding_size
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(512 * side * side, embedding_size),
            nn.BatchNorm1d(embedding_size, affine=not adaface),
        )
        body: list[nn.Module] = []
        inputs = 64
        for channels, count in zip(_CHANNELS, units, strict=True):
            for i in range(count):
                body.append(_Unit(inputs, channels, 1 if i else 2, squeeze=squeeze, norm=adaface))
                inputs = channels
        self.body = nn.Sequential(*body)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        bn, dropout, flatten, linear, last = self.output_layer
        x = flatten(dropout(bn(self.body(self.input_layer(x)))))
        return finish(x, (linear, last), unit=self.unit)


for _name, _squeeze in (("ir50", False), ("se-ir50", True)):
    register(
        BackboneInfo(_name, 112, GREY_MEAN, GREY_MEAN, "RGB", "ArcFace, 1801.07698; face.evoLVe's weights")
    )(partial(IR, _squeeze))

for _name, _units in (
    ("adaface-ir18", (2, 2, 2, 2)),
    ("adaface-ir50", _IR50),
    ("adaface-ir101", (3, 13, 30, 3)),
):
    register(BackboneInfo(_name, 112, GREY_MEAN, GREY_MEAN, "BGR", "AdaFace, 2204.00964; its own weights"))(
        partial(IR, False, units=_units, adaface=True)
    )
