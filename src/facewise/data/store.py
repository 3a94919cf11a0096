"""Aligned crops of one size in one file, mapped into memory: what training reads. Made by `store_build`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from facewise.data.source import IntArray
from facewise.errors import DatasetError
from facewise.types import Image

PIXELS, INDEX, FORMAT = "crops.npy", "index.json", "facewise-crops-1"

_REMEDY = "delete the folder, or build the store again"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A photo that is not in the store.

    Attributes:
        key: Of the source.
        reason: One sentence.
    """

    key: str
    reason: str


class CropStore:
    """A source whose photos are square crops of one size, quick to read in any order.

    On disk a folder of `crops.npy`, uint8 (N, S, S, 3) RGB, and `index.json`.

    Attributes:
        name: Of the source it was made from.
        keys, labels, names: See `facewise.data.source.Source`.
        size: S, the side of the crops in pixels.
        folder: Where it lies.
        dropped: Photos of the source that could not be read.
        resized: How many photos had another size.
    """

    def __init__(self, folder: Path, index: dict[str, Any], pixels: NDArray[np.uint8]) -> None:
        """Use `open` or `facewise.data.store_build`."""
        self.folder, self._pixels = folder, pixels
        self.name, self.size, self.resized = str(index["source"]), int(index["size"]), int(index["resized"])
        self.keys: tuple[str, ...] = tuple(index["keys"])
        self.labels: IntArray = np.array(index["labels"], np.int64)
        self.names: tuple[str, ...] = tuple(index["names"])
        self.dropped = tuple(Dropped(*pair) for pair in index["dropped"])
        self._digests = np.frombuffer(bytes.fromhex(index["digests"]), np.uint8).reshape(-1, 32)
        self._rows: IntArray = np.arange(len(self.keys), dtype=np.int64)
        self._data_hash: str | None = index["data_hash"]

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> CropStore:
        """Open a store; its index is verified, and that all pixels are there. See also `verify`.

        Raises:
            DatasetError: There is none, or it is damaged.
        """
        folder = Path(folder)
        index = _read_index(folder / INDEX)
        store = cls(folder, index, _map(folder / PIXELS))
        shape = (len(store.keys), store.size, store.size, 3)
        if store._pixels.shape != shape or store._pixels.dtype != np.uint8:
            found = f"{store._pixels.dtype} {store._pixels.shape}"
            raise DatasetError(f"{folder / PIXELS} holds {found}, not uint8 {shape}; {_REMEDY}.")
        return store

    def __len__(self) -> int:
        return len(self.keys)

    def read(self, index: int) -> Image:
        """One crop, RGB uint8 (S, S, 3), a copy."""
        return np.array(self._pixels[self._rows[index]])

    def take(self, indices: Sequence[int] | IntArray) -> NDArray[np.uint8]:
        """Several crops, (B, S, S, 3), C-contiguous."""
        return np.asarray(self._pixels[self._rows[np.asarray(indices, np.int64)]])

    def subset(self, indices: Sequence[int] | IntArray, *, keep_names: bool = False) -> CropStore:
        """Some crops in the order given, without copying pixels.

        Args:
            indices: Numbers of crops here.
            keep_names: Keep all people and their numbers, else those who are left are numbered anew.
        """
        chosen = np.asarray(indices, np.int64)
        part = object.__new__(CropStore)
        part.__dict__.update(self.__dict__)
        part._rows, part._digests, part._data_hash = self._rows[chosen], self._digests[chosen], None
        part.keys, part.labels = tuple(self.keys[i] for i in chosen), self.labels[chosen]
        if not keep_names:
            present, part.labels = np.unique(part.labels, return_inverse=True)
            part.names = tuple(self.names[i] for i in present)
        return part

    @property
    def data_hash(self) -> str:
        """What the crops are and who is on them, in hex, whatever their order. See `data_hash`."""
        if self._data_hash is None:
            people = [self.names[label] for label in self.labels]
            self._data_hash = data_hash(self.keys, people, self._digests)
        return self._data_hash

    def verify(self) -> None:
        """Read all crops and compare them with what was written.

        Raises:
            DatasetError: A crop has changed; it is named.
        """
        for key, row, digest in zip(self.keys, self._rows, self._digests, strict=True):
            if hashlib.sha256(self._pixels[row].tobytes()).digest() != digest.tobytes():
                raise DatasetError(f"The crop {key} in {self.folder} is damaged; {_REMEDY}.")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_pixels"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._pixels = _map(self.folder / PIXELS)


def data_hash(keys: Sequence[str], people: Sequence[str], digests: NDArray[np.uint8]) -> str:
    """One hash for a set of labelled crops, whatever their order.

    Args:
        keys: One a crop.
        people: Who is on each.
        digests: (N, 32) sha256 of the pixels of each.

    Returns:
        The sha256 in hex over key, person and digest of each crop, sorted by key.
    """
    total = hashlib.sha256()
    for i in sorted(range(len(keys)), key=lambda i: (keys[i], people[i])):
        # JSON, so that no key or name can pass for the border between them.
        total.update(json.dumps([keys[i], people[i], digests[i].tobytes().hex()]).encode())
    return total.hexdigest()


def seal(index: dict[str, Any]) -> bytes:
    """The bytes of `index.json`: the index and its hash."""
    return json.dumps({"sha256": _hash(index), "index": index}).encode()


def _hash(index: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(index, sort_keys=True).encode()).hexdigest()


def _read_index(path: Path) -> dict[str, Any]:
    try:
        whole = json.loads(path.read_bytes())
        index = whole["index"]
        sound = whole["sha256"] == _hash(index) and index["format"] == FORMAT
    except FileNotFoundError as error:
        raise DatasetError(f"There is no finished store of crops in {path.parent}; build one.") from error
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged; {_REMEDY}.") from error
    if not sound:
        raise DatasetError(f"{path} is damaged or of another version; {_REMEDY}.")
    return cast("dict[str, Any]", index)


def _map(path: Path) -> NDArray[np.uint8]:
    try:
        return cast("NDArray[np.uint8]", np.load(path, mmap_mode="r", allow_pickle=False))
    except FileNotFoundError as error:
        raise DatasetError(f"There is no {path}; {_REMEDY}.") from error
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DatasetError(f"{path} is damaged or cut short; {_REMEDY}.") from error
