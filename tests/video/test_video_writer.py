"""Writing videos: codecs, times, sizes, and that they are there whole or not at all."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from drawn_videos import frame

from facewise.errors import FacewiseError, SettingError
from facewise.video.annotate import BoxesByFrame, Label, drawn, label_of
from facewise.video.reader import Stamp, VideoFile
from facewise.video.track import Track
from facewise.video.writer import _CODECS, codec_for, video_out


def grey(value, size=(48, 64)):
    return np.full((*size, 3), value, np.uint8)


def values(path):
    with VideoFile(path) as video:
        return [float(video.image().mean()) for _ in video.stamps()]


@pytest.mark.parametrize("suffix", sorted(_CODECS))
def test_every_ending_is_written_and_read_again(tmp_path, suffix):
    assert codec_for(suffix) == codec_for(suffix.upper())
    path = tmp_path / f"v{suffix}"
    with video_out(path, 30000 / 1001) as out:
        for i in range(20):
            out.write(grey(10 * i), i * 1001 / 30000)
    np.testing.assert_allclose(values(path), np.arange(20) * 10, atol=4)
    with VideoFile(path) as video:
        assert video.fps == pytest.approx(29.97, abs=0.01)


def test_times_are_kept_by_holding_and_leaving_out_frames(tmp_path):
    with video_out(tmp_path / "v.avi", 10.0) as out:
        for value, seconds in ((0, 0.0), (50, 0.1), (100, 0.5), (150, 0.52), (200, 0.6)):
            out.write(grey(value), seconds)
    np.testing.assert_allclose(values(tmp_path / "v.avi"), [0, 50, 50, 50, 50, 100, 200], atol=4)


def test_an_absurd_pause_does_not_fill_the_disk(tmp_path):
    with video_out(tmp_path / "v.avi", 5.0) as out:
        for value, seconds in ((0, 0.0), (50, 80_000.0), (100, 80_000.2)):
            out.write(grey(value), seconds)
    found = values(tmp_path / "v.avi")
    assert len(found) == 303  # held for a minute
    np.testing.assert_allclose(found[-2:], [50, 100], atol=4)


def test_odd_and_changing_sizes(tmp_path):
    with video_out(tmp_path / "v.mp4", 10.0) as out:
        out.write(grey(50, (47, 63)), 0.0)
        out.write(grey(100, (90, 120)), 0.1)
    with VideoFile(tmp_path / "v.mp4") as video:
        assert (video.width, video.height) == (64, 48)
    np.testing.assert_allclose(values(tmp_path / "v.mp4"), [50, 100], atol=4)


def test_nothing_is_left_of_what_failed(tmp_path):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"before")

    def interrupted():
        with video_out(path, 10.0) as out:
            out.write(grey(0), 0.0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(FacewiseError, match="no frame to write"), video_out(path, 10.0):
        pass
    assert path.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_a_video_that_is_not_whole_is_no_video(tmp_path, monkeypatch):
    """As on a full disk, of which OpenCV's writer tells nothing."""
    from facewise.video import writer

    monkeypatch.setattr(writer, "_whole", lambda *_: False)
    with pytest.raises(FacewiseError, match="could not be written whole"):
        with video_out(tmp_path / "v.mp4", 10.0) as out:
            out.write(grey(0), 0.0)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on files")
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_no_room_for_the_whole_video_is_noticed(tmp_path, suffix):
    """A limit on the size of a file stands for a full disk: the system refuses to write more."""
    code = """if True:
        import resource, sys
        import numpy as np
        from facewise.errors import FacewiseError
        from facewise.video.writer import codec_for, video_out
        codec_for(sys.argv[1][-4:])
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
        rng = np.random.default_rng(0)
        try:
            with video_out(sys.argv[1], 25.0) as out:
                for i in range(100):
                    out.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8), i / 25)
        except FacewiseError as error:
            sys.exit(f"told: {error}")
        """
    path = tmp_path / f"v{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert "told: " in done.stderr
    assert "written whole" in done.stderr or "Cannot write" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["", ".txt", ".gif", ".jpg"])
def test_endings_that_are_no_video(suffix):
    with pytest.raises(SettingError, match="ends in one of"):
        codec_for(suffix)


def track(number, *looks):
    from facewise.types import Face

    made = None
    for at, x in looks:
        face = Face(np.array([x, 10, x + 20, 30], np.float32), 0.9, np.zeros((5, 2), np.float32))
        if made is None:
            made = Track(number, Stamp(at, at / 10), face, 1.0)
        else:
            made.add(Stamp(at, at / 10), face, 1.0)
    return made


def test_boxes_between_looks_lie_on_a_line():
    label = Label("Ada", (0, 0, 0))
    tracks = [track(1, (2, 0), (6, 40), (40, 100)), track(2, (3, 7)), track(3, (0, 0), (50, 0))]
    boxes = BoxesByFrame(tracks, {1: label, 2: label}, gap=1.0)
    shown = {at: [float(box[0]) for box, _ in boxes.at(at)] for at in range(50)}
    assert (shown[0], shown[1], shown[2], shown[3], shown[4]) == ([], [], [0.0], [10.0, 7.0], [20.0])
    assert (shown[6], shown[7], shown[39], shown[40], shown[41]) == ([40.0], [], [], [100.0], [])


def test_labels_say_how_sure():
    assert label_of("Ada", "Ada", 0.712, True).text == "Ada 0.71"
    assert label_of(None, "unknown 1", -1.0, True).text == "unknown 1"
    assert len({label_of(*who).colour for who in (("A", "A", 1, True), (None, "u", 1, True),
                                                  (None, "A?", 1, False))}) == 3  # fmt: skip


def test_drawing_changes_only_what_is_drawn_on():
    image = frame(0, lambda _: [], (240, 320))
    same = drawn(image, [])
    np.testing.assert_array_equal(same, image)
    marked = drawn(image, [(np.array([100, 100, 150, 150], np.float32), Label("Ada", (255, 0, 0)))])
    assert (marked[100, 100:150] == (255, 0, 0)).all()
    np.testing.assert_array_equal(marked[160:], image[160:])
