"""The stores that must behave alike, and a gallery as plain dictionaries to compare them with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from gallery_fakes import FINGERPRINT, SIZE, face_of, sample

from facewise.gallery import Space
from facewise.gallery.uri import open_store
from facewise.vault import new_key_file

SPACE = Space(FINGERPRINT, "fake", SIZE, False)
KINDS = ("sqlite", "sqlite encrypted", "milvus lite")


class Place:
    """Where one gallery is, of one kind: opened as often as a test likes."""

    def __init__(self, kind, folder):
        self.kind, self.key = kind, None
        if kind == "sqlite encrypted":
            self.key = folder / "gallery.key"
            new_key_file(self.key)
        scheme, name = ("milvus-lite", "lite.db") if kind == "milvus lite" else ("sqlite", "people.db")
        self.path = folder / name
        self.uri = f"{scheme}:///{self.path}"
        self._opened = []

    def open(self, **options):
        store = open_store(self.uri, key_file=self.key, **options)
        self._opened.append(store)
        return store

    def close(self):
        for store in self._opened:
            store.close()
        self._opened.clear()


@dataclass
class ModelPerson:
    shots: list  # (who is shown, which shot) in the order they were stored
    groups: set = field(default_factory=set)


class Model:
    """A gallery as plain dictionaries; scores by one float64 dot product at a time."""

    def __init__(self):
        self.people: dict[str, ModelPerson] = {}
        self.photos: dict[tuple, bytes | None] = {}

    def owner(self, shot):
        return next((name for name, p in self.people.items() if shot in p.shots), None)

    def add(self, name, shots, groups=(), photo=None):
        stored, duplicates, taken = [], [], []
        for i, shot in enumerate(shots):
            owner = self.owner(shot)
            if owner == name:
                duplicates.append(i)
            elif owner is not None:
                taken.append((i, owner))
            else:
                self.people.setdefault(name, ModelPerson([])).shots.append(shot)
                self.photos[shot] = photo
                stored.append(i)
        if name in self.people:
            self.people[name].groups |= set(groups)
        return tuple(stored), tuple(duplicates), tuple(taken)

    def merge(self, into, from_):
        kept, gone = self.people[into], self.people.pop(from_)
        kept.shots += gone.shots
        kept.groups |= gone.groups
        return len(gone.shots)

    def scores(self, probe, scoring, groups):
        found = []
        for name, person in self.people.items():
            if groups is not None and not person.groups & set(groups):
                continue
            rows = np.array([face_of(*shot) for shot in person.shots], dtype=np.float64)
            if scoring == "mean":
                mean = rows.sum(axis=0)
                found.append((float(mean @ probe / np.linalg.norm(mean)), name))
            else:
                found.append((max(float(row @ probe) for row in rows), name))
        return sorted(found, reverse=True)


def put(store, name, *shots, groups=(), photo=None, person=None):
    """Stores shots of a person under a name."""
    made = [with_photo(sample(person or name, shot), photo) for shot in shots]
    return store.add([(name, made)], SPACE, {name: groups}).added[0]


def with_photo(one, photo):
    from dataclasses import replace

    return replace(one, photo=photo)
