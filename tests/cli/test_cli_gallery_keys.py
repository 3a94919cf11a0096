"""`facewise gallery new-key`, `rekey`, `groups`, `photo`, and `--key-file`, `--keep`, `--groups`."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest


def face(person: int, number: int = 1) -> tuple[int, int, int, int]:
    return (90 + 30 * number, 90 + 12 * number, 60 + 10 * number, person)


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv("FACEWISE_KEY_FILE", raising=False)


@pytest.fixture
def ada(photo):
    photo("ada1.png", face(1, 1))
    photo("ada2.png", face(1, 2))


def test_an_encrypted_gallery_from_enrolment_to_export(facewise, ada, monkeypatch):
    assert "people.key" in facewise("gallery", "new-key", "people.key").out
    assert Path("people.key").stat().st_mode & 0o077 == 0
    assert "exists already" in facewise("gallery", "new-key", "people.key", code=3).err
    facewise("enroll", "Ada", "ada1.png", "--key-file", "people.key")
    for words in (("list",), ("show", "Ada"), ("check",), ("remove", "Ada"), ("export", "a.npz")):
        done = facewise("gallery", *words, code=3)
        assert done.err == (
            "facewise: The gallery facewise.db is encrypted: "
            "give its key with --key-file or FACEWISE_KEY_FILE.\n"
        )
    assert "is encrypted" in facewise("enroll", "Ada", "ada2.png", code=3).err
    assert "1 person" in facewise("gallery", "list", "--key-file", "people.key").out
    monkeypatch.setenv("FACEWISE_KEY_FILE", "people.key")
    facewise("enroll", "Ada", "ada2.png")
    assert "is sound" in facewise("gallery", "check").out
    found = facewise("identify", "ada1.png", "--threshold", "0.5", "--json").json
    assert "Ada" in str(found)
    facewise("gallery", "export", "a.npz")
    facewise("gallery", "import", "a.npz", "--gallery", "b.db")
    monkeypatch.delenv("FACEWISE_KEY_FILE")
    assert "is encrypted" in facewise("gallery", "list", "--gallery", "b.db", code=3).err


def test_rekey_there_and_back(facewise, ada, monkeypatch):
    facewise("enroll", "Ada", "ada1.png", "--keep", "face")
    for name in ("a.key", "b.key"):
        facewise("gallery", "new-key", name)
    monkeypatch.setenv("FACEWISE_KEY_FILE", "a.key")  # harmless where nothing is encrypted yet
    assert "written anew, encrypted" in facewise("gallery", "rekey", "--new-key-file", "a.key").out
    done = facewise("gallery", "rekey", "--new-key-file", "b.key", "--json").json
    assert done == {"gallery": "facewise.db", "photos": 1, "encrypted": True}
    assert "another key" in facewise("gallery", "list", code=3).err
    monkeypatch.delenv("FACEWISE_KEY_FILE")
    assert "is encrypted" in facewise("gallery", "rekey", "--plain", code=3).err
    done = facewise("gallery", "rekey", "--key-file", "b.key", "--plain")
    assert "not encrypted" in done.out
    assert "1 person" in facewise("gallery", "list").out
    assert sorted(p.name for p in Path().iterdir()) == [
        "a.key",
        "ada1.png",
        "ada2.png",
        "b.key",
        "facewise.db",
    ]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ((), 2, "--new-key-file FILE, or --plain"),
        (("--new-key-file", "a.key", "--plain"), 2, "--new-key-file FILE, or --plain"),
        (("--new-key-file", "none.key"), 3, "none.key cannot be read"),
        (("--new-key-file", "ada1.png"), 3, "no key file"),
        (("--new-key-file", "a.key", "--gallery", "nope.db"), 3, "no gallery nope.db"),
        (("--new-key-file", "a.key", "--gallery", "ada1.png"), 3, "not a Facewise gallery"),
        (("--new-key-file", "a.key", "--gallery", "milvus://localhost/people"), 3, "not a gallery file"),
    ],
)
def test_rekey_errors(facewise, ada, words, code, told):
    facewise("enroll", "Ada", "ada1.png")
    facewise("gallery", "new-key", "a.key")
    before = Path("facewise.db").read_bytes()
    assert told in facewise("gallery", "rekey", *words, code=code).err
    assert Path("facewise.db").read_bytes() == before


def test_kept_photos(facewise, ada):
    facewise("enroll", "Ada", "ada1.png", "--keep", "photo")
    facewise("enroll", "Ada", "ada2.png")
    assert "kept" in facewise("gallery", "show", "Ada").out
    samples = facewise("gallery", "show", "Ada", "--json").json["samples"]
    assert [s["has_photo"] for s in samples] == [True, False]
    assert "written to out.jpg" in facewise("gallery", "photo", samples[0]["id"], "out.jpg").out
    assert PIL.Image.open("out.jpg").size == PIL.Image.open("ada1.png").size
    assert "No photo is kept" in facewise("gallery", "photo", samples[1]["id"], "out2.jpg", code=3).err
    assert "No photo is kept" in facewise("gallery", "photo", 99, "out2.jpg", code=3).err
    assert not Path("out2.jpg").exists()
    assert facewise("enroll", "Ada", "ada2.png", "--keep", "everything", code=2)


def test_groups(facewise, ada):
    facewise("enroll", "Ada", "ada1.png", "--groups", "staff, night shift,")
    assert "night shift, staff" in facewise("gallery", "list").out
    assert facewise("gallery", "list", "--json").json["people"][0]["groups"] == ["night shift", "staff"]
    assert "Ada is in visitors" in facewise("gallery", "groups", "Ada", "visitors").out
    assert facewise("gallery", "show", "Ada", "--json").json["groups"] == ["visitors"]
    assert "(visitors)" in facewise("gallery", "show", "Ada").out
    assert "give the groups, or --none" in facewise("gallery", "groups", "Ada", code=2).err
    assert "cannot hold a comma" in facewise("gallery", "groups", "Ada", "a,b", code=3).err
    assert "did you mean 'Ada'" in facewise("gallery", "groups", "Ad", "x", code=3).err
    assert "in no group" in facewise("gallery", "groups", "Ada", "--none").out
    assert "groups" not in facewise("gallery", "list").out


def test_identify_takes_the_key(facewise, ada):
    facewise("gallery", "new-key", "people.key")
    facewise("enroll", "Ada", "ada1.png", "--key-file", "people.key")
    assert "is encrypted" in facewise("identify", "ada1.png", code=3).err
    done = facewise("identify", "ada1.png", "--threshold", "0.5", "--key-file", "people.key", "--json")
    assert "Ada" in str(done.json)


def test_an_older_copy_is_told_where_changes_are_counted(facewise, ada, monkeypatch):
    facewise("enroll", "Ada", "ada1.png")
    facewise("gallery", "new-key", "a.key")
    facewise("gallery", "rekey", "--new-key-file", "a.key", "--counter-file", "counter")
    monkeypatch.setenv("FACEWISE_KEY_FILE", "a.key")
    copy = Path("facewise.db").read_bytes()
    monkeypatch.setenv("FACEWISE_COUNTER_FILE", "counter")
    facewise("gallery", "rename", "Ada", "Ada Lovelace")
    monkeypatch.delenv("FACEWISE_COUNTER_FILE")
    assert "sound" in facewise("gallery", "check", "--counter-file", "counter").out
    Path("facewise.db").write_bytes(copy)
    assert "sound" in facewise("gallery", "check").out
    told = facewise("gallery", "check", "--counter-file", "counter", code=3).err
    assert "facewise.db is not the latest" in told
    monkeypatch.setenv("FACEWISE_COUNTER_FILE", "counter")
    assert "is not the latest" in facewise("gallery", "list", code=3).err


def test_a_new_key_with_a_name_of_ours_is_refused_in_one_sentence(facewise, ada):
    facewise("enroll", "Ada", "ada1.png")
    facewise("gallery", "new-key", "facewise.db.index")
    told = facewise("gallery", "rekey", "--new-key-file", "facewise.db.index", code=3).err
    assert len(told.strip().splitlines()) == 1
    assert "rename it" in told
    facewise("gallery", "new-key", "facewise.db.rekey.key")
    facewise("gallery", "rekey", "--new-key-file", "facewise.db.rekey.key")
    assert "Ada" in facewise("gallery", "list", "--key-file", "facewise.db.rekey.key").out


def test_no_photo_takes_the_place_of_the_gallery(facewise, ada):
    facewise("enroll", "Ada", "ada1.png", "--keep", "face")
    before = Path("facewise.db").read_bytes()
    for name in ("facewise.db", "facewise.db-wal"):
        assert "the gallery itself" in facewise("gallery", "photo", "1", name, code=3).err
    assert Path("facewise.db").read_bytes() == before
