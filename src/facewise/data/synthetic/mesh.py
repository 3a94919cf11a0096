"""Meshes: vertices in rows and columns, with what is needed to colour and light each."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from facewise.data.synthetic.shape import Floats

COLUMNS = 85
"""Of every mesh, so that several are one below the other: the last columns of a narrower one are idle."""

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """Vertices of one thing or of several, in R rows and C = `COLUMNS` columns.

    Attributes:
        points: (3, R, C) millimetres: right, down, towards the viewer.
        normals: (3, R, C) unit vectors outwards.
        triangles: (3, T) numbers of vertices, row by row; clockwise as seen from outside.
        colour: (3, R, C) linear colour where neither the face's picture nor hair is.
        place: (3, R, C) theta, x at rest and t of the surface: where pictures of face and hair are read.
        pictured: (R,) where those pictures are seen and not the plain colour.
        hair: (R, C) how much hair is seen, 0 to 1.
        open: (R, C) how much of the even light reaches it, 0 to 1.
        gloss: (R, C) how much it shines.
    """

    points: Values
    normals: Values
    triangles: NDArray[np.int64]
    colour: Values
    place: Values
    pictured: NDArray[np.bool_]
    hair: Values
    open: Values
    gloss: Values

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.hair)

    def moved(self, points: Values, normals: Values) -> Mesh:
        """The same elsewhere."""
        return replace(self, points=points, normals=normals)

    def turned_over(self) -> Mesh:
        """The inside of it."""
        return replace(self, normals=-self.normals, triangles=self.triangles[::-1])


def grid_mesh(
    points: Floats,
    *,
    closed: bool,
    colour: Floats,
    place: Floats | None = None,
    pictured: bool = False,
    hair: Floats | float = 0.0,
    open_: Floats | float = 1.0,
    gloss: Floats | float = 0.0,
) -> Mesh:
    """A mesh of rows and columns.

    Args:
        points: (R, C, 3); rows go down, columns to the image's right where the surface faces the viewer.
        closed: The last column is the first one once more.
        colour: Linear, of all or of each vertex (R, C, 3).
        place: (R, C, 3), see `Mesh`.
        pictured: See `Mesh`.
        hair: Of all or of each vertex (R, C).
        open_: As `hair`.
        gloss: As `hair`.
    """
    rows, columns = points.shape[:2]

    def spread(values: Floats | float) -> Values:
        return widened(np.broadcast_to(np.asarray(values, np.float32), (rows, columns)))

    def vectors(values: Floats) -> Values:
        return widened(np.moveaxis(np.broadcast_to(values, (rows, columns, 3)), -1, 0).astype(np.float32))

    where = vectors(points)
    return Mesh(
        where,
        widened(grid_normals(where[..., :columns], closed=closed)),
        _grid_triangles(rows, columns),
        vectors(colour),
        vectors(np.zeros(3) if place is None else place),
        np.full(rows, pictured),
        spread(hair),
        spread(open_),
        spread(gloss),
    )


def widened(values: Values) -> Values:
    """Values (…, C) of a grid in all `COLUMNS`: the idle ones repeat the last."""
    missing = COLUMNS - values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)], mode="edge")


def grid_normals(points: Values, *, closed: bool) -> Values:
    """Unit normals (3, R, C) of the vertices (3, R, C) of a grid, outwards; see `grid_mesh`."""
    around, down = np.empty_like(points), np.empty_like(points)
    around[..., 1:-1] = points[..., 2:] - points[..., :-2]
    if closed:
        around[..., 0] = around[..., -1] = points[..., 1] - points[..., -2]
    else:
        around[..., 0], around[..., -1] = points[..., 1] - points[..., 0], points[..., -1] - points[..., -2]
    down[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[:, 0], down[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    (ax, ay, az), (dx, dy, dz) = around, down
    normal = np.stack([ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx])
    normal /= np.maximum(np.sqrt((normal**2).sum(0)), np.float32(1e-9))
    return np.asarray(normal, np.float32)


def turned(values: Values, rotation: Floats, centre: Floats | None = None) -> Values:
    """Vectors (3, …) turned by a (3, 3) rotation, about a point if any."""
    matrix = rotation.astype(np.float32)
    found = (matrix @ values.reshape(3, -1)).reshape(values.shape)
    if centre is not None:
        found += (centre - rotation @ centre).astype(np.float32).reshape(3, *[1] * (values.ndim - 1))
    return np.asarray(found, np.float32)


def joined(meshes: list[Mesh]) -> Mesh:
    """All meshes as one, one below the other."""
    starts = np.cumsum([0] + [mesh.rows * COLUMNS for mesh in meshes[:-1]])
    parts = {
        field.name: np.concatenate(
            [getattr(mesh, field.name) for mesh in meshes],
            axis=-1 if field.name in ("triangles", "pictured") else -2,
        )
        for field in fields(Mesh)
    }
    shifts = np.repeat(starts, [mesh.triangles.shape[1] for mesh in meshes])
    return Mesh(**{**parts, "triangles": parts["triangles"] + shifts})


@lru_cache(maxsize=16)
def places_in(rows: int) -> Values:
    """(2, V) column and row of each vertex of a mesh."""
    row, column = np.divmod(np.arange(rows * COLUMNS), COLUMNS)
    return np.stack([column, row]).astype(np.float32)


def _grid_triangles(rows: int, columns: int) -> NDArray[np.int64]:
    number = np.arange(rows * COLUMNS).reshape(rows, COLUMNS)[:, :columns]
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    corners = [np.stack([a, b, c]).reshape(3, -1), np.stack([a, c, d]).reshape(3, -1)]
    return np.concatenate(corners, axis=1).astype(np.int64)
