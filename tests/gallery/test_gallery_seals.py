"""An encrypted gallery that somebody without its key wrote to: told as damage, whatever was written."""

import math
import secrets
import shutil
import sqlite3
from dataclasses import astuple, replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gallery_fakes import FINGERPRINT, SIZE, face_of, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import GalleryError
from facewise.gallery import Gallery, Space
from facewise.gallery.rekey import is_encrypted, rekey
from facewise.gallery.schema import APPLICATION_ID, MIGRATIONS
from facewise.gallery.sqlite import SqliteStore
from facewise.types import Quality
from facewise.vault import new_key_file, read_key_file

SPACE = Space(FINGERPRINT, "fake", SIZE, False)
JPEG = b"\xff\xd8\xff" + bytes(range(250)) * 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`old.db`, `now.db`, which it became, and `other.db`; all under the key `k`."""
    folder = tmp_path_factory.mktemp("seals")
    new_key_file(folder / "k")
    for name in ("old.db", "other.db"):
        store = SqliteStore(folder / name, key_file=folder / "k")
        for person in ("ada", "bela", "carl"):
            given = [replace(sample(person, shot), photo=JPEG + bytes([shot])) for shot in range(2)]
            store.add([(person, given)], SPACE, {person: ["staff"]})
        store.close()
    shutil.copy(folder / "old.db", folder / "now.db")
    store = SqliteStore(folder / "now.db", key_file=folder / "k")
    store.rename("ada", "adele")
    store.merge("bela", "carl")
    store.add([("dora", [sample("dora")])], SPACE)
    store.remove_sample(store.person("bela").samples[0].id)
    store.set_groups("bela", ["guests"])
    store.close()
    return folder


# 1 is Adele, once Ada, of samples 1 and 2; 2 is Bela, of 4 and what was Carl's, 5 and 6; 4 is Dora, of 7.
ATTACKS = {
    "one is the other": "UPDATE samples SET person_id = 3 - person_id WHERE person_id IN (1, 2)",
    "one photo is another's": "UPDATE samples SET person_id = 2 WHERE id = 1",
    "names swapped": "UPDATE people SET name = 'x' WHERE id = 1;"
    "UPDATE people SET name = 'adele' WHERE id = 2;"
    "UPDATE people SET name = 'bela' WHERE id = 1",
    "another name": "UPDATE people SET name = 'eve' WHERE id = 1",
    "numbers swapped": "UPDATE people SET id = 99 WHERE id = 1; UPDATE people SET id = 1 WHERE id = 2;"
    "UPDATE people SET id = 2 WHERE id = 99",
    "names and seals swapped": "UPDATE people SET id = 99 WHERE id = 1;"
    "UPDATE people SET id = 1 WHERE id = 2; UPDATE people SET id = 2 WHERE id = 99;"
    "UPDATE samples SET person_id = 3 - person_id WHERE person_id IN (1, 2);"
    "UPDATE groups SET person_id = 3 - person_id WHERE person_id IN (1, 2)",
    "another date": "UPDATE people SET created = '2001-01-01T00:00:00Z' WHERE id = 1",
    "a group more": "INSERT INTO groups VALUES (1, 'guests')",
    "a group less": "DELETE FROM groups WHERE person_id = 1",
    "a sample less": "DELETE FROM samples WHERE id = 1",
    "a person less": "DELETE FROM samples WHERE person_id = 1; DELETE FROM groups WHERE person_id = 1;"
    "DELETE FROM people WHERE id = 1",
    "everybody gone": "DELETE FROM samples; DELETE FROM groups; DELETE FROM people",
    "a person more": "INSERT INTO people (name, created, seal) SELECT 'eve', created, seal FROM people "
    "WHERE id = 1",
    "without a seal": "UPDATE people SET seal = NULL WHERE id = 1",
    "without any seals": "UPDATE people SET seal = NULL; UPDATE meta SET seal = NULL",
    "a sample twice": "INSERT INTO samples SELECT 90, person_id, vector, photo, photo_bytes, fingerprint,"
    "source, source_hash, score, size, sharpness, yaw, pitch, roll, created FROM samples WHERE id = 1",
    "a sample of another number": "UPDATE samples SET id = 90 WHERE id = 1",
    "cells swapped": "UPDATE samples SET vector = 3 - vector WHERE id IN (1, 2)",
    "bytes swapped": "CREATE TEMP TABLE t AS SELECT * FROM vectors; UPDATE vectors SET data ="
    "(SELECT data FROM t WHERE t.id = 3 - vectors.id) WHERE id IN (1, 2)",
    "better than it is": "UPDATE samples SET score = 0.99 WHERE id = 1",
    "of another file": "UPDATE samples SET source = 'eve.jpg' WHERE id = 1",
    "of another content": "UPDATE samples SET source_hash = 'x' WHERE id = 1",
    "of another day": "UPDATE samples SET created = '2001-01-01T00:00:00Z' WHERE id = 1",
    "a photo swapped": "UPDATE samples SET photo = 3 - photo WHERE id IN (1, 2)",
    "a photo less": "UPDATE samples SET photo = NULL, photo_bytes = NULL WHERE id = 1",
    "a shorter photo": "UPDATE samples SET photo_bytes = 5 WHERE id = 1",
    "of a later state": "UPDATE meta SET generation = generation + 100",
    "of another state": "UPDATE meta SET state = 'x'",
    "of another model": "UPDATE meta SET model = 'x'",
    "flipped": "UPDATE meta SET flip = 1",
    "a name of the past": "UPDATE people SET name = (SELECT name FROM old.people WHERE id = 1),"
    "seal = (SELECT seal FROM old.people WHERE id = 1) WHERE id = 1",
    "a sample of the past": "INSERT INTO samples SELECT * FROM old.samples WHERE id = 3;"
    "UPDATE vectors SET data = (SELECT data FROM old.vectors AS o WHERE o.id = vectors.id) WHERE id = 3;"
    "UPDATE photos SET data = (SELECT data FROM old.photos AS o WHERE o.id = photos.id) WHERE id = 3;"
    "DELETE FROM wiped",
    "a person of the past": "INSERT INTO people SELECT * FROM old.people WHERE id = 3;"
    "INSERT INTO groups SELECT * FROM old.groups WHERE person_id = 3;"
    "UPDATE samples SET person_id = 3 WHERE id IN (5, 6);"
    "UPDATE vectors SET data = (SELECT data FROM old.vectors AS o WHERE o.id = vectors.id) "
    "WHERE id IN (5, 6);"
    "UPDATE photos SET data = (SELECT data FROM old.photos AS o WHERE o.id = photos.id) WHERE id IN (5, 6)",
    "all but the last seal of the past": "DELETE FROM samples; DELETE FROM groups; DELETE FROM people;"
    "INSERT INTO people SELECT * FROM old.people; INSERT INTO groups SELECT * FROM old.groups;"
    "INSERT INTO samples SELECT * FROM old.samples;"
    "INSERT OR REPLACE INTO vectors SELECT * FROM old.vectors; DELETE FROM wiped;"
    "INSERT OR REPLACE INTO photos SELECT * FROM old.photos",
    "the last seal of the past": "UPDATE meta SET seal = (SELECT seal FROM old.meta)",
    "a row of another gallery": "DELETE FROM samples WHERE id = 1;"
    "INSERT INTO samples SELECT * FROM other.samples WHERE id = 1;"
    "UPDATE vectors SET data = (SELECT data FROM other.vectors AS o WHERE o.id = 1) WHERE id = 1;"
    "UPDATE photos SET data = (SELECT data FROM other.photos AS o WHERE o.id = 1) WHERE id = 1",
    "no text for a name": "UPDATE people SET name = x'616461' WHERE id = 1",
    "no text for a group": "INSERT INTO groups VALUES (1, x'616461')",
    "no text for a file": "UPDATE samples SET source = x'616461' WHERE id = 1",
    "text for a number": "UPDATE samples SET person_id = 'x' WHERE id = 1",
    "text for a seal": "UPDATE people SET seal = 'x' WHERE id = 1",
    "text for the seal": "UPDATE meta SET seal = 'x'",
    "text for bytes": "UPDATE vectors SET data = 'x' WHERE id = 1",
    "text for a count": "UPDATE meta SET generation = 'x'",
    "numbers to be given again": "UPDATE sqlite_sequence SET seq = 0",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON meta "
    "BEGIN UPDATE people SET name = 'eve' WHERE id = 1; END",
    "a view": "ALTER TABLE people RENAME TO folk; CREATE VIEW people AS SELECT * FROM folk",
    "a table that forgets": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql ="
    "replace(sql, 'NOT NULL UNIQUE', 'NOT NULL UNIQUE ON CONFLICT REPLACE') WHERE name = 'people'",
    "another gallery's name": "UPDATE meta SET gallery = (SELECT gallery FROM other.meta),"
    "wrapped_key = (SELECT wrapped_key FROM other.meta)",
}


def attacked(folder, tmp_path, script, name="now.db"):
    path = tmp_path / "people.db"
    shutil.copy(folder / name, path)
    db = sqlite3.connect(path)
    for other in ("old", "other"):
        db.execute(f"ATTACH '{folder / other}.db' AS {other}")
    db.executescript(script)
    db.commit()
    db.close()
    return path


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_written_without_the_key_is_told(folder, tmp_path, attack):
    path = attacked(folder, tmp_path, ATTACKS[attack])
    with Gallery.open(path, key_file=folder / "k", create=False) as gallery:
        assert gallery.check()
        with pytest.raises(GalleryError, match=r"is damaged: .* Run its check\."):
            gallery.export(tmp_path / "export.npz")
        if attack != "a photo swapped":  # faces are found without those
            with pytest.raises(GalleryError, match="is damaged"):
                gallery.identify_embeddings(face_of("ada")[None], fingerprint=FINGERPRINT)
            with pytest.raises(GalleryError, match="is damaged"):
                gallery._store.load()
    with pytest.raises(GalleryError):
        rekey(path, folder / "k", None)
    assert is_encrypted(path)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["people.db"]


def enrol(gallery, name):
    gallery.enroll_embeddings(name, [sample(name, 9)], fingerprint=FINGERPRINT)


@pytest.mark.parametrize(
    ("attack", "asked"),
    [
        ("names swapped", lambda g: g.people()),
        ("names swapped", lambda g: g.page(limit=1)),
        ("names swapped", lambda g: g.show("adele")),
        ("names swapped", lambda g: g.person(1)),
        ("names swapped", lambda g: g.remove("adele")),
        ("names swapped", lambda g: g.rename("adele", "x")),
        ("names swapped", lambda g: g.merge("dora", "adele")),
        ("names swapped", lambda g: g.set_groups("adele", [])),
        ("names swapped", lambda g: enrol(g, "adele")),
        ("a sample less", lambda g: g.people()),
        ("a person of the past", lambda g: g.people()),
        ("one photo is another's", lambda g: g.show("bela")),
        ("one photo is another's", lambda g: g.photo(1)),
        ("one photo is another's", lambda g: g.merge("adele", "bela")),
        ("better than it is", lambda g: g.show("adele")),
        ("of a later state", lambda g: g.remove("dora")),
        ("a trigger", lambda g: g.remove("dora")),
        ("a trigger", lambda g: g.page()),
        ("a view", lambda g: g.show("dora")),
        ("without any seals", lambda g: enrol(g, "x")),
    ],
)  # fmt: skip
def test_nothing_is_read_or_changed_by_what_was_written(folder, tmp_path, attack, asked):
    path = attacked(folder, tmp_path, ATTACKS[attack])
    with Gallery.open(path, key_file=folder / "k") as gallery:
        with pytest.raises(GalleryError, match="is damaged"):
            asked(gallery)
    assert (tmp_path / "people.db").read_bytes() == path.read_bytes()


def with_another_index(folder, tmp_path):
    """The rows are as they were, and the index of samples by person has one for the other."""
    path = tmp_path / "people.db"
    shutil.copy(folder / "now.db", path)
    swap = "UPDATE samples SET person_id = 3 - person_id WHERE person_id IN (1, 2)"
    edit, mine = "PRAGMA writable_schema = ON", "sqlite_master WHERE name = 'samples_person'"
    (index,) = sqlite3.connect(path).execute(f"SELECT sql FROM {mine}")
    for script in (
        f"DROP INDEX samples_person; {swap}; {index[0]}",
        f"{edit}; CREATE TABLE kept AS SELECT * FROM {mine}; DELETE FROM {mine}",
        swap,
        f"{edit}; INSERT INTO sqlite_master SELECT * FROM kept",
        "DROP TABLE kept",
    ):
        db = sqlite3.connect(path)
        db.executescript(script)
        db.commit()
        db.close()
    return path


def test_an_index_that_says_other_things_than_the_rows_is_not_believed(folder, tmp_path):
    path = with_another_index(folder, tmp_path)
    for asked in (
        lambda g: g.people(),
        lambda g: g.show("adele"),
        lambda g: g.remove("adele"),
        lambda g: g.merge("dora", "adele"),
        lambda g: g._store.load(),
        lambda g: g._store.keys(),
    ):
        with Gallery.open(path, key_file=folder / "k") as gallery:
            assert gallery.check()
            with pytest.raises(GalleryError, match="is damaged"):
                asked(gallery)


def test_what_was_not_attacked_is_sound(folder, tmp_path):
    path = attacked(folder, tmp_path, "")
    with Gallery.open(path, key_file=folder / "k") as gallery:
        assert gallery.check() == []
        assert gallery.advice() == []
        assert {p.name: (p.id, p.samples) for p in gallery.people()} == {
            "adele": (1, 2), "bela": (2, 3), "dora": (4, 1),
        }  # fmt: skip
        assert [gallery.photo(s.id) for s in gallery.show("adele").samples] == [JPEG + b"\0", JPEG + b"\1"]
        assert [gallery.photo(s.id) for s in gallery.show("bela").samples] == [
            JPEG + b"\1", JPEG + b"\0", JPEG + b"\1",
        ]  # fmt: skip
    assert rekey(path, folder / "k", folder / "k") == 6
    with Gallery.open(path, key_file=folder / "k") as gallery:
        assert gallery.check() == []
        assert [p.groups for p in gallery.people()] == [("staff",), ("guests",), ()]


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 5)), max_size=25))
def test_whatever_is_done_with_the_key_is_sound(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("g")
    new_key_file(folder / "k")
    stores = [SqliteStore(folder / "p.db", key_file=folder / "k") for _ in range(2)]

    def do(store, what, one, other):
        match what:
            case 0 | 1 | 2:
                given = [replace(sample(one, what), photo=JPEG), sample(other, what)]
                store.add([(one, given[:1]), (other, given[1:])], SPACE, {one: ["g"]} if what else None)
            case 3:
                store.remove(one)
            case 4:
                store.rename(one, other, [one, "h"])
            case 5:
                store.merge(one, other)
            case 6:
                store.set_groups(one, [other] if one < other else [])
            case 7:
                store.remove_sample(store.person(one).samples[0].id)
            case 8:  # in the middle of a change everything goes wrong
                with store._change() as done:
                    done.db.execute("UPDATE people SET name = 'nobody' WHERE name = ?", (one,))
                    done.db.execute("DELETE FROM groups")
                    raise GalleryError("now")

    told = []
    for i, (what, one, other) in enumerate(steps):
        try:
            do(stores[i % 2], what, f"p{one}", f"p{other}")
        except GalleryError as error:
            told.append(str(error))
    assert not [text for text in told if "damaged" in text]
    for store in stores:
        assert store.check() == []
        store.load()
        store.people()
        store.close()


def test_own_changes_are_known_without_reading_everything(folder, tmp_path, monkeypatch):
    path = attacked(folder, tmp_path, "")
    with Gallery.open(path, key_file=folder / "k") as gallery:
        gallery.identify_embeddings(face_of("ada")[None], fingerprint=FINGERPRINT)
        monkeypatch.setattr(gallery._store, "keys", lambda: pytest.fail("read everything"))
        gallery.enroll_embeddings("emil", [sample("emil")], fingerprint=FINGERPRINT)
        found = gallery.identify_embeddings(face_of("emil", 3)[None], fingerprint=FINGERPRINT)
        assert found[0].candidates[0].name == "emil"


@pytest.mark.parametrize("value", [math.nan, -0.0, math.inf, 3, np.float64(0.1), 1e-320])
@pytest.mark.parametrize("source", ["a\nb", "a\0b", "\udcff.jpg", "ä😀", "", "x" * 3000])
def test_odd_rows_open_as_they_were_sealed(tmp_path, folder, value, source):
    store = SqliteStore(tmp_path / "p.db", key_file=folder / "k")
    odd = replace(sample("ada"), source=source, quality=Quality(*[value] * 6), photo=JPEG)
    (added,) = store.add([("ada", [odd])], SPACE).added
    store.close()
    store = SqliteStore(tmp_path / "p.db", key_file=folder / "k")
    assert store.check() == []
    assert np.array_equal(store.load().rows, [face_of("ada")])
    assert store.photo(added.samples[0]) == JPEG
    store.close()


def old_gallery(path, key, people):
    """As the Facewise before rows were bound wrote it, by the standard alone."""
    gallery, data_key = secrets.token_hex(16), secrets.token_bytes(32)

    def sealed(by, kind, data):
        nonce = secrets.token_bytes(12)
        return nonce + AESGCM(by).encrypt(nonce, data, f"facewise\n{gallery}\n{kind}".encode())

    db = sqlite3.connect(path)
    db.executescript("".join(MIGRATIONS[:1]))
    db.execute("INSERT INTO meta (id, created) VALUES (1, '2024-01-01T00:00:00Z')")
    db.executescript(MIGRATIONS[1])
    db.execute(
        "UPDATE meta SET gallery = ?, wrapped_key = ?, fingerprint = ?, model = 'fake', size = ?, flip = 0",
        (gallery, sealed(read_key_file(key), "data key", data_key), FINGERPRINT, SIZE),
    )
    for i, person in enumerate(people, start=1):
        one, jpeg = sample(person), JPEG + bytes(4096 - len(JPEG))
        db.execute("INSERT INTO people VALUES (?, ?, '2024-01-01T00:00:00Z')", (i, person))
        db.execute("INSERT INTO vectors VALUES (?, ?)",
                   (i, sealed(data_key, f"embedding {i}", one.embedding.tobytes())))  # fmt: skip
        db.execute("INSERT INTO photos VALUES (?, ?)", (i, sealed(data_key, f"photo {i}", jpeg)))
        db.execute(
            "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, 2, 3, 4, 5, 6, '2024-01-01T00:00:00Z')",
            (i, i, i, i, len(JPEG), FINGERPRINT, one.source, one.source_hash),
        )
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA user_version = 2")
    db.commit()
    db.close()
    path.chmod(0o600)


def test_an_older_one_opens_says_what_it_lacks_and_is_brought_along(folder, tmp_path):
    path, key = tmp_path / "people.db", folder / "k"
    old_gallery(path, key, ["ada", "bela"])
    with Gallery.open(path, key_file=key) as gallery:
        assert [gallery.photo(i) for i in (1, 2)] == [JPEG] * 2
        gallery.enroll_embeddings("carl", [sample("carl")], fingerprint=FINGERPRINT)
        gallery.merge("carl", "bela")
        assert gallery.check() == []
        (told,) = gallery.advice()
        assert "facewise gallery rekey" in told
        found = gallery.identify_embeddings(face_of("bela", 7)[None], fingerprint=FINGERPRINT)
        assert found[0].candidates[0].name == "carl"
    assert rekey(path, key, key) == 3
    with Gallery.open(path, key_file=key) as gallery:
        assert gallery.check() == gallery.advice() == []
        assert astuple(gallery.show("carl").samples[0].quality)[:6] == (1, 2, 3, 4, 5, 6)
    db = sqlite3.connect(path)
    db.execute("UPDATE samples SET person_id = 4 - person_id")
    db.commit()
    db.close()
    with Gallery.open(path, key_file=key) as gallery:
        assert gallery.check()


def test_an_older_one_is_read_where_it_cannot_be_written(folder, tmp_path, monkeypatch):
    path, key = tmp_path / "people.db", folder / "k"
    old_gallery(path, key, ["ada", "bela"])
    connect = sqlite3.connect

    def read_only(name, *given, **more):
        return connect(str(name).replace("mode=rw", "mode=ro"), *given, **more)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    before = path.read_bytes()
    with Gallery.open(path, key_file=key, create=False) as gallery:
        assert [p.name for p in gallery.people()] == ["ada", "bela"]
        assert gallery.show("ada").samples[0].has_photo
        assert gallery.check() == []
    assert path.read_bytes() == before


def test_notes_of_changes_leave_it_sound(folder, tmp_path):
    store = SqliteStore(attacked(folder, tmp_path, ""), key_file=folder / "k")
    for name in ("adele", "dora"):
        with store.noting(lambda change: f"{len(change.gone)} went"):
            store.remove(name)
    assert store.check() == []
    told = []
    store.take_notes(told.extend)
    assert told == ["2 went", "1 went"]
    assert [p.name for p in store.people()] == ["bela"]
    assert store.check() == []
    store.close()
