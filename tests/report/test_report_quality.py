"""The report's heat map of quality by quality: equal to counting by hand, absent where nothing is known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
from drawn_data import write_people
from html_checks import check_page
from typer.testing import CliRunner

from facewise.cli.app import app
from facewise.embedding import Embedder
from facewise.models import Calibration, QualityRule, read_model, write_model
from facewise.models.calibration import Threshold
from facewise.report.dataset import open_dataset
from planted_quality import planted_rule

PLAIN = 0.5


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people") / "faces", people=5, photos=4)


def written(folder, tiny, quality):
    """The tiny embedder with a calibration; returns the file's path."""
    model = read_model(tiny)
    calibration = Calibration(
        dataset="elsewhere", protocol="some pairs", data_hash="0" * 64, genuine=9, impostors=9, flip=False,
        detector="d", detector_fingerprint="f",
        thresholds=(Threshold(1e-3, PLAIN, 1e-3, 0.1, (0.05, 0.2)),), quality=quality,
    )  # fmt: skip
    return write_model(folder / "own.onnx", model.network, replace(model.card, calibration=calibration)).path


def report(model, people, out):
    done = CliRunner().invoke(app, ["report", str(model), "--on", str(people), "--aligned", "--no-flip",
                                    "--no-photos", "--out", str(out)])  # fmt: skip
    assert done.exit_code == 0, done.output
    return check_page(out.read_text("utf-8"))


def test_each_cell_counts_its_pairs(tmp_path, people, tiny_embedder_file):
    embedder = Embedder(read_model(tiny_embedder_file), flip=False)
    data = open_dataset(people)
    photos = sorted({photo for pair in data.file.pairs for photo in (pair.a, pair.b)})
    crops = np.stack([np.asarray(PIL.Image.open(people / photo)) for photo in photos])
    vectors = embedder.embed(crops)
    # Qualities spread over the bands: the value that decides them is stretched to [0, 1].
    rule = planted_rule(vectors.shape[1], PLAIN)
    first = vectors[:, 0] - vectors[:, 0].min()
    scale = 1.0 / first.max()
    weights = [[w.copy(), b.copy()] for w, b in rule.layers]
    weights[0][0][:, 0] *= scale
    weights[0][1][0, 0, 0] = -vectors[:, 0].min() * scale
    rule = replace(rule, layers=tuple(map(tuple, weights)))
    rule = QualityRule.from_dict(rule.to_dict())  # as the file has it, in float16
    page = report(written(tmp_path, tiny_embedder_file, rule), people, tmp_path / "report.html")

    place = {photo: i for i, photo in enumerate(photos)}
    values = rule.of(vectors)
    found = {}
    for pair in data.file.pairs:
        i, j = place[pair.a], place[pair.b]
        better, worse = max(values[i], values[j]), min(values[i], values[j])
        needed = next(
            (t for start, t in zip((0.9, 0.7, 0.5), (PLAIN, 0.65, 0.8), strict=True) if better >= start), 0.95
        )
        refused = worse < rule.least or needed > rule.ceiling
        matched = not refused and float(vectors[i] @ vectors[j]) >= needed
        bands = [sum(value >= edge for edge in (0.4, 0.6, 0.8, 0.9, 0.95)) for value in (better, worse)]
        row = found.setdefault((pair.same, *bands), [0, 0, 0])
        row[0] += matched if not pair.same else not refused and not matched
        row[1] += refused
        row[2] += 1
    assert len(found) > 6
    told = [dict(cell)["title"] for cell in page.of("td") if "title" in dict(cell)]
    ends = ("0", "0.4", "0.6", "0.8", "0.9", "0.95", "1")
    names = [f"{a} to {b}" for a, b in itertools.pairwise(ends)]
    expected = []
    for (same, better, worse), (wrong, refused, pairs) in found.items():
        start = f"better {names[better]}, worse {names[worse]}: "
        what = "missed" if same else "taken for one person"
        matching = [one for one in told if one.startswith(start) and what in one]
        assert len(matching) == 1
        assert f"{refused / pairs:.1%} without a decision, {pairs:,} pair" in matching[0]
        assert float(matching[0][len(start) :].split()[0]) == pytest.approx(wrong / pairs, abs=5e-5)
        expected += matching
    assert sorted(expected) == sorted(told)
    assert "By quality" in page.text


def test_without_a_rule_there_is_no_such_part(tmp_path, people, tiny_embedder_file):
    page = report(written(tmp_path, tiny_embedder_file, None), people, tmp_path / "report.html")
    assert "By quality" not in page.text
