"""A gallery file of the first schema, as the Facewise before wrote it, is taken along whole."""

import sqlite3
from dataclasses import astuple

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, SIZE, face_of, sample

from facewise.errors import GalleryError
from facewise.gallery import Space
from facewise.gallery.rekey import rekey
from facewise.gallery.schema import APPLICATION_ID, MIGRATIONS
from facewise.gallery.sqlite import SqliteStore
from facewise.vault import new_key_file

FIRST = """
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1), created TEXT NOT NULL, generation INTEGER NOT NULL DEFAULT 0,
  fingerprint TEXT, model TEXT, size INTEGER, flip INTEGER
);
CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created TEXT NOT NULL);
CREATE TABLE samples (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  person_id INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
  embedding BLOB NOT NULL CHECK (typeof(embedding) = 'blob'),
  fingerprint TEXT NOT NULL, source TEXT NOT NULL, source_hash TEXT NOT NULL,
  score REAL, size REAL, sharpness REAL, yaw REAL, pitch REAL, roll REAL, created TEXT NOT NULL
);
CREATE INDEX samples_person ON samples(person_id);
CREATE INDEX samples_source_hash ON samples(source_hash);
"""


@pytest.fixture
def old(tmp_path):
    """Ada (samples 1 and 2) and Bob (4); person 3 and sample 5, the newest, were removed."""
    path = tmp_path / "people.db"
    db = sqlite3.connect(path)
    db.executescript(FIRST)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO meta VALUES (1, '2024-01-01T00:00:00Z', 7, ?, 'fake', ?, 0)", (FINGERPRINT, SIZE))
    db.executemany(
        "INSERT INTO people VALUES (?, ?, '2024-01-01T00:00:00Z')", [(1, "ada"), (2, "bob"), (3, "eve")]
    )
    for number, person, name, shot in (
        (1, 1, "ada", 1),
        (2, 1, "ada", 2),
        (4, 2, "bob", 1),
        (5, 3, "eve", 1),
    ):
        of = sample(name, shot)
        quality = (0.9, 50.0, 100.0, 0.1, 0.2, 0.3) if number == 2 else (None,) * 6
        db.execute(
            "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '2024-01-02T00:00:00Z')",
            (number, person, of.embedding.tobytes(), FINGERPRINT, of.source, of.source_hash, *quality),
        )
    db.execute("DELETE FROM samples WHERE id = 5")
    db.execute("DELETE FROM people WHERE id = 3")
    db.commit()
    db.close()
    return path


def test_everything_is_taken_along(old):
    store = SqliteStore(old)
    assert store._db.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert [(p.id, p.name, p.samples, p.groups) for p in store.people()] == [
        (1, "ada", 2, ()),
        (2, "bob", 1, ()),
    ]
    loaded = store.load()
    assert loaded.samples.tolist() == [1, 2, 4]
    assert loaded.people.tolist() == [1, 1, 2]
    assert np.array_equal(loaded.rows, [face_of("ada", 1), face_of("ada", 2), face_of("bob", 1)])
    assert store.space() == Space(FINGERPRINT, "fake", SIZE, False)
    ada = store.person("ada")
    assert ada.samples[0].quality is None
    assert astuple(ada.samples[1].quality)[:6] == (0.9, 50.0, 100.0, 0.1, 0.2, 0.3)
    assert ada.samples[1].source == "ada2.jpg"
    assert ada.samples[1].created == "2024-01-02T00:00:00Z"
    assert store.state()
    assert store.check() == []
    added = store.add([("new", [sample("new", 1)]), ("ada", [sample("ada", 1)])], store.space()).added
    assert added[0].samples == (6,)  # a removed one's number is not given out again
    assert added[0].person == 4
    assert added[1].duplicates == (0,)
    store.remove("ada")
    store.close()
    data = old.read_bytes()
    assert face_of("ada", 1).tobytes()[:32] not in data
    assert face_of("bob", 1).tobytes() in data


def test_it_is_brought_along_once(old):
    SqliteStore(old).close()
    before = old.read_bytes()
    SqliteStore(old).close()
    assert old.read_bytes() == before


def test_a_key_is_refused_before_it_is_brought_along(old, tmp_path):
    key = tmp_path / "k"
    new_key_file(key)
    before = old.read_bytes()
    with pytest.raises(GalleryError, match="not encrypted"):
        SqliteStore(old, key_file=key)
    assert old.read_bytes() == before
    assert rekey(old, None, key) == 3
    store = SqliteStore(old, key_file=key)
    assert np.array_equal(store.vectors(np.array([4, 1])), [face_of("bob", 1), face_of("ada", 1)])
    store.close()
    assert face_of("bob", 1).tobytes()[:32] not in old.read_bytes()


def test_an_empty_gallery_of_the_first_schema(tmp_path):
    path = tmp_path / "people.db"
    db = sqlite3.connect(path)
    db.executescript(FIRST)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO meta (id, created) VALUES (1, '2024-01-01T00:00:00Z')")
    db.commit()
    db.close()
    store = SqliteStore(path)
    assert store.people() == []
    assert store.space() is None
    assert store.add([("ada", [sample("ada", 1)])], Space(FINGERPRINT, "fake", SIZE, False)).added[
        0
    ].samples == (1,)
    assert store.check() == []
    store.close()
