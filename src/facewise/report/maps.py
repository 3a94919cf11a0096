"""The embedding map: photos as points, near each other where a model finds them alike."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewise.errors import FacewiseError
from facewise.report.figure import framed, image
from facewise.report.html import Html, data_uri, join, note, shown, text
from facewise.report.svg import colour
from facewise.types import FloatArray, Image

PEOPLE, PHOTOS_EACH = 20, 25
"""What one map shows at most: more people have no colours that tell them apart."""

_WIDTH, _HEIGHT, _EDGE = 640.0, 460.0, 18.0
_THUMBNAIL = 112
_SHAPES = ("M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0", "M-4.4-4.4H4.4V4.4H-4.4Z", "M0-5.6L5.4 4.2H-5.4Z")
"""Circle, square, triangle: seven colours times three shapes are twenty-one people."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One way to lay the points out.

    Attributes:
        name: What its button says.
        told: What was done.
        points: (N, 2) in pixels of the chart.
    """

    name: str
    told: str
    points: NDArray[np.float64]


@dataclass(slots=True)
class Maps:
    """All maps of a page and the photos they share.

    Attributes:
        photos: Whether photos may be shown.
        maps: What the script is told of each.
        faces: `data:` addresses, each once.
    """

    photos: bool
    maps: list[dict[str, Any]] = field(default_factory=list)
    faces: list[str] = field(default_factory=list)
    _known: dict[str, int] = field(default_factory=dict)
    _said: list[str] = field(default_factory=list)

    def json(self) -> str:
        """For the page; nothing in it can end the script element it stands in."""
        if not self.maps:
            return ""
        plain = json.dumps({"maps": self.maps, "faces": self.faces}, separators=(",", ":"))
        return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    def add(
        self,
        title: str,
        embeddings: FloatArray,
        people: Sequence[str],
        keys: Sequence[str],
        crops: Mapping[str, Image],
    ) -> Html:
        """A map as a figure.

        Args:
            title: Over it.
            embeddings: (N, D) of unit length.
            people: (N,) who is on each photo.
            keys: (N,) the photos.
            crops: By key; photos that are not there are shown without.
        """
        layouts, missing = lay_out(embeddings)
        names = sorted(set(people))
        who = [names.index(person) for person in people]
        self.maps.append(
            {
                "names": [shown(name) for name in names],
                "who": who,
                "keys": list(keys),
                "face": [self._face(key, crops.get(key)) for key in keys],
                "layouts": [{"told": one.told, "points": one.points.round(1).tolist()} for one in layouts],
            }
        )
        told = f"{len(keys)} photos of {len(names)} people; each point is a photo, near what it is like."
        new = [sentence for sentence in missing if sentence not in self._said]
        self._said += new
        return join([_figure(title, told, len(self.maps) - 1, layouts, names, who), *map(note, new)])

    def _face(self, key: str, crop: Image | None) -> int:
        if crop is None or not self.photos:
            return -1
        if key not in self._known:
            self._known[key] = len(self.faces)
            self.faces.append(data_uri(crop, _THUMBNAIL, 72))
        return self._known[key]


def chosen(people: Sequence[str], most: int = PEOPLE, each: int = PHOTOS_EACH) -> NDArray[np.int64]:
    """The photos of the `most` people with most photos, `each` of a person at most, evenly taken."""
    by_person: dict[str, list[int]] = {}
    for i, person in enumerate(people):
        by_person.setdefault(person, []).append(i)
    several = {name: own for name, own in by_person.items() if len(own) > 1}
    first = sorted(several, key=lambda name: (-len(several[name]), name))[:most]
    taken = [
        several[name][i]
        for name in sorted(first)
        for i in sorted(set(np.linspace(0, len(several[name]) - 1, each).round().astype(int).tolist()))
    ]
    return np.array(taken, np.int64)


def lay_out(embeddings: FloatArray) -> tuple[list[Layout], list[str]]:
    """Every way there is to lay embeddings out, and why another is not there."""
    from facewise.training.embedding_map import project  # noqa: PLC0415  brings PyTorch

    points, told = project(embeddings, "pca")
    layouts, missing = [Layout("PCA", f"{told} is in these two directions.", _fitted(points))], []
    try:
        points, told = project(embeddings, "tsne")
        layouts.append(
            Layout(
                "t-SNE", "t-SNE keeps neighbours, but neither distances nor sizes of groups.", _fitted(points)
            )
        )
    except FacewiseError as error:
        missing.append(str(error))
    if find_spec("umap") is None:
        missing.append(
            "UMAP is not offered: it needs umap-learn, which is not installed (`pip install umap-learn`)."
        )
    elif len(embeddings) < 5:
        missing.append(f"UMAP of {len(embeddings)} photos shows nothing.")
    else:
        layouts.append(
            Layout("UMAP", "UMAP keeps neighbours, and distances only roughly.", _fitted(_umap(embeddings)))
        )
    return layouts, missing


def _umap(embeddings: FloatArray) -> NDArray[np.float64]:
    module = importlib.import_module("umap")
    made = module.UMAP(metric="cosine", n_neighbors=min(15, len(embeddings) - 1), random_state=0)
    return np.asarray(made.fit_transform(embeddings), np.float64)


def _fitted(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points to pixels, both ways alike, so that distances stay what they are."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE
    scale = float((room / np.maximum(high - low, 1e-12)).min())
    return np.asarray((points - (low + high) / 2) * scale + np.array([_WIDTH, _HEIGHT]) / 2, np.float64)


def _figure(
    title: str, told: str, index: int, layouts: Sequence[Layout], names: Sequence[str], who: Sequence[int]
) -> Html:
    dots = join(
        Html(
            f'<path class="dot" d="{_SHAPES[person // 7 % 3]}" fill="{colour(person)}" '
            f'style="transform:translate({x:.1f}px,{y:.1f}px)"/>'
        )
        for person, (x, y) in zip(who, layouts[0].points.tolist(), strict=True)
    )
    plot = image(title, told, (_WIDTH, _HEIGHT), dots, ' tabindex="0"')
    buttons = join(
        Html(f'<button type="button" aria-pressed="{"false" if i else "true"}">{text(one.name)}</button>')
        for i, one in enumerate(layouts)
    )
    chips = join(
        (
            Html(
                f'<button type="button" aria-pressed="false"><svg viewBox="-7 -7 14 14" aria-hidden="true">'
                f'<path d="{_SHAPES[i // 7 % 3]}" fill="{colour(i)}"/></svg>{text(shown(name))}</button>'
            )
            for i, name in enumerate(names)
        ),
        "",
    )
    inner = Html(
        f'<div class="switch" role="group" aria-label="Layout">{buttons}</div>'
        f'<p class="told how">{text(layouts[0].told)}</p>'
        f'<div class="map" data-map="{index}">{plot}<aside aria-live="polite">Point at a photo, tap it, or '
        "walk with the arrow keys: it is shown here.</aside></div>"
        f'<div class="chips" role="group" aria-label="Show one person alone">{chips}</div>'
        "<noscript><p>Other layouts and photos need JavaScript.</p></noscript>"
    )
    return framed(title, told, inner, wide=True)
