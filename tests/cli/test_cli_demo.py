"""`facewise demo` where its data is not."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [[], ["--data", "nowhere"], ["--json"]])
def test_it_says_what_it_needs(facewise, words):
    done = facewise("demo", *words, code=3)
    assert len(done.err.splitlines()) == 1
    for needed in ("pairs.txt", "retinaface_mobilenet025.pth", "mobilefacenet_foamliu.pt", "--data DIR"):
        assert needed in done.err
    if "--json" in words:
        assert "pairs.txt" in done.json["error"]
    assert not Path("facewise-demo").exists()
