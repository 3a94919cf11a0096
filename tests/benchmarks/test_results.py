"""The sections of benchmarks/RESULTS.md: one for each benchmark, kind of CPU and number of cores."""

from __future__ import annotations

import pytest

from benchmarks import run
from facewise.hardware import HIDDEN, Cpu


@pytest.fixture
def on(monkeypatch):
    def machine(*features, cores=2, limit=None):
        monkeypatch.setattr(run, "cpu", lambda: Cpu("A processor", frozenset(features), cores, limit))

    return machine


def test_another_kind_of_cpu_keeps_its_section(on):
    text = "# Benchmark results\n\n## training\n\nof long ago\n"
    on("avx2")
    text = run.put(text, run.heading("training"), "first")
    on("avx512f", "avx512_vnni", cores=4)
    text = run.put(text, run.heading("training"), "wide")
    on("avx2")
    text = run.put(text, run.heading("training"), "second")
    assert text == (
        "# Benchmark results\n\n## training\n\nof long ago\n\n## training, AVX2, 2 cores\n\nsecond\n\n"
        "## training, AVX-512 VNNI, 4 cores\n\nwide\n"
    )


def test_a_quota_counts_as_cores(on):
    on("neon", "dotprod", cores=8, limit=1.0)
    assert run.heading("data") == "data, Arm int8, 1 core"


def test_a_stamp_names_the_processor_and_what_was_hidden(on, monkeypatch):
    monkeypatch.delenv(HIDDEN, raising=False)
    on("avx2", "fma", limit=1.5)
    assert "A processor (avx2, fma), 2 cores, quota 1.5, git " in run.stamp("data")
    monkeypatch.setenv(HIDDEN, "avx2,fma")
    assert f"2 cores, quota 1.5, others hidden by {HIDDEN}, git " in run.stamp("data")
