"""Every command that searches a folder tells what it passed over, once, by one rule."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def phone(photo) -> Path:
    """A photo in a sub-folder, what systems leave behind, and three other files."""
    photo("phone/2023/a.png", (100, 100, 60))
    for name in (
        "._a.png",
        "Thumbs.db",
        "desktop.ini",
        "@eaDir/a.png/x.png",
        "2023/.hidden",
        "b.AAE",
        "2023/c.aae",
    ):
        path = Path("phone", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"nothing")
    Path("phone/d").write_bytes(b"nothing")
    return Path("phone")


@pytest.mark.parametrize(
    "words",
    [
        ["detect"],
        ["align", "--out", "crops"],
        ["embed", "--out", "all.npz"],
        ["embed", "--out", "parts"],
        ["analyze"],
        ["cluster", "--model", "calibrated"],
        ["enroll", "Ada"],
        ["identify", "--gallery", "empty.db"],
    ],
    ids=lambda words: words[0] + ("-parts" if words[-1] == "parts" else ""),
)
def test_what_a_folder_holds_besides_photos_is_told_once(facewise, phone, photo, words) -> None:
    if words[0] == "identify":
        facewise("enroll", "Bob", photo("bob.png", (100, 100, 60, 2)), "--gallery", "empty.db")
    done = facewise(*words, phone, "--json")
    assert done.json["left_out"] == {".aae": 2, "": 1}
    assert done.json["bad"] == []
    assert done.err.count("left out: 2 .aae, 1 without ending.") == 1


@pytest.mark.parametrize("words", [["enroll", "--folder"], ["data", "check", "--no-suspects"]])
def test_what_a_folder_of_people_holds_besides_photos(facewise, phone, words) -> None:
    done = facewise(*words, phone, "--json")
    assert done.json["left_out"] == {".aae": 1}  # b.AAE and d lie in nobody's folder
    assert done.err.count("1 .aae") == 1


def test_nothing_is_told_where_nothing_is_left_out(facewise, photo) -> None:
    photo("all/a.png", (100, 100, 60))
    done = facewise("detect", "all", "--json")
    assert done.json["left_out"] == {}
    assert "left out" not in done.err
