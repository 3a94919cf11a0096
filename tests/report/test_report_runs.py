"""The report of runs: the closed-set figures are scikit-learn's, and what is not there is said."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from drawn_data import HOSTILE, write_people
from html_checks import check_page
from run_folders import CLASSES, logits_by_hand, write_run
from scipy.special import softmax
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    davies_bouldin_score,
    log_loss,
    precision_recall_fscore_support,
    roc_auc_score,
    silhouette_score,
    top_k_accuracy_score,
)

from facewise.errors import DatasetError, ModelError, SettingError
from facewise.report.closed_set import ClosedSet, closed_set
from facewise.report.html import number, share
from facewise.report.run_data import read_run
from facewise.report.runs import report_runs, write_run_report
from facewise.training import checkpoint
from facewise.training.checkpoint import BEST, folder_of


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("data") / "faces", people=CLASSES)


@pytest.fixture(scope="module")
def made(tmp_path_factory, people):
    """A run with its report: the folder, what was held out, the page, the headline numbers."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    held = write_run(folder, people)
    written = write_run_report(folder)
    assert written.path == folder / "report.html"
    return folder, held, check_page(written.path.read_text("utf-8")), written.to_dict()


def test_closed_set_figures_equal_scikit_learns(made):
    folder, held, page, told = made
    labels = held.known.labels
    logits = logits_by_hand(folder, held)
    stated, classes = softmax(logits, axis=1), np.arange(CLASSES)
    figures = told["runs"][0]["figures"]
    assert figures["Accuracy (top-1)"] == accuracy_score(labels, logits.argmax(1))
    assert figures["Accuracy (top-5)"] == top_k_accuracy_score(labels, logits, k=5, labels=classes)
    # The class matrix is float32, and so are the cosines taken with it.
    assert figures["Test loss"] == pytest.approx(log_loss(labels, stated, labels=classes), abs=1e-5)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, logits.argmax(1), labels=classes, zero_division=0
    )
    assert figures["Macro F1"] == pytest.approx(f1.mean(), abs=1e-12)
    found = closed_set(read_run(folder))
    assert isinstance(found, ClosedSet)
    assert (found.result.confusion == confusion_matrix(labels, logits.argmax(1), labels=classes)).all()
    for row, p, r, f, n in zip(found.result.classes, precision, recall, f1, support, strict=True):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx((p, r, f, n))
        assert f"{n} {share(p)} {share(r)}" in page.text
    assert 0 < figures["Accuracy (top-1)"] < 1, "the example shows nothing if all are right"
    assert share(figures["Accuracy (top-1)"]) in page.text


def test_verification_and_space_equal_scikit_learns(made):
    _, held, page, told = made
    figures = told["runs"][0]["figures"]
    assert figures["unknown people: auc"] == pytest.approx(roc_auc_score(held.pairs.same, held.scores))
    for part in (held.known, held.unknown):
        unit = part.embeddings.astype(np.float64)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        silhouette = silhouette_score(unit, part.labels, metric="cosine")
        assert f"Silhouette {number(silhouette)}" in page.text
        assert number(davies_bouldin_score(unit, part.labels)) in page.text


def test_every_part_of_a_run_is_there(made):
    page = made[2]
    for title in (
        "Learning curves", "Known people", "Confusion matrix", "Most confused people", "Problem classes",
        "Unknown people", "Embedding space", "Embedding map", "Data and provenance", "c0ffee", "d1ce",
        "precision bf16, fast_layers [], channels_last True",
        "A <run> of nobody.", "There is no model file yet",
    ):  # fmt: skip
        assert title in page.text
    assert HOSTILE in page.text
    assert len(page.of("script")) == 2
    assert page.of("img"), "the photos of the confused are shown"


def test_two_runs_side_by_side_have_paired_differences(tmp_path, people, made):
    folder, held, *_ = made
    other_held = write_run(tmp_path / "second", people, seed=5)
    out = tmp_path / "both.html"
    told = report_runs([folder, tmp_path / "second"], out).to_dict()
    page = check_page(out.read_text("utf-8"))
    assert [run["run"] for run in told["runs"]] == ["first", "second"]
    right = held.known.predicted == held.known.labels
    other = other_held.known.predicted == other_held.known.labels
    gain = f"{other.mean() - right.mean():+.4f}".replace("-", "−")
    assert f"second {gain}" in page.text
    assert f"{(other & ~right).sum()} and {(right & ~other).sum()}" in page.text
    assert "second less first" in page.text
    with pytest.raises(SettingError, match="twice"):
        report_runs([folder, folder / ".." / "first"], out)


def test_a_softmax_run_is_scored_with_the_lengths_of_its_embeddings(tmp_path, people):
    held = write_run(tmp_path / "run", people, loss="softmax", lengths=True)
    told = write_run_report(tmp_path / "run", photos=False).to_dict()["runs"][0]["figures"]
    state = checkpoint.load(folder_of(tmp_path / "run", BEST)).part("head")
    features = held.known.embeddings.astype(np.float64) * held.known.lengths[:, np.newaxis]
    logits = features @ state["weight"].double().numpy().T + state["bias"].double().numpy()
    labels, classes = held.known.labels, np.arange(CLASSES)
    assert told["Accuracy (top-5)"] == top_k_accuracy_score(labels, logits, k=5, labels=classes)
    loss = log_loss(labels, softmax(logits, axis=1), labels=classes)
    assert told["Test loss"] == pytest.approx(loss, rel=1e-5)


def test_a_softmax_run_of_old_says_why_it_has_no_loss(tmp_path, people):
    held = write_run(tmp_path / "run", people, loss="softmax")
    told = write_run_report(tmp_path / "run", photos=False).to_dict()["runs"][0]["figures"]
    assert told["Accuracy (top-1)"] == accuracy_score(held.known.labels, held.known.predicted)
    assert "Test loss" not in told
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "how long an embedding is" in check_page(html).text
    assert "data:image/jpeg" not in html


def test_what_is_missing_is_said(tmp_path, people, made):
    folder = tmp_path / "run"
    shutil.copytree(made[0], folder)
    shutil.rmtree(folder / "checkpoints")
    facts = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(facts | {"data": str(tmp_path / "gone")}))
    write_run_report(folder)
    page = check_page((folder / "report.html").read_text("utf-8"))
    assert "checkpoints are gone" in page.text
    assert "not there any more" in page.text
    (folder / "held_out.npz").unlink()
    (folder / "environment.json").unlink()
    write_run_report(folder)
    page = check_page((folder / "report.html").read_text("utf-8"))
    assert "There are no held-out photos to report on" in page.text
    assert "What the run was made with is not known" in page.text


def test_a_damaged_run_is_refused(tmp_path, made):
    folder = tmp_path / "run"
    shutil.copytree(made[0], folder)
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        write_run_report(folder)
    (folder / "model.onnx").unlink()
    (folder / "held_out.npz").write_bytes(b"no arrays")
    with pytest.raises(DatasetError, match="damaged"):
        write_run_report(folder)
    (folder / "metrics.jsonl").write_text("")
    with pytest.raises(DatasetError, match="no metrics yet"):
        write_run_report(folder)
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(DatasetError, match="Cannot read"):
        write_run_report(folder)
    (folder / "config.yaml").write_text("scenes: {}")
    with pytest.raises(DatasetError, match="no run of a recogniser"):
        write_run_report(folder)


def test_many_people_have_no_whole_matrix_but_its_worst_part(tmp_path, people):
    names = [f"Person_{i:03d}" for i in range(210)]
    write_run(tmp_path / "run", people, names=names)
    write_run_report(tmp_path / "run")
    page = check_page((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert "The whole confusion matrix has 210 × 210 cells" in page.text
    assert "Most confused people" in page.text
