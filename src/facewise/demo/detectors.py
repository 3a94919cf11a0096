"""The default models, if there are any."""

from __future__ import annotations

from facewise.demo.story import Story
from facewise.detection import Detector
from facewise.models import default_name
from facewise.models.store import path_of
from facewise.pipeline import Pipeline


def is_missing(kind: str) -> bool:
    """Whether no default model of a kind is installed; one that is there and broken is not missing."""
    return path_of(default_name(kind)) is None


def default_detector(story: Story) -> Detector:
    """The detector every command uses.

    Raises:
        ModelError: None is installed, or it is broken.
    """
    return Pipeline.load(embed=False, threads=story.threads).detector


def detecting(detector: Detector, story: Story) -> Pipeline:
    """A pipeline that detects and aligns."""
    return Pipeline(detector, None, threads=story.threads)
