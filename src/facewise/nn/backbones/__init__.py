"""Backbones: crops to embeddings, one architecture a file.

    BACKBONES.build("mobilefacenet", embedding_size=128, unit=False)   # (N, 3, 112, 112) → (N, 128)
    info("mobilefacenet").mean                                         # its published preprocessing

Every backbone has the options `embedding_size`, `dropout`, `input_size` and `unit`, and the attribute
`embedding_size`: the D of its (N, D) output.
"""

from facewise.nn.backbones import (  # noqa: F401  # imported to be registered
    inception_resnet_v1,
    ir,
    iresnet,
    mbf,
    mobilefacenet,
    mobilefacenet_relu6,
    mobilefacenet_xiaoccer,
    resnet,
    vgg,
    vggface2,
    vit,
)
from facewise.nn.backbones.base import BACKBONES, BackboneInfo, info

__all__ = ["BACKBONES", "BackboneInfo", "info"]
