"""Videos: one answer a track, pooled; the emotion over time; cuts from one person to another."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from facewise.errors import SettingError
from facewise.pipeline import Pipeline
from facewise.video.analyze import analysis_dict, analyze_video
from facewise.video.watch import VideoSettings
from plain_attributes import age, blurred, emotion, gender, somebody

FPS = 16.0
HAPPY, ANGRY = somebody(emotion="happy", gender="female"), somebody(emotion="angry", gender="male")


@pytest.fixture(scope="module")
def analyst(calibrated_pipeline, plain_attributes_file) -> Pipeline:
    return calibrated_pipeline.with_attributes(plain_attributes_file)


@pytest.fixture
def film(tmp_path, drawn_photo):
    """`film([(frames, faces), …])`: a video; faces are as of `drawn_photo`, or a whole picture."""

    def make(*scenes: tuple[int, object]) -> Path:
        path = tmp_path / "film.avi"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), FPS, (320, 240))
        for frames, scene in scenes:
            image = scene if isinstance(scene, np.ndarray) else drawn_photo(scene)
            for _ in range(frames):
                writer.write(np.ascontiguousarray(image[..., ::-1]))
        writer.release()
        return path

    return make


def other_mood(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture of a face of 90 pixels in the middle, its upper left quarter of another colour."""
    changed = image.copy()
    changed[80:118, 120:158][(image[80:118, 120:158] != 70).any(axis=2)] = colour
    return changed


def test_a_person_has_one_answer_however_the_light_changes(film, analyst, drawn_photo):
    path = film((24, [(160, 120, 90, HAPPY)]), (24, [(170, 120, 80, HAPPY)]))
    result = analyze_video(path, analyst)
    (track,) = result.tracks
    assert (track.attributes.gender.answer, track.attributes.emotion.answer) == ("female", "happy")
    assert track.attributes.age.mean == pytest.approx(age(HAPPY), abs=1.5)
    assert track.attributes.race is None
    assert (result.frames, track.start, track.first_frame) == (48, 0.0, 0)
    assert track.end == pytest.approx(47 / FPS, abs=0.15)
    assert result.asked == ("age", "gender", "emotion")


def test_the_emotion_over_time(film, analyst, drawn_photo):
    happy = drawn_photo([(160, 120, 90, HAPPY)])
    sad = other_mood(happy, (0, 0, 255))
    result = analyze_video(film((32, happy), (32, sad), (16, happy)), analyst, attributes=["emotion"])
    said = [(one.emotion.answer, one.start, one.end) for track in result.tracks for one in track.timeline]
    assert [answer for answer, *_ in said if answer is not None] == ["happy", "sad", "happy"]
    sure = [one for one in said if one[0] is not None]
    assert [start for _, start, _ in sure] == pytest.approx([0.0, 2.0, 4.0], abs=0.3)
    assert [end for *_, end in sure] == pytest.approx([2.0, 4.0, 5.0], abs=0.3)
    assert all(a[2] < b[1] for a, b in pairwise(said))


def test_one_odd_frame_is_not_told(film, analyst, drawn_photo):
    happy = drawn_photo([(160, 120, 90, HAPPY)])
    odd = other_mood(happy, (255, 0, 0))
    path = film((24, happy), (1, odd), (24, happy))
    (track,) = analyze_video(path, analyst, settings=VideoSettings(every=1)).tracks
    assert [one.emotion.answer for one in track.timeline] == ["happy"]


def test_after_a_cut_another_person_has_an_answer_of_their_own(film, analyst):
    path = film((24, [(160, 120, 90, HAPPY)]), (24, [(160, 120, 90, ANGRY)]))
    first, second = analyze_video(path, analyst).tracks
    assert (first.attributes.gender.answer, second.attributes.gender.answer) == (gender(HAPPY), gender(ANGRY))
    assert (first.attributes.emotion.answer, second.attributes.emotion.answer) == (
        emotion(HAPPY),
        emotion(ANGRY),
    )


def test_a_face_that_is_blurred_throughout_says_so(film, analyst):
    result = analyze_video(film((24, [(160, 120, 90, blurred())])), analyst)
    (track,) = result.tracks
    assert (track.attributes.note, track.attributes.emotion) == ("blurred", None)
    assert [one.emotion for one in track.timeline] == [None]
    (told,) = analysis_dict(result)["tracks"]
    assert (told["attributes"]["note"], told["timeline"][0]["emotion"]) == ("blurred", None)


def test_stopping_and_bad_settings(film, analyst, calibrated_pipeline):
    path = film((48, [(160, 120, 90, HAPPY)]))
    asked = []
    result = analyze_video(path, analyst, stop=lambda: asked.append(1) or len(asked) > 20)
    assert result.stopped
    assert result.frames < 48
    assert [track.attributes.emotion.answer for track in result.tracks] == ["happy"]
    with pytest.raises(SettingError, match="without a model of attributes"):
        analyze_video(path, calibrated_pipeline)
    with pytest.raises(SettingError, match="no attribute 'mood'"):
        analyze_video(path, analyst, attributes=["mood"])
    with pytest.raises(SettingError, match="the video itself"):
        analyze_video(path, analyst, out=path)
