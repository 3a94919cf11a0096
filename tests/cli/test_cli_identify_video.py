"""`facewise identify` on videos, folders of photos and videos, and cameras."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

FACEWISE = str(Path(sys.executable).with_name("facewise"))
MODEL = ("--model", "calibrated")


@pytest.fixture
def clip(drawn_photo):
    """`clip("a.mp4", people=[1], seconds=1)`: these people side by side, moving down slowly."""

    def make(name: str, people=(1,), seconds: float = 1.0) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = "MJPG" if path.suffix == ".avi" else "mp4v"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25.0, (320, 240))
        frames = [
            np.ascontiguousarray(
                drawn_photo([(80 + 120 * k, 90 + i, 60, who) for k, who in enumerate(people)])[..., ::-1]
            )
            for i in range(min(50, round(seconds * 25)))
        ]
        for i in range(round(seconds * 25)):
            writer.write(frames[i % 50])
        writer.release()
        return path

    return make


@pytest.fixture
def gallery(facewise, photo):
    photo("ada.png", (160, 120, 60, 1))
    photo("bob.png", (160, 120, 60, 2))
    facewise("enroll", "Ada", "ada.png", "--gallery", "g.db", *MODEL)
    facewise("enroll", "Bob", "bob.png", "--gallery", "g.db", *MODEL)
    return ("--gallery", "g.db", *MODEL)


def read_csv(name: str) -> list[dict[str, str]]:
    with Path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_who_was_there_when(facewise, clip, gallery):
    clip("v.mp4", [1, 5])
    done = facewise("identify", "v.mp4", *gallery, "--csv", "who.csv", "--out", "marked.mp4")
    assert "Ada" in done.out
    assert "unknown 1" in done.out
    assert "2 people in 0:01.0" in done.out
    assert "Annotated in marked.mp4" in done.out
    assert "Threshold 0.800 at FMR 0.001" in done.out
    rows = read_csv("who.csv")
    assert sorted(row["person"] for row in rows) == ["Ada", "unknown 1"]
    assert all((row["video"], row["from_frame"], row["fmr"]) == ("v.mp4", "0", "0.001") for row in rows)
    marked = cv2.VideoCapture("marked.mp4")
    assert marked.get(cv2.CAP_PROP_FRAME_COUNT) == 25
    assert marked.get(cv2.CAP_PROP_FPS) == pytest.approx(25)


def test_only_people_of_a_group(facewise, clip, photo, gallery):
    photo("cy.png", (160, 120, 60, 5))
    facewise("enroll", "Cy", "cy.png", "--groups", "staff", *gallery)
    clip("v.mp4", [1, 5])
    assert {row["person"] for row in _who(facewise, gallery)} == {"Ada", "Cy"}
    assert {row["person"] for row in _who(facewise, gallery, "--groups", "staff")} == {"Cy", "unknown 1"}


def _who(facewise, gallery, *words: str) -> list[dict[str, str]]:
    facewise("identify", "v.mp4", *gallery, "--csv", "who.csv", *words)
    return read_csv("who.csv")


def test_json_of_photos_and_videos_together(facewise, clip, photo, gallery):
    clip("film.jpg.mp4", [2]).rename("film.jpg")  # a video, whatever it is called
    photo("party.png", (160, 120, 60, 1))
    told = facewise("identify", "film.jpg", "party.png", *gallery, "--json").json
    assert [p["faces"][0]["name"] for p in told["photos"]] == ["Ada"]
    (video,) = told["videos"]
    assert (video["video"], video["frames"], video["problem"]) == ("film.jpg", 25, None)
    (bob,) = video["people"]
    assert (bob["name"], bob["fmr"], bob["decided"]) == ("Bob", 0.001, True)
    (interval,) = bob["intervals"]
    assert (interval["from"], interval["from_frame"]) == (0.0, 0)
    assert interval["to"] == pytest.approx(interval["to_frame"] / 25)
    assert told["decision"]["fmr"] == 0.001
    assert "videos" not in facewise("identify", "party.png", *gallery, "--json").json


def test_a_folder_of_both(facewise, clip, photo, gallery):
    clip("holiday/a.avi", [1])
    clip("holiday/deep/b.mp4", [2])
    photo("holiday/c.png", (160, 120, 60, 2))
    told = facewise("identify", "holiday", *gallery, "--draw", "drawn", "--every", "2", "--json").json
    assert [v["video"] for v in told["videos"]] == ["holiday/a.avi", "holiday/deep/b.mp4"]
    assert [v["looked_at"] for v in told["videos"]] == [13, 13]
    assert len(told["photos"]) == 1
    assert sorted(p.name for p in Path("drawn").iterdir()) == ["a.mp4", "b.mp4", "c.jpg"]


def test_bad_ones_are_named_and_good_ones_done(facewise, clip, gallery):
    good = clip("good.avi", [1], seconds=2)
    Path("cut.avi").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    Path("text.mp4").write_text("no video")
    done = facewise("identify", "cut.avi", "text.mp4", "good.avi", *gallery, "--json", code=3)
    assert [b["item"] for b in done.json["bad"]] == ["cut.avi", "text.mp4"]
    assert [[p["name"] for p in v["people"]] for v in done.json["videos"]] == [["Ada"], ["Ada"]]
    assert "damaged or cut short" in done.json["videos"][0]["problem"]
    assert len(done.complaints) == 3
    assert "2 bad videos, named above; the good ones are done." in done.complaints[-1]


def test_nobody_in_it(facewise, clip, gallery):
    assert "nobody" in facewise("identify", clip("v.mp4", []), *gallery).out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], 2, "give photos or videos, or --camera"),
        (["v.mp4", "--camera", "0"], 2, "not both"),
        (["ada.png", "--csv", "w.csv"], 2, "no PATH is a video"),
        (["ada.png", "--out", "o.mp4", "--every", "2"], 2, "--out, --every: for videos"),
        (["v.mp4", "w.mp4", "--out", "o.mp4"], 2, "use --draw"),
        (["v.mp4", "--out", "o.txt"], 3, "ends in one of"),
        (["v.mp4", "--out", "v.mp4"], 3, "is the video itself"),
        (["v.mp4", "--csv", "."], 3, "is a folder"),
        (["v.mp4", "--fmr", "0.5"], 3, "not measured at"),
        (["v.mp4", "--model", "other"], 3, "holds embeddings of model"),
        (["missing.mp4"], 3, "no such file"),
        (["--camera", "99"], 3, "Camera 99 cannot be opened"),
    ],
)
def test_what_makes_no_sense(facewise, clip, gallery, words, code, says):
    clip("v.mp4")
    clip("w.mp4", seconds=0.2)
    given = [word for word in gallery if "--model" not in words or word not in MODEL]
    done = facewise("identify", *words, *given, code=code)
    assert says in done.err
    assert not Path("o.mp4").exists()


def test_a_camera(facewise, gallery, drawn_photo, monkeypatch):
    class Fake:
        def isOpened(self):  # noqa: N802  OpenCV's name
            return True

        def set(self, *_):
            return True

        def get(self, what):
            return {cv2.CAP_PROP_FPS: 50.0}.get(what, 0.0)

        def grab(self):
            time.sleep(0.02)
            return True

        def retrieve(self):
            return True, np.ascontiguousarray(drawn_photo([(160, 120, 60, 1)])[..., ::-1])

        def release(self):
            pass

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *of: Fake() if of == (3,) else real(*of))
    done = facewise(
        "identify", "--camera", "3", "--seconds", "0.8", *gallery, "--out", "live.mp4", "--csv", "w.csv"
    )
    assert "Ada (0." in done.err or "Ada (1." in done.err
    assert "camera 3" in done.out
    assert [row["person"] for row in read_csv("w.csv")] == ["Ada"]
    live = real("live.mp4")
    # In real time, at its rate: 40 frames in 0.8 s, fewer where the machine is too busy to come for each.
    assert 1 <= live.get(cv2.CAP_PROP_FRAME_COUNT) <= 43


def read_from(process: int, name: str) -> int:
    """Where in a file of this name a process is; 0 while it has not opened it."""
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # closed by now
            if handle.readlink().name == name:
                return int(Path(f"/proc/{process}/fdinfo/{handle.name}").read_text().split()[1])
    return 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into Linux's /proc")
def test_ctrl_c_keeps_what_is_done(facewise, clip, gallery, store):
    """The first Ctrl-C: what was seen until then is told, in all forms asked for, and the code is 130."""
    size = clip("v.avi", [1, 2], seconds=80).stat().st_size
    words = ["identify", "v.avi", *gallery, "--every", "1", "--threads", "1", "--csv", "w.csv", "--json"]
    running = subprocess.Popen(
        [FACEWISE, *words],
        env=os.environ | {"FACEWISE_HOME": str(store)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # In its midst: the index at the file's end is read before.
    while running.poll() is None and not size * 0.05 < read_from(running.pid, "v.avi") < size * 0.5:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert "Stopped; what was seen until then is told." in err
    (video,) = json.loads(out)["videos"]
    assert video["stopped"]
    assert 0 < video["frames"] < 2000
    assert sorted(p["name"] for p in video["people"]) == ["Ada", "Bob"]
    assert len(read_csv("w.csv")) == 2


def test_names_that_opencv_cannot_take(facewise, clip, gallery):
    """It ends the process over a name that is not UTF-8."""
    names = [os.fsdecode(b"\xff.mp4"), "a" * 251 + ".mp4", "new\nline.mp4"]
    clip("plain.mp4")
    Path("in").mkdir()
    for name in names:
        shutil.copy("plain.mp4", f"in/{name}")
    away = os.fsdecode(b"out\xff")
    done = facewise("identify", "in", *gallery, "--draw", away, "--threshold", 0.8, "--json")
    assert [len(video["people"]) for video in done.json["videos"]] == [1, 1, 1]
    assert sorted(path.name for path in Path(away).iterdir()) == sorted(names)
    assert {video["video"] for video in done.json["videos"]} == {f"in/{name}" for name in names}
