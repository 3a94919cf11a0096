"""A comparison trains what it says, goes on where it was, and takes noise for noise."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from facewise.errors import SettingError
from facewise.files import one_at_a_time
from facewise.training import compare as module
from facewise.training.compare import compare
from facewise.training.compare_plan import methods_of
from facewise.training.comparison import Comparison, MethodRun
from facewise.training.differences import accuracy_draws, auc_draws, compare_pairs, holm
from facewise.training.display import Quiet
from facewise.training.engine import StoppedError
from facewise.training.log import read_metrics
from facewise.training.student import student_quantile, two_sided
from facewise.training.validation import make_pairs

SMALL = {
    "data.size": 32,
    "data.batch_size": 8,
    "data.held_out_photos": 0.25,
    "data.held_out_people": 0.5,
    "data.min_photos": 2,
    "backbone": "test-tiny",
    "precision": "fp32",
    "optimizer.rate": 0.05,
    "epochs": 2,
}


# The statistics, without training


@pytest.mark.parametrize("freedom", [1, 2, 5, 99, 999, 1000, 10**6])
def test_student_is_that_of_scipy(freedom):
    for t in (0, 1e-3, 0.5, 2, 5, 30):
        assert two_sided(t, freedom) == pytest.approx(2 * scipy.stats.t.sf(t, freedom), rel=1e-7, abs=1e-30)
    for p in (0.5, 0.05, 1e-3, 1e-8):
        assert student_quantile(p, freedom) == pytest.approx(scipy.stats.t.isf(p / 2, freedom), rel=1e-8)


def test_holm_rejects_what_the_step_down_rule_rejects():
    generator = np.random.default_rng(0)
    for _ in range(50):
        p_values = generator.uniform(0, 0.1, 5)
        rejected = set()
        for rank, i in enumerate(np.argsort(p_values)):
            if p_values[i] > 0.05 / (5 - rank):
                break
            rejected.add(i)
        assert {i for i, p in enumerate(holm(p_values)) if p <= 0.05} == rejected


def two(right, repeats=300):
    """A test of two methods from (2, S, N) whether photos are named rightly."""
    _, seeds, photos = right.shape
    values, draws = accuracy_draws(right.reshape(2 * seeds, photos), repeats, 0)
    (found,) = compare_pairs("accuracy", [(m, s) for m in "ab" for s in range(seeds)], values, draws, photos)
    return found


def test_with_one_seed_it_is_the_paired_bootstrap():
    generator = np.random.default_rng(4)
    hard = generator.normal(size=200)
    right = np.stack([hard + 0.4 + generator.normal(size=200) > 0, hard + generator.normal(size=200) > 0])
    found = two(right[:, None], repeats=4000)
    difference = (right[0].astype(float) - right[1],)
    oracle = scipy.stats.bootstrap(difference, np.mean, n_resamples=4000, rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx(oracle, abs=0.012)
    shuffled = scipy.stats.permutation_test(
        (right[0].astype(float), right[1].astype(float)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=4000,
        rng=0,
    )
    assert found.p == pytest.approx(shuffled.pvalue, rel=0.5, abs=0.01)


def experiments(effect, by_seed, by_photo, count, seeds=3, photos=80):
    """Tests of two methods whose logits differ by `effect`, and by chance with seed and photo."""
    for i in range(count):
        generator = np.random.default_rng([i, seeds, photos])
        hard = generator.normal(size=photos) + 0.8
        own = generator.normal(0, by_photo, (2, 1, photos)) + generator.normal(0, by_seed, (2, seeds, 1))
        own[0] += effect
        yield two(hard + own + generator.normal(0, 0.3, (2, seeds, photos)) > 0, repeats=150)


@pytest.mark.parametrize(("by_seed", "by_photo"), [(0.3, 0.0), (0.0, 0.5), (0.2, 0.5)])
def test_false_alarms_are_as_rare_as_said(by_seed, by_photo):
    alarms = sum(found.p < 0.05 for found in experiments(0, by_seed, by_photo, 80))
    assert alarms <= 9  # of 80 at 5%: more comes by chance in 1 of 100


def test_a_real_difference_is_found_and_its_interval_holds_it():
    spread = np.sqrt(1 + 0.1**2 + 0.2**2 + 0.3**2)  # of a logit, over photos, seeds and chance
    true = np.diff(scipy.stats.norm.cdf([0.8 / spread, 1.4 / spread]))[0]
    found = list(experiments(0.6, 0.1, 0.2, 40, photos=150))
    assert sum(one.first == "a" and one.beyond_noise for one in found) >= 24
    assert sum(one.low <= true <= one.high for one in found) >= 35


def test_seeds_that_agree_by_chance_do_not_make_it_certain():
    generator = np.random.default_rng(0)
    right = np.zeros((2, 2, 40), bool)
    for method, count in enumerate((24, 22)):
        for seed in range(2):
            right[method, seed, generator.permutation(40)[:count]] = True
    found = two(right)
    assert found.estimate == pytest.approx(0.05)
    assert not found.beyond_noise
    assert found.low < 0 < found.high


def test_equal_methods_do_not_differ():
    right = np.random.default_rng(0).random((1, 3, 30)) < 0.7
    found = two(np.concatenate([right, right]))
    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert "no difference that these data can show" in found.words


def people_and_scores(generator, runs, people=8, photos=4):
    labels = np.repeat(np.arange(people), photos)
    pairs = make_pairs(labels, 0, most=90)
    each = generator.normal(size=people)
    both = each[labels[pairs.a]] + each[labels[pairs.b]]
    noise = generator.normal(0, 0.7, (runs, len(pairs.a)))
    return labels, pairs, np.where(pairs.same, 1.2, 0) + 0.4 * both + noise


def test_people_are_drawn_with_all_their_pairs():
    labels, pairs, scores = people_and_scores(np.random.default_rng(1), runs=2)
    values, draws = auc_draws(scores, pairs, labels, 20, seed=7)
    assert values == pytest.approx([roc_auc_score(pairs.same, row) for row in scores])
    drawn = np.random.default_rng(7).multinomial(8, np.full(8, 1 / 8), size=20)
    for times, row in zip(drawn, draws, strict=True):
        a, b = times[labels[pairs.a]], times[labels[pairs.b]]
        weights = np.where(pairs.same, a, a * b)
        oracle = [roc_auc_score(pairs.same, one, sample_weight=weights) for one in scores]
        assert row == pytest.approx(oracle, abs=1e-12)


def test_resamples_without_a_pair_of_two_people_are_drawn_again():
    labels, pairs, scores = people_and_scores(np.random.default_rng(1), runs=1, people=2)
    assert np.isfinite(auc_draws(scores, pairs, labels, 50, seed=0)[1]).all()


def test_false_alarms_in_verification_are_rare_too():
    alarms = 0
    for i in range(50):
        labels, pairs, scores = people_and_scores(np.random.default_rng(i), runs=6)
        values, draws = auc_draws(scores, pairs, labels, 100, 0)
        (found,) = compare_pairs("auc", [(m, s) for m in "ab" for s in range(3)], values, draws, 8)
        alarms += found.p < 0.05
    assert alarms <= 6


def test_methods_are_compared_by_the_seeds_they_share():
    generator = np.random.default_rng(0)
    right = generator.random((5, 60)) < 0.8
    values, draws = accuracy_draws(right, 100, 0)
    runs = [("a", 0), ("a", 1), ("b", 1), ("c", 0), ("c", 1)]
    found = compare_pairs("accuracy", runs, values, draws, 60)
    assert {(frozenset((one.first, one.second)), one.seeds) for one in found} == {
        (frozenset("ab"), 1),
        (frozenset("ac"), 2),
        (frozenset("bc"), 1),
    }
    assert all(one.p_holm >= one.p and one.estimate >= 0 for one in found)


def test_the_spread_is_over_seeds():
    values = [0.8, 0.9, 0.85]
    runs = [MethodRun("a", i, Path("x"), {"accuracy": value}) for i, value in enumerate(values)]
    runs += [
        MethodRun("b", 0, Path("x"), {"accuracy": 0.5}),
        MethodRun("b", 1, Path("x"), {}, "The loss became nan."),
    ]
    found = Comparison(Path("x"), {"a": {}, "b": {}}, (0, 1, 2), runs, [], [])
    spread = found.spread("a", "accuracy")
    assert (spread.mean, spread.low, spread.high) == pytest.approx((0.85, 0.8, 0.9))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    assert found.spread("b", "accuracy").deviation is None
    assert found.spread("a", "auc") is None
    assert "1 of 2, others failed" in found.markdown()
    assert "b, seed 1, failed: The loss became nan." in found.markdown()


# Training


def run(data, losses=("softmax", "arcface"), seeds=(0, 1), **options):
    options = {"settings": SMALL, "out": "cmp", "display": Quiet, "device": "cpu"} | options
    return compare(data, losses, seeds, **options)


@pytest.fixture
def untrained(monkeypatch):
    """Nothing may be trained."""

    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(module, "train", refuse)


def without_time(found):
    timed = ("seconds", "images/s")
    return [
        (r.method, r.seed, r.error, {k: v for k, v in r.values.items() if k not in timed}) for r in found.runs
    ]


class StopsAt(Quiet):
    """Asks to stop after so many steps, over all runs."""

    left = 0

    def step(self, _):
        StopsAt.left -= 1
        if StopsAt.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_comparison_leaves_everything_behind_and_goes_on_where_it_was(drawn, monkeypatch):
    data = drawn(people=12)
    whole = run(data)
    folder = Path("cmp")
    assert [(r.method, r.seed) for r in whole.runs] == [
        ("softmax", 0),
        ("arcface", 0),
        ("softmax", 1),
        ("arcface", 1),
    ]
    for name in ("comparison.md", "comparison.json", "curves.png", "embedding_map.png"):
        assert (folder / name).stat().st_size
    for one in whole.runs:
        last = [line for line in read_metrics(one.folder) if line["kind"] == "validation"]
        assert one.values["accuracy"] == max(line["accuracy"] for line in last)
    assert {one.metric for one in whole.differences} == {"accuracy", "auc"}
    written = json.loads((folder / "comparison.json").read_text())
    assert written["table"]["softmax"]["accuracy"]["runs"] == 2
    assert written["methods"] == {"softmax": {}, "arcface": {"scale": 32, "margin": 0.3}}

    steps = [line["step"] for line in read_metrics(folder / "softmax-seed0")][-1]
    StopsAt.left = steps + 3  # in the midst of the second run
    with pytest.raises(StoppedError, match=r"in run 2 of 2: arcface, seed 0; the same command goes on"):
        run(data, seeds=(0,), out="parts", display=StopsAt)
    assert not Path("parts/arcface-seed0/model.onnx").exists()
    resumed = run(data, seeds=(0,), out="parts")
    assert without_time(resumed) == [one for one in without_time(whole) if one[1] == 0]

    monkeypatch.setattr(module, "train", None)  # all is there
    assert run(data, seeds=(0,), out="parts").to_dict() == resumed.to_dict()


def test_a_run_that_fails_does_not_end_the_others(drawn):
    wild = {"optimizer.rate": 1e20, "clip": None, "schedule.warmup_epochs": 0}
    found = run(drawn(people=12), seeds=(0,), per_loss={"softmax": wild})
    (failed,) = found.failed
    assert failed.method == "softmax"
    assert "The loss became" in failed.error
    assert found.spread("arcface", "accuracy").runs == 1
    assert found.differences == []


@pytest.mark.usefixtures("untrained")
def test_what_cannot_be_compared_is_told_before_anything_is_trained(drawn):
    data = drawn(people=12)
    with pytest.raises(SettingError, match="There is no loss 'arcfase'; did you mean arcface"):
        run(data, ("softmax", "arcfase"))
    with pytest.raises(SettingError, match="no option 'margin'"):
        run(data, settings=SMALL | {"loss.margin": 0.1})
    with pytest.raises(SettingError, match="settings for cosface, which is not compared"):
        run(data, per_loss={"cosface": {"loss.margin": 0.1}})
    with pytest.raises(SettingError, match="two different methods"):
        run(data, ("softmax",))
    with pytest.raises(SettingError, match="sets losses, seeds and names itself"):
        run(data, settings=SMALL | {"seed": 4})
    with pytest.raises(SettingError, match="needs a seed"):
        run(data, seeds=())
    with pytest.raises(SettingError, match=r"seed: .*greater than or equal to 0"):
        run(data, seeds=(0, -1))
    with pytest.raises(SettingError, match="drawn by pca or tsne, not by 'umap'"):
        run(data, embedding_map="umap")
    with pytest.raises(SettingError, match="arcface holds out other photos"):
        run(data, per_loss={"arcface": {"data.held_out_photos": 0.5}})
    unmeasured = {"data.held_out_people": 0.0}
    with pytest.raises(SettingError, match=r"measures triplet: set data.held_out_people, as this loss names"):
        run(data, ("softmax", "triplet"), settings=SMALL | unmeasured)


@pytest.mark.usefixtures("untrained")
def test_folders_of_other_runs_are_left_alone(drawn):
    folder = Path("cmp/softmax-seed0")
    folder.mkdir(parents=True)
    (folder / "diary.txt").touch()
    with pytest.raises(SettingError, match="is there and is no run"):
        run(drawn(people=12))
    (method, _) = methods_of(["softmax", "arcface"], [], "arcface-mobilefacenet", SMALL, {}, print)
    other = method.config().model_copy(update={"epochs": 7})
    (folder / "config.yaml").write_text(other.dump())
    with pytest.raises(SettingError, match=r"other settings \(epochs 7 not 2\)"):
        run(drawn(people=12))
    assert (folder / "diary.txt").exists()


@pytest.mark.usefixtures("untrained")
def test_a_folder_has_one_comparison_at_a_time(drawn):
    with (
        one_at_a_time("cmp/.lock"),
        pytest.raises(SettingError, match="Another comparison runs in cmp"),
    ):
        run(drawn(people=12))


def test_losses_on_pairs_get_batches_of_pairs():
    told = []
    methods = methods_of(["softmax", "triplet"], [], "arcface-mobilefacenet", SMALL, {}, told.append)
    assert [method.config().data.sampler for method in methods] == ["shuffle", "people"]
    assert [method.names_people for method in methods] == [True, False]
    (text,) = told
    assert "triplet learns from pairs" in text
    chosen = SMALL | {"data.sampler": "shuffle"}
    methods = methods_of(["softmax", "triplet"], [], "arcface-mobilefacenet", chosen, {}, print)
    assert methods[1].config().data.sampler == "shuffle"


def test_whole_recipes_are_compared_too():
    for name, loss in (("one", "softmax"), ("two", "arcface")):
        Path(f"{name}.yaml").write_text(f"name: {name}\nloss: {loss}\nepochs: 3\n")
    one, two = methods_of([], ["one.yaml", "two.yaml"], "", SMALL, {"two": {"epochs": 5}}, print)
    assert (one.name, one.config().loss.name, one.config().epochs) == ("one", "softmax", 2)
    assert (two.name, two.config().loss.name, two.config().epochs) == ("two", "arcface", 5)
    assert two.config(seed=3).seed == 3
