"""Who was there when, on composed videos whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn_videos import (
    FPS,
    Bar,
    boxes,
    coverage,
    frame,
    rotated,
    switches,
    with_times,
    write_frames,
    write_scene,
)

from facewise.errors import GalleryError, SettingError
from facewise.video import VideoSettings, identify_video
from facewise.video.reader import VideoFile
from facewise.video.results import CSV_COLUMNS, csv_rows, result_dict
from facewise.video.watch import Watcher
from planted_quality import all_of_quality

ADA, BOB, EVE, DAN = 3, 7, 9, 14


def told(result) -> dict[str, list[tuple[float, float]]]:
    return {
        person.label: [(round(i.start, 2), round(i.end, 2)) for i in person.intervals]
        for person in result.people
    }


def person_of(result, label):
    return next(person for person in result.people if person.label == label)


def tracks_of(path: Path, gallery, **settings):
    with VideoFile(path) as video:
        watcher = Watcher(gallery, VideoSettings(**settings), video.fps, gallery.search_decision())
        watcher.watch(video, lambda: False, lambda *_: None, None)
    return watcher.tracker.tracks


def crossing(t):
    return [(40 + 120 * t, 124, 34, BOB), (280 - 120 * t, 120, 34, ADA)]


@pytest.fixture(scope="module")
def crossed(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scenes") / "crossed.mp4", crossing, 2)


def test_two_cross(crossed, gallery_of):
    """Ada walks in front of Bob, who is hidden for a moment; nobody becomes the other."""
    gallery = gallery_of(Ada=ADA, Bob=BOB)
    result = identify_video(crossed, gallery)
    assert [p.name for p in result.people] == ["Bob", "Ada"]
    assert (result.width, result.height, result.frames) == (320, 240, 50)
    assert result.fps == pytest.approx(FPS)
    assert (result.problem, result.stopped) == (None, False)
    assert 15 <= result.looked_at <= 17
    for label, who in (("Ada", ADA), ("Bob", BOB)):
        seen, true = coverage(person_of(result, label).intervals, crossing, who, 2)
        assert seen >= 0.93
        assert true >= 0.75  # Bob counts as there while he is hidden
        assert person_of(result, label).similarity > 0.9
    for every in (1, 2, 3, 5):
        assert switches(tracks_of(crossed, gallery, every=every), crossing) == 0


def test_somebody_called_like_a_stranger_is_no_stranger(crossed, gallery_of):
    result = identify_video(crossed, gallery_of(**{"unknown 1": ADA}))
    assert [(p.name, p.label) for p in result.people] == [(None, "unknown 1"), ("unknown 1", '"unknown 1"')]
    told = [dict(zip(CSV_COLUMNS, row, strict=True)) for row in csv_rows(result)]
    assert [(row["person"], row["known"]) for row in told] == [("unknown 1", "no"), ("unknown 1", "yes")]


def test_the_same_answer_as_by_every_frame(crossed, gallery_of):
    gallery = gallery_of(Ada=ADA, Bob=BOB)
    often, seldom = (identify_video(crossed, gallery, settings=VideoSettings(every=n)) for n in (1, 4))
    assert (often.looked_at, seldom.looked_at) == (50, 13)
    assert [p.label for p in often.people] == [p.label for p in seldom.people]
    for a, b in zip(often.people, seldom.people, strict=True):
        assert len(a.intervals) == len(b.intervals) == 1
        assert abs(a.intervals[0].start - b.intervals[0].start) <= 4 / FPS + 1e-6
        assert abs(a.intervals[0].end - b.intervals[0].end) <= 4 / FPS + 1e-6


def test_leaving_and_returning_is_told_once(tmp_path, gallery_of):
    def scene(t):
        return [] if 1.0 <= t < 4.0 else [(100 if t < 1 else 220, 120, 60, ADA)]

    result = identify_video(write_scene(tmp_path / "v.mp4", scene, 5, fps=15), gallery_of(Ada=ADA))
    (ada,) = result.people
    (first, last), (again, end) = told(result)["Ada"]
    assert (first, end) == (0.0, pytest.approx(4.93, abs=0.15))
    assert last == pytest.approx(0.93, abs=0.14)
    assert again == pytest.approx(4.0, abs=0.14)
    assert ada.tracks == (1, 2)
    assert coverage(ada.intervals, scene, ADA, 5, fps=15) == (pytest.approx(1, abs=0.1), 1.0)


def test_hidden_behind_something(tmp_path, gallery_of):
    bars = [Bar((130, 0, 200, 240))]

    def scene(t):
        return [(30 + 100 * t, 120, 34, ADA)]

    path = write_scene(tmp_path / "v.mp4", scene, 2.6, bars=bars)
    gallery = gallery_of(Ada=ADA)
    (ada,) = identify_video(path, gallery).people
    assert ada.tracks == (1,)  # re-joined, by how they moved and what they look like
    assert coverage(ada.intervals, scene, ADA, 2.6, bars=bars)[0] >= 0.9
    assert switches(tracks_of(path, gallery), scene) == 0


def test_strangers_are_kept_apart(tmp_path, gallery_of):
    def scene(t):
        if t < 1.2:
            return [(90, 120, 60, EVE), (230, 120, 60, DAN)]
        return [] if t < 4 else [(160, 100, 60, DAN), (60, 100, 60, ADA)]

    result = identify_video(write_scene(tmp_path / "v.mp4", scene, 5, fps=15), gallery_of(Ada=ADA))
    assert [(p.label, p.name, len(p.tracks)) for p in result.people] == [
        ("unknown 1", None, 1),
        ("unknown 2", None, 2),
        ("Ada", "Ada", 1),
    ]
    dan = person_of(result, "unknown 2")
    assert coverage(dan.intervals, scene, DAN, 5, fps=15) == (pytest.approx(1, abs=0.12), 1.0)
    assert dan.candidates[0].name == "Ada"
    assert dan.similarity < result.decision.threshold


def test_two_people_alike_together(tmp_path, gallery_of):
    """The same face twice, as twins have: one is Ada, the other is not, and they do not swap."""

    def scene(t):
        return [(70 + 80 * t, 80, 34, ADA), (250 - 80 * t, 150, 34, ADA)]

    path = write_scene(tmp_path / "v.mp4", scene, 2.5)
    gallery = gallery_of(Ada=ADA)
    result = identify_video(path, gallery)
    assert sorted(p.label for p in result.people) == ["Ada", "unknown 1"]
    tracks = tracks_of(path, gallery)
    assert [len(t) >= 19 for t in tracks] == [True, True]
    for track in tracks:
        # Each box lies where one of the two moves in a straight line.
        rows = track.boxes[:, 1] + track.boxes[:, 3]
        assert np.ptp(rows) < 12


def test_motion_blur(tmp_path, gallery_of):
    """Looks blurred by motion count less; the pooled decision still is Ada."""

    def scene(t):
        return [(160 + 90 * np.sin(2.6 * t), 120, 64, ADA)]

    path = write_scene(tmp_path / "v.mp4", scene, 2.4, blur=0.08)
    gallery = gallery_of(Ada=ADA)
    result = identify_video(path, gallery)
    (ada,) = result.people
    assert (ada.name, ada.tracks) == ("Ada", (1,))
    looks = [m.similarity for t in (0.0, 0.08, 1.2) for m in gallery.identify(frame(t, scene, blur=0.08))]
    assert ada.similarity >= min(looks)
    assert (
        coverage(ada.intervals, scene, ADA, 2.4)[0] >= 0.7
    )  # the detector finds none of the fastest moments


def test_changing_frame_rate(tmp_path, gallery_of):
    """Ten frames a second, a pause, then forty: seconds are those of the file, and looks keep their pace."""
    times = [*range(0, 1000, 100), *range(3000, 4000, 25)]

    def scene(t):
        return [(100, 120, 60, ADA)] if t < 3.5 else []

    path = write_frames(tmp_path / "v.mp4", [frame(t / 1000, scene) for t in times])
    result = identify_video(with_times(path, times), gallery_of(Ada=ADA))
    (ada,) = result.people
    assert result.seconds == pytest.approx(3.975, abs=0.002)
    (first, last), (again, end) = told(result)["Ada"]
    assert (first, last, again) == (0.0, pytest.approx(0.9, abs=0.11), pytest.approx(3.0, abs=0.03))
    assert end == pytest.approx(3.475, abs=0.13)
    assert ada.intervals[1].first_frame == 10
    assert 12 <= result.looked_at <= 20  # not each of the 40 frames of the last second


def test_rotated_video(tmp_path, gallery_of):
    """A telephone's: stored lying on its side, with the word to turn it."""
    scene = lambda t: [(100 + 30 * t, 120, 60, ADA)]  # noqa: E731
    lying = [np.ascontiguousarray(np.rot90(frame(i / 25, scene))) for i in range(20)]
    result = identify_video(rotated(write_frames(tmp_path / "v.mp4", lying), 90), gallery_of(Ada=ADA))
    assert (result.width, result.height) == (320, 240)
    assert [p.name for p in result.people] == ["Ada"]


def test_a_cut_to_another_person_in_the_same_place(tmp_path, gallery_of):
    scene = lambda t: [(160, 120, 70, ADA if t < 1 else EVE)]  # noqa: E731
    result = identify_video(write_scene(tmp_path / "v.mp4", scene, 2), gallery_of(Ada=ADA))
    assert told(result) == {
        "Ada": [(0.0, pytest.approx(1, abs=0.14))],
        "unknown 1": [(pytest.approx(1, abs=0.14), pytest.approx(2, abs=0.14))],
    }


def test_nobody(tmp_path, gallery_of):
    result = identify_video(write_scene(tmp_path / "v.mp4", lambda _: [], 0.6), gallery_of(Ada=ADA))
    assert (result.people, result.brief, result.frames) == ((), 0, 15)


def test_an_empty_gallery_and_no_calibration(crossed, gallery_of, tiny_pipeline):
    empty = identify_video(crossed, gallery_of())
    assert [(p.label, p.similarity) for p in empty.people] == [("unknown 1", -1.0), ("unknown 2", -1.0)]
    undecided = identify_video(crossed, gallery_of(tiny_pipeline, Ada=ADA, Bob=BOB))
    assert undecided.decision is None
    assert {(p.label, p.name, p.decided) for p in undecided.people} == {
        ("Ada?", None, False),
        ("Bob?", None, False),
    }


def test_one_frame_is_enough_where_there_is_but_one(tmp_path, gallery_of):
    path = write_scene(tmp_path / "v.avi", lambda _: [(160, 120, 70, ADA)], 0.04)
    result = identify_video(path, gallery_of(Ada=ADA))
    assert told(result) == {"Ada": [(0.0, 0.0)]}


def test_a_glimpse_is_counted_not_told(tmp_path, gallery_of):
    scene = lambda t: [(160, 120, 70, ADA)] if 0.9 < t < 1.05 else []  # noqa: E731
    result = identify_video(write_scene(tmp_path / "v.mp4", scene, 2), gallery_of(Ada=ADA))
    assert (result.people, result.brief) == ((), 1)


def test_stopping_keeps_what_is_done(crossed, gallery_of):
    frames = []
    result = identify_video(
        crossed,
        gallery_of(Ada=ADA, Bob=BOB),
        progress=lambda n, _: frames.append(n),
        stop=lambda: len(frames) >= 30,
    )
    assert result.stopped
    assert result.frames == 30
    assert [p.name for p in result.people] == ["Bob", "Ada"]
    assert max(i.end for p in result.people for i in p.intervals) <= 1.2


def test_only_the_first_seconds(crossed, gallery_of):
    result = identify_video(crossed, gallery_of(Ada=ADA), settings=VideoSettings(seconds=1.0))
    assert (result.frames, result.stopped, result.problem) == (25, False, None)


def test_progress_counts_the_frames(crossed, gallery_of):
    calls = []
    identify_video(crossed, gallery_of(Ada=ADA), progress=lambda n, total: calls.append((n, total)))
    assert calls == [(n, 50) for n in range(1, 51)]


def test_the_annotated_video(crossed, gallery_of, tmp_path):
    """As long as the original, at its rate; boxes in green and amber where the people are."""
    out = tmp_path / "out.mp4"
    result = identify_video(crossed, gallery_of(Ada=ADA), out=out)
    assert result.out == str(out)
    with VideoFile(out) as video, VideoFile(crossed) as before:
        assert (video.frames, video.fps) == (50, pytest.approx(25))
        for stamp, _ in zip(video.stamps(), before.stamps(), strict=True):
            if stamp.frame not in (10, 30):  # between looks and at one
                continue
            changed = np.abs(video.image().astype(int) - before.image().astype(int)).sum(axis=2) > 90
            for box in boxes(crossing(stamp.seconds)):
                x1, y1, x2, y2 = np.rint(box).astype(int)
                edge = np.zeros_like(changed)
                edge[y1 - 4 : y2 + 5, x1 - 4 : x2 + 5] = True
                edge[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8] = False
                assert changed[edge].mean() > 0.2
            assert changed[200:].mean() < 0.01
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".mp4"] == ["out.mp4"]


@pytest.mark.parametrize("name", ["Зоя", "李雷", "Åsa", "🙂"])
def test_names_that_are_not_ascii(crossed, gallery_of, tmp_path, name):
    result = identify_video(
        crossed, gallery_of(**{name: ADA}), out=tmp_path / "o.avi", settings=VideoSettings(seconds=0.5)
    )
    assert name in [p.name for p in result.people]
    with VideoFile(tmp_path / "o.avi") as video:
        assert sum(1 for _ in video.stamps()) == 13


@pytest.mark.parametrize(
    ("out", "says"),
    [("o.txt", "ends in one of"), ("o", "ends in one of"), ("crossed.mp4", "is the video itself")],
)
def test_out_is_refused_before_any_work(crossed, gallery_of, tmp_path, out, says):
    def never(*_):
        raise AssertionError("work was done")

    path = crossed if out == "crossed.mp4" else tmp_path / out
    before = crossed.read_bytes()
    with pytest.raises(SettingError, match=says):
        identify_video(crossed, gallery_of(Ada=ADA), out=path, progress=never)
    assert crossed.read_bytes() == before


def test_an_interrupted_annotation_leaves_no_file(crossed, gallery_of, tmp_path):
    def progress(frames, total, seen=[0]):  # noqa: B006
        seen[0] += 1
        if seen[0] > 55:  # in the second pass
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        identify_video(crossed, gallery_of(Ada=ADA), out=tmp_path / "out.mp4", progress=progress)
    assert not [p for p in tmp_path.iterdir() if p.suffix == ".mp4"]


def test_tables(crossed, gallery_of):
    result = identify_video(crossed, gallery_of(Ada=ADA))
    rows = [dict(zip(CSV_COLUMNS, row, strict=True)) for row in csv_rows(result)]
    assert [(r["person"], r["known"], r["fmr"], r["threshold"]) for r in rows] == [
        ("unknown 1", "no", "0.001", "0.8000"),
        ("Ada", "yes", "0.001", "0.8000"),
    ]
    assert all(float(r["from_seconds"]) == r["from_frame"] / FPS for r in rows)
    assert sum(r["faces"] for r in rows) == sum(p.faces for p in result.people)
    document = result_dict(result)
    assert [p["label"] for p in document["people"]] == ["unknown 1", "Ada"]
    assert document["people"][1]["intervals"][0]["from_frame"] == rows[1]["from_frame"]
    assert "embedding" not in str(document)


def test_another_models_gallery_is_refused_before_any_work(
    crossed, gallery_of, other_embedder_file, tiny_detector_file, tmp_path
):
    from facewise.gallery import Gallery
    from facewise.pipeline import Pipeline

    gallery_of(Ada=ADA)
    other = Gallery.open(
        tmp_path / "0.db", pipeline=Pipeline.load(tiny_detector_file, other_embedder_file, threads=1)
    )
    with other, pytest.raises(GalleryError, match="holds embeddings of model calibrated"):
        identify_video(crossed, other, threshold=0.5, progress=lambda *_: pytest.fail("work was done"))


@pytest.mark.parametrize(
    "wrong", [{"every": 0}, {"seconds": 0.0}, {"seconds": -1.0}, {"patience": -1.0}, {"min_faces": 0}]
)
def test_settings_out_of_range(wrong):
    with pytest.raises(SettingError):
        VideoSettings(**wrong)


def test_a_face_too_poor_in_every_look_is_told_as_no_decision(crossed, gallery_of, tmp_path, monkeypatch):
    gallery = gallery_of(Ada=3, Bob=7)
    embedder = gallery.pipeline.embedder
    poor = replace(embedder.calibration, quality=all_of_quality(32, 0.8, 0.1))
    monkeypatch.setattr(type(embedder), "calibration", poor)
    result = identify_video(crossed, gallery)
    assert {(one.name, one.decided, one.note) for one in result.people} == {
        (None, False, "no decision: the face is blurred")
    }
    assert {row[1] for row in csv_rows(result)} == {"no decision: the face is blurred"}
    assert {one["note"] for one in result_dict(result)["people"]} == {"no decision: the face is blurred"}
    by_hand = identify_video(crossed, gallery, threshold=0.8)
    assert {one.name for one in by_hand.people} == {"Ada", "Bob"}
