"""MiniFASNet: is this a face, or a picture of one? The public networks of minivision-ai.

MobileFaceNet (Chen et al. 2018, 1804.07573) for 80×80 pixels with its channels pruned block by block; V1SE
has squeeze and excitation (Hu et al. 2018, 1709.01507) in the last block of every stage. Attribute names are
the public checkpoints' keys, and numbers of channels are their shapes.
"""

from __future__ import annotations

from torch import Tensor, nn

Widths = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

V2: Widths = ((13, 13, 13, 13), (231, 52, 26, 77, 26, 26), (26, 26))
"""Channels within the residual blocks of MiniFASNetV2, by stage."""

V1SE: Widths = ((13, 26, 13, 52), (154, 52, 26, 52, 26, 26), (26, 26))
"""Likewise of MiniFASNetV1SE."""

_OUTPUTS, _STRIDED = (64, 128, 128), (103, 231, 308)
"""Channels of the three stages, and within the block with stride 2 before each."""

_REDUCTION = 4


class _Conv(nn.Module):
    """Convolution, batch norm and, unless `linear`, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        *,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = None if linear else nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class _Excitation(nn.Module):
    """A weight in (0, 1) for each channel, from the means of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // _REDUCTION
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(inner, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        weights = self.bn2(self.fc2(self.relu(self.bn1(self.fc1(self.pool(x))))))
        out: Tensor = x * self.sigmoid(weights)
        return out


class _Block(nn.Module):
    """A bottleneck turned inside out; what it gives is added to what it gets where `stride` is 1."""

    def __init__(
        self, inputs: int, inner: int, outputs: int, stride: int = 1, *, excited: bool = False
    ) -> None:
        super().__init__()
        self.residual = stride == 1
        self.conv = _Conv(inputs, inner)
        self.conv_dw = _Conv(inner, inner, 3, stride, 1, groups=inner)
        self.project = _Conv(inner, outputs, linear=True)
        self.se_module = _Excitation(outputs) if excited else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.conv_dw(self.conv(x)))
        if self.se_module is not None:
            out = self.se_module(out)
        return x + out if self.residual else out


class _Stage(nn.Module):
    def __init__(self, channels: int, inner: tuple[int, ...], *, excited: bool) -> None:
        super().__init__()
        last = len(inner) - 1
        self.model = nn.Sequential(
            *(
                _Block(channels, width, channels, excited=excited and i == last)
                for i, width in enumerate(inner)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out


class MiniFASNet(nn.Module):
    """(N, 3, 80, 80) BGR in grey levels → (N, 3) probabilities, the second that of a live face.

    Args:
        widths: `V2` or `V1SE`.
        excited: Whether the last block of every stage weighs its channels.
    """

    def __init__(self, widths: Widths, *, excited: bool) -> None:
        super().__init__()
        self.conv1 = _Conv(3, 32, 3, 2, 1)
        self.conv2_dw = _Conv(32, 32, 3, 1, 1, groups=32)
        self.conv_23 = _Block(32, _STRIDED[0], _OUTPUTS[0], 2)
        self.conv_3 = _Stage(_OUTPUTS[0], widths[0], excited=excited)
        self.conv_34 = _Block(_OUTPUTS[0], _STRIDED[1], _OUTPUTS[1], 2)
        self.conv_4 = _Stage(_OUTPUTS[1], widths[1], excited=excited)
        self.conv_45 = _Block(_OUTPUTS[1], _STRIDED[2], _OUTPUTS[2], 2)
        self.conv_5 = _Stage(_OUTPUTS[2], widths[2], excited=excited)
        self.conv_6_sep = _Conv(_OUTPUTS[2], 512)
        self.conv_6_dw = _Conv(512, 512, 5, groups=512, linear=True)
        self.linear = nn.Linear(512, 128, bias=False)
        self.bn = nn.BatchNorm1d(128)
        self.prob = nn.Linear(128, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, 80, 80). Returns: (N, 3)."""
        x = self.conv_23(self.conv2_dw(self.conv1(x)))
        x = self.conv_34(self.conv_3(x))
        x = self.conv_45(self.conv_4(x))
        x = self.conv_6_dw(self.conv_6_sep(self.conv_5(x)))
        logits: Tensor = self.prob(self.bn(self.linear(x.flatten(1))))
        return logits.softmax(dim=1)
