"""Embeddings of all crops of a comparison, made once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facewise.data.store import CropStore
from facewise.errors import DatasetError
from facewise.files import atomic_write
from facewise.methods.memory import peak_memory
from facewise.models.file import read_model
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Embed:
    """Embedding crops.

    Attributes:
        store: The crops.
        model: File of the embedder.
        flip: See `Embedder`; None is as calibrated.
        out: The file to write.
        identity: What the vectors depend on.
        threads: To use; None is all.
    """

    store: CropStore
    model: Path
    flip: bool | None
    out: Path
    identity: str
    threads: int | None = None

    def run(self, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Embed and write, and tell how it goes."""
        from facewise.embedding import Embedder  # noqa: PLC0415

        embedder = Embedder(read_model(self.model, kind="embedder"), flip=self.flip, threads=self.threads)
        vectors = np.empty((len(self.store), embedder.embedding_size), np.float32)
        embedder.embed(self.store.take([0]))  # the first call is slower
        spent = 0.0
        for start in range(0, len(self.store), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(self.store)))
            begun = time.perf_counter()
            vectors[rows] = embedder.embed(self.store.take(rows))
            spent += time.perf_counter() - begun
            tell({"embedded": len(rows)})
        with atomic_write(self.out, private=True) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                vectors=vectors,
                identity=np.array(self.identity),
                ms=np.array(spent * 1000 / len(self.store)),
                peak=np.array(peak_memory() or 0),
                model_bytes=np.array(self.model.stat().st_size),
            )


_BLOCK = 128
"""Crops embedded between two words on progress."""


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Embeddings of all crops of a store.

    Attributes:
        vectors: (N, D) float32, unit length.
        ms: Milliseconds a crop.
        peak_bytes: Of the process that made them, or None where it was not one of its own.
        model_bytes: Size of the embedder's file.
    """

    vectors: FloatArray
    ms: float
    peak_bytes: int | None
    model_bytes: int


def read_vectors(path: Path, identity: str | None = None) -> Vectors | None:
    """What `Embed` wrote; None if it is not there, or not of this identity."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if identity is not None and str(stored["identity"]) != identity:
                return None
            return Vectors(
                stored["vectors"],
                float(stored["ms"]),
                int(stored["peak"]) or None,
                int(stored["model_bytes"]),
            )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DatasetError(f"{path} is damaged ({error}): delete it, and it is made anew.") from error
