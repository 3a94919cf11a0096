"""Do two models give the same answers? On made-up answers, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest

from facewise.errors import DatasetError, ModelError
from facewise.evaluation.agreement import check_agreement, compare_detectors, compare_embedders
from facewise.evaluation.pace import in_turn
from facewise.types import Face

PHOTO = np.zeros((64, 64, 3), np.uint8)


def face(x: float, y: float, *, side: float = 20, score: float = 0.9, move: float = 0.0) -> Face:
    marks = np.array([[4, 6], [14, 6], [9, 10], [5, 15], [13, 15]], np.float32)
    shift = np.array([x + move, y], np.float32)
    return Face(np.array([x, y, x + side, y + side], np.float32), score, marks + shift)


def detector(*answers: list[Face]) -> SimpleNamespace:
    left = iter(answers)
    return SimpleNamespace(name="made-up", detect=lambda _: next(left))


def embedder(vectors: np.ndarray, name: str = "made-up") -> SimpleNamespace:
    return SimpleNamespace(name=name, embedding_size=vectors.shape[1], embed=lambda _: vectors)


def unit(angles: np.ndarray) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_cosines_of_known_angles() -> None:
    angles = np.linspace(0, 0.5, 11)
    crops = np.zeros((11, 8, 8, 3), np.uint8)
    found = compare_embedders(embedder(unit(np.zeros(11))), embedder(unit(angles)), crops)
    assert found.crops == 11
    assert found.mean == pytest.approx(np.cos(angles).mean(), abs=1e-6)
    assert found.least == pytest.approx(np.cos(0.5), abs=1e-6)
    assert found.low == pytest.approx(np.quantile(np.cos(angles), 0.05), abs=1e-6)
    assert not found.broken
    check_agreement("made-up", found)


def test_embeddings_that_are_other_ones_are_broken() -> None:
    crops = np.zeros((4, 8, 8, 3), np.uint8)
    found = compare_embedders(embedder(unit(np.zeros(4))), embedder(unit(np.full(4, 0.4))), crops)
    assert found.broken
    with pytest.raises(ModelError, match=r"mean 0\.9211.*was not saved"):
        check_agreement("made-up", found)
    with pytest.raises(ModelError, match="gives 3 numbers a face"):
        compare_embedders(embedder(unit(np.zeros(4))), embedder(np.ones((4, 3), np.float32)), crops)


def test_faces_are_matched_one_to_one() -> None:
    original = detector([face(0, 0), face(30, 0)], [face(10, 10)], [])
    other = detector(
        [face(31, 0, score=0.8), face(0, 0, move=1)],  # in another order
        [face(10, 10, move=2), face(11, 10), face(40, 40)],  # two boxes on one face, and one of its own
        [face(5, 5)],
    )
    found = compare_detectors(original, other, [PHOTO] * 3)
    assert (found.photos, found.faces, found.found, found.extra) == (3, 3, 1.0, 3)
    # Eye distance 10; the faces' landmarks are 1, 1 and 2 pixels away.
    assert found.landmarks == pytest.approx(0.1)
    assert found.landmarks_high == pytest.approx(np.quantile([0.1, 0.1, 0.2], 0.95))
    assert found.overlap == pytest.approx(1.0)  # of 19/21, 1 and 1
    assert found.score == pytest.approx(0.0)
    assert not found.broken


def test_a_detector_that_misses_or_misplaces_faces_is_broken() -> None:
    faces = [face(0, 0), face(30, 0)]
    misses = compare_detectors(detector(faces), detector(faces[:1]), [PHOTO])
    assert misses.found == 0.5
    assert misses.broken
    assert compare_detectors(detector(faces), detector([]), [PHOTO]).broken
    moved = [face(0, 0, move=3), face(30, 0, move=3)]
    assert compare_detectors(detector(faces), detector(moved), [PHOTO]).broken
    with pytest.raises(ModelError, match=r"50\.0% of the original's 2 faces"):
        check_agreement("made-up", misses)


def test_photos_without_faces_compare_nothing() -> None:
    with pytest.raises(DatasetError, match="finds no face in the 2 photos"):
        compare_detectors(detector([], []), detector([], []), [PHOTO] * 2)


def test_what_takes_longer_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def taking(seconds: float) -> Callable[[], None]:
        return lambda: now.append(now[-1] + seconds)

    monkeypatch.setattr("facewise.evaluation.pace.time.perf_counter", lambda: now[-1])
    assert in_turn(taking(0.5), taking(0.125), rounds=3) == (0.5, 4.0)
