import numpy as np
import pytest
from gallery_fakes import face_of, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import GalleryError, SettingError
from facewise.gallery.search import Matrix, checked_embeddings


def naive(rows, people, probe, scoring):
    """Every person's score, in float64, one by one; best first, ties by id."""
    scores = {}
    for person in sorted(set(people.tolist())):
        own = [row.astype(np.float64) for row, p in zip(rows, people, strict=True) if p == person]
        if scoring == "best":
            scores[person] = max(
                sum(a * b for a, b in zip(row, probe.astype(np.float64), strict=True)) for row in own
            )
        else:
            mean = np.sum(own, axis=0)
            norm = np.sqrt((mean**2).sum())
            scores[person] = float((mean / norm) @ probe.astype(np.float64)) if norm > 1e-30 else 0.0
    ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [
        (person, min(score, 1.0)) for person, score in ranked
    ]  # a float32 unit vector may be 1e-8 too long


def same_ranking(found, expected):
    assert [s for _, s in found] == pytest.approx([s for _, s in expected], abs=1e-9)
    by_id = dict(found)
    for person, score in expected:  # in another order only where the scores tie to float64's own rounding
        assert by_id.get(person, score) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize("scoring", ["best", "mean"])
@given(seed=st.integers(0, 10**6), count=st.integers(1, 80), size=st.integers(2, 40), split=st.floats(0, 1))
@settings(max_examples=60)
def test_ranking_is_that_of_a_float64_loop(scoring, seed, count, size, split):
    rng = np.random.default_rng(seed)
    rows = unit(rng.standard_normal((count, size)))
    people = rng.integers(1, 12, count)
    probes = unit(rng.standard_normal((5, size)))
    probes[0] = rows[0]
    at = int(split * count)
    whole, grown = Matrix(rows, people), Matrix(rows[:at], people[:at]).added(rows[at:], people[at:])
    for matrix in (whole, grown):
        for probe, found in zip(probes, matrix.top(probes, 4, scoring), strict=True):
            same_ranking(found, naive(rows, people, probe, scoring)[:4])


@pytest.mark.parametrize("scoring", ["best", "mean"])
def test_people_closer_than_float32_can_tell_are_ranked_right(scoring):
    rng = np.random.default_rng(0)
    probe = unit(rng.standard_normal(512))
    rows = unit(probe + 1e-4 * rng.standard_normal((300, 512)))  # similarities differ by less than 1e-6
    people = rng.permutation(300)
    found = Matrix(rows, people).top(probe[None], 20, scoring)[0]
    assert [person for person, _ in found] == [
        person for person, _ in naive(rows, people, probe, scoring)[:20]
    ]


def test_equal_samples_tie_by_id():
    rows = np.repeat(face_of("ada")[None], 6, axis=0)
    found = Matrix(rows, np.array([9, 4, 7, 4, 9, 1])).top(face_of("ada", 1)[None], 9)[0]
    assert [person for person, _ in found] == [1, 4, 7, 9]


def test_the_mean_template_can_win_where_the_best_sample_loses():
    x, y, z = np.eye(3)
    rows = unit([x + 0.1 * y, x + 0.1 * z, x + 0.15 * (y + z), x - 0.9 * (y + z)])
    people = np.array([1, 1, 2, 2])
    probe = unit(x + 0.2 * (y + z))[None]
    assert Matrix(rows, people).top(probe, 1, "best")[0][0][0] == 2
    assert Matrix(rows, people).top(probe, 1, "mean")[0][0][0] == 1


def test_samples_that_cancel_out_are_like_nobody():
    row = face_of("ada")
    found = Matrix(np.stack([row, -row]), np.array([1, 1])).top(row[None], 1, "mean")
    assert found == [[(1, 0.0)]]


def test_many_additions_find_what_one_matrix_finds():
    rng = np.random.default_rng(1)
    rows, people = unit(rng.standard_normal((700, 16))), rng.integers(0, 200, 700)
    grown = Matrix(rows[:1], people[:1])
    for i in range(1, 700):
        earlier, grown = grown, grown.added(rows[i : i + 1], people[i : i + 1])
        assert len(earlier) == i  # a matrix a search holds on to never changes
    probes = unit(rng.standard_normal((9, 16)))
    for scoring in ("best", "mean"):
        for a, b in zip(
            grown.top(probes, 7, scoring), Matrix(rows, people).top(probes, 7, scoring), strict=True
        ):
            same_ranking(a, b)


def test_a_block_of_probes_finds_what_each_finds_alone(monkeypatch):
    rng = np.random.default_rng(2)
    matrix = Matrix(unit(rng.standard_normal((50, 8))), rng.integers(0, 9, 50))
    probes = unit(rng.standard_normal((23, 8)))
    together = matrix.top(probes, 3)
    monkeypatch.setattr("facewise.gallery.search._BLOCK", 200)
    for a, b in zip(together, matrix.top(probes, 3), strict=True):
        same_ranking(a, b)


def test_an_empty_matrix_finds_nobody():
    matrix = Matrix(np.empty((0, 0), np.float32), np.empty(0, np.int64))
    assert matrix.top(face_of("ada")[None], 3) == [[]]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (np.ones(4, np.float32), "length 2, not 1"),
        (np.array([np.nan, 1, 0, 0], np.float32), "not finite"),
        (np.array([np.inf, 1, 0, 0], np.float32), "not finite"),
        (np.zeros(4), "length 0, not 1"),
        (np.eye(3, dtype=np.float32), "have 4 values each, and these have 3"),
        (np.ones((1, 1, 4)), "rows of real numbers"),
        (np.eye(4, dtype=np.int64), "rows of real numbers"),
        (np.array(["a"] * 4), "rows of real numbers"),
    ],
)
def test_what_is_no_embedding_is_refused(bad, told):
    with pytest.raises(GalleryError, match=told):
        checked_embeddings(bad, 4)


def test_unknown_scoring_and_count_are_refused():
    matrix = Matrix(face_of("ada")[None], np.array([1]))
    with pytest.raises(SettingError, match="'best' or 'mean'"):
        matrix.top(face_of("ada")[None], 1, "median")
    with pytest.raises(SettingError, match="at least 1"):
        matrix.top(face_of("ada")[None], 0)
    with pytest.raises(GalleryError, match="32 values, not 8"):
        matrix.top(face_of("ada", size=8)[None], 1)
