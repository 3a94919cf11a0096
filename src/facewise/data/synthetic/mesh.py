"""Meshes: vertices in rows and columns, with what is needed to colour and light each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.shape import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Triangles of one thing or of several.

    Attributes:
        points: (V, 3) millimetres: right, down, towards the viewer.
        normals: (V, 3) unit vectors outwards.
        triangles: (T, 3) vertices, clockwise as seen from outside.
        colour: (V, 3) linear colour where neither the face's picture nor hair is.
        place: (V, 3) theta, x at rest and t of the surface: where pictures of face and hair are read.
        painted: (V,) how much of the face's picture is seen, 0 to 1.
        hair: (V,) how much hair is seen, 0 to 1.
        open: (V,) how much of the even light reaches it, 0 to 1.
        gloss: (V,) how much it shines.
    """

    points: Floats
    normals: Floats
    triangles: NDArray[np.int64]
    colour: Floats
    place: Floats
    painted: Floats
    hair: Floats
    open: Floats
    gloss: Floats

    def moved(self, points: Floats, normals: Floats) -> Mesh:
        """The same elsewhere."""
        return replace(self, points=points, normals=normals)

    def turned(self, rotation: Floats, centre: Floats) -> Mesh:
        """Turned about a point by a (3, 3) rotation."""
        return self.moved((self.points - centre) @ rotation.T + centre, self.normals @ rotation.T)


def grid_mesh(
    points: Floats,
    *,
    closed: bool,
    colour: Floats,
    place: Floats | None = None,
    painted: Floats | float = 0.0,
    hair: Floats | float = 0.0,
    open_: Floats | float = 1.0,
    gloss: Floats | float = 0.0,
) -> Mesh:
    """A mesh of rows and columns.

    Args:
        points: (R, C, 3); rows go down, columns to the image's right where the surface faces the viewer.
        closed: The last column is joined to the first.
        colour: Linear, of all or of each vertex (R, C, 3).
        place: (R, C, 3), see `Mesh`.
        painted: Of all or of each vertex (R, C).
        hair: As `painted`.
        open_: As `painted`.
        gloss: As `painted`.
    """
    rows, columns = points.shape[:2]
    count = rows * columns

    def spread(values: Floats | float) -> Floats:
        return np.broadcast_to(np.asarray(values, np.float64), (rows, columns)).reshape(count)

    where = np.zeros((rows, columns, 3)) if place is None else place
    return Mesh(
        points.reshape(count, 3),
        grid_normals(points, closed=closed).reshape(count, 3),
        _grid_triangles(rows, columns, closed),
        np.broadcast_to(colour, (rows, columns, 3)).reshape(count, 3),
        where.reshape(count, 3),
        spread(painted),
        spread(hair),
        spread(open_),
        spread(gloss),
    )


def grid_normals(points: Floats, *, closed: bool) -> Floats:
    """Unit normals (R, C, 3) of a grid's vertices, outwards."""
    if closed:
        around = np.roll(points, -1, axis=1) - np.roll(points, 1, axis=1)
    else:
        around = np.gradient(points, axis=1)
    down = np.gradient(points, axis=0)
    normal = np.cross(around, down)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.asarray(normal / np.maximum(length, 1e-9), np.float64)


def joined(meshes: list[Mesh]) -> Mesh:
    """All meshes as one."""
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes[:-1]])
    triangles = np.concatenate([mesh.triangles + at for mesh, at in zip(meshes, starts, strict=True)])

    def together(name: str) -> Floats:
        return np.concatenate([getattr(mesh, name) for mesh in meshes])

    return Mesh(
        together("points"), together("normals"), triangles, together("colour"), together("place"),
        together("painted"), together("hair"), together("open"), together("gloss"),
    )  # fmt: skip


@lru_cache(maxsize=16)
def _grid_triangles(rows: int, columns: int, closed: bool) -> NDArray[np.int64]:
    number = np.arange(rows * columns).reshape(rows, columns)
    right = np.roll(number, -1, axis=1) if closed else number[:, 1:]
    here = number if closed else number[:, :-1]
    a, b, c, d = here[:-1], right[:-1], right[1:], here[1:]
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    ).astype(np.int64)
    triangles.flags.writeable = False
    return triangles
