"""`facewise detect`, `align` and `embed`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.image import read_image
from facewise.models import read_model

A, B, C = (90, 80, 60, 1), (220, 150, 90, 2), (60, 190, 40, 3)


def box(x: float, y: float, diameter: float, *_: float) -> list[float]:
    return [x - diameter / 2, y - diameter / 2, x + diameter / 2, y + diameter / 2]


def test_detect_finds_the_faces_that_are_there(facewise, photo):
    photo("several.png", A, B, C)
    photo("none.png")
    several, none = facewise("detect", "several.png", "none.png", "--json").json["photos"]
    assert (several["photo"], several["width"], several["height"]) == ("several.png", 320, 240)
    assert len(several["sha256"]) == 64
    found = sorted(face["box"] for face in several["faces"])
    assert np.allclose(found, sorted(box(*face) for face in (A, B, C)), atol=0.5)
    for face in several["faces"]:
        assert set(face) == {"box", "score", "landmarks"}
        assert np.shape(face["landmarks"]) == (5, 2)
        assert 0.5 < face["score"] <= 1
    assert none["faces"] == []


def test_detect_tells_people_in_a_table_with_whole_lines(facewise, photo):
    name = "a rather long name of a photo " * 4 + "[bold].png"
    photo(name, A)
    done = facewise("detect", name)
    assert any(name in line for line in done.out.splitlines())
    assert "1 face in 1 photo." in done.out
    assert done.err == ""


def test_options_say_what_counts_as_a_face(facewise, photo):
    photo("two.png", B, C)
    only = facewise("detect", "two.png", "--min-face", 60, "--json").json["photos"][0]["faces"]
    assert np.allclose([face["box"] for face in only], [box(*B)], atol=0.5)
    assert facewise("detect", "two.png", "--score", 0.9999, "--json").json["photos"][0]["faces"] == []


def test_good_photos_are_done_and_bad_ones_named(facewise, photo):
    photo("good.png", A)
    Path("text.jpg").write_text("hello")
    Path("empty.jpg").touch()
    done = facewise("detect", "missing.jpg", "text.jpg", "good.png", "empty.jpg", "--json", code=3)
    assert [photo["photo"] for photo in done.json["photos"]] == ["good.png"]
    assert [bad["item"] for bad in done.json["bad"]] == ["missing.jpg", "text.jpg", "empty.jpg"]
    assert len(done.complaints) == 4
    assert done.complaints[-1] == "facewise: 3 bad photos, named above; the good ones are done."
    for name, complaint in zip(("missing.jpg", "text.jpg", "empty.jpg"), done.complaints, strict=False):
        assert name in complaint


def test_one_bad_photo_is_one_sentence(facewise):
    done = facewise("detect", "missing.jpg", code=3)
    assert done.out == ""
    assert len(done.complaints) == len(done.err.splitlines()) == 1


@pytest.mark.parametrize("words", [["empty"], ["empty", "--json"]])
def test_a_folder_without_photos_is_an_error(facewise, words):
    Path("empty").mkdir()
    done = facewise("detect", *words, code=3)
    assert "No photos were found in empty" in done.err
    if "--json" in words:
        assert list(done.json) == ["error"]


@pytest.mark.parametrize(
    "words",
    [
        ["detect", ""],
        ["detect", "good.png", ""],
        ["verify", "", "b.jpg"],
        ["verify", "a.jpg", "b.jpg", "--draw", ""],
        ["enroll", "--folder", ""],
        ["cluster", ""],
        ["analyze", ""],
        ["analyze", "good.png", "--csv", ""],
        ["train", ""],
        ["train", "photos", "--out", ""],
        ["compare", ""],
        ["eval", "folder", ""],
        ["eval", "pairs", "pairs.csv", "--root", ""],
        ["eval", "lfw", ""],
        ["eval", "bin", ""],
        ["classify", "fit", "", "--out", "x.onnx"],
        ["calibrate", "model", "--on", ""],
        ["models", "import", ""],
        ["report", ""],
    ],
    ids=" ".join,
)
def test_an_empty_path_is_not_the_current_folder(facewise, photo, words):
    photo("good.png", (120, 110, 60, 2))
    assert "empty" in facewise(*words, code=2).err


def test_a_url_is_told_as_one_and_costs_one_photo(facewise, photo):
    photo("good.png", (120, 110, 60, 2))
    done = facewise("detect", "https://a.b/c.jpg", "good.png", "--json", code=3)
    assert len(done.json["photos"]) == 1
    assert "Cannot read https://a.b/c.jpg: it is a URL and only local paths are read" in done.err
    assert "it is a URL" in facewise("verify", "good.png", "http://a.b/c.jpg", code=3).err


def test_names_of_every_kind(facewise, photo, place):
    names = ["-dash.png", "two words.png", "new\nline.png", "[bold]b[blue].png", "Ерёма 小 😀.png"]
    for name in names:
        photo(name, A)
    strange = os.fsencode(place) + b"/not utf-8 \xff.png"
    Path(os.fsdecode(strange)).write_bytes(Path("-dash.png").read_bytes())
    done = facewise("detect", place, "--draw", "drawn", "--json")
    found = [Path(photo["photo"]).name for photo in done.json["photos"]]
    assert sorted(found) == sorted([*names, "not utf-8 \udcff.png"])
    assert len(list(Path("drawn").iterdir())) == len(found)
    assert facewise("detect", "--", "-dash.png").code == 0


def test_draw_writes_a_picture_a_photo_without_overwriting(facewise, photo):
    first, second = photo("one/face.png", A), photo("two/face.png", B)
    facewise("detect", first, second, "--draw", "new/drawn")
    assert sorted(path.name for path in Path("new/drawn").iterdir()) == ["face-2.jpg", "face.jpg"]
    before, after = read_image(first), read_image("new/drawn/face.jpg")
    assert after.shape == before.shape
    x1, y1, _, y2 = (round(v) for v in box(*A))
    side = after[y1 + 10 : y2 - 10, x1].astype(int)
    assert np.median(side[:, 2] - side[:, 0]) > 100  # blue


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["detect", "a.png", "--draw", "a.png"], "a.png is a file, not a folder"),
        (["detect", "a.png", "--draw", "/proc/nope"], "/proc/nope"),
        (["align", "a.png", "--out", "a.png"], "a.png is a file, not a folder"),
        (["embed", "a.png", "--out", "a.png/x.npz"], "a.png is a file, not a folder"),
        (["embed", "a.png", "--out", "folder.npz"], "folder.npz is a folder"),
        (["detect", "a.png", "--detector", "nope"], "No model named 'nope'"),
        (["detect", "a.png", "--detector", "other"], "a 'detector' is needed"),
        (["detect", "a.png", "--detector", "./a.png"], "not a Facewise model file"),
        (["detect", "a.png", "--provider", "quantum"], "Unknown provider 'quantum'"),
        (["embed", "a.png", "--out", "x.npz", "--model", "facewise-detect-s"], "'embedder' is needed"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(facewise, photo, words, told):
    photo("a.png", A)
    Path("folder.npz").mkdir()
    done = facewise(*words, code=3)
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    assert facewise(*words, "--json", code=3).json["error"] in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["detect"],
        ["detect", "a.png", "--wrong"],
        ["detect", "a.png", "--score", "2"],
        ["detect", "a.png", "--score", "much"],
        ["detect", "a.png", "--max-size", "5"],
        ["detect", "a.png", "--min-face", "-3"],
        ["detect", "a.png", "--threads", "0"],
        ["detect", "a.png", "--threads", "1000000"],
        ["align", "a.png"],
        ["align", "a.png", "--out", "crops", "--size", "5"],
        ["embed", "a.png", "--out", "rows.txt"],
        ["embed", "a.png"],
    ],
)
def test_wrong_usage_is_code_2(facewise, photo, words):
    photo("a.png", A)
    done = facewise(*words, code=2)
    assert done.out == ""
    assert done.err


def test_align_cuts_one_crop_a_face(facewise, photo, tiny_pipeline):
    from facewise.pipeline import Steps

    photo("one.png", A)
    photo("two.png", B, C)
    photo("none.png")
    done = facewise("align", "one.png", "two.png", "none.png", "--out", "crops", "--json")
    assert done.json["without_face"] == ["none.png"]
    assert "1 photo has no face: none.png" in done.err
    assert [Path(crop["crop"]).name for crop in done.json["crops"]] == ["one.png", "two_0.png", "two_1.png"]
    expected = tiny_pipeline.read("two.png", Steps(embed=False, keep_crops=True))
    for i, crop in enumerate(expected.crops):
        assert np.array_equal(read_image(f"crops/two_{i}.png"), crop)
    assert "quality" in done.json["crops"][0]


def test_align_never_writes_one_crop_over_another(facewise, photo):
    photo("two.png", B, C)
    photo("other/two_0.png", A)
    photo("other/TWO.png", A, C)
    crops = facewise("align", "two.png", "other", "--out", "crops", "--json").json["crops"]
    assert len({crop["crop"].casefold() for crop in crops}) == len(list(Path("crops").iterdir())) == 5


def test_align_takes_a_size_and_the_main_face(facewise, photo):
    photo("two.png", B, C)
    facewise("align", "two.png", "--out", "crops", "--size", 64, "--main")
    assert [path.name for path in Path("crops").iterdir()] == ["two.png"]
    assert PIL.Image.open("crops/two.png").size == (64, 64)


def test_the_main_of_several_is_told(facewise, photo):
    photo("in/one.png", (90, 80, 60, 1))
    for number in range(7):
        photo(f"in/two{number}.png", (150, 120, 60, 1), (40, 40, 30, 2))
    for words in (("embed", "in", "--out", "rows.npz"), ("align", "in", "--out", "crops"), ("embed", "in")):
        where = () if "--out" in words else ("--out", "parts")
        all_faces = () if "--out" in words else ("--out", "parts of all")
        assert "several" not in facewise(*words, *all_faces).err
        done = facewise(*words, *where, "--main", "--json")
        assert [Path(name).stem for name in done.json["main_of_several"]] == [f"two{n}" for n in range(7)]
        assert "7 photos have several faces, of which the main one was taken: " in done.err
        assert "two4.png and 2 more" in done.err


def test_embed_writes_what_the_pipeline_reads(facewise, photo, tiny_pipeline, tiny_embedder_file):
    photo("in/two.png", B, C)
    photo("in/one.png", A)
    photo("in/none.png")
    Path("in/bad.jpg").write_text("no photo")
    done = facewise("embed", "in", "--out", "new/rows.npz", "--json", code=3)
    summary = done.json
    fingerprint = read_model(tiny_embedder_file).fingerprint
    assert (summary["photos"], summary["faces"], summary["fingerprint"]) == (3, 3, fingerprint)
    assert summary["without_face"] == ["in/none.png"]
    assert [bad["item"] for bad in summary["bad"]] == ["in/bad.jpg"]
    with np.load("new/rows.npz", allow_pickle=False) as rows:
        assert str(rows["fingerprint"]) == fingerprint
        assert rows["photo"].tolist() == ["in/one.png", "in/two.png", "in/two.png"]
        assert rows["face"].tolist() == [0, 0, 1]
        expected = [face for name in ("one", "two") for face in tiny_pipeline.read(f"in/{name}.png").faces]
        for name in ("embedding", "box", "landmarks", "score"):
            assert np.allclose(rows[name], [getattr(face, name) for face in expected], atol=1e-4), name
        assert rows["embedding"].dtype == np.float32
        assert np.allclose(np.linalg.norm(rows["embedding"], axis=1), 1, atol=1e-5)
    assert Path("new/rows.npz").stat().st_mode & 0o077 == 0  # templates of people


def test_embed_without_any_face_keeps_the_shapes(facewise, photo):
    photo("none.png")
    facewise("embed", "none.png", "--out", "rows.npz")
    with np.load("rows.npz") as rows:
        assert rows["embedding"].shape == (0, 32)
        assert rows["landmarks"].shape == (0, 5, 2)


def test_a_damaged_photo_is_refused_or_used_and_named(facewise, process, drawn_photo) -> None:
    PIL.Image.fromarray(drawn_photo([(100, 100, 60)])).save("sound.jpg", quality=95)
    data = Path("sound.jpg").read_bytes()
    at = len(data) * 7 // 10
    Path("damaged.jpg").write_bytes(data[:at] + bytes(200) + data[at + 200 :])
    done = facewise("detect", "damaged.jpg", "sound.jpg", "--json", code=3)
    assert [bad["item"] for bad in done.json["bad"]] == ["damaged.jpg"]
    assert "damaged or cut short" in done.err
    refused = process("detect", "damaged.jpg")
    assert refused.code == 3
    told, remedy = refused.err.splitlines()
    assert "damaged.jpg: it is damaged or cut short" in told
    assert "--damaged use" in remedy
    assert "--damaged use" in facewise("verify", "damaged.jpg", "sound.jpg", code=3).err
    used = process("detect", "damaged.jpg", "--damaged", "use")
    assert used.code == 0
    assert used.err.splitlines() == ["damaged.jpg is damaged, and was used as far as it could be read."]


@pytest.mark.parametrize(
    "command",
    [
        "detect", "align", "embed", "verify", "enroll", "identify", "cluster", "classify fit",
        "classify predict", "classify evaluate", "data check", "data prepare", "train", "compare",
        "eval lfw", "eval pairs",
        "eval folder", "eval ijb", "eval bin", "calibrate", "report", "bench", "demo", "serve",
    ],
)  # fmt: skip
def test_every_command_that_reads_photos_says_what_of_damaged_ones(facewise, command) -> None:
    assert "--damaged" in facewise(*command.split(), "--help").out
