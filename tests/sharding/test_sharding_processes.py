"""`facewise embed` into a folder as users run it: processes that are killed, and several at once."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

PHOTOS = 60


@pytest.fixture(scope="module")
def photos(tmp_path_factory, drawn_photo) -> Path:
    """Sixty photos of one drawn face."""
    root = tmp_path_factory.mktemp("many")
    for i in range(PHOTOS):
        photo = drawn_photo([(50 + i, 60, 60, i % 7)], size=(120, 180))
        PIL.Image.fromarray(photo).save(root / f"{i:03d}.png")
    return root


@pytest.fixture
def embed(tiny_detector_file, tiny_embedder_file):
    """`embed(out, *words, **environment)`: starts the command."""

    def start(out: Path, *words: object, **environment: str) -> subprocess.Popen[str]:
        command = [
            sys.executable, "-m", "facewise", "embed", "--out", str(out), "--threads", "1",
            "--detector", str(tiny_detector_file), "--model", str(tiny_embedder_file), *map(str, words),
        ]  # fmt: skip
        return subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, (out, err)
    return out + err


def contents(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if not path.name.endswith(".lock")
    }


def killed_and_taken_up(embed, photos: Path, tmp_path: Path, kills: int, seed: int) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    finish(embed(whole, photos, "--part-size", 4))
    chance = random.Random(seed)
    last, lost = 0, []
    for _ in range(kills):
        process = embed(folder, photos, "--part-size", 4)
        deadline = time.monotonic() + 60
        # Killed a random moment after the first part of this run: while it embeds, writes or renames.
        while len(list(folder.glob("part-*.json"))) <= last and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = len(list(folder.glob("part-*.json")))
        lost.append(len(list(folder.glob("part-*.npz"))) - now)
        assert now >= last, "a part that was done is gone"
        last = now
    finish(embed(folder, "--json"))
    assert contents(folder) == contents(whole)
    assert max(lost) <= 1


def test_kill_twice(embed, photos, tmp_path):
    killed_and_taken_up(embed, photos, tmp_path, 2, 1)


@pytest.mark.slow
def test_kill_twelve_times(embed, photos, tmp_path):
    killed_and_taken_up(embed, photos, tmp_path, 12, 2)


@pytest.mark.slow
def test_ranks_at_once_as_a_launcher_starts_them(embed, photos, tmp_path):
    """Three processes that begin at the same moment agree on one plan and write one manifest."""
    running = [
        embed(tmp_path / "out", photos, "--part-size", 5, "--json", RANK=str(rank), WORLD_SIZE="3")
        for rank in range(3)
    ]
    told = [json.loads(finish(process)) for process in running]
    assert sorted(one["shard"] for one in told) == [0, 1, 2]
    assert sum(one["parts_done"] for one in told) == 12
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["photos"], manifest["faces"], len(manifest["parts"])) == (PHOTOS, PHOTOS, 12)
    finish(embed(tmp_path / "alone", photos, "--part-size", 5))
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_rest_is_done_later(embed, photos, tmp_path):
    """A limit on the size of a file stands for a full disk: the write fails in the same way."""
    process = embed(tmp_path / "out", photos, "--part-size", 5)
    finish(process)
    command = process.args
    whole = contents(tmp_path / "out")
    small = [str(tmp_path / "small") if word == str(tmp_path / "out") else word for word in command]
    limited = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", *small]  # 4 or 8 KB, as the shell counts
    process = subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "Cannot write" in finish(process, 3)
    assert not list((tmp_path / "small").glob(".part-*")), "a half-written part stays"
    finish(subprocess.Popen(small, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    assert contents(tmp_path / "small") == whole


def test_check_merge_and_refusals(embed, photos, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("000.png", "001.png"):
        (tmp_path / "in" / name).write_bytes((photos / name).read_bytes())
    (tmp_path / "in" / "bad.png").write_bytes(b"bad")
    out = tmp_path / "out"
    said = finish(embed(out, tmp_path / "in", "--json"), 3)
    assert "bad.png" in said
    assert "bad.png" in finish(embed(out, "--check"), 3)
    finish(embed(out, "--merge", tmp_path / "all.npz"))
    with np.load(tmp_path / "all.npz") as rows:
        assert rows["embedding"].shape == (2, 32)
