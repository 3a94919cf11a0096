"""Real faces with the bundled models: photos of LFW moved across a background, whose truth is known."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from facewise.gallery import Gallery
from facewise.video import identify_video

MOVING = Path(__file__).parents[2] / "benchmarks" / "moving_photos.py"


@pytest.fixture(scope="module")
def moving() -> ModuleType:
    """What composes the videos of benchmarks/video.py."""
    spec = importlib.util.spec_from_file_location("moving_photos", MOVING)
    module = importlib.util.module_from_spec(spec)
    sys.modules["moving_photos"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("seed", [200, 201])
def test_who_walked_past(shared, moving, tmp_path, seed):
    """Four people enrolled with other photos and three strangers cross each other, with blur and a pillar."""
    seconds = 10.0
    people = moving.cast(shared / "data" / "lfw" / "images", 7, seed)
    known = set(list(people)[::2])
    walkers = moving.stage(people, seconds, seed)
    path = moving.write(tmp_path / "v.mp4", walkers, seconds, seed)
    with Gallery.open(tmp_path / "g.db") as gallery:
        for name in known:
            gallery.enroll(name, people[name][:2])
        result = identify_video(path, gallery, out=tmp_path / "named.mp4")
    assert (result.frames, result.problem) == (250, None)
    named = {person.name: person for person in result.people if person.name is not None}
    assert set(named) <= known  # no stranger has a name
    assert len(named) >= len(known) - 1
    there = {
        name: {f for i in person.intervals for f in range(i.first_frame, i.last_frame + 1)}
        for name, person in named.items()
    }
    due = [(name, f) for f in range(250) for name in moving.in_view(walkers, f / moving.FPS) if name in named]
    assert sum(f in there[name] for name, f in due) >= 0.85 * len(due)
    # A stranger whose pose changes much may be told as two, never as one with another.
    strangers = [person for person in result.people if person.name is None]
    assert 3 <= len(strangers) + len(known) - len(named) <= 7
    assert (tmp_path / "named.mp4").stat().st_size > 100_000
