"""What is a video, reading it, and files that are damaged or made to harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from drawn_videos import frame, rotated, with_times, write_frames, write_scene

from facewise.errors import ImageError, SettingError
from facewise.video import identify_video, is_video, photos_and_videos
from facewise.video.content import looks_like_video
from facewise.video.reader import Camera, VideoFile

TESTS = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("hostile_worker.py")


def walk(t):
    return [(60 + 50 * t, 120, 34, 3)]


@pytest.fixture(scope="module")
def originals(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("originals") / "whole"
    folder.mkdir()
    frames = [frame(i / 25, walk, (96, 128)) for i in range(30)]
    for name in ("a.mp4", "b.avi", "c.mkv", "d.webm", "e.mov"):
        write_frames(folder / name, frames)
    return folder


@pytest.mark.parametrize("name", ["a.mp4", "b.avi", "c.mkv", "d.webm", "e.mov"])
def test_containers(originals, name):
    assert is_video(originals / name)
    with VideoFile(originals / name) as video:
        assert (video.width, video.height, video.fps) == (128, 96, pytest.approx(25, abs=0.01))
        stamps = []
        for stamp in video.stamps():
            stamps.append(stamp)
            truth = frame(stamp.frame / 25, walk, (96, 128)).astype(float)
            assert np.abs(video.image() - truth).mean() < 8  # RGB, not BGR, and the right frame
        assert [s.frame for s in stamps] == list(range(30))
        np.testing.assert_allclose([s.seconds for s in stamps], np.arange(30) / 25, atol=0.002)
        assert video.problem is None


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation(tmp_path, degrees):
    """Against numpy's turning of the frame that was stored."""
    stored = frame(0.0, lambda _: [(30, 40, 34, 3), (90, 70, 20, 7)], (96, 128))
    path = rotated(write_frames(tmp_path / "v.mp4", [stored] * 3), degrees)
    with VideoFile(path) as video:
        next(iter(video.stamps()))
        image = video.image()
    assert np.abs(image.astype(float) - np.rot90(stored, -degrees // 90)).mean() < 8


def test_variable_frame_rate(tmp_path):
    times = [0, 40, 80, 200, 210, 400, 1400, 1440]
    path = write_frames(tmp_path / "v.mp4", [frame(t / 1000, walk) for t in times])
    with VideoFile(with_times(path, times)) as video:
        assert [round(s.seconds * 1000) for s in video.stamps()] == times
        assert video.problem is None


def test_a_video_is_told_by_its_content(originals, tmp_path):
    photo = tmp_path / "photo.mp4"
    PIL.Image.fromarray(frame(0, walk)).save(photo, format="JPEG")
    disguised = tmp_path / "film.jpg"
    disguised.write_bytes((originals / "a.mp4").read_bytes())
    bare = tmp_path / "noending"
    bare.write_bytes((originals / "c.mkv").read_bytes())
    text = tmp_path / "text.mov"
    text.write_text("no video")
    missing = tmp_path / "missing.mp4"
    photos, videos = photos_and_videos([photo, disguised, bare, text, missing, tmp_path / "gone.jpg"])
    assert photos == [photo, tmp_path / "gone.jpg"]
    assert videos == [disguised, bare, text, missing]
    photos, videos = photos_and_videos([tmp_path])  # of a folder those with a name of either
    assert (photos, videos) == ([photo], [disguised, text])
    with VideoFile(disguised) as video:
        assert sum(1 for _ in video.stamps()) == 30


@pytest.mark.parametrize(
    ("start", "video"),
    [
        (b"\0\0\0\x20ftypisom", True),
        (b"\0\0\0\x20ftypqt  ", True),
        (b"\0\0\0\x20ftypheic", False),
        (b"\0\0\0\x20ftypavif", False),
        (b"\0\0\0\x20ftypavis", False),  # moving, but its first picture is read as a photo
        (b"\0\0\0\x1cftypmsf1\0\0\0\0heichevcmsf1", False),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", False),
        (b"\0\0\0\x0cJXL \r\n\x87\n", False),
        (b"\0\0\0\x08wide\0\0\0\0mdat", True),
        (b"RIFF\0\0\0\0AVI LIST", True),
        (b"RIFF\0\0\0\0WEBPVP8 ", False),
        (b"RIFF\0\0\0\0WAVEfmt ", False),
        (b"\x1a\x45\xdf\xa3", True),
        (b"FLV\x01", True),
        (b"OggS", True),
        ((b"G" + bytes(187)) * 4, True),
        ((b"\0\0\0\0G" + bytes(187)) * 4, True),
        (b"GIF89a", False),
        (b"#EXTM3U\nhttp://127.0.0.1/x.ts", False),
        (b"ffconcat version 1.0\nfile /etc/passwd", False),
        (b"<?xml version='1.0'?><MPD>", False),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1", False),
        (b"", False),
    ],
)
def test_what_looks_like_a_video(start, video):
    """Playlists, which would make a decoder open other files and addresses, are none."""
    assert looks_like_video(start) is video


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "is empty"),
        (b"not a video at all", "not a video this Facewise reads"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "not a video this Facewise reads"),
        (b"\0\0\0\x20ftypisom" + bytes(500), "cannot be read as a video"),
        (b"RIFF\xff\xff\xff\xffAVI LIST" + bytes(500), "cannot be read as a video"),
        (b"\x1a\x45\xdf\xa3" + b"\xff" * 500, "cannot be read as a video"),
    ],
)
def test_what_is_refused(tmp_path, content, says):
    path = tmp_path / "v.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=says) as refused:
        VideoFile(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/v.mp4", "rtsp://127.0.0.1/v", "", "a\0b.mp4"])
def test_what_is_no_local_path(path):
    with pytest.raises(ImageError):
        VideoFile(path)


@pytest.mark.parametrize("name", ["v%03d.mp4", "concat:a|b.mp4", "file:x.mp4", "-i.mp4", "ünï 🙂.mp4"])
def test_names_are_only_names(originals, tmp_path, monkeypatch, name):
    """Neither a pattern of several files nor one of FFmpeg's protocols."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes((originals / "a.mp4").read_bytes())
    with VideoFile(name) as video:
        assert sum(1 for _ in video.stamps()) == 30


def test_no_regular_file(tmp_path):
    with pytest.raises(ImageError, match="is a folder"):
        VideoFile(tmp_path)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(ImageError, match="pipe"):
        VideoFile(tmp_path / "pipe.mp4")
    assert photos_and_videos([tmp_path / "pipe.mp4"]) == ([], [tmp_path / "pipe.mp4"])


def test_limits(originals):
    with pytest.raises(ImageError, match="128 × 96 pixels are over the limit of 10,000"):
        VideoFile(originals / "a.mp4", max_pixels=10_000)
    with VideoFile(originals / "a.mp4", max_seconds=0.5) as video:
        assert [s.frame for s in video.stamps()][-1] == 12
        assert "longer than 0.5 s" in video.problem


def test_one_cut_short_is_told_and_what_was_read_is_kept(originals, tmp_path, gallery_of):
    whole = write_scene(tmp_path / "whole.avi", walk, 2)
    data = whole.read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(data[: len(data) * 6 // 10])
    result = identify_video(path, gallery_of(Ada=3), out=tmp_path / "out.avi")
    assert 20 < result.frames < 40
    assert "damaged or cut short" in result.problem
    assert "of about 50 frames" in result.problem
    assert [p.name for p in result.people] == ["Ada"]
    with VideoFile(tmp_path / "out.avi") as video:
        assert sum(1 for _ in video.stamps()) == result.frames


def test_an_mp4_without_its_index_is_refused(originals, tmp_path):
    data = (originals / "a.mp4").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match="damaged, cut short"):
        VideoFile(path)


def hostile(originals: Path, start: int, stop: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, str(WORKER), str(originals), str(start), str(stop)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )  # fmt: skip
    assert done.returncode == 0, f"seed {start + done.stdout.count(chr(10))}: {done.stderr[-2000:]}"
    lines = done.stdout.splitlines()
    assert len(lines) == stop - start
    return lines


def test_damaged_files_never_crash(originals):
    lines = hostile(originals, 0, 60)
    assert any(line.startswith("read") for line in lines)
    assert "refused" in lines


@pytest.mark.slow
def test_a_thousand_damaged_files_never_crash(originals):
    lines = hostile(originals, 1000, 2000)
    assert sum(line.startswith("read") for line in lines) > 300
    assert sum("damaged or cut short" in line for line in lines) > 50


# Cameras


class FakeCapture:
    """OpenCV's capture of a camera that gives ten frames, each half a second after the last."""

    def __init__(self, frames=10, opened=True) -> None:
        self.left, self.clock, self.opened, self.released = frames, 0.0, opened, False

    def isOpened(self):  # noqa: N802  OpenCV's name
        return self.opened

    def set(self, *_):
        return True

    def get(self, what):
        known = {cv2.CAP_PROP_FRAME_WIDTH: 320, cv2.CAP_PROP_FRAME_HEIGHT: 240, cv2.CAP_PROP_FPS: 2.0}
        return known.get(what, 0.0)

    def grab(self):
        self.left -= 1
        self.clock += 0.5
        return self.left >= 0

    def retrieve(self):
        return True, cv2.cvtColor(frame(0, lambda _: [(160, 120, 34, 3)]), cv2.COLOR_RGB2BGR)

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    made = []

    def make(_):
        made.append(FakeCapture(**make.options))
        return made[-1]

    make.options = {}
    make.made = made
    monkeypatch.setattr(cv2, "VideoCapture", make)
    return make


def test_a_camera(camera, gallery_of):
    from facewise.video import VideoSettings, identify_camera

    news = []
    result = identify_camera(
        0,
        gallery_of(Ada=3),
        settings=VideoSettings(seconds=3.2),
        seen=lambda seconds, name, similarity: news.append((seconds, name, similarity > 0.9)),
        clock=lambda: camera.made[-1].clock,
    )
    assert news == [(1.0, "Ada", True)]  # at the second look, once
    assert result.source == "camera 0"
    assert (result.frames, result.problem) == (6, None)
    assert [(p.name, p.faces) for p in result.people] == [("Ada", 6)]
    assert camera.made[-1].released


def test_a_camera_until_told_to_stop(camera, gallery_of):
    from facewise.video import identify_camera

    asked = []
    result = identify_camera(
        0,
        gallery_of(Ada=3),
        stop=lambda: asked.append(1) or len(asked) > 4,
        clock=lambda: camera.made[-1].clock,
    )
    assert (result.frames, result.stopped) == (4, True)


def test_a_camera_that_stops(camera, gallery_of):
    from facewise.video import identify_camera

    result = identify_camera(0, gallery_of(Ada=3), clock=lambda: camera.made[-1].clock)
    assert "camera 0 stopped giving frames after 5.0 s" in result.problem
    camera.options = {"frames": 0}
    with pytest.raises(ImageError, match="no frame"):
        identify_camera(0, gallery_of(Ada=3), clock=lambda: camera.made[-1].clock)


def test_no_camera(camera):
    camera.options = {"opened": False}
    with pytest.raises(ImageError, match="Camera 7 cannot be opened"):
        Camera(7)
    with pytest.raises(SettingError, match="counted from 0"):
        Camera(-1)
