"""Whose photos the bundled detector learns from."""

from __future__ import annotations

import pytest

from facewise.data.lfw import people_of, read_pairs
from facewise.training.detection.reproduce import detector_sources


@pytest.mark.real
def test_nobody_of_view_2_is_learned_from(shared):
    sources = detector_sources(shared / "data")
    tested = people_of(read_pairs(shared / "data" / "lfw" / "pairs.txt"))
    assert not tested & set(sources["lfw"].names)
    assert len(sources["lfw"].keys) == 1549
    assert len(sources["lfw"].names) == 1468
    assert len(sources["celeba"].keys) == 6300
