"""The search over millions against `search.Matrix` and a float64 loop, in small shards."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from gallery_fakes import unit
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.gallery import Gallery, Sample, index, live, snapshot
from facewise.gallery.index import View, best_people, by_product
from facewise.gallery.results import Space
from facewise.gallery.search import Matrix
from facewise.gallery.segment import Scale, Segment
from facewise.vault import new_key_file

SPACE = Space("a" * 64, "fake", 24, False)
KINDS = ("random", "equal", "near", "spikes", "axes", "some spikes")


def rows_of(kind, rng, count, size):
    rows = unit(rng.standard_normal((count, size)))
    if kind == "equal":
        rows[:] = rows[0]
    elif kind == "near":
        rows = unit(rows[0] + 1e-4 * rng.standard_normal((count, size)))
    elif kind == "spikes":
        rows[::7] = np.eye(size, dtype=np.float32)[0]
    elif kind == "axes":
        rows = np.eye(size, dtype=np.float32)[rng.integers(0, size, count)]
    elif kind == "some spikes":
        rows[: max(1, count // 200)] = -np.eye(size, dtype=np.float32)[1]
    return rows


def view_of(rows, people, cut=0, chosen=None):
    scale, parts = Scale.of(rows), [(0, cut), (cut, len(rows))]
    segments = [Segment.of(rows[a:b], np.arange(a, b), people[a:b].copy(), scale) for a, b in parts if b > a]
    errors = np.concatenate([s.errors for s in segments])
    far = errors > scale.usual
    starts = tuple(int(n) for n in np.cumsum([0, *(s.used for s in segments)])[:-1])
    return View(
        tuple(segments), scale, float(errors[~far].max(initial=0)), np.flatnonzero(far), starts, chosen
    )


def same(found, expected):
    assert [[p for p, _ in one] for one in found] == [[p for p, _ in one] for one in expected]
    for a, b in zip(found, expected, strict=True):
        assert [s for _, s in a] == pytest.approx([s for _, s in b], abs=1e-12)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    for name, value in {"_ROWS": 64, "_SAMPLE": 128, "_FIRST": 4, "_SCORED": 37}.items():
        monkeypatch.setattr(index, name, value)


@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(KINDS),
    count=st.integers(1, 900),
    size=st.integers(2, 70),
    k=st.integers(1, 40),
)
@settings(max_examples=60)
def test_every_way_of_searching_gives_the_exact_answer(seed, kind, count, size, k):
    rng = np.random.default_rng(seed)
    rows = rows_of(kind, rng, count, size)
    people = rng.integers(1, max(2, count // 3), count)
    probes = np.concatenate([unit(rng.standard_normal((10, size))), rows[:2]])
    k = min(k, len(np.unique(people)))
    expected = Matrix(rows, people).top(probes, k)
    view = view_of(rows, people, int(rng.integers(0, count + 1)))
    same(best_people(view, probes, k), expected)
    same(best_people(view, probes[:2], k), expected[:2])
    same(by_product(view, probes, k), expected)


@given(seed=st.integers(0, 10**6), share=st.floats(0.01, 1))
@settings(max_examples=25)
def test_only_the_chosen_are_found(seed, share):
    rng = np.random.default_rng(seed)
    rows, people = unit(rng.standard_normal((500, 24))), rng.integers(1, 90, 500)
    within = rng.permutation(np.unique(people))[: max(1, int(90 * share))]
    chosen = np.isin(people, within)
    k = min(5, len(np.unique(people[chosen])))
    probes = unit(rng.standard_normal((12, 24)))
    expected = Matrix(rows[chosen], people[chosen]).top(probes, k)
    view = view_of(rows, people, 100, chosen)
    same(best_people(view, probes, k), expected)
    same(best_people(view, probes[:3], k), expected[:3])


# -- a gallery large enough for an index


@pytest.fixture
def large(monkeypatch, tmp_path):
    monkeypatch.setattr(live, "SMALL", 50)
    rng = np.random.default_rng(5)
    rows = unit(rng.standard_normal((300, 24)))
    with Gallery.open(tmp_path / "people.db") as gallery:
        put(gallery, rows)
    return tmp_path / "people.db", rows


def put(gallery, rows, first=0):
    batches = [(f"p{first + i}", [Sample(row, f"{first + i}.jpg")]) for i, row in enumerate(rows)]
    gallery._searcher.apply(gallery._store.add(batches, SPACE), batches)


def names(gallery, probes, **more):
    found = gallery.identify_embeddings(probes, fingerprint=SPACE.fingerprint, top=3, **more)
    return [[c.name for c in one.candidates] for one in found]


def expected(gallery, probes):
    loaded = gallery._store.load()
    return [[loaded.names[p] for p, _ in one] for one in Matrix(loaded.rows, loaded.people).top(probes, 3)]


def test_changes_by_two_galleries_are_found_by_both(large):
    path, rows = large
    rng = np.random.default_rng(1)
    with Gallery.open(path) as a, Gallery.open(path) as b:
        for turn in range(12):
            one = (a, b)[turn % 2]
            put(one, unit(rng.standard_normal((7, 24))), 1000 + 7 * turn)
            one.remove(f"p{turn}")
            one.merge(f"p{100 + turn}", f"p{200 + turn}")
            probes = np.concatenate([rows[turn : turn + 3], unit(rng.standard_normal((9, 24)))])
            for gallery in (a, b):
                assert names(gallery, probes) == expected(gallery, probes)
                assert names(gallery, probes[:1]) == expected(gallery, probes[:1])


def test_a_snapshot_is_used_and_gives_the_same(large, monkeypatch):
    path, rows = large
    with Gallery.open(path) as gallery:
        before = names(gallery, rows[:20])
    assert (path.parent / "people.db.index").stat().st_mode & 0o077 == 0
    with Gallery.open(path) as gallery:
        monkeypatch.setattr(gallery._store, "load", lambda: pytest.fail("read everything"))
        assert names(gallery, rows[:20]) == before


@pytest.mark.parametrize("at", [9, 30, 4100, 8200, 12400, -5000, -1, None])
def test_a_damaged_snapshot_is_made_anew_and_told(large, at, caplog):
    path, rows = large
    with Gallery.open(path) as gallery:
        before = names(gallery, rows[:20])
    file = snapshot.path_of(str(path))
    data = bytearray(file.read_bytes())
    if at is None:
        del data[len(data) // 2 :]
    else:
        data[at] ^= 0x10
    file.write_bytes(data)
    assert not caplog.messages
    with Gallery.open(path) as gallery:
        assert names(gallery, rows[:20]) == before == expected(gallery, rows[:20])
    told = f"The index {file} is damaged or of another version: it is made anew."
    # 8200 is a person's number, which is the store's, and the last byte fills up a page.
    assert caplog.messages == ([] if at in {8200, -1} else [told])
    caplog.clear()
    with Gallery.open(path) as gallery:
        assert names(gallery, rows[:20]) == before
    assert not caplog.messages


def test_a_snapshot_of_another_gallery_or_of_a_later_one_is_not_used(large, tmp_path):
    path, rows = large
    old = path.read_bytes()
    with Gallery.open(path) as gallery:
        put(gallery, unit(np.random.default_rng(9).standard_normal((40, 24))), 500)
        names(gallery, rows[:1])
        gallery.remove("p3")
    path.write_bytes(old)  # an old copy put back: its ids are given a second time
    with Gallery.open(path) as gallery:
        put(gallery, unit(np.random.default_rng(8).standard_normal((40, 24))), 500)
        probes = np.concatenate([rows[:5], unit(np.random.default_rng(8).standard_normal((40, 24)))])
        assert names(gallery, probes) == expected(gallery, probes)


def test_no_byte_of_a_removed_person_stays_beside_the_gallery(large):
    path, rows = large
    with Gallery.open(path) as gallery:
        names(gallery, rows[:1])
        assert rows[7].tobytes() in snapshot.path_of(str(path)).read_bytes()
        with Gallery.open(path) as other:  # which has searched nothing
            other.remove("p7")
            held = [f for f in path.parent.iterdir() if rows[7].tobytes() in f.read_bytes()]
            assert held == []
        assert names(gallery, rows[6:9]) == expected(gallery, rows[6:9])
    with Gallery.open(path) as gallery:
        assert names(gallery, rows[6:9]) == expected(gallery, rows[6:9])


def test_a_gallery_with_a_key_writes_no_snapshot(monkeypatch, tmp_path):
    monkeypatch.setattr(live, "SMALL", 50)
    new_key_file(tmp_path / "key")
    rows = unit(np.random.default_rng(5).standard_normal((120, 24)))
    with Gallery.open(tmp_path / "p.db", key_file=tmp_path / "key") as gallery:
        put(gallery, rows)
        assert names(gallery, rows[:9]) == expected(gallery, rows[:9])
    assert not snapshot.path_of(str(tmp_path / "p.db")).exists()


def test_groups_limit_who_is_found(large):
    path, rows = large
    with Gallery.open(path) as gallery:
        for i in range(0, 300, 50):
            gallery.set_groups(f"p{i}", ["staff"])
        found = names(gallery, rows[:10], groups={"staff"})
        assert all(int(name[1:]) % 50 == 0 for one in found for name in one)
        assert names(gallery, rows[:2], groups=set()) == [[], []]
        assert gallery.comparisons(groups={"staff"}) == 6


def test_searches_run_beside_changes(large):
    path, rows = large
    wrong, finished = [], []
    with Gallery.open(path) as gallery:

        def search():
            for _ in range(40):
                found = names(gallery, rows[100:112])
                wrong.extend(one for i, one in enumerate(found) if one[0] != f"p{100 + i}")
            finished.append(1)

        threads = [threading.Thread(target=search) for _ in range(3)]
        for thread in threads:
            thread.start()
        for i in range(15):
            gallery.remove(f"p{i}")
            put(gallery, unit(np.random.default_rng(i).standard_normal((3, 24))), 2000 + 3 * i)
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(finished) == 3  # none ended by an error
