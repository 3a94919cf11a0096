"""What the protocols of IJB-B and IJB-C come to, see `facewise.evaluation.ijb`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.evaluation.templates import Templates
from facewise.metrics import IdentificationResult, Interval, Roc, VerificationResult, roc
from facewise.types import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class IjbTemplates:
    """The templates of a dataset as one embedder sees them.

    Attributes:
        templates: One vector each.
        data_hash: sha256 (hex) over the photos' content and the lists' words on them.
        unreadable: Photos that are of no use, with the reason.
    """

    templates: Templates
    data_hash: str
    unreadable: tuple[tuple[str, str], ...]

    @property
    def empty(self) -> int:
        """How many templates have no usable photo."""
        return int((~self.templates.there).sum())


@dataclass(frozen=True, slots=True, eq=False)
class IjbVerification:
    """1:1.

    Attributes:
        metrics: TAR at FMR, EER, AUC. Intervals are exact binomial ones, `tar@fmr=…` and `fmr@fmr=…`, of
            pairs taken for independent: as pairs share templates, the truth is less sure.
        similarities: (P,) float32, one a pair that is not left out, in the order of the list.
        same: (P,) bool.
        curve: (F, 2) false match rates, ten a decade from 1e-6, and the true accept rates there.
        left_out: How many pairs are left out, as one of their templates has no usable photo.
    """

    metrics: VerificationResult
    similarities: FloatArray
    same: NDArray[np.bool_]
    curve: NDArray[np.float64]
    left_out: int

    def roc(self) -> Roc:
        """The whole ROC, a point a distinct score: three arrays of up to P numbers."""
        return roc(self.similarities, self.same)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            **self.metrics.to_dict(),
            "roc": [{"fmr": fmr, "tar": tar} for fmr, tar in self.curve.tolist()],
            "pairs_left_out_as_unreadable": self.left_out,
        }


@dataclass(frozen=True, slots=True, eq=False)
class GalleryIdentification:
    """All probes searched in one gallery.

    Attributes:
        name: `G1`, `G2`, or `G1+G2` for both at once: a closed set, the one that InsightFace prints.
        templates: Gallery templates.
        metrics: Ranks of the probes whose person is in it, DIR at FPIR set on all others.
        rates: `rank1`, `rank5`, `rank10`, `dir@fpir=0.01`, `dir@fpir=0.1`; DIR where there are strangers.
        intervals: Exact binomial ones of these.
        left_out: How many probes are left out, as they have no usable photo.
    """

    name: str
    templates: int
    metrics: IdentificationResult
    rates: Mapping[str, float]
    intervals: Mapping[str, Interval]
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "gallery_name": self.name,
            "gallery_templates": self.templates,
            **self.metrics.to_dict(),
            "rates": dict(self.rates),
            "intervals": {name: asdict(interval) for name, interval in self.intervals.items()},
            "probes_left_out_as_unreadable": self.left_out,
        }


@dataclass(frozen=True, slots=True, eq=False)
class IjbIdentification:
    """1:N.

    Attributes:
        galleries: One each.
        average: The mean of the galleries' rates.
        together: Both galleries as one, where every probe's person is in it; None where some are not.
    """

    galleries: tuple[GalleryIdentification, ...]
    average: Mapping[str, float]
    together: GalleryIdentification | None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON."""
        return {
            "galleries": [gallery.to_dict() for gallery in self.galleries],
            "average": dict(self.average),
            "together": None if self.together is None else self.together.to_dict(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class IjbResult:
    """One embedder on IJB-B or IJB-C.

    Attributes:
        subset: `IJBB` or `IJBC`.
        mode: How templates were made, InsightFace's way: `N1D1F1` weights by the features' length (N) and the
            detector's score (D), and adds the mirrored photo (F).
        photos: Number of photos.
        embedded: The templates.
        verification: 1:1.
        identification: 1:N, where its lists were read.
    """

    subset: str
    mode: str
    photos: int
    embedded: IjbTemplates
    verification: IjbVerification
    identification: IjbIdentification | None

    def to_dict(self) -> dict[str, Any]:
        """Plain Python for JSON, the similarities left out."""
        done = self.embedded
        return {
            "dataset": self.subset,
            "protocol": "1:1" if self.identification is None else "1:1 and 1:N",
            "mode": self.mode,
            "photos": self.photos,
            "templates": len(done.templates.there),
            "templates_without_a_usable_photo": done.empty,
            "unreadable": [{"photo": photo, "error": error} for photo, error in done.unreadable],
            "data_hash": done.data_hash,
            "verification": self.verification.to_dict(),
            "identification": None if self.identification is None else self.identification.to_dict(),
        }
