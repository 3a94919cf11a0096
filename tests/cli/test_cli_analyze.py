"""`facewise analyze`: what faces in photos and videos look like."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from facewise.image import read_image
from plain_attributes import age, emotion, gender, race, reach, somebody, write_plain_attributes

HAPPY, SAD = somebody(emotion="happy", gender="female"), somebody(emotion="sad", gender="male")
A, B = (90, 80, 90, HAPPY), (220, 150, 90, SAD)
SMALL = (160, 120, 15, HAPPY)


def read_csv(name: str) -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def clip(drawn_photo):
    """`clip("a.mp4", [(who, seconds), …])`: these people one after another in one place."""

    def make(name: str, *people: tuple[int, float]) -> Path:
        path = Path(name)
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), 16.0, (320, 240))
        for who, seconds in people:
            frame = np.ascontiguousarray(drawn_photo([(160, 120, 90, who)] if who >= 0 else [])[..., ::-1])
            for _ in range(round(seconds * 16)):
                writer.write(frame)
        writer.release()
        return path

    return make


def test_what_faces_look_like(facewise, photo):
    photo("two.png", A, B)
    told = facewise("analyze", "two.png", "--json").json
    assert told["attributes"] == ["age", "gender", "emotion"]
    assert told["model"] == "plain-attributes"
    (found,) = told["photos"]
    for face, who in zip(sorted(found["faces"], key=lambda face: face["box"][0]), (HAPPY, SAD), strict=True):
        said = face["attributes"]
        assert said["age"]["mean"] == pytest.approx(age(who), abs=0.6)
        assert said["age"]["high"] - said["age"]["mean"] == pytest.approx(reach(), abs=0.2)
        assert (said["gender"]["answer"], said["emotion"]["answer"]) == (gender(who), emotion(who))
        assert set(said) == {"age", "gender", "emotion", "note"}
    done = facewise("analyze", "two.png")
    assert f"{gender(HAPPY)} 99%" in done.out
    assert "happy 9" in done.out
    assert "2 faces in 1 photo." in done.out
    assert done.err == ""


def test_race_only_where_it_is_named(facewise, photo):
    photo("one.png", A)
    (found,) = facewise("analyze", "one.png", "--attributes", "emotion, race", "--json").json["photos"]
    said = found["faces"][0]["attributes"]
    assert set(said) == {"emotion", "race", "note"}
    assert said["race"]["answer"] == race(HAPPY)


def test_a_table_in_a_file(facewise, photo):
    photo("two.png", A, B)
    facewise("analyze", "two.png", "--csv", "looks.csv", "--attributes", "age,emotion")
    rows = sorted(read_csv("looks.csv"), key=lambda row: float(row["x1"]))
    assert [row["emotion"] for row in rows] == ["happy", "sad"]
    assert [float(row["age"]) for row in rows] == pytest.approx([age(HAPPY), age(SAD)], abs=0.6)
    assert float(rows[0]["emotion_happy"]) > 0.9
    assert all(float(row["age_low"]) < float(row["age"]) < float(row["age_high"]) for row in rows)
    assert not any(name.startswith(("gender", "race")) for name in rows[0])
    assert (rows[0]["file"], rows[0]["from_seconds"], rows[0]["note"]) == ("two.png", "", "")


def test_answers_are_drawn(facewise, photo):
    photo("two.png", A, B)
    facewise("analyze", "two.png", "--draw", "drawn")
    before, after = read_image("two.png"), read_image("drawn/two.jpg")
    assert after.shape == before.shape
    blue = (np.abs(after.astype(int) - (56, 122, 223)) < 40).all(axis=2)
    assert blue.sum() > 1000


def test_good_photos_are_done_and_bad_ones_named(facewise, photo):
    photo("good.png", A)
    photo("nobody.png")
    photo("small.png", SMALL)
    photo("both.png", B, SMALL)
    Path("text.jpg").write_text("hello")
    names = ("nobody.png", "small.png", "text.jpg", "good.png", "both.png", "missing.jpg")
    done = facewise("analyze", *names, "--json", code=3)
    assert [one["photo"] for one in done.json["photos"]] == [
        "nobody.png",
        "small.png",
        "good.png",
        "both.png",
    ]
    assert [bad["item"] for bad in done.json["bad"]] == ["nobody.png", "small.png", "text.jpg", "missing.jpg"]
    assert done.complaints[-1] == "facewise: 4 bad photos, named above; the good ones are done."
    assert "No face was found in nobody.png" in done.err
    assert "Nothing can be said of the face in small.png: too small (the eyes are" in done.err
    said = {one["photo"]: [face["attributes"] for face in one["faces"]] for one in done.json["photos"]}
    assert said["small.png"][0] == {
        "age": None,
        "gender": None,
        "emotion": None,
        "note": said["small.png"][0]["note"],
    }
    assert sorted(bool(one["note"]) for one in said["both.png"]) == [False, True]
    table = facewise("analyze", "nobody.png", "good.png", code=3).out
    assert "no face" in table
    assert "happy" in table


def test_not_sure_is_told_as_that(facewise, photo, tmp_path):
    photo("one.png", A)
    model = write_plain_attributes(tmp_path / "vague.onnx", sure=0.1).path
    done = facewise("analyze", "one.png", "--attributes-model", model)
    assert "not sure (" in done.out
    (found,) = facewise("analyze", "one.png", "--attributes-model", model, "--json").json["photos"]
    assert found["faces"][0]["attributes"]["emotion"]["answer"] is None
    facewise("analyze", "one.png", "--attributes-model", model, "--csv", "looks.csv")
    assert read_csv("looks.csv")[0]["emotion"] == "not sure"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--attributes", "mood"), "There is no attribute 'mood'"),
        (("--attributes-model", "facewise-embed-s"), "'embedder'"),
        (("--attributes-model", "facewise-detect-s"), "'detector'"),
        (("--detector", "facewise-attributes-s"), "'attributes'"),
        (("--attributes-model", "good.png"), "good.png"),
        (("--attributes-model", "nothing"), "No model named 'nothing'"),
    ],
    ids=" ".join,
)
def test_wrong_models_and_attributes_are_one_sentence(facewise, photo, words, told):
    photo("good.png", A)
    done = facewise("analyze", "good.png", *words, code=3)
    assert told in done.err
    assert (done.out, len(done.complaints), len(done.err.splitlines())) == ("", 1, 1)


def test_a_drawing_and_an_animal_without_a_face_are_told(facewise, photo):
    from facewise.models.bundled import BUNDLED_MODELS, bundled_path

    detector = bundled_path(BUNDLED_MODELS["detector"])
    if detector is None:
        pytest.skip("this package has no detector")
    canvas = np.full((300, 300, 3), 255, np.uint8)
    cv2.circle(canvas, (150, 150), 110, (60, 220, 255), -1)
    smiley, cat = canvas.copy(), canvas.copy()
    for drawn, radius in ((smiley, 14), (cat, 22)):
        for x in (110, 190):
            cv2.circle(drawn, (x, 120), radius, (0, 0, 0), -1)
    cv2.ellipse(smiley, (150, 170), (60, 40), 0, 10, 170, (0, 0, 0), 6)
    for ear in ([[60, 90], [70, 10], [130, 50]], [[240, 90], [230, 10], [170, 50]]):
        cv2.fillPoly(cat, [np.array(ear)], (60, 160, 220))
    cv2.fillPoly(cat, [np.array([[135, 165], [165, 165], [150, 185]])], (120, 120, 240))
    cv2.imwrite("smiley.png", smiley)
    cv2.imwrite("cat.png", cat)
    done = facewise("analyze", "smiley.png", "cat.png", "--detector", detector, "--csv", "looks.csv", code=3)
    assert len(done.complaints) == 3
    assert all("No face was found in" in line for line in done.complaints[:2])
    assert [(row["file"], row["note"]) for row in read_csv("looks.csv")] == [
        ("smiley.png", "no face"), ("cat.png", "no face"),
    ]  # fmt: skip


def test_no_attribute_is_wrong_usage(facewise, photo):
    photo("good.png", A)
    assert "--every: for videos only" in facewise("analyze", "good.png", "--every", "2", code=2).err
    assert "names no attribute" in facewise("analyze", "good.png", "--attributes", " , ", code=2).err


def test_without_a_model_the_command_says_so(facewise, photo, store, tmp_path, monkeypatch):
    home = tmp_path / "other-home"
    shutil.copytree(store, home)
    (home / "models" / "facewise-attributes-s.onnx").unlink()
    monkeypatch.setenv("FACEWISE_HOME", str(home))
    monkeypatch.setattr("facewise.models.bundled.FOLDER", tmp_path)
    photo("good.png", A)
    done = facewise("analyze", "good.png", code=3)
    assert "facewise-attributes-s" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_video_has_one_answer_a_track_and_emotion_over_time(facewise, clip):
    # The same person's upper left quarter changes, which is all that the emotion is read from.
    clip("v.avi", (HAPPY, 2.0))
    told = facewise("analyze", "v.avi", "--json").json
    assert told["photos"] == []
    (video,) = told["videos"]
    (track,) = video["tracks"]
    assert track["attributes"]["emotion"]["answer"] == "happy"
    assert track["attributes"]["age"]["mean"] == pytest.approx(age(HAPPY), abs=1.5)
    (stretch,) = track["timeline"]
    assert (stretch["from"], stretch["emotion"]["answer"]) == (0.0, "happy")
    assert stretch["to"] == pytest.approx(1.9, abs=0.2)
    assert stretch["faces"] == track["faces"] >= 14


def test_photos_and_videos_together(facewise, clip, photo):
    Path("all").mkdir()
    clip("all/v.avi", (SAD, 1.0))
    photo("all/p.png", A)
    Path("all/notes.txt").write_text("x")
    done = facewise("analyze", "all", "--csv", "looks.csv", "--draw", "drawn", "--every", "2")
    assert "1 other file in the folders left out: 1 .txt." in done.err
    assert "all/v.avi: 1 face in 0:00.9, 8 of 16 frames looked at." in done.out
    assert "0:00.0 sad 9" in done.out
    rows = read_csv("looks.csv")
    assert [(row["file"], row["emotion"], row["looks"]) for row in rows] == [
        ("all/p.png", "happy", ""), ("all/v.avi", "sad", "8"),
    ]  # fmt: skip
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["p.jpg", "v.mp4"]


def test_bad_videos_are_named_and_good_ones_done(facewise, clip):
    clip("good.avi", (SAD, 1.0))
    clip("empty.avi", (-1, 1.0))
    Path("text.mp4").write_text("no video")
    done = facewise("analyze", "text.mp4", "empty.avi", "good.avi", "--json", code=3)
    assert [video["video"] for video in done.json["videos"]] == ["empty.avi", "good.avi"]
    assert [bad["item"] for bad in done.json["bad"]] == ["text.mp4", "empty.avi"]
    assert "No face was found in empty.avi" in done.err
