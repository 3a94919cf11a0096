"""Training of attributes: what is learned, stopping and going on, missing labels, what is claimed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from facewise.analysis.attributes import AttributeModel
from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.models.attributes import WORDS, AttributeRule, WordRule
from facewise.models.quantize import quantize
from facewise.training.attributes.branch import BranchTrainer
from facewise.training.attributes.calibrate import age_rule, fitted
from facewise.training.attributes.config import attributes_config
from facewise.training.attributes.faces import LabelledFaces, joined
from facewise.training.attributes.loss import age_loss, word_loss, word_weights
from facewise.training.attributes.run import train_attributes
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError
from facewise.variants import variants_of

COUNT = 60


def faces(name: str, labels: dict[str, np.ndarray], seed: int) -> LabelledFaces:
    """Noise that is bright where the first label is large."""
    rng = np.random.default_rng(seed)
    first = next(iter(labels.values()))
    bright = 60 + 120 * (first - first.min()) / max(np.ptp(first), 1)
    noise = rng.normal(bright[:, None, None, None], 20, (COUNT, 112, 112, 3))
    return LabelledFaces((np.clip(noise, 0, 255).astype(np.uint8),), labels, np.arange(COUNT) % 3 // 2, name)


@pytest.fixture(scope="module")
def data() -> LabelledFaces:
    half = (np.arange(COUNT) % 2).astype(float)
    some = half.copy()
    some[10:20] = -1
    looks = faces("looks", {"gender": some, "age": 20 + 40 * half}, 0)
    return joined(looks, faces("moods", {"emotion": 3 * half}, 1))


def config(**changes: object):
    return attributes_config(
        {
            "batch_size": 16,
            "optimizer": {"name": "adamw", "rate": 2e-3},
            "ema": 0.9,
            "branches": [
                {"attributes": ["age", "gender", "race"], "epochs": 3, "frozen": 5, "augmentation": "flip"},
                {"attributes": ["emotion"], "epochs": 1, "cycles": 2, "side": 32, "augmentation": "none"},
            ],
            **changes,
        }
    )


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train_attributes(data, tmp_path_factory.mktemp("run"), config=config(), display=Quiet())


def test_it_learns_what_is_labelled_and_says_so(data, run):
    assert run.model.card.kind == "attributes"
    assert run.model.card.attributes.outputs == ("age", "gender", "emotion")
    assert run.result["gender"] > 0.7
    assert run.result["age"] < 19.5
    assert run.model.card.training["photos"] == int((data.part == 0).sum())
    assert run.model.card.training["start"]["model"] == "facewise-embed-s"
    told = AttributeModel(run.model).analyze(data.some(np.array([0, 1])))
    assert told[0].age.mean < told[1].age.mean
    assert told[0].age.low <= told[0].age.mean <= told[0].age.high


@pytest.mark.slow
def test_in_int8_it_tells_the_same_in_a_fraction_of_the_file(data, run, tmp_path):
    crops = data.some(np.arange(24))
    made = quantize(run.model, tmp_path / "small.onnx", photos=list(crops[:8])).model
    assert len(made.network) < len(run.model.network) / 2.5
    assert variants_of(made) == ("int8", "float")
    assert made.card.attributes.to_dict() == run.model.card.attributes.to_dict()
    before = AttributeModel(run.model).predict(crops)
    for variant in ("int8", "float"):
        after = AttributeModel(made, variant=variant).predict(crops)
        for name, rows in before.items():
            assert np.abs(after[name] - rows).max() < 0.15, (variant, name)


def test_a_run_that_is_done_is_found_done(data, run):
    again = train_attributes(data, run.folder, config=config(), display=Quiet())
    assert again.model.fingerprint == run.model.fingerprint
    with pytest.raises(FacewiseError, match="other settings"):
        train_attributes(data, run.folder, config=config(smoothing=0.2), display=Quiet())


def test_a_stopped_run_goes_on_to_the_same_numbers(data, run, tmp_path, monkeypatch):
    step = BranchTrainer.step

    def stopping(self, batch):
        if self.progress.step == 3:
            raise StoppedError("stopped")
        return step(self, batch)

    monkeypatch.setattr(BranchTrainer, "step", stopping)
    often = config(save_minutes=1e-9)
    with pytest.raises(StoppedError):
        train_attributes(data, tmp_path / "run", config=often, display=Quiet(), only=1)
    monkeypatch.setattr(BranchTrainer, "step", step)
    train_attributes(data, tmp_path / "run", config=often, display=Quiet(), only=1)
    one, other = (
        load_file(folder / "branch-1" / "checkpoints" / "last" / "state.safetensors")
        for folder in (run.folder, tmp_path / "run")
    )
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-4, atol=1e-5)


def test_too_little_to_learn_from(data):
    few = replace(data, part=np.where(np.arange(len(data)) < 12, data.part, 5))
    with pytest.raises(DatasetError, match="at least 20 are needed"):
        train_attributes(few, "nowhere", config=config(), display=Quiet())
    none = replace(data, labels={"emotion": np.full(len(data), -1.0)})
    with pytest.raises(DatasetError, match="labelled with anything"):
        train_attributes(none, "nowhere", config=config(), display=Quiet())


def test_settings_that_are_none():
    with pytest.raises(SettingError, match="no setting epoch"):
        attributes_config({"epoch": 3})
    with pytest.raises(SettingError, match="must be some of age, gender, emotion, race, not hair"):
        attributes_config({"branches": [{"attributes": ["hair"]}]})


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_words_that_are_missing_count_nothing(kind):
    logits = torch.randn(6, 7, generator=torch.Generator().manual_seed(0), dtype=kind)
    labels = np.array([0, -1, 3, 3, -1, 6], float)
    weights = torch.linspace(0.5, 2, 7, dtype=kind)
    faces = LabelledFaces((), {"emotion": labels}, np.zeros(6, np.int64), "x")
    shares = torch.from_numpy(faces.shares("emotion", np.arange(6), 0.0)).to(kind)
    expected = functional.cross_entropy(logits[[0, 2, 3, 5]], torch.tensor([0, 3, 3, 6]), weight=weights)
    torch.testing.assert_close(word_loss(logits, shares, weights), expected)
    assert float(word_loss(logits, torch.zeros(6, 7, dtype=kind), weights)) == 0


def test_labels_are_smoothed_and_teachers_are_half_of_what_is_labelled():
    taught = np.array([[np.nan] * 7, [0.4, 0.6, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]], np.float16)
    labels = {"emotion": np.array([2.0, -1, 2])}
    faces = LabelledFaces((), labels, np.zeros(3, np.int64), "x", {"emotion": taught})
    label = np.full(7, 0.01) + 0.93 * np.eye(7)[2]
    shares = faces.shares("emotion", np.arange(3), 0.07)
    np.testing.assert_allclose(shares, [label, taught[1], (label + taught[2]) / 2], atol=1e-3)
    assert faces.chosen(("emotion",), 0).tolist() == [0, 1, 2]
    both = joined(faces, replace(faces, taught={}))
    assert both.chosen(("emotion",), 0).tolist() == [0, 1, 2, 3, 5]


def test_an_age_is_learned_as_a_distribution():
    ages = torch.tensor([30.0, math.nan, 200.0], dtype=torch.float64)
    years = torch.arange(101, dtype=torch.float64)

    def normal(age: float) -> torch.Tensor:
        powers = torch.exp(-0.5 * ((years - age) / 2.0) ** 2)
        return powers / powers.sum()

    logits = torch.stack([normal(30), normal(3), normal(100)]).log().clamp(min=-700)
    best = age_loss(logits, ages, 2.0, 0.0)
    entropy = -sum((normal(age) * normal(age).clamp(min=1e-300).log()).sum() for age in (30, 100)) / 2
    torch.testing.assert_close(best, entropy)
    assert float(age_loss(logits.roll(4, dims=1), ages, 2.0, 0.0)) > float(best) + 1
    error = age_loss(logits.roll(4, dims=1)[:1], ages[:1], 2.0, 1.0) - age_loss(
        logits.roll(4, dims=1)[:1], ages[:1], 2.0, 0.0
    )
    assert float(error) == pytest.approx(
        0.4 - 0.1, abs=1e-3
    )  # four years, in decades, beyond the smooth part


def test_rare_words_count_more():
    weights = word_weights(torch.tensor([100, 4, 0]), 0.5)
    assert float(weights[1] / weights[0]) == pytest.approx(5)
    assert float(100 * weights[0] + 4 * weights[1]) == pytest.approx(104)
    torch.testing.assert_close(word_weights(torch.tensor([100, 4]), 0.0), torch.ones(2))


def test_the_interval_holds_on_faces_of_the_same_kind():
    rng = np.random.default_rng(0)
    years = np.arange(101)

    def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
        ages = rng.uniform(1, 85, count)
        middle = np.clip(ages + rng.normal(0, 1 + 0.1 * ages), 0, 100)
        powers = np.exp(-0.5 * ((years - middle[:, None]) / (3 + 0.05 * middle[:, None])) ** 2)
        return powers / powers.sum(axis=1, keepdims=True), ages

    rule = age_rule(*drawn(2000))
    probabilities, ages = drawn(4000)
    told = rule.of(probabilities)
    inside = (told[:, 1] <= ages) & (ages <= told[:, 2])
    assert 0.87 < inside.mean() < 0.93
    for low, high in ((0, 20), (20, 50), (50, 86)):
        assert inside[(ages >= low) & (ages < high)].mean() > 0.8
    few = age_rule(*drawn(30))
    assert few.bands == (0.0,)


def test_temperatures_make_probabilities_right():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 7)) * 2
    powers = np.exp(logits)
    shares = powers / powers.sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(7, p=row) for row in shares]).astype(float)
    sharp = np.exp(3 * logits)
    rule = AttributeRule(("emotion",), {"emotion": WordRule(WORDS["emotion"])})
    found = fitted(rule, {"emotion": sharp / sharp.sum(axis=1, keepdims=True)}, {"emotion": labels})
    assert found.words["emotion"].temperature == pytest.approx(3, rel=0.1)
