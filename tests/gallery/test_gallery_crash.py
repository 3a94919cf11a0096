"""A process killed in the middle of 200 enrolments: what it acknowledged is there, nothing in part."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, face_of

from facewise.gallery import Gallery
from facewise.vault import new_key_file

PHOTO = b"\xff\xd8" + bytes(range(256)) * 40

ENROL = """
import sys
from dataclasses import replace
from gallery_fakes import FINGERPRINT, sample
from test_gallery_crash import PHOTO
from facewise.gallery import Gallery

with Gallery.open(sys.argv[1], key_file=sys.argv[2] or None) as gallery:
    for i in range(200):
        name = f"person {i}"
        samples = [replace(sample(name, shot, 512), photo=PHOTO) for shot in range(3)]
        gallery.enroll_embeddings(name, samples, fingerprint=FINGERPRINT, groups=["all", name])
        if i % 20 == 10:
            print("removing", i - 5, flush=True)
            gallery.remove(f"person {i - 5}")
            print("removed", i - 5, flush=True)
        print("enrolled", i, flush=True)
"""


def acknowledged(lines):
    """Who must be there, and who must not; who was being removed at the last moment may be either."""
    said = {"enrolled": set(), "removing": set(), "removed": set()}
    for line in lines:
        word, number = line.split()
        said[word].add(f"person {number}")
    return said["enrolled"] - said["removing"], said["removed"]


@pytest.mark.parametrize("seed", range(6))
def test_killed_while_enrolling(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "people.db"
    key = tmp_path / "people.key" if seed % 2 else None
    if key is not None:
        new_key_file(key)
    here = str(Path(__file__).parent)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([here, *sys.path])}
    run = subprocess.Popen(
        [sys.executable, "-c", ENROL, str(path), str(key or "")], stdout=subprocess.PIPE, text=True, env=env
    )
    lines = [run.stdout.readline() for _ in range(int(rng.integers(1, 150)))]
    time.sleep(float(rng.uniform(0, 0.02)))  # somewhere within a transaction, not always at its end
    run.send_signal(signal.SIGKILL)
    lines += run.stdout.readlines()
    run.wait()
    assert run.returncode == -signal.SIGKILL
    there, gone = acknowledged(line for line in lines if line.endswith("\n"))
    assert there
    with Gallery.open(path, create=False, key_file=key) as gallery:
        assert gallery.check() == []
        assert all(person.groups == ("all", person.name) for person in gallery.people())
        for person in gallery.people():
            assert [gallery.photo(s.id) for s in gallery.show(person.name).samples] == [PHOTO] * 3
        people = {person.name: person.samples for person in gallery.people()}
        assert there <= set(people)
        assert not gone & set(people)
        assert set(people.values()) == {3}
        probes = np.stack([face_of(name, 1, 512) for name in sorted(there)])
        found = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, top=1)
        assert [f.candidates[0].name for f in found] == sorted(there)
