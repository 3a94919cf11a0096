"""Fitted classifiers against scikit-learn written out, the rule for strangers against loops, small data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from facewise.classify import Classifier, ClassifierCard, write_classifier
from facewise.classify import estimators as estimators_module
from facewise.classify import fit as fit_module
from facewise.classify.estimators import CLASSICS, pair_means
from facewise.classify.fit import Fitted, fit_classifier
from facewise.classify.folds import Folds
from facewise.classify.temperature import fit_sharpness, softmax
from facewise.classify.unknown import measure_unknown
from facewise.errors import DatasetError, ModelError, SettingError
from facewise.types import Decision

D = 24


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def faces(
    counts: list[int], *, spread: float = 0.6, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Embeddings scattered around one direction a person, labels, names."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    middles = unit(rng.normal(size=(len(counts), D)))
    vectors = middles[labels] + spread / np.sqrt(D) * rng.normal(size=(len(labels), D)) * 2
    return unit(vectors), labels, [f"Person {i}" for i in range(len(counts))]


def others(count: int, seed: int = 9) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, D)))


def kept(fitted: Fitted, folder: Path) -> Classifier:
    """The classifier as a user has it: from its file."""
    card = ClassifierCard(fitted.method, fitted.people, "tiny", "f" * 64, D, unknown=fitted.unknown)
    return Classifier(write_classifier(folder / "a.onnx", fitted.to_onnx(), card))


def written_out(fitted: Fitted) -> object:
    """The pipeline the settings say, in scikit-learn's words alone."""
    chosen, people = fitted.settings, len(fitted.people)
    before = [StandardScaler(), PCA(chosen.get("n_components"), svd_solver="full")]
    exact = fitted.vectors.astype(float)
    if fitted.method == "knn":
        model = KNeighborsClassifier(chosen["n_neighbors"], metric="cosine", algorithm="brute")
        return model.fit(exact, fitted.labels)
    if fitted.method == "svc":
        last = SVC(
            C=chosen["C"], kernel=chosen["kernel"], class_weight="balanced", decision_function_shape="ovo"
        )
    elif fitted.method == "lda":
        last = LinearDiscriminantAnalysis("lsqr", chosen["shrinkage"], priors=np.full(people, 1 / people))
    else:
        last = LogisticRegression(C=chosen["C"], class_weight="balanced", max_iter=2000, random_state=0)
    return make_pipeline(*before, last).fit(exact, fitted.labels)


def expected_logits(fitted: Fitted, vectors: np.ndarray) -> np.ndarray:
    model, people = written_out(fitted), len(fitted.people)
    if fitted.method == "knn":
        return model.predict_proba(vectors.astype(float))  # type: ignore[attr-defined]
    found = model.decision_function(vectors.astype(float))  # type: ignore[attr-defined]
    if people == 2:
        return np.stack([-found, found], axis=1)
    if fitted.method != "svc":
        return np.asarray(found)
    sums, pair = np.zeros((len(vectors), people)), 0
    for i in range(people):
        for j in range(i + 1, people):
            sums[:, i] += found[:, pair]
            sums[:, j] -= found[:, pair]
            pair += 1
    return sums / (people - 1)


@pytest.mark.parametrize("people", [2, 3, 7])
@pytest.mark.parametrize("method", [*CLASSICS, "rbf"])
def test_file_gives_what_scikit_learn_gives(
    method: str, people: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if method == "rbf":
        monkeypatch.setitem(estimators_module._GRIDS, "svc", ({"kernel": "rbf", "C": 10.0},))  # type: ignore[index]
    vectors, labels, names = faces([9] * people, spread=1.2)
    fitted = fit_classifier(vectors, labels, names, method="svc" if method == "rbf" else method)
    probes = np.concatenate([others(60), faces([5] * people, spread=1.2, seed=4)[0]])
    expected = softmax(fitted.sharpness * expected_logits(fitted, probes))
    np.testing.assert_allclose(fitted.probabilities(probes), expected, atol=1e-9)
    network = fitted.to_onnx()
    onnx.checker.check_model(onnx.load_from_string(network), full_check=True)
    np.testing.assert_allclose(kept(fitted, tmp_path).probabilities(probes), expected, atol=1e-4)
    session = ort.InferenceSession(network)
    found, alike = session.run(["probabilities", "similarities"], {"embeddings": probes})
    np.testing.assert_allclose(found, expected, atol=1e-4)
    means = unit(np.stack([vectors[labels == i].mean(axis=0) for i in range(people)]))
    np.testing.assert_allclose(alike, probes @ means.T, atol=1e-5)


@pytest.mark.parametrize("method", CLASSICS)
def test_tells_people_apart_and_strangers_off(method: str, tmp_path: Path) -> None:
    vectors, labels, names = faces([8] * 12, spread=0.2)
    rng = np.random.default_rng(3)
    learned = rng.permutation(len(labels)) % 4 > 0
    classifier = kept(fit_classifier(vectors[learned], labels[learned], names, method=method), tmp_path)
    found = classifier.predict(vectors[~learned])
    assert [f.person for f in found] == [names[i] for i in labels[~learned]]
    # The directions of a sphere of 24 dimensions are more alike than faces are; still few pass.
    assert np.mean([f.person is None for f in classifier.predict(others(2000))]) > 0.95
    assert all(f.person for f in classifier.predict(others(20), unknown=False))


@pytest.mark.parametrize("method", CLASSICS)
def test_same_data_and_seed_give_the_same_bytes(method: str) -> None:
    data = faces([4, 4, 4], spread=1.0)
    first, second = (fit_classifier(*data, method=method, seed=5) for _ in range(2))
    assert first.to_onnx() == second.to_onnx()
    assert first.settings == second.settings
    assert first.unknown == second.unknown


@pytest.mark.parametrize("method", CLASSICS)
def test_order_of_people_does_not_matter(method: str) -> None:
    vectors, labels, names = faces([7] * 5, spread=0.3)
    order = np.array([3, 0, 4, 2, 1])
    plain = fit_classifier(vectors, labels, names, method=method)
    turned = fit_classifier(vectors, order[labels], [names[i] for i in np.argsort(order)], method=method)
    probes = faces([20] * 5, spread=0.3)[0]
    told = [plain.people[i] for i in plain.probabilities(probes).argmax(axis=1)]
    assert told == [turned.people[i] for i in turned.probabilities(probes).argmax(axis=1)]
    assert plain.unknown is not None
    assert turned.unknown is not None
    assert plain.unknown.threshold == pytest.approx(turned.unknown.threshold)


def test_neighbours_and_strangers_do_not_change_when_space_is_turned() -> None:
    vectors, labels, names = faces([7] * 5, spread=1.0)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(D, D)))[0].astype(np.float32)
    plain = fit_classifier(vectors, labels, names, method="knn")
    turned = fit_classifier(unit(vectors @ turn), labels, names, method="knn")
    probes = others(50)
    np.testing.assert_allclose(
        plain.probabilities(probes), turned.probabilities(unit(probes @ turn)), atol=1e-5
    )
    assert plain.unknown is not None
    assert turned.unknown is not None
    assert plain.unknown.threshold == pytest.approx(turned.unknown.threshold, abs=1e-6)


# Small and uneven data.


@pytest.mark.parametrize("method", ["svc", "knn", "logistic"])
@pytest.mark.parametrize("counts", [[1, 1], [1, 1, 1], [2, 1], [2, 2], [1, 2, 3], [5, 5, 5], [2, 60]])
def test_few_photos(method: str, counts: list[int], tmp_path: Path) -> None:
    data = faces(counts, spread=0.3)
    fitted = fit_classifier(*data, method=method)
    found = kept(fitted, tmp_path).predict(data[0])
    assert [f.person for f in found] == [data[2][i] for i in data[1]]
    measured = sum(count >= 2 for count in counts) >= 2
    assert ("cross_validated_recall" in fitted.settings) is measured
    assert measured or any("was not measured" in note for note in fitted.notes)


def test_what_was_small_is_said() -> None:
    notes = fit_classifier(*faces([1, 3, 3]), method="knn").notes
    assert any("1 of 3 people have one photo (Person 0)" in note for note in notes)
    notes = fit_classifier(*faces([5, 500]), method="logistic").notes
    assert notes == ("The photos are uneven, 5 to 500 a person.",)
    assert fit_classifier(*faces([4, 4]), method="knn").notes == ()


def test_five_photos_against_five_hundred() -> None:
    vectors, labels, names = faces([505, 10], spread=0.5)
    learned = np.r_[0:500, 505:510]
    for method in ("svc", "lda", "logistic"):
        fitted = fit_classifier(vectors[learned], labels[learned], names, method=method)
        held = np.setdiff1d(np.arange(515), learned)
        right = fitted.probabilities(vectors[held]).argmax(axis=1) == labels[held]
        assert right[labels[held] == 1].mean() >= 0.8, method


@pytest.mark.parametrize(("method", "people"), [("svc", 80), ("knn", 300), ("lda", 80)])
def test_many_people(method: str, people: int) -> None:
    vectors, labels, names = faces([3] * people, spread=0.3)
    learned = np.arange(3 * people) % 3 > 0
    fitted = fit_classifier(vectors[learned], labels[learned], names, method=method)
    fitted.to_onnx()
    right = fitted.probabilities(vectors[~learned]).argmax(axis=1) == labels[~learned]
    assert right.mean() > 0.95


def test_settings_are_chosen_on_some_of_many_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_module, "MOST_TO_CHOOSE", 60)
    data = faces([100, 20, 3], spread=0.8)
    fitted = fit_classifier(*data, method="knn")
    assert fitted.settings["photos"] == 60
    assert len(fitted.vectors) == 123


@pytest.mark.parametrize("method", CLASSICS)
def test_photos_that_are_all_alike(method: str) -> None:
    vectors = np.repeat(others(1), 8, axis=0)
    with pytest.raises(DatasetError, match="All photos show the same"):
        fit_classifier(vectors, np.arange(8) % 2, ["A", "B"], method=method)


def test_copies_of_photos(tmp_path: Path) -> None:
    """Ties among neighbours do not stop a classifier from being kept."""
    vectors, labels, names = faces([4, 4, 4])
    doubled = np.concatenate([vectors, vectors])
    for method in CLASSICS:
        fitted = fit_classifier(doubled, np.concatenate([labels, labels]), names, method=method)
        assert kept(fitted, tmp_path).predict(vectors)[0].likeliest == names[0]


def test_refusals() -> None:
    vectors, labels, names = faces([3, 3])
    with pytest.raises(SettingError, match="did you mean svc"):
        fit_classifier(vectors, labels, names, method="svm")
    with pytest.raises(SettingError, match="above 0 and below 1"):
        fit_classifier(vectors, labels, names, fpir=1.0)
    with pytest.raises(DatasetError, match="two or more, not 1"):
        fit_classifier(vectors[:3], labels[:3], names[:1])
    with pytest.raises(DatasetError, match="Person 2 has no photo"):
        fit_classifier(vectors, labels, [*names, "Person 2"])
    with pytest.raises(DatasetError, match="LDA needs two photos"):
        fit_classifier(*faces([1, 1]), method="lda")
    with pytest.raises(SettingError, match="names nobody"):
        fit_classifier(vectors, labels + 1, names)
    with pytest.raises(SettingError, match="unit length"):
        fit_classifier(2 * vectors, labels, names)
    with pytest.raises(SettingError, match="finite"):
        fit_classifier(vectors * np.nan, labels, names)
    assert fit_classifier(vectors, labels, names, fpir=None).unknown is None


def test_an_export_that_differs_is_not_kept() -> None:
    fitted = fit_classifier(*faces([5, 5, 5]), method="logistic")
    fitted.pipeline[-1].coef_ += 0.0
    good = fitted.to_onnx()
    fitted.pipeline["scale"].transform = lambda x: np.asarray(x) * 3  # the pipeline, but not the file
    with pytest.raises(ModelError, match="differs from scikit-learn's"):
        fitted.to_onnx()
    assert good


# Parts of it.


@given(
    counts=st.lists(st.integers(1, 9), min_size=2, max_size=12).filter(lambda c: max(c) >= 2),
    folds=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_folds(counts: list[int], folds: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = labels[np.random.default_rng(seed).permutation(len(labels))]
    parts = list(Folds(labels, folds, seed))
    held = np.concatenate([held for _, held in parts])
    expected = np.flatnonzero(np.bincount(labels)[labels] >= 2)
    np.testing.assert_array_equal(np.sort(held), expected)
    for learned, out in parts:
        assert set(labels[learned]) == set(range(len(counts)))
        assert len(np.intersect1d(learned, out)) == 0
        assert len(learned) + len(out) == len(labels)
    assert max(len(out) for _, out in parts) - min(len(out) for _, out in parts) <= 1


@given(seed=st.integers(0, 500), factor=st.floats(0.1, 10))
@settings(max_examples=40)
def test_sharpness_is_the_best_there_is_and_scales(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 60)
    logits = rng.normal(size=(60, 4)) + 2 * np.eye(4)[labels]
    sharpness, _ = fit_sharpness(logits, labels)
    assert fit_sharpness(factor * logits, labels)[0] == pytest.approx(sharpness / factor, rel=1e-2)
    losses = {s: log_loss(labels, softmax(s * sharpness * logits), labels=range(4)) for s in (0.5, 1.0, 2.0)}
    assert losses[1.0] <= min(losses.values()) + 1e-2


def test_nobody_is_certain_after_no_error_in_few_photos() -> None:
    sharpness, _ = fit_sharpness(np.eye(3)[np.arange(9) % 3], np.arange(9) % 3)
    right = softmax(sharpness * np.eye(3)).max()
    assert right == pytest.approx(10 / 11, abs=1e-3)


def test_pair_means() -> None:
    """Of 0 against 1, 0 against 2, 1 against 2."""
    np.testing.assert_allclose(pair_means(np.array([[5.0, 3.0, -1.0]]), 3), [[4.0, -3.0, -1.0]])


def strangers_by_loops(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Of each photo the highest cosine to another person's mean, and all of them, with its weight."""
    people = labels.max() + 1
    nearest, everything = [], []
    for vector, label in zip(vectors.astype(float), labels, strict=True):
        cosines = []
        for other in range(people):
            if other != label:
                mean = vectors[labels == other].astype(float).mean(axis=0)
                cosines.append(float(vector @ mean / np.linalg.norm(mean)))
        nearest.append(max(cosines))
        everything += cosines
    return np.array(nearest), everything


@given(people=st.integers(10, 14), photos=st.integers(1, 4), fpir=st.sampled_from([0.01, 0.05, 0.3]))
@settings(max_examples=30)
def test_threshold_for_strangers_against_loops(people: int, photos: int, fpir: float) -> None:
    from scipy.stats import norm

    vectors, labels, names = faces([photos] * people, seed=people * photos)
    rule = measure_unknown(vectors, labels, names, fpir=fpir)
    nearest, everything = strangers_by_loops(vectors, labels)
    normal = np.mean(everything) + np.std(everything) * norm.isf(1 - (1 - fpir) ** (1 / people))
    allowed = int(np.floor(fpir * (people - 1) / people * len(nearest) + 1e-9))
    empirical = np.sort(nearest)[::-1][allowed]
    assert rule.threshold == pytest.approx(max(empirical, normal), abs=2e-6)
    assert rule.numbers["strangers_named"] == pytest.approx((nearest >= rule.threshold).mean())
    assert rule.numbers["strangers_named"] <= fpir
    stricter = measure_unknown(vectors, labels, names, fpir=fpir / 2)
    assert stricter.threshold >= rule.threshold


def test_few_people_are_measured_by_their_own_photos_too() -> None:
    vectors, labels, names = faces([6, 6], spread=0.4)
    rule = measure_unknown(vectors, labels, names)
    assert "halfway" in rule.source
    assert rule.numbers["own_refused"] == 0.0
    assert np.mean(others(500) @ unit(vectors[:6].mean(axis=0)[None])[0] >= rule.threshold) < 0.02


def test_one_photo_each_of_few_people_says_little_of_strangers() -> None:
    data = faces([1, 1, 1])
    alone = fit_classifier(*data, method="knn")
    assert alone.unknown is not None
    assert alone.unknown.numbers["own_refused"] is None
    assert any("strangers can hardly be told" in note for note in alone.notes)
    own = Decision(0.9, 0.001, "measured elsewhere")
    calibrated = fit_classifier(*data, method="knn", least=own)
    assert calibrated.unknown is not None
    assert calibrated.unknown.threshold == 0.9
    assert "measured elsewhere" in calibrated.unknown.source
    assert not any("strangers" in note for note in calibrated.notes)
    # Of more people, or a stricter rule of their own, it says nothing.
    many = faces([2] * 12)
    assert measure_unknown(*many, least=own) == measure_unknown(*many)
    assert measure_unknown(*data, least=Decision(-1.0, 0.5, "")) == alone.unknown


def test_people_weigh_alike_in_the_rule() -> None:
    """A hundred copies of one person's photos change nothing."""
    vectors, labels, names = faces([3] * 12)
    more = np.concatenate([vectors, np.tile(vectors[:3], (100, 1))])
    plain = measure_unknown(vectors, labels, names, fpir=0.2)
    copied = measure_unknown(more, np.concatenate([labels, np.zeros(300, int)]), names, fpir=0.2)
    assert copied.threshold == pytest.approx(plain.threshold, abs=1e-6)
