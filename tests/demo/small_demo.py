"""The demo at a size of seconds: its plan, a tiny network to train, and a run whose report is looked at."""

from __future__ import annotations

from pathlib import Path

import torch
from test_demo_page import read
from torch import nn

from facewise.demo.plan import Plan
from facewise.demo.run import run
from facewise.demo.teller import Silent
from facewise.nn.backbones import BACKBONES

NAME = "test-tiny-of-the-demo"
PLAN = Plan(
    learn=5, measure=3, enrolled=2, strangers=1, photos=4, probes=2, photo_size=64, epochs=1, looked_at=6,
    training={"data.size": 32, "data.batch_size": 8, "backbone": NAME, "precision": "fp32"},
)  # fmt: skip

torch.set_num_threads(1)


@BACKBONES.register(NAME)
class Tiny(nn.Sequential):
    embedding_size = 16

    def __init__(self, input_size=32, unit=False):  # noqa: ARG002
        super().__init__(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (input_size // 4) ** 2, 16))


def demo(data=None, out="demo", plan=PLAN, **how):
    story = run(data, Path(out), plan=plan, threads=1, teller=Silent(), **how)
    html = (Path(out) / "report.html").read_text(encoding="utf-8")
    reader = read(html)
    assert all(link.startswith(("data:image/", "#step-")) for link in reader.links)
    assert "http" not in html
    assert all(image["alt"] for image in reader.images)
    return {section.title: section for section in story.sections}, "".join(reader.text)


def numbers(sections, word):
    return next(section.numbers for title, section in sections.items() if word in title)


def best_model(chosen):
    """Which of the models measured recognises most at the rate they are judged at."""
    at = chosen["judged_at_fmr"]

    def worth(name):
        result = chosen["models"][name]
        points = {point["fmr_target"]: point for point in result["operating_points"]}
        return points[at]["tar"], result["auc"]

    return max(chosen["models"], key=worth)
