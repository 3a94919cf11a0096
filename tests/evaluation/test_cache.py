"""The evaluation cache: what goes in comes out, and a damaged one costs time, never a wrong number."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import facewise
from facewise.errors import FacewiseError
from facewise.evaluation.cache import CachedCrop, FaceCache
from facewise.models.home import cache_folder
from mutations import picture

CROP = picture(112, 112)
MARKS = np.arange(10, dtype=np.float32).reshape(5, 2) * 1.25
VECTOR = np.linspace(-1, 1, 32, dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "faces.cache"


def filled(path: Path) -> None:
    with FaceCache(path) as cache:
        cache.add_crops("d1", [("a", CachedCrop(CROP, 0.75, MARKS)), ("b", CachedCrop(None, 0.0, None))])
        cache.add_embeddings("d1", "e1", [("a", VECTOR)])


def test_what_goes_in_comes_out(path: Path) -> None:
    filled(path)
    with FaceCache(path) as cache:
        crops = cache.crops(["a", "b", "c"], "d1")
        assert set(crops) == {"a", "b"}
        np.testing.assert_array_equal(crops["a"].crop, CROP)  # to the bit, channels in order
        assert crops["a"].score == 0.75
        np.testing.assert_array_equal(crops["a"].landmarks, MARKS)
        assert crops["b"].crop is None
        assert crops["b"].landmarks is None
        assert cache.without_face(["a", "b", "c"], "d1") == {"b"}
        vectors = cache.embeddings(["a", "b", "c"], "d1", "e1")
        assert set(vectors) == {"a"}
        np.testing.assert_array_equal(vectors["a"], VECTOR)


def test_keys_are_kept_apart(path: Path) -> None:
    filled(path)
    with FaceCache(path) as cache:
        assert cache.crops(["a", "b"], "d2") == {}
        assert cache.without_face(["b"], "d2") == set()
        assert cache.embeddings(["a"], "d2", "e1") == {}
        assert cache.embeddings(["a"], "d1", "e1+flip") == {}


def test_later_entries_replace_earlier_ones(path: Path) -> None:
    filled(path)
    with FaceCache(path) as cache:
        cache.add_embeddings("d1", "e1", [("a", -VECTOR)])
        cache.add_crops("d1", [("b", CachedCrop(CROP, 0.5, MARKS))])
        np.testing.assert_array_equal(cache.embeddings(["a"], "d1", "e1")["a"], -VECTOR)
        assert cache.without_face(["b"], "d1") == set()


def test_more_keys_than_a_query_takes(path: Path) -> None:
    keys = [f"{i:064x}" for i in range(2345)]
    with FaceCache(path) as cache:
        cache.add_embeddings("d", "e", [(key, np.full(4, i, np.float32)) for i, key in enumerate(keys)])
        found = cache.embeddings(iter(keys), "d", "e")
    assert list(found) == sorted(keys)
    assert all(found[key][0] == i for i, key in enumerate(keys))


def test_where_it_is_and_who_may_look(path: Path) -> None:
    with FaceCache() as cache:
        assert cache.path.is_relative_to(cache_folder())
    with FaceCache(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_transaction_is_whole_or_not_at_all(path: Path) -> None:
    with FaceCache(path) as cache:
        with pytest.raises(FacewiseError, match="Cannot write the cache"):
            cache.add_embeddings("d", "e", [("a", VECTOR), (None, VECTOR)])  # type: ignore[list-item]
        assert cache.embeddings(["a"], "d", "e") == {}
        cache.add_embeddings("d", "e", [("a", VECTOR)])
        assert set(cache.embeddings(["a"], "d", "e")) == {"a"}


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 300, b"x", bytes(range(256)) * 40], ids=["text", "byte", "random"]
)
def test_a_damaged_file_is_begun_anew(path: Path, content: bytes) -> None:
    filled(path)
    path.write_bytes(content)
    with FaceCache(path) as cache:
        assert cache.embeddings(["a"], "d1", "e1") == {}
    filled(path)
    with FaceCache(path) as cache:
        assert set(cache.embeddings(["a"], "d1", "e1")) == {"a"}


def test_a_damaged_file_whose_process_was_killed_is_begun_anew(path: Path) -> None:
    """What SQLite left beside it belongs to the old file and must not be played into the new one."""
    code = (
        "import sys, os, numpy as np; from pathlib import Path\n"
        "from facewise.evaluation.cache import FaceCache\n"
        "FaceCache(Path(sys.argv[1])).add_embeddings('d1', 'e1', [('a', np.ones(4, 'f4'))]); os._exit(0)"
    )
    root = str(Path(facewise.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=os.environ | {"PYTHONPATH": root})
    assert path.with_name("faces.cache-wal").exists()
    with FaceCache(path) as cache:  # undamaged, nothing is lost
        assert set(cache.embeddings(["a"], "d1", "e1")) == {"a"}
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, env=os.environ | {"PYTHONPATH": root})
    path.write_bytes(b"garbage" * 1000)
    with FaceCache(path) as cache:
        assert cache.embeddings(["a"], "d1", "e1") == {}


@pytest.mark.parametrize("place", [100, 3000, 4096, 5000, 8192, 12000, 20000, 40000])
def test_damage_anywhere_is_no_traceback(path: Path, place: int) -> None:
    with FaceCache(path) as cache:
        cache.add_embeddings("d", "e", [(f"{i:064x}", VECTOR) for i in range(200)])
    data = bytearray(path.read_bytes())
    data[place : place + 2000] = np.random.default_rng(place).bytes(2000)
    path.write_bytes(data[: len(data)])
    try:
        with FaceCache(path) as cache:
            for vector in cache.embeddings([f"{i:064x}" for i in range(200)], "d", "e").values():
                assert vector.dtype == np.float32
            cache.add_embeddings("d", "e", [("new", VECTOR)])
    except FacewiseError as error:
        assert "faces.cache" in str(error)  # noqa: PT017


def test_an_older_version_is_dropped(path: Path) -> None:
    filled(path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 0")
    db.close()
    with FaceCache(path) as cache:
        assert cache.embeddings(["a"], "d1", "e1") == {}
        assert cache.crops(["a", "b"], "d1") == {}


def test_a_folder_where_the_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(FacewiseError):
        FaceCache(tmp_path / "taken")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FacewiseError):
        FaceCache(tmp_path / "file" / "faces.cache")


def test_two_at_once(path: Path) -> None:
    with FaceCache(path) as one, FaceCache(path) as two:
        one.add_embeddings("d", "e", [("a", VECTOR)])
        two.add_embeddings("d", "e", [("b", VECTOR)])
        assert set(one.embeddings(["a", "b"], "d", "e")) == {"a", "b"}
        assert set(two.embeddings(["a", "b"], "d", "e")) == {"a", "b"}
