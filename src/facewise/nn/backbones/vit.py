"""Vision transformers for aligned crops: 8×8 patches, pre-norm blocks, averaged tokens.

Dosovitskiy et al. 2021, "An Image is Worth 16×16 Words" (2010.11929), eq. 1 to 4, in the tiny and small
widths of DeiT (Touvron et al. 2021, 2012.12877, table 1). Averaged tokens in place of a class token as in
"Better plain ViT baselines" (Beyer et al. 2022, 2205.01580). Patches of 8 pixels because a face's parts are
small in a 112×112 crop: 14×14 tokens, as many as ImageNet's 224×224 photos give with patches of 16.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.errors import SettingError
from facewise.nn.backbones.base import (
    GREY_MEAN,
    BackboneInfo,
    Embedding,
    finish,
    full_precision,
    initialise,
    register,
)

_DEPTH = 12
_HEAD_WIDTH = 64


class _Norm(nn.LayerNorm):
    """Layer norm in float32 at least, also under autocast and for bfloat16 weights."""

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        with full_precision(x.device.type):
            weight, bias = self.weight.to(wide), self.bias.to(wide)
            return F.layer_norm(x.to(wide), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class _Attention(nn.Module):
    """Multi-head self-attention (2010.11929, eq. 5 to 8)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // _HEAD_WIDTH
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, T, C). Returns: (N, T, C)."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, _HEAD_WIDTH)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return out


class _Block(nn.Module):
    """Attention, then two linear layers token by token, each added to what came in (eq. 2 and 3)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = _Norm(width, eps=1e-6)
        self.attention = _Attention(width)
        self.norm2 = _Norm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        out: Tensor = x + self.dropout(self.mlp(self.norm2(x)))
        return out


class ViT(nn.Module):
    """(N, 3, S, S) → (N, D)."""

    def __init__(
        self,
        width: int,
        embedding_size: int = 512,
        dropout: float = 0.0,
        input_size: int = 112,
        unit: bool = False,
        patch: int = 8,
    ) -> None:
        """A network for crops of one size.

        Args:
            width: C, numbers in a token; a multiple of 64.
            embedding_size: D.
            dropout: Share of numbers dropped after each linear layer of a block, and before the embedding's.
            input_size: S, in pixels, a multiple of the patch.
            unit: Whether embeddings get unit length.
            patch: Side of a patch in pixels.

        Raises:
            SettingError: Patches do not fill the input.
        """
        super().__init__()
        if patch < 1 or input_size < patch or input_size % patch:
            raise SettingError(
                f"An input_size of {input_size} px is no multiple of the patch of {patch}; change either."
            )
        self.unit, self.embedding_size = unit, embedding_size
        tokens = (input_size // patch) ** 2
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(torch.zeros(1, tokens, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(_Block(width, dropout) for _ in range(_DEPTH)))
        self.norm = _Norm(width, eps=1e-6)
        self.embedding = Embedding(width, embedding_size, dropout)
        self._initialise()

    def _initialise(self) -> None:
        """As DeiT: normal of 0.02, cut at 2, for linear layers and positions."""
        initialise(self)
        # No ReLU follows the patches.
        nn.init.kaiming_normal_(self.patches.weight, nonlinearity="linear")
        nn.init.trunc_normal_(self.position, std=0.02)
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Args: x: (N, 3, S, S). Returns: (N, D)."""
        x = self.patches(x).flatten(2).transpose(1, 2)
        # Positions are float32, so the tokens that blocks add to are too, also under autocast.
        x = self.blocks(self.dropout(x + self.position))
        return finish(self.norm(x).mean(1), (self.embedding,), unit=self.unit)


for _name, _width in (("vit-tiny", 192), ("vit-small", 384)):
    register(
        BackboneInfo(
            _name, 112, GREY_MEAN, GREY_MEAN, "RGB", "ViT, 2010.11929, in DeiT's widths; Facewise's own"
        )
    )(partial(ViT, _width))
