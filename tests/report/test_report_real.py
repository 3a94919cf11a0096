"""The report on all of LFW: as large as it may be, and the figures `facewise eval lfw` gives."""

from __future__ import annotations

import json

import pytest
from html_checks import check_page
from typer.testing import CliRunner

from facewise.cli.app import app

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("lfw")]


def test_the_report_of_lfw_is_small_and_equals_eval_lfw(shared, real_models, tmp_path):
    root, out = shared / "data" / "lfw", tmp_path / "report.html"
    models = ["--detector", str(real_models.detector)]
    report = CliRunner().invoke(
        app, ["report", str(real_models.embedder), "--on", str(root), "--out", str(out), "--json", *models]
    )
    assert report.exit_code == 0, report.output
    plain = CliRunner().invoke(
        app, ["eval", "lfw", str(root), "--model", str(real_models.embedder), "--json", *models]
    )
    assert plain.exit_code == 0, plain.output
    told, measured = json.loads(report.stdout)["models"][0], json.loads(plain.stdout)
    measured = measured.get("view_2", measured)
    assert json.loads(report.stdout)["data_hash"] == measured["data_hash"]
    assert told["accuracy"] == measured["kfold"]["mean"]
    assert told["auc"] == measured["auc"]
    assert told["eer"] == measured["eer"]
    tars = {f"tar@fmr={p['fmr_target']!r}": p["tar"] for p in measured["operating_points"]}
    assert {name: told[name] for name in told if name in tars} == {n: tars[n] for n in told if n in tars}
    assert set(tars) & set(told)
    for name, (low, high) in told["intervals"].items():
        assert (low, high) == (measured["intervals"][name]["low"], measured["intervals"][name]["high"])
    assert out.stat().st_size <= 5_000_000
    page = check_page(out.read_text("utf-8"))
    assert len(page.of("img")) == 48
    assert f"{measured['kfold']['mean']:.4f}" in page.text
