"""Liveness from photo to answer, with networks to which a face is live by how dark it is around it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from facewise.analysis.liveness import LivenessModel
from facewise.errors import GalleryError, ModelError, NotLiveError
from facewise.gallery import Gallery
from facewise.models import ModelFile, read_model, write_model
from facewise.models.liveness import ErrorRate, LivenessCalibration, not_live, pooled
from facewise.pipeline import Pipeline, Steps
from facewise.recognizer import Recognizer
from facewise.types import Face, Liveness
from facewise.video import VideoSettings, identify_video
from facewise.video.reader import Stamp
from facewise.video.results import result_dict
from facewise.video.watch import Watcher
from tiny_models import GREY, write_liveness

RATE = ErrorRate(0.0, (0.0, 0.5), 0, 10, 5)


def calibrated(model: ModelFile, threshold: float, networks: tuple[str, ...] = ()) -> ModelFile:
    known = LivenessCalibration(
        "drawings", "0" * 64, networks or (model.fingerprint,), "tiny-detector", "0" * 64, 0.05, threshold,
        {"print": RATE}, RATE, 5,
    )  # fmt: skip
    return write_model(model.path, model.network, replace(model.card, liveness=known))


@pytest.fixture
def alive(tmp_path: Path) -> Path:
    """A liveness model that calls live what is darker around than 110 grey levels."""
    return calibrated(write_liveness(tmp_path / "alive.onnx"), 0.5).path


@pytest.fixture
def pipeline(tiny_detector_file: Path, tiny_embedder_file: Path, alive: Path) -> Pipeline:
    return Pipeline.load(tiny_detector_file, tiny_embedder_file, threads=1, liveness=alive)


@pytest.fixture
def picture(drawn_photo: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """`picture(person)`: a live face; `picture(person, spoof=True)`: one before a brighter wall."""

    def make(who: int, *, spoof: bool = False, where: tuple[int, int] = (160, 120)) -> np.ndarray:
        photo = drawn_photo([(*where, 62, who)])
        if spoof:
            photo[(photo == GREY).all(axis=-1)] = 160
        return photo

    return make


def test_scores_are_those_of_the_crop_around_each_face(pipeline: Pipeline, drawn_photo) -> None:
    photo = drawn_photo([(70, 120, 40, 1), (250, 120, 40, 2)])
    photo[:, 160:][(photo[:, 160:] == GREY).all(axis=-1)] = 140
    left, right = sorted(pipeline.read(photo).faces, key=lambda face: face.box[0])
    expected = [1 / (1 + np.exp(-(110 - grey) / 10)) for grey in (GREY, 140)]
    assert left.liveness is not None
    assert right.liveness is not None
    assert [left.liveness.score, right.liveness.score] == pytest.approx(expected, abs=1e-4)
    assert (left.liveness.live, right.liveness.live) == (True, False)
    assert right.embedding is not None


def test_the_answers_of_several_networks_are_averaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture
) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    first = write_liveness(tmp_path / "models" / "one.onnx", 70.0, ("two",))
    with pytest.raises(ModelError, match="two"):
        LivenessModel.load("one")
    second = write_liveness(tmp_path / "models" / "two.onnx", 120.0)
    both = LivenessModel.load("one")
    box = [[135, 95, 185, 145]]
    alone = [LivenessModel([model]).scores(picture(1), box)[0] for model in (first, second)]
    assert alone[0] == pytest.approx(0.5)
    assert both.scores(picture(1), box)[0] == pytest.approx(np.mean(alone))
    # A threshold of one network is not one of both.
    calibrated(first, 0.5)
    assert LivenessModel.load("one").calibration is None
    calibrated(read_model(first.path), 0.5, both.fingerprints)
    assert LivenessModel.load("one").calibration is not None


def test_without_a_calibration_there_is_a_score_and_no_decision(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, picture
) -> None:
    model = write_liveness(tmp_path / "plain.onnx").path
    recognizer = Recognizer(detector=tiny_detector_file, model=tiny_embedder_file, liveness=model)
    found = recognizer.verify(picture(1), picture(1, spoof=True), threshold=0.8)
    assert found.same is True
    scores = [face.liveness.score for face in found.faces if face.liveness is not None]
    assert scores[0] > 0.9
    assert scores[1] < 0.1
    assert all(face.liveness is not None and face.liveness.live is None for face in found.faces)
    assert "calibrate-liveness" in found.faces[0].liveness.note  # type: ignore[union-attr]


def test_nothing_is_decided_by_a_face_that_does_not_look_live(pipeline: Pipeline, picture) -> None:
    recognizer = Recognizer(pipeline=pipeline)
    assert recognizer.verify(picture(1), picture(1), threshold=0.8).same is True
    for photos in ((picture(1), picture(1, spoof=True)), (picture(1), picture(2, spoof=True))):
        found = recognizer.verify(*photos, threshold=0.8)
        assert (found.same, found.threshold, found.probability) == (None, None, None)
        assert found.note.startswith("no decision: the second face does not look live (score 0.007")
    both = recognizer.verify(picture(1, spoof=True), picture(1, spoof=True), threshold=0.8)
    assert "the first face" in both.note
    assert "the second face" in both.note


def test_of_several_faces_a_live_one_may_match(pipeline: Pipeline, drawn_photo, picture) -> None:
    photo = drawn_photo([(70, 120, 50, 1), (250, 120, 50, 1)])
    photo[:, 160:][(photo[:, 160:] == GREY).all(axis=-1)] = 220
    found = Recognizer(pipeline=pipeline).verify(picture(1), photo, threshold=0.8, face="best")
    assert found.same is True
    assert found.faces[1].box[0] < 160


def test_identify_names_nobody_and_enrol_refuses(pipeline: Pipeline, picture, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as people:
        with pytest.raises(NotLiveError, match="does not look live"):
            people.enroll("Ada", [picture(1, spoof=True)])
        done = people.enroll("Ada", [picture(1), picture(1, spoof=True, where=(150, 110))])
        assert (done.added, len(done.rejected)) == (1, 1)
        (match,) = people.identify(picture(1), threshold=0.8)
        assert (match.name, match.decided) == ("Ada", True)
        (match,) = people.identify(picture(1, spoof=True), threshold=0.8)
        assert (match.name, match.decided) == (None, False)
        assert match.candidates[0].name == "Ada"
        assert match.note.startswith("no decision: the face does not look live (score")
        with pytest.raises(GalleryError):  # nobody else was enrolled
            people.show("Bob")


def test_a_track_is_judged_by_all_its_looks(pipeline: Pipeline, picture, tmp_path: Path) -> None:
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as people:
        people.enroll("Ada", [picture(1)])
        for spoofs, name in ((1, "Ada"), (4, None)):
            watcher = Watcher(people, VideoSettings(), 8.0, people.search_decision(threshold=0.8))
            for i in range(5):
                photo = pipeline.read(picture(1, spoof=i < spoofs))
                watcher.look(Stamp(i, i / 8), photo.faces, photo.size)
            ((who,), _) = watcher.people()
            assert (who.name, who.decided) == (name, name is not None)
            assert who.liveness is not None
            assert who.liveness.live is (name is not None)
            assert who.liveness.score == pytest.approx((5 - spoofs) / 5, abs=0.02)
            assert ("does not look live" in who.label) == (name is None)


def test_a_video_tells_who_is_not_live(pipeline: Pipeline, picture, tmp_path: Path) -> None:
    frames = [cv2.cvtColor(picture(1, spoof=spoof), cv2.COLOR_RGB2BGR) for spoof in (True, False)]
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as people:
        people.enroll("Ada", [picture(1)])
        for frame, name in zip(frames, (None, "Ada"), strict=True):
            path = tmp_path / f"{name}.mp4"
            codec = cv2.VideoWriter_fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 25.0, (320, 240))
            for _ in range(15):
                writer.write(frame)
            writer.release()
            (told,) = result_dict(identify_video(path, people, threshold=0.8))["people"]
            assert (told["name"], told["liveness"]["live"]) == (name, name is not None)


def test_other_processes_look_too(pipeline: Pipeline, picture, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(pipeline))
    PIL.Image.fromarray(picture(1)).save(tmp_path / "a.png")
    faces = [p.read(str(tmp_path / "a.png"), Steps(embed=False)).faces for p in (pipeline, again)]
    assert faces[0][0].liveness == faces[1][0].liveness


def test_models_of_another_kind_are_refused(
    tiny_detector_file: Path, tiny_embedder_file: Path, alive: Path
) -> None:
    with pytest.raises(ModelError, match="'embedder', but a 'liveness' is needed"):
        LivenessModel.load(tiny_embedder_file)
    with pytest.raises(ModelError, match="'liveness', but a 'embedder' is needed"):
        Pipeline.load(tiny_detector_file, alive)
    with pytest.raises(ModelError, match="not of liveness"):
        LivenessModel([read_model(tiny_detector_file)])


def test_a_network_that_gives_no_probabilities_is_refused(tmp_path: Path, picture) -> None:
    model = write_liveness(tmp_path / "broken.onnx")
    card = replace(model.card, decoder={"name": "classes", "live": 7})
    with pytest.raises(ModelError, match="does not give probabilities"):
        LivenessModel([write_model(model.path, model.network, card)]).scores(picture(1), [[0, 0, 50, 50]])
    for decoder in ({"name": "classes"}, {"name": "classes", "live": -1}, {"live": 1}, None):
        with pytest.raises(ModelError, match="which output means live"):
            write_model(model.path, model.network, replace(model.card, decoder=decoder))


def test_a_face_outside_the_photo_is_not_shown_to_be_live(pipeline: Pipeline, picture) -> None:
    assert pipeline.liveness is not None
    assert np.isnan(pipeline.liveness.scores(picture(1), [[400, 400, 450, 450]])).all()
    face = Face(np.array([400, 400, 450, 450], np.float32), 0.9, np.zeros((5, 2), np.float32))
    (look,) = pipeline.liveness.look(picture(1), [face])
    assert (look.live, look.note) == (False, "lies outside the photo")
    assert pipeline.liveness.look(picture(1), []) == []


def test_pooling_and_reasons() -> None:
    assert pooled([], None) is None
    assert pooled([0.0, 1.0, 0.5], None) == Liveness(0.5, None, pooled([1.0], None).note)  # type: ignore[union-attr]
    plain = Face(np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32))
    assert not_live([plain, plain]) is None
    assert not_live([replace(plain, liveness=Liveness(0.9, True, "looks live"))]) is None
    assert not_live([replace(plain, liveness=Liveness(0.1, False, "is paper"))]) == "the face is paper"


def test_a_calibration_survives_its_file_and_a_damaged_one_is_told(alive: Path) -> None:
    model = read_model(alive)
    known = model.card.liveness
    assert known is not None
    assert LivenessCalibration.from_dict(known.to_dict()) == known
    assert known.apcer == RATE
    for change in ({"threshold": "much"}, {"attacks": {}}, {"bpcer": None}, {"threshold": float("nan")}):
        with pytest.raises(ModelError, match="liveness calibration"):
            LivenessCalibration.from_dict({**known.to_dict(), **change})
