"""`facewise enroll` and `facewise gallery …`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from facewise.gallery import Gallery


def face(person: int, number: int = 1) -> tuple[int, int, int, int]:
    return (90 + 30 * number, 90 + 12 * number, 60 + 10 * number, person)


@pytest.fixture
def people(facewise, photo):
    """A gallery of Ada (two photos) and Боб (one)."""
    for number in (1, 2):
        photo(f"ada{number}.png", face(1, number))
    photo("bob1.png", face(2))
    facewise("enroll", "Ada", "ada1.png", "ada2.png")
    facewise("enroll", "Боб", "bob1.png")


def names(facewise, *words) -> dict[str, int]:
    return {p["name"]: p["samples"] for p in facewise("gallery", "list", *words, "--json").json["people"]}


def test_enroll_and_list(facewise, people):
    assert names(facewise) == {"Ada": 2, "Боб": 1}
    assert "2 people, 3 photos" in facewise("gallery", "list").out
    assert Path("facewise.db").stat().st_mode & 0o077 == 0


def test_enroll_counts_the_bad_and_keeps_the_good(facewise, photo):
    photo("good.png", face(1))
    photo("nobody.png")
    done = facewise("enroll", "Ada", "good.png", "nobody.png", "missing.png", "--json", code=3)
    assert done.json["enrolled"][0]["added"] == 1
    assert {bad["item"] for bad in done.json["bad"]} == {"nobody.png", "missing.png"}
    assert "2 bad photos, named above; the good ones are done" in done.err
    assert names(facewise) == {"Ada": 1}


def test_enroll_with_no_good_photo(facewise):
    done = facewise("enroll", "Ada", "missing.png", "--json", code=3)
    assert "missing.png" in done.json["error"]
    assert len(done.err.splitlines()) == 1


def test_the_same_photo_twice(facewise, people):
    done = facewise("enroll", "Ada", "ada1.png")
    assert "already enrolled as Ada" in done.err
    assert "0 photos of 0 people" in done.out
    assert "already enrolled as 'Ada'" in facewise("enroll", "Eve", "ada1.png", code=3).err
    assert names(facewise) == {"Ada": 2, "Боб": 1}


def test_enroll_warns_of_several_faces(facewise, photo):
    photo("crowd.png", (90, 80, 60, 1), (220, 150, 90, 2))
    assert "2 faces" in facewise("enroll", "Ada", "crowd.png").err


def test_enroll_a_folder_of_people(facewise, photo):
    photo("team/Ada/1.png", face(1))
    photo("team/Bob/1.png", face(2))
    photo("team/Bob/2.png", face(2, 2))
    photo("team/Nobody/1.png")
    photo("team/loose.png", face(3))
    done = facewise("enroll", "--folder", "team", "--json", code=3)
    assert {e["name"]: e["added"] for e in done.json["enrolled"] if e["added"]} == {"Ada": 1, "Bob": 2}
    assert {bad["item"] for bad in done.json["bad"]} == {"team/Nobody/1.png"}
    assert "Left out of team: 1 photo in nobody's folder (loose.png)." in done.err
    assert names(facewise) == {"Ada": 1, "Bob": 2}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "NAME"),
        (["Ada"], 2, "at least one photo"),
        (["Ada", "--folder", "x"], 2, "or --folder"),
        (["Ada", ""], 2, "empty"),
        (["", "a.png"], 3, "cannot be empty"),
        (["two\nlines", "a.png"], 3, "name"),
        (["--folder", "nope"], 3, "no folder nope"),
        (["--folder", "empty"], 3, "no people"),
        (["Ada", "empty"], 3, "No photos were found in empty"),
        (["Ada", "a.png", "--gallery", "nope/x.db"], 3, "no folder nope"),
        (["Ada", "a.png", "--gallery", "empty"], 3, "is a folder"),
        (["Ada", "a.png", "--gallery", "a.png"], 3, "not a Facewise gallery"),
    ],
)
def test_enroll_errors(facewise, photo, words, code, told):
    photo("a.png", face(1))
    Path("empty").mkdir()
    done = facewise("enroll", *words, code=code)
    assert told in done.err
    assert done.out == ""
    assert not Path("nope").exists()


def test_another_model_is_refused_with_both_fingerprints(facewise, people, photo):
    space = facewise("gallery", "list", "--json").json
    other = facewise("models", "show", "other", "--json").json["fingerprint"]
    photo("new.png", face(3))
    error = facewise("enroll", "Eve", "new.png", "--model", "other", code=3).err
    assert space["fingerprint"][:8] in error
    assert other[:8] in error
    assert names(facewise) == {"Ada": 2, "Боб": 1}


def test_show(facewise, people):
    samples = facewise("gallery", "show", "Ada", "--json").json["samples"]
    assert [Path(s["source"]).name for s in samples] == ["ada1.png", "ada2.png"]
    assert samples[0]["quality"]["score"] > 0.5
    table = facewise("gallery", "show", "Ada").out
    assert "ada1.png" in table
    assert "did you mean 'Ada'" in facewise("gallery", "show", "Adaa", code=3).err


def test_remove_a_sample_and_a_person(facewise, people):
    first = facewise("gallery", "show", "Ada", "--json").json["samples"][0]["id"]
    assert "no sample 999" in facewise("gallery", "remove", "Ada", "--sample", 999, code=3).err
    facewise("gallery", "remove", "Ada", "--sample", first)
    assert names(facewise) == {"Ada": 1, "Боб": 1}
    assert "only one" in facewise("gallery", "remove", "Ada", "--sample", first + 1, code=3).err
    done = facewise("gallery", "remove", "Ada", "--json").json
    assert (done["name"], done["removed"]) == ("Ada", 1)
    assert names(facewise) == {"Боб": 1}
    assert "Ada" in facewise("gallery", "remove", "Ada", code=3).err


def test_rename_and_merge(facewise, people):
    assert "Ada is now Ada [L]." in facewise("gallery", "rename", "Ada", "Ada [L]").out
    assert "merge" in facewise("gallery", "rename", "Ada [L]", "Боб", code=3).err
    merged = facewise("gallery", "merge", "Боб", "Ada [L]", "--json").json
    assert (merged["into"], merged["moved"]) == ("Боб", 2)
    assert names(facewise) == {"Боб": 3}


def test_export_and_import(facewise, people):
    assert facewise("gallery", "export", "all.npz", "--json").json["photos"] == 3
    done = facewise("gallery", "import", "all.npz", "--gallery", "copy.db", "--json").json
    assert {e["name"]: e["added"] for e in done["imported"]} == {"Ada": 2, "Боб": 1}
    assert names(facewise, "--gallery", "copy.db") == {"Ada": 2, "Боб": 1}
    assert "0 photos of 0 people" in facewise("gallery", "import", "all.npz", "--gallery", "copy.db").out
    Path("bad.npz").write_bytes(Path("all.npz").read_bytes()[:100])
    assert "bad.npz" in facewise("gallery", "import", "bad.npz", code=3).err
    assert "no file" in facewise("gallery", "import", "missing.npz", code=3).err
    assert "gallery itself" in facewise("gallery", "export", "facewise.db", code=3).err


def test_check(facewise, people):
    assert "is sound: 2 people, 3 photos" in facewise("gallery", "check").out
    assert facewise("gallery", "check", "--json").json["problems"] == []
    shutil.copy("facewise.db", "hurt.db")
    data = bytearray(Path("hurt.db").read_bytes())
    data[5000:] = b"\0" * (len(data) - 5000)
    Path("hurt.db").write_bytes(data)
    done = facewise("gallery", "check", "--gallery", "hurt.db", "--json", code=3)
    assert done.json
    assert done.complaints


@pytest.mark.parametrize(
    "command", [["list"], ["show", "A"], ["check"], ["remove", "A"], ["export", "x.npz"]]
)
def test_a_missing_gallery_is_not_made(facewise, command):
    done = facewise("gallery", *command, code=3)
    assert "no gallery facewise.db" in done.err
    assert not Path("facewise.db").exists()
    assert not Path("x.npz").exists()


def test_the_command_line_and_the_library_share_a_gallery(facewise, people, tiny_pipeline):
    with Gallery.open("facewise.db", pipeline=tiny_pipeline, create=False) as gallery:
        assert [match.name for match in gallery.identify("bob1.png", threshold=0.8)] == ["Боб"]
