"""`facewise identify` and `facewise cluster`."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import PIL.Image
import pytest

from facewise.image import read_image


@pytest.fixture
def people(facewise, photo):
    for name, person in (("Ada", 1), ("Bob", 2)):
        photo(f"enrolled/{name}/1.png", (90, 80, 60, person))
    facewise("enroll", "--folder", "enrolled")


def said(done) -> dict[str, list[str | None]]:
    return {photo["photo"]: [face["name"] for face in photo["faces"]] for photo in done.json["photos"]}


def test_the_right_name_and_strangers_unknown(facewise, people, photo):
    photo("ada.png", (200, 140, 80, 1))
    photo("party.png", (90, 80, 60, 2), (220, 150, 90, 1), (60, 190, 40, 3))
    photo("nobody.png")
    done = facewise("identify", "ada.png", "party.png", "nobody.png", "--threshold", 0.8, "--json")
    assert said(done)["ada.png"] == ["Ada"]
    assert said(done)["nobody.png"] == []
    by_width = {round(f["box"][2] - f["box"][0]): f["name"] for f in done.json["photos"][1]["faces"]}
    assert by_width == {90: "Ada", 60: "Bob", 40: None}
    best = done.json["photos"][0]["faces"][0]
    assert best["decided"] is True
    assert best["candidates"][0]["name"] == "Ada"
    assert best["similarity"] == best["candidates"][0]["similarity"] > best["candidates"][1]["similarity"]


def test_the_table(facewise, people, photo):
    photo("party.png", (80, 80, 70, 2), (60, 190, 50, 3))
    photo("nobody.png")
    out = facewise("identify", "party.png", "nobody.png", "--threshold", 0.8).out
    rows = [line for line in out.splitlines() if "│" in line]
    assert "party.png" in rows[0]
    assert "Bob" in rows[0]
    assert "unknown" in rows[1]
    assert "no face" in rows[2]


def test_people_whose_names_read_like_what_is_said_of_strangers(facewise, photo):
    names = ["unknown", "null", "None", "no face", "ADA", "ada", "José", "Bob?"]
    for person, name in enumerate(names, start=1):
        facewise("enroll", name, photo(f"{person}.png", (90, 80, 60, person)))
    facewise(
        "enroll", "Jose\u0301", photo("again.png", (200, 140, 80, 7))
    )  # the same name, another form of it
    assert [one["name"] for one in facewise("gallery", "list", "--json").json["people"]] == sorted(names)
    photo("stranger.png", (90, 80, 60, 20))
    shown = [f"{person}.png" for person in range(1, 9)]
    done = facewise("identify", *shown, "stranger.png", "--threshold", 0.99, "--json")
    assert [*said(done).values()] == [[name] for name in names] + [[None]]
    rows = facewise("identify", *shown, "stranger.png", "--threshold", 0.99).out.splitlines()
    told = [row.split("│")[2].strip() for row in rows if ".png" in row]
    assert told == ['"unknown"', "null", "None", '"no face"', "ADA", "ada", "José", '"Bob?"', "unknown"]


def test_one_name_for_two_faces_of_a_photo_is_marked(facewise, people, photo):
    photo("twins.png", (80, 80, 70, 2), (220, 150, 80, 2), (60, 190, 50, 1))
    photo("ada.png", (200, 140, 80, 1))
    done = facewise("identify", "twins.png", "ada.png", "--threshold", 0.8)
    assert done.out.count("Bob (twice)") == 2
    assert "Ada (twice)" not in done.out
    assert "One name for several faces: twins.png." in done.err
    told = facewise("identify", "twins.png", "ada.png", "--threshold", 0.8, "--json").json["photos"]
    assert {(face["name"], face["twice"]) for face in told[0]["faces"]} == {("Bob", True), ("Ada", False)}
    assert [face["twice"] for face in told[1]["faces"]] == [False]
    strangers = photo("strangers.png", (80, 80, 70, 9), (220, 150, 80, 9))
    faces = facewise("identify", strangers, "--threshold", 0.8, "--json").json["photos"][0]["faces"]
    assert [(face["name"], face["twice"]) for face in faces] == [(None, False)] * 2


def test_swapping_two_people_is_noticed(facewise, photo):
    photo("one/Ada/1.png", (90, 80, 60, 2))
    photo("one/Bob/1.png", (90, 80, 60, 1))
    facewise("enroll", "--folder", "one")
    photo("ada.png", (200, 140, 80, 1))
    assert said(facewise("identify", "ada.png", "--threshold", 0.8, "--json"))["ada.png"] == ["Bob"]


def test_without_calibration_nobody_is_named(facewise, people, photo):
    photo("ada.png", (200, 140, 80, 1))
    face = facewise("identify", "ada.png", "--json").json["photos"][0]["faces"][0]
    assert (face["name"], face["decided"], face["candidates"][0]["name"]) == (None, False, "Ada")
    out = facewise("identify", "ada.png").out
    assert "Ada?" in out
    assert "no decision" in out


def test_bad_photos_are_named(facewise, people, photo):
    photo("ada.png", (200, 140, 80, 1))
    Path("bad.jpg").write_text("no photo")
    done = facewise("identify", "bad.jpg", "ada.png", "--threshold", 0.8, "--json", code=3)
    assert said(done) == {"ada.png": ["Ada"]}
    assert [bad["item"] for bad in done.json["bad"]] == ["bad.jpg"]


def test_only_people_of_some_groups(facewise, photo):
    for name, person, groups in (("Ada", 1, "day,night"), ("Bob", 2, "night"), ("Cy", 4, "")):
        facewise("enroll", name, photo(f"{name}.png", (160, 120, 60, person)), "--groups", groups)
    photo("party.png", (90, 80, 60, 2), (220, 150, 90, 1))
    asked = ("identify", "party.png", "--threshold", 0.8, "--json")

    def named(*words: str) -> set[str | None]:
        done = facewise(*asked, *words)
        return {face["name"] for face in done.json["photos"][0]["faces"]}

    assert named() == {"Ada", "Bob"}
    assert named("--groups", "day") == {"Ada", None}
    assert named("--groups", " night , day") == {"Ada", "Bob"}
    assert facewise(*asked, "--groups", "night").json["gallery"] == {"people": 2, "samples": 2}
    done = facewise(*asked, "--groups", "day,dya", code=3)
    assert "no group 'dya'" in done.err
    assert "day, night" in done.err
    assert "names no group" in facewise(*asked, "--groups", " , ", code=2).err


def test_identify_draws(facewise, people, photo):
    photo("new\nline.png", (200, 140, 80, 1), (60, 60, 40, 5))
    facewise("identify", "new\nline.png", "--threshold", 0.8, "--draw", "drawn")
    assert read_image("drawn/new\nline.jpg").shape == (240, 320, 3)


def test_an_empty_gallery_is_said_to_be_empty(facewise, photo):
    facewise("enroll", "Ada", "missing.png", code=3)
    photo("ada.png", (200, 140, 80, 1))
    assert "holds nobody" in facewise("identify", "ada.png").err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ada.png", "--gallery", "nope.db"], "no gallery nope.db"),
        (["ada.png", "--gallery", "ada.png"], "not a Facewise gallery"),
        (["ada.png", "--model", "other"], "another model"),
        (["empty"], "No photos or videos were found in empty"),
        (["ada.png", "--threshold", "2"], "between -1 and 1"),
        (["ada.png", "--draw", "ada.png"], "is a file"),
    ],
)
def test_identify_errors(facewise, people, photo, words, told):
    photo("ada.png", (200, 140, 80, 1))
    Path("empty").mkdir()
    done = facewise("identify", *words, code=3)
    if told == "another model":
        assert done.err.count("tiny-embedder") + done.err.count("other") >= 2
    else:
        assert told in done.err
    assert len(done.err.splitlines()) == 1


@pytest.fixture
def pile(photo):
    """Two people twice or more, one alone, nobody, and what is no photo."""
    for i, faces in enumerate(
        [
            [(90, 80, 60, 1)],
            [(200, 140, 80, 1), (60, 60, 50, 2)],
            [(150, 120, 90, 2)],
            [(100, 100, 70, 3)],
            [],
        ]
    ):
        photo(f"pile/{i}.png", *faces)
    Path("pile/bad.jpg").write_text("no photo")


def test_cluster_groups_by_person(facewise, pile):
    done = facewise("cluster", "pile", "--threshold", 0.8, "--json", code=3)
    groups = [sorted(Path(face["photo"]).name for face in group) for group in done.json["groups"]]
    assert sorted(groups) == [["0.png", "1.png"], ["1.png", "2.png"], ["3.png"]]
    assert done.json["without_face"] == ["pile/4.png"]
    assert [bad["item"] for bad in done.json["bad"]] == ["pile/bad.jpg"]
    assert done.json["threshold"] == 0.8


def test_cluster_writes_a_table_and_a_picture(facewise, pile):
    done = facewise("cluster", "pile", "--threshold", 0.8, "--out", "g.csv", "--draw", "g.png", code=3)
    assert "5 faces: 2 groups of two or more, 1 face alone (threshold 0.800)" in done.out
    assert "Drawn in g.png" in done.out
    with Path("g.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(Counter(row["group"] for row in rows).values()) == [1, 2, 2]
    PIL.Image.open("g.png").verify()


def test_cluster_decides_by_the_calibration(facewise, pile):
    assert facewise("cluster", "pile", "--model", "calibrated", "--json", code=3).json["threshold"] == 0.8
    assert "needs a threshold" in facewise("cluster", "pile", code=3).err


def test_cluster_without_faces(facewise, photo):
    photo("nobody.png")
    done = facewise("cluster", "nobody.png", "--threshold", 0.8, "--json")
    assert (done.json["groups"], done.json["without_face"]) == ([], ["nobody.png"])


@pytest.mark.parametrize(("option", "path"), [("--out", "pile"), ("--draw", "pile"), ("--draw", "g.bmp")])
def test_cluster_refuses_a_bad_place_for_its_results(facewise, photo, option, path):
    photo("pile/0.png", (90, 80, 60, 1))
    assert path in facewise("cluster", "pile", "--threshold", 0.8, option, path, code=3).err
