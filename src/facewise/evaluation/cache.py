"""Aligned crops and embeddings of evaluation photos, kept by content and model: a second run is quick.

Only `facewise eval` writes here: photos of other commands leave no trace. The file is in
`cache_folder()`, readable by its owner only; deleting it loses nothing but time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from facewise.errors import FacewiseError
from facewise.models.home import make_cache, without_cache
from facewise.types import FloatArray, Image

_VERSION = 3
"""Raise it when the way from photo to crop or from crop to embedding changes: older entries are dropped."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS crops (
    photo TEXT NOT NULL, detector TEXT NOT NULL, crop BLOB, score REAL, landmarks BLOB,
    others INTEGER NOT NULL, PRIMARY KEY (photo, detector)
);
CREATE TABLE IF NOT EXISTS embeddings (
    photo TEXT NOT NULL, detector TEXT NOT NULL, embedder TEXT NOT NULL, embedding BLOB NOT NULL,
    PRIMARY KEY (photo, detector, embedder)
);
CREATE TABLE IF NOT EXISTS looks (
    photo TEXT NOT NULL, detector TEXT NOT NULL, look BLOB NOT NULL,
    PRIMARY KEY (photo, detector)
);
"""

_CHUNK = 500
"""Keys a query: SQLite's limit on parameters is higher everywhere."""

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, eq=False)
class CachedCrop:
    """The main face of one photo as one detector found it.

    Attributes:
        crop: (S, S, 3) RGB uint8, or None if no face was found.
        score: Detector confidence, 0 if none was found.
        landmarks: (5, 2) float32 pixels of the photo, or None.
        others: How many faces the photo has beside it.
    """

    crop: Image | None
    score: float
    landmarks: FloatArray | None
    others: int = 0


class FaceCache:
    """Crops by (photo, detector) and embeddings by (photo, detector, embedder), in one SQLite file.

    Args:
        path: The file; None is `faces.cache` in `cache_folder()`, or one that goes with this process where
            that cannot be written.

    Raises:
        FacewiseError: The file cannot be opened or is damaged.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else make_cache() / "faces.cache"
        try:
            try:
                self._db = self._open()
            except (sqlite3.OperationalError, PermissionError) as error:
                # In use, or no space: the file may be whole. Only one that may not be written is passed over.
                if path is not None or not _forbidden(error):
                    raise
                self.path = without_cache(f"The cache {self.path} cannot be written.") / "faces.cache"
                self._db = self._open()
            except sqlite3.DatabaseError:
                # It holds nothing that cannot be computed again, so a damaged one is begun anew.
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self._db = self._open()
        except (sqlite3.Error, OSError) as error:
            raise FacewiseError(f"Cannot use the cache {self.path}: {error}.") from error

    def __enter__(self) -> FaceCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def crops(self, photos: Iterable[str], detector: str) -> dict[str, CachedCrop]:
        """What is known of these photos (by sha256) from this detector."""
        found = {}
        query = "SELECT photo, crop, score, landmarks, others FROM crops WHERE detector = ? AND photo IN ({})"
        for photo, crop, score, landmarks, others in self._select(query, (detector,), photos):
            marks = None if landmarks is None else np.frombuffer(landmarks, "<f4").reshape(5, 2)
            found[photo] = CachedCrop(None if crop is None else _decode(crop), score, marks, others)
        return found

    def others(self, photos: Iterable[str], detector: str) -> dict[str, int]:
        """How many faces beside the main one are in those of these photos that have several."""
        query = "SELECT photo, others FROM crops WHERE detector = ? AND others > 0 AND photo IN ({})"
        return dict(self._select(query, (detector,), photos))

    def without_face(self, photos: Iterable[str], detector: str) -> set[str]:
        """Those of these photos in which this detector is known to find no face."""
        query = "SELECT photo FROM crops WHERE detector = ? AND crop IS NULL AND photo IN ({})"
        return {photo for (photo,) in self._select(query, (detector,), photos)}

    def embeddings(self, photos: Iterable[str], detector: str, embedder: str) -> dict[str, FloatArray]:
        """Embeddings known of these photos (by sha256) from this detector and embedder."""
        query = (
            "SELECT photo, embedding FROM embeddings WHERE detector = ? AND embedder = ? AND photo IN ({})"
        )
        rows = self._select(query, (detector, embedder), photos)
        return {photo: np.frombuffer(data, "<f4") for photo, data in rows}

    def looks(self, photos: Iterable[str], detector: str) -> dict[str, bytes]:
        """Looks known of the main faces of these photos (by sha256) from this detector."""
        query = "SELECT photo, look FROM looks WHERE detector = ? AND photo IN ({})"
        return dict(self._select(query, (detector,), photos))

    def add_looks(self, detector: str, looks: Sequence[tuple[str, bytes]]) -> None:
        """Remember looks, in one transaction; see `facewise.data.look`."""
        rows = [(photo, detector, look) for photo, look in looks]
        self._insert("INSERT OR REPLACE INTO looks VALUES (?, ?, ?)", rows)

    def add_crops(self, detector: str, crops: Sequence[tuple[str, CachedCrop]]) -> None:
        """Remember what a detector found, in one transaction."""
        rows = [
            (
                photo,
                detector,
                None if found.crop is None else _encode(found.crop),
                found.score,
                None if found.landmarks is None else found.landmarks.astype("<f4").tobytes(),
                found.others,
            )
            for photo, found in crops
        ]
        self._insert("INSERT OR REPLACE INTO crops VALUES (?, ?, ?, ?, ?, ?)", rows)

    def add_embeddings(self, detector: str, embedder: str, vectors: Sequence[tuple[str, FloatArray]]) -> None:
        """Remember embeddings, in one transaction."""
        rows = [(photo, detector, embedder, v.astype("<f4").tobytes()) for photo, v in vectors]
        self._insert("INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?, ?)", rows)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        # What is lost in a crash is computed again, so there is no need to wait for the disk.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            db.executescript(
                "DROP TABLE IF EXISTS crops; DROP TABLE IF EXISTS embeddings; DROP TABLE IF EXISTS looks;"
            )
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.executescript(_SCHEMA)
        return db

    def _select(self, query: str, fixed: tuple[str, ...], photos: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        for chunk in _chunks(photos, _CHUNK):
            marks = ",".join("?" * len(chunk))
            try:
                with closing(self._db.execute(query.format(marks), (*fixed, *chunk))) as rows:
                    found = rows.fetchall()
            except sqlite3.Error as error:
                raise FacewiseError(
                    f"Cannot read the cache {self.path}: {error}; delete it, it will be made anew."
                ) from error
            yield from found

    def _insert(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(statement, rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise FacewiseError(
                f"Cannot write the cache {self.path}: {error}; free some space or use --no-cache."
            ) from error


def _forbidden(error: Exception) -> bool:
    """Whether it says that a file may not be written, as one that another user has made."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, PermissionError) or code in (
        sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN,
    )  # fmt: skip


def _chunks(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _encode(crop: Image) -> bytes:
    good, data = cv2.imencode(".png", crop[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not good:
        raise FacewiseError("A crop could not be compressed for the cache.")
    return bytes(data)


def _decode(data: bytes) -> Image:
    image: NDArray[np.uint8] = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)  # type: ignore[assignment]
    return image
