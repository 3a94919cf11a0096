"""Killed at any moment, the gallery opens with one of its keys, and nothing that is another's has changed."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, face_of
from killed_worker import JPEG, SPACE, batch, opens_with
from nasty import KINDS, everything, put_beside

from facewise.gallery import Gallery, live
from facewise.gallery.rekey import rekey
from facewise.vault import new_key_file

OURS = {"g.db", "g.db-wal", "g.db-shm", "g.db-journal", "g.db.index", "g.db.index.lock", "export.npz"}


class Worker:
    """A process that changes a gallery, and is killed."""

    def __init__(self, path, log, keys):
        here = str(Path(__file__).parent)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("killed_worker.py")), path, log, *keys],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path])},
        )  # fmt: skip

    def ask(self, *numbers):
        print(*numbers, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().strip()
        assert answer, "the worker failed"
        return answer

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        assert self._process.wait() == 0


def told(log):
    """Who must be there by the log, who must not, who may be either, and who was certainly merged."""
    there, gone, merged, either, doing = {"all"}, set(), set(), set(), set()
    for line in log.read_text().splitlines():
        what, _, who = line.partition(" ")
        names = set(who.split("|"))
        if not what.endswith("."):
            either |= doing  # it was killed in the middle of that
            there, doing = there - names, names
            continue
        doing = set()
        if what == "+.":
            there |= names
        else:
            gone |= names
        merged |= names if what == ">." else set()
    return there, gone, either | doing, merged


def look(path, keys, log):
    """What must hold after any kill."""
    there, gone, either, merged = told(log)
    key = opens_with(path, keys)
    with Gallery.open(path, key_file=key, create=False) as gallery:
        assert gallery.check() == []
        people = {person.name: person.samples for person in gallery.people()}
        assert there <= set(people)
        assert not gone & set(people)
        assert set(people) - there - either == {f"0 {i} c" for i in range(15)}
        assert set(people.values()) - {people["all"]} <= {1}
        shown = gallery.show("all").samples
        assert {f"{name}.jpg" for name in merged} <= {one.source for one in shown}
        assert all(gallery.photo(one.id) == JPEG for one in shown)
        names = sorted(there)[-5:]
        found = gallery.identify_embeddings(
            np.stack([face_of(name) for name in names]), fingerprint=FINGERPRINT, top=1
        )
        assert [one.candidates[0].name for one in found] == names
    return key


@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        *((kind, 6) for kind in ("key", "link", "hard link")),
        *(pytest.param(kind, 40, marks=pytest.mark.slow) for kind in KINDS),
    ],
)
def test_killed_at_any_moment(tmp_path, monkeypatch, kind, kills):
    monkeypatch.delenv("FACEWISE_KEY_FILE", raising=False)
    monkeypatch.setattr(live, "SMALL", 10)
    path, log = tmp_path / "gallery" / "g.db", tmp_path / "log"
    path.parent.mkdir()
    files = [path.with_name("g.db.rekey.first"), path.with_name("g.db.index.second")]
    for file in files:
        new_key_file(file)
    put_beside(path, kind, tmp_path / "elsewhere")
    folders = path.parent, tmp_path / "elsewhere"
    before, keys = everything(*folders), [None, *files]
    with Gallery.open(path) as gallery:
        gallery._store.add(batch(["all", *(f"0 {i} c" for i in range(15))]), SPACE)
    log.touch()
    worker, rng = Worker(path, log, files), random.Random(kills)
    events = int(worker.ask(1, -1, 0))
    for seed in range(2, kills + 2):
        assert worker.ask(seed, rng.randint(1, events), rng.choice([0, 0, 200, 1000, 3000])) == "killed"
        key = look(path, keys, log)
        after = everything(*folders)
        assert {name: after.get(name) for name in before} == before
    worker.close()
    # The next that come to an end leave nothing of the killed ones.
    with Gallery.open(path, key_file=key, create=False) as gallery:
        gallery.export(path.with_name("export.npz"))
    rekey(path, key, files[0])
    look(path, keys, log)
    left = {Path(name).name for name in set(everything(path.parent)) - set(before)}
    assert left <= OURS
    assert all(face_of("all").tobytes() not in path.with_name(n).read_bytes() for n in left - {"export.npz"})
