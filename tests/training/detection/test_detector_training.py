"""A detector learns, can be stopped anywhere, and becomes a model file."""

from __future__ import annotations

import json
from itertools import count

import numpy as np
import pytest
import torch

from facewise.data.scenes import Pool, compose
from facewise.detection import DetectorSettings, OnnxDetector
from facewise.errors import FacewiseError, SettingError
from facewise.models.export import export_onnx
from facewise.models.file import read_model, write_model
from facewise.models.importing import FAMILIES
from facewise.nn.detectors.retinaface import RetinaFace
from facewise.training import pace
from facewise.training.checkpoint import LAST, folder_of, load
from facewise.training.detection import detector_config, train_detector
from facewise.training.detection.batches import SceneBatches
from facewise.training.detection.engine import DetectorTrainer, StoppedTrainingError
from facewise.training.detection.export import export_detector, score_shift
from facewise.training.detection.learner import DetectorLearner
from facewise.training.detection.measure import agreement
from facewise.training.display import Quiet
from facewise.training.log import read_metrics
from facewise.types import Face
from scene_photos import drawn_store

torch.set_num_threads(1)

TINY = {
    "network": {"stem": 8, "channels": (8, 16, 24, 24), "blocks": (0, 1, 1, 1), "pyramid": (16, 24, 16)},
    "scenes": {"sizes": ((64, 4), (96, 2)), "workers": 0},
    "optimizer": {"name": "adamw", "rate": 5e-3},
    "imitate": False,
    "steps": 6,
    "round_steps": 3,
    "held_out_scenes": 1,
    "held_out_photos": 2,
    "face_free": 4,
    "ema": 0.9,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_detector_file):
    return drawn_store(tmp_path_factory.mktemp("photos"), tiny_detector_file)


class Stopping(Quiet):
    """Presses Ctrl-C after some steps."""

    def __init__(self, after):
        self.left = after

    def step(self, values):  # noqa: ARG002
        import signal

        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def whole(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "whole"
    return train_detector(store, folder, config=detector_config(TINY), display=Quiet())


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(store, whole, tmp_path):
    with pytest.raises(StoppedTrainingError, match="step 4 of 6"):
        train_detector(store, tmp_path / "a", config=detector_config(TINY), display=Stopping(4))
    train_detector(store, tmp_path / "a", resume=True, display=Quiet())
    mine, theirs = (load(folder_of(folder, LAST)) for folder in (tmp_path / "a", whole.folder))
    assert mine.tensors.keys() == theirs.tensors.keys()
    for name, tensor in theirs.tensors.items():
        assert torch.equal(mine.tensors[name], tensor), name
    losses = [
        [line["loss"] for line in read_metrics(folder) if line["kind"] == "train"]
        for folder in (tmp_path / "a", whole.folder)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@pytest.fixture
def timed(monkeypatch):
    """Ways measured: NCHW is twice as fast, by no clock."""
    seen = []

    def run(self, way, images):
        seen.append(way)
        return 0.001 * len(images) * (1.0 if way.channels_last else 0.5)

    monkeypatch.setattr(pace.Stopwatch, "_run", run)
    monkeypatch.setattr(pace, "LEAST_STEPS", 1)
    monkeypatch.setattr(pace, "SHARE", 1e9)
    monkeypatch.setattr(pace, "MOST_S", 1e9)
    return seen


SHORT = TINY | {"held_out_scenes": 0, "held_out_photos": 0, "face_free": 0}


def test_how_a_detector_is_computed_is_chosen_and_kept(store, tmp_path, timed, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    train_detector(store, tmp_path / "whole", config=detector_config(SHORT), display=Quiet())
    chosen = json.loads((tmp_path / "whole" / "environment.json").read_text())["pace"]
    assert (chosen["by"], chosen["channels_last"]) == ("measured", False)
    assert len(chosen["images/s"]) >= 2
    said = {key: chosen[key] for key in ("precision", "fast_layers", "channels_last")}
    train_detector(store, tmp_path / "said", config=detector_config(SHORT | said), display=Quiet())
    with pytest.raises(StoppedTrainingError, match="step 4 of 6"):
        train_detector(store, tmp_path / "parts", config=detector_config(SHORT), display=Stopping(4))
    timed.clear()
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "elsewhere"))
    train_detector(store, tmp_path / "parts", resume=True, display=Quiet())
    assert timed == []
    whole, *others = (load(folder_of(tmp_path / name, LAST)).tensors for name in ("whole", "said", "parts"))
    for other in others:
        assert all(torch.equal(other[name], tensor) for name, tensor in whole.items())


def test_a_step_of_a_detector_can_be_measured(store, tmp_path, monkeypatch):
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path / "home"))
    for name, value in (("LEAST_STEPS", 1), ("SHARE", 1e9), ("MOST_S", 1e9)):
        monkeypatch.setattr(pace, name, value)
    config = detector_config(SHORT, {"steps": 2})
    train_detector(store, tmp_path / "run", config=config, display=Quiet())
    chosen = json.loads((tmp_path / "run" / "environment.json").read_text())["pace"]
    assert chosen["by"] == "measured"
    assert all(speed > 0 for speed in chosen["images/s"].values())


def test_a_detector_that_version_0_1_began_goes_on():
    before = {"precision": "bf16", "fast_layers": True}
    assert detector_config(before).fingerprint() == detector_config().fingerprint() == "{}"


def test_a_run_leaves_a_model_that_works_on_any_picture(whole, drawn_photo):
    model = read_model(whole.folder / "model.onnx", kind="detector")
    assert model.card.name == "facewise-detect-s"
    assert model.card.training["steps"] == 6
    assert model.card.training["parity"] < 1e-4
    assert model.card.preprocess.std == (1.0, 1.0, 1.0)
    detector = OnnxDetector(model, settings=DetectorSettings(score_threshold=0.001), threads=1)
    for size in ((33, 47), (250, 250), (64, 200)):
        assert isinstance(detector.detect(drawn_photo(size=size)), list)
    assert set(whole.result) >= {"ap all"}
    assert not (whole.folder / "candidate.onnx").exists()


def test_a_folder_that_is_taken_or_other_settings_are_refused(store, whole):
    with pytest.raises(SettingError, match="already"):
        train_detector(store, whole.folder, config=detector_config(TINY), display=Quiet())
    other = detector_config(TINY, {"optimizer.rate": 1e-3})
    with pytest.raises(SettingError, match="another configuration"):
        train_detector(store, whole.folder, config=other, resume=True, display=Quiet())
    with pytest.raises(SettingError, match="imitate"):
        train_detector(store, whole.folder / "x", config=detector_config(TINY, {"imitate": True}))


@pytest.fixture(scope="module")
def retinaface(tmp_path_factory):
    """A detector with RetinaFace's graph and no training."""
    torch.manual_seed(3)
    plain = export_onnx(
        RetinaFace().eval(),
        torch.zeros(1, 3, 64, 64),
        dynamic={0: "batch", 2: "height", 3: "width"},
        outputs=("boxes", "scores", "landmarks"),
    )
    card = FAMILIES["retinaface-mobilenet025"].card
    return OnnxDetector(write_model(tmp_path_factory.mktemp("teacher") / "t.onnx", plain, card), threads=1)


HINTED = {"imitate": True, "hint": 1.0}


def test_the_teachers_features_come_with_the_scenes(store, retinaface):
    config = detector_config(TINY, HINTED)
    pool = Pool(store, held_out=False)
    batches = SceneBatches(
        pool,
        config.scenes.sizes,
        config.mixture,
        0,
        teacher=retinaface,
        workers=0,
        hints=config.hint_outputs,
    )
    batch = batches.make(1)
    assert [hint.shape for hint in batch.hints] == [(2, 64, 96 // s, 96 // s) for s in (8, 16, 32)]
    # Against PyTorch's own layers.
    torch.manual_seed(3)
    network, seen = RetinaFace().eval(), []
    for name in ("ssh1", "ssh2", "ssh3"):
        network.get_submodule(name).register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.inference_mode():
        network(torch.from_numpy(retinaface.model.card.preprocess(batch.images)))
    for hint, feature in zip(batch.hints, seen, strict=True):
        np.testing.assert_allclose(hint, feature.numpy(), atol=0.01 * float(feature.std()) + 1e-3)


def test_a_run_learns_the_features_and_goes_on_to_the_same_numbers(store, retinaface, tmp_path):
    config = detector_config(TINY, HINTED)
    whole = train_detector(store, tmp_path / "a", config=config, teacher=retinaface, display=Quiet())
    with pytest.raises(StoppedTrainingError):
        train_detector(store, tmp_path / "b", config=config, teacher=retinaface, display=Stopping(2))
    train_detector(store, tmp_path / "b", teacher=retinaface, resume=True, display=Quiet())
    mine, theirs = (load(folder_of(folder, LAST)) for folder in (tmp_path / "b", whole.folder))
    assert any(name.startswith("bridges.") for name in theirs.tensors)
    for name, tensor in theirs.tensors.items():
        assert torch.equal(mine.tensors[name], tensor), name
    hints = [line["hint"] for line in read_metrics(whole.folder) if line["kind"] == "train"]
    assert hints[-1] < hints[0]


def test_features_that_are_not_there_are_refused(store, retinaface, tmp_path):
    names = {"hint_outputs": ("/ssh1/Relu_output_0", "/ssh2/Relu_output_0", "/ssh4/Relu_output_0")}
    with pytest.raises(SettingError, match="no inner tensor '/ssh4/Relu_output_0'"):
        train_detector(
            store,
            tmp_path / "a",
            config=detector_config(TINY, HINTED | names),
            teacher=retinaface,
            display=Quiet(),
        )
    with pytest.raises(SettingError, match="hint needs imitate"):
        train_detector(store, tmp_path / "b", config=detector_config(TINY, {"hint": 1.0}), display=Quiet())


def test_a_loss_that_is_no_number_stops_the_run(store, tmp_path):
    config = detector_config(TINY)
    learner = DetectorLearner(config)
    with torch.no_grad():
        learner.network.stem[0].weight.fill_(float("nan"))
    batches = SceneBatches(Pool(store, held_out=False), config.scenes.sizes, config.mixture, 0, workers=0)
    with pytest.raises(FacewiseError, match="loss became nan at step 0"):
        DetectorTrainer(learner, batches, tmp_path).fit()


def test_batches_depend_on_the_step_alone(store):
    config = detector_config(TINY)
    pool = Pool(store, held_out=False)
    batches = SceneBatches(pool, config.scenes.sizes, config.mixture, 0, workers=0)
    later = list(batches.between(2, 5))
    for step, batch in zip(count(2), later, strict=False):
        again = batches.make(step)
        np.testing.assert_array_equal(batch.images, again.images)
        assert batch.images.shape[1] == (64, 96)[step % 2]
    assert not np.array_equal(later[0].images, later[2].images)


def test_a_small_network_learns_a_few_scenes_by_heart(store, tmp_path):
    settings = TINY | {
        "ema": 0.0,
        "scenes": {"sizes": ((96, 4),), "workers": 0},
        "schedule": {"name": "constant"},
    }
    config = detector_config(
        settings, {"scenes.mixture": {"plain": 1, "framed": 0, "mosaic": 0, "crowd": 0, "empty": 0}}
    )
    learner, pool = DetectorLearner(config), Pool(store, held_out=False)
    batch = SceneBatches(pool, config.scenes.sizes, config.mixture, 0, workers=0).make(0)
    learner.network.train()
    losses = [learner.step(batch, step, 1.0)["loss"] for step in range(110)]
    assert losses[-1] < 0.2 * losses[0]
    detector = OnnxDetector(export_detector(learner.used, tmp_path / "m.onnx", "tiny"), threads=1)
    scenes = [compose(pool, 0, number, (96, 96), config.mixture) for number in range(4)]
    pairs = [
        (Face(scene.boxes[0], 1.0, scene.landmarks[0]), detector.detect(scene.image, threads=1))
        for scene in scenes
    ]
    found = agreement(pairs)
    assert found.found == 1
    assert found.landmarks < 0.15


def test_the_exported_scores_are_shifted_and_nothing_else(whole, store, tmp_path):
    network = DetectorLearner(detector_config(TINY)).used
    plain, moved = (
        export_detector(network, tmp_path / f"{s}.onnx", "tiny", shift=s, probes=((1, 3, 64, 64),))
        for s in (0.0, 2.0)
    )
    picture = np.random.default_rng(0).integers(0, 256, (1, 90, 70, 3), dtype=np.uint8)
    outputs = [
        OnnxDetector(model, threads=1).network.run(model.card.preprocess(picture)) for model in (plain, moved)
    ]
    np.testing.assert_allclose(outputs[0][0], outputs[1][0], atol=1e-4)
    odds = [np.log(out[1] / (1 - out[1])) for out in outputs]
    np.testing.assert_allclose(odds[1] - odds[0], 2.0, atol=1e-2)
    assert -5 <= score_shift(whole.model, Pool(store, held_out=False), 3, 0.5) <= 5


def test_unknown_settings_are_refused_with_the_nearest():
    with pytest.raises(SettingError, match="did you mean steps"):
        detector_config({"step": 5})
    with pytest.raises(SettingError, match="add up"):
        detector_config({"scenes": {"mixture": {"plain": 0.9}}})
    with pytest.raises(SettingError, match="scenes"):
        detector_config({}, {"scenes.workers": -1})
    with pytest.raises(SettingError, match="mixture"):
        detector_config({"scenes": {"mixture": {"night": 0.9}}})


def test_agreement_counts_what_is_found_and_how_near():
    marks = np.array([[0, 0], [10, 0], [5, 5], [1, 10], [9, 10]], np.float32)
    box = np.array([-5, -8, 15, 16], np.float32)
    near = Face(box, 0.9, marks + np.array([0.3, 0.4], np.float32))
    far = Face(box + 100, 0.99, marks)
    found = agreement([(Face(box, 1.0, marks), [far, near]), (Face(box, 1.0, marks), [near]), (near, [])])
    assert found.photos == 3
    assert found.found == pytest.approx(2 / 3)
    assert found.main == pytest.approx(1 / 3)
    assert found.landmarks == pytest.approx(0.05)
    assert found.points == pytest.approx(0.05)
