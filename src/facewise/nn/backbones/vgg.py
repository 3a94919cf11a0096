"""VGG-16 in the layout and key names of torchvision, which VGG-Face's weights fit as well.

Simonyan and Zisserman 2015 (1409.1556), table 1, column D. Parkhi et al. 2015, "Deep Face Recognition",
trained it on 2622 people: 224×224 BGR minus (93.5940, 104.7624, 129.1863), its descriptor the 4096 numbers
of `fc7` after ReLU, which is what the network gives when neither classes nor an embedding is asked for.
"""

from __future__ import annotations

from torch import Tensor, nn

from facewise.errors import SettingError
from facewise.nn.backbones.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    BackboneInfo,
    Embedding,
    finish,
    initialise,
    register,
)

_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""(channels, convolutions) of each stage; a max-pooling ends it."""


@register(
    BackboneInfo(
        "vgg16",
        224,
        IMAGENET_MEAN,
        IMAGENET_STD,
        "RGB",
        "VGG, 1409.1556; torchvision's weights (VGG-Face's: BGR minus 93.5940, 104.7624, 129.1863)",
    )
)
class VGG16(nn.Module):
    """(N, 3, S, S) → (N, D), or (N, classes) with the classifier of a checkpoint."""

    def __init__(
        self,
        embedding_size: int | None = None,
        dropout: float = 0.5,
        input_size: int = 224,
        unit: bool = False,
        classes: int | None = None,
    ) -> None:
        """A network for crops of one size.

        Args:
            embedding_size: D; None gives the 4096 numbers of fc7 after ReLU.
            dropout: Share of numbers dropped after fc6 and fc7.
            input_size: S, in pixels; public weights want 224.
            unit: Whether the output gets unit length.
            classes: Adds a checkpoint's classifier in place of an embedding: ImageNet 1000, VGG-Face 2622.

        Raises:
            SettingError: The input is too small, or classes and embedding_size are both given.
        """
        super().__init__()
        if input_size < 32:
            raise SettingError(f"An input_size of {input_size} px is too small; give at least 32.")
        if classes is not None and embedding_size is not None:
            raise SettingError("A network ends in classes or in an embedding; leave one of them out.")
        side = input_size // 32
        self.unit, self.embedding_size = unit, classes or embedding_size or 4096
        layers: list[nn.Module] = []
        inputs = 3
        for channels, count in _STAGES:
            for _ in range(count):
                layers += [nn.Conv2d(inputs, channels, 3, 1, 1), nn.ReLU()]
                inputs = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(512 * side * side, 4096), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout)),
        )
        if classes is not None:
            self.classifier.append(nn.Linear(4096, classes))
        # Its dropout is that of fc7.
        self.embedding = None if embedding_size is None else Embedding(4096, embedding_size)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        layers = [*self.classifier.children(), *([] if self.embedding is None else [self.embedding])]
        x = self.features(x).flatten(1)
        for layer in layers[:6]:
            x = layer(x)
        return finish(x, layers[6:], unit=self.unit)
