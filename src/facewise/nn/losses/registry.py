"""The losses by name."""

from __future__ import annotations

from facewise.nn.losses.base import Head
from facewise.nn.registry import Registry

LOSSES: Registry[Head] = Registry("loss")
"""Built by `LOSSES.build(name, embedding_size, classes, **options)`."""
