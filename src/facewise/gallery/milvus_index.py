"""Which index a Milvus server keeps over the vectors of a gallery.

What each costs and how many of the true nearest it finds is in `docs/scale.md`. Whatever it is, the
similarities that the gallery tells are computed again from the vectors themselves.
"""

from __future__ import annotations

from typing import Any

from facewise.errors import GalleryError

EXACT = "flat"

_INDEXES: dict[str, tuple[str, dict[str, Any]]] = {
    "flat": ("FLAT", {}),
    "hnsw": ("HNSW", {"M": 32, "efConstruction": 360}),
    "ivf_sq8": ("IVF_SQ8", {"nlist": 16_384}),
    "diskann": ("DISKANN", {}),
}


def index_named(name: str, lite: bool) -> dict[str, Any]:
    """What Milvus is asked to build.

    Raises:
        GalleryError: There is no such index, or not in Milvus Lite.
    """
    if name not in _INDEXES:
        raise GalleryError(
            f"There is no index {name!r} for a Milvus gallery: there are {', '.join(_INDEXES)}."
        )
    if lite and name != EXACT:
        raise GalleryError(f"A Milvus Lite gallery is searched exactly (flat): {name} is for a server.")
    kind, parameters = _INDEXES[name]
    return {"index_type": kind, "metric_type": "IP", "params": parameters}


def search_settings(name: str, limit: int) -> dict[str, Any]:
    """How hard to look for `limit` neighbours."""
    wide = max(256, 2 * limit)
    return {
        "flat": {},
        "hnsw": {"ef": wide},
        "ivf_sq8": {"nprobe": 256},
        "diskann": {"search_list": wide},
    }[name]
