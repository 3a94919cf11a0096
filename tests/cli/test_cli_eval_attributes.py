"""`facewise eval attributes`: figures of drawn people, and files that are bad in part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tiny_models import draw, write_attributes


@pytest.fixture
def looks(tmp_path: Path) -> Path:
    return write_attributes(tmp_path / "looks.onnx").path


def rows(photo, count: int = 6) -> list[str]:
    lines = ["path,age,gender,emotion,race,part"]
    for i in range(count):
        photo(f"{i}.png", (90, 80, 60, i))
        part = "test" if i < 4 else "train"
        lines.append(f"{i}.png,{10 * i},{'male' if i % 2 else 'female'},happy,,{part}")
    return lines


def test_figures_of_a_csv(facewise, photo, looks):
    Path("faces.csv").write_text("\n".join(rows(photo)))
    done = facewise("eval", "attributes", "faces.csv", "--model", looks, "--json").json
    assert (done["photos"], done["faces"], done["model"]["name"]) == (6, 6, "looks")
    assert done["gender"]["faces"] == 6
    assert done["age"]["mae"]["estimate"] > 0
    assert "race" not in done
    assert {group["group"] for group in done["groups"]["emotion"]} >= {"gender female", "gender male"}
    text = facewise("eval", "attributes", "faces.csv", "--model", looks).out
    for told in ("mean absolute error", "macro F1", "gender female", "the 90% interval covers"):
        assert told in text
    only = facewise("eval", "attributes", "faces.csv", "--model", looks, "--part", "test", "--json").json
    assert only["photos"] == 4
    facewise("eval", "attributes", "faces.csv", "--model", looks, "--part", "tests", code=2)


def test_the_good_ones_are_done(facewise, photo, looks):
    lines = rows(photo)
    Path("none.png").write_bytes(b"no photo")
    PIL.Image.fromarray(np.full((90, 90, 3), 90, np.uint8)).save("empty.png")
    lines += ["none.png,3,male,happy,,test", "empty.png,3,male,happy,,test", "old.png,500,male,,,test"]
    Path("faces.csv").write_text("\n".join(lines))
    done = facewise("eval", "attributes", "faces.csv", "--model", looks, "--json", code=3)
    assert done.json["faces"] == 6
    assert done.json["without_face"] == ["empty.png"]
    assert [item["item"] for item in done.json["bad"]][1:] == ["none.png"]
    assert "ages are 0 to 120 years" in done.err


def test_crops_as_they_are(facewise, looks):
    lines = ["path,emotion"]
    for i in range(3):
        PIL.Image.fromarray(draw((112, 112), [(56, 56, 90, i)])).save(f"{i}.png")
        lines.append(f"{i}.png,sad")
    Path("faces.csv").write_text("\n".join(lines))
    done = facewise("eval", "attributes", "faces.csv", "--model", looks, "--aligned", "--json").json
    assert (done["faces"], done["detector"]) == (3, None)


def test_no_face_and_other_models(facewise, photo, looks, tmp_path):
    PIL.Image.fromarray(np.full((90, 90, 3), 90, np.uint8)).save("empty.png")
    Path("faces.csv").write_text("path,age\nempty.png,3\n")
    assert "No face was found" in facewise("eval", "attributes", "faces.csv", "--model", looks, code=3).err
    wrong = facewise("eval", "attributes", "faces.csv", "--model", "other", code=3).err
    assert "kind 'embedder'" in wrong


def test_a_page_shows_the_faces_told_wrongly(facewise, photo, looks):
    Path("faces.csv").write_text("\n".join(rows(photo)))
    words = ("eval", "attributes", "faces.csv", "--model", looks)
    done = facewise(*words, "--report", "looks.html", "--json")
    page = Path("looks.html").read_text()
    assert "looks.html; faces are in it" in done.err
    wrong = sum(map(sum, done.json["gender"]["confusion"])) - sum(
        done.json["gender"]["confusion"][i][i] for i in range(2)
    )
    assert page.count("data:image/jpeg") >= max(wrong, 6)
    for told in ("Faces told wrongly", "labelled happy", "gender female", "interval covers"):
        assert told in page
    facewise(*words, "--report", "plain.html", "--no-photos")
    assert "data:image/jpeg" not in Path("plain.html").read_text()
