"""benchmarks/attack.py in short: under every attack others are served, and nothing is left of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "attack.py"


@pytest.mark.slow
def test_whatever_is_tried_others_are_served_and_an_enrolment_works_at_once(
    tmp_path, tiny_detector_file, tiny_embedder_file, drawn_photo
):
    """How fast is for the benchmark to say; here that nobody elsewhere is refused, and memory comes back."""
    import cv2

    photo = tmp_path / "face.png"
    cv2.imwrite(str(photo), drawn_photo([(60, 60, 64, 1)], size=(160, 160)))
    words = ["--seconds", "1.5", "--json", "--photo", photo, "--", "--detector", tiny_detector_file]
    words += ["--model", tiny_embedder_file, "--threads", "1", "--timeout", "600"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) >= 30
    for told in found:
        assert told["enrolled"] == 201, told["attack"]
        for way in ("new", "kept", "metrics"):
            lost = sum(second >= 10 for second in told["health"][way])
            assert told["health"][way], told["attack"]
            assert lost == 0, (told["attack"], way, lost)
    # With a key, what was accepted is still worked on when the attack is over.
    keyless = [told for told in found if not told["quiet"]]
    first, last = found[0]["memory"][0], max(told["memory"][2] for told in keyless)
    assert last - first < 400, (first, last)
