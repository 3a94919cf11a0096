"""Templates pooled and compared, against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.errors import DatasetError
from facewise.evaluation import templates as module
from facewise.evaluation.templates import Templates, pair_similarities, pool_templates


def naive_pool(
    features: np.ndarray, templates: np.ndarray, media: np.ndarray, weights: np.ndarray | None
) -> dict[int, np.ndarray]:
    """Template → unit vector, photo by photo."""
    pooled = {}
    for template in set(templates.tolist()):
        total = np.zeros(features.shape[1])
        for medium in set(media[templates == template].tolist()):
            frames = [
                features[i].astype(float) * (1.0 if weights is None else float(weights[i]))
                for i in range(len(features))
                if templates[i] == template and media[i] == medium
            ]
            total += sum(frames) / len(frames)
        pooled[template] = total / np.sqrt((total**2).sum())
    return pooled


@given(
    seed=st.integers(0, 2**32 - 1), photos=st.integers(1, 60), count=st.integers(1, 9), weighted=st.booleans()
)
@settings(max_examples=60)
def test_pooling_is_the_sum_of_media_means(seed: int, photos: int, count: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((photos, 5)).astype(np.float32)
    place, media = rng.integers(0, count, photos), rng.integers(-2, 3, photos)
    weights = rng.uniform(0.01, 1, photos).astype(np.float32) if weighted else None
    made = pool_templates(features, place, media, weights, count=count)
    assert made.features.dtype == np.float32
    expected = naive_pool(features, place, media, weights)
    assert made.there.tolist() == [template in expected for template in range(count)]
    for template in range(count):
        np.testing.assert_allclose(made.features[template], expected.get(template, np.zeros(5)), atol=1e-6)


def test_pooling_in_blocks_is_pooling_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    features, place = rng.standard_normal((200, 4)), rng.integers(0, 7, 200)
    media, weights = rng.integers(0, 5, 200), rng.uniform(size=200)
    whole = pool_templates(features, place, media, weights)
    monkeypatch.setattr(module, "_ROWS", 3)
    parts = pool_templates(features, place, media, weights)
    np.testing.assert_allclose(parts.features, whole.features, atol=1e-7)


def test_a_long_video_counts_as_one_photo() -> None:
    made = pool_templates([[1.0, 0.0]] * 1000 + [[0.0, 1.0]], [0] * 1001, [7] * 1000 + [8])
    np.testing.assert_allclose(made.features, [[np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-7)


def test_a_template_without_a_direction_is_not_there() -> None:
    made = pool_templates(
        [[1.0, 0], [-1, 0], [2, 0], [3, 4]], [0, 0, 1, 3], [0, 1, 0, 0], [1, 1, 0, 0.5], count=4
    )
    assert made.there.tolist() == [False, False, False, True]
    np.testing.assert_allclose(made.features, [[0, 0], [0, 0], [0, 0], [0.6, 0.8]], atol=1e-7)
    assert pool_templates(np.zeros((0, 3)), [], [], count=2).there.tolist() == [False, False]


@pytest.mark.parametrize(
    ("features", "templates", "media", "weights", "told"),
    [
        ([[1.0]], [0, 1], [0], None, "one template"),
        ([[1.0]], [0], [0], [1.0, 1.0], "one weight"),
        ([1.0], [0], [0], None, "row of features"),
        ([[1.0]], [3], [0], None, "outside 0 to 2"),
        ([[1.0]], [-1], [0], None, "outside 0 to 2"),
        ([[np.nan]], [0], [0], None, "finite"),
        ([[1.0]], [0], [0], [np.inf], "finite"),
        ([[1.0]], [0], [0], [-0.1], "0 or more"),
    ],
)
def test_what_cannot_be_pooled(features, templates, media, weights, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        pool_templates(features, templates, media, weights, count=3)


def unit_templates(rng: np.random.Generator, count: int, size: int = 6) -> Templates:
    features = rng.standard_normal((count, size))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return Templates(features.astype(np.float32), np.ones(count, np.bool_))


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 30),
    pairs=st.integers(0, 300),
    ordered=st.booleans(),
    gain=st.sampled_from([0, 1, 10**9]),
    cells=st.sampled_from([1, 50, 10**6]),
)
@settings(max_examples=80)
def test_similarities_are_products_of_the_pairs(
    seed: int, count: int, pairs: int, ordered: bool, gain: int, cells: int
) -> None:
    rng = np.random.default_rng(seed)
    made = unit_templates(rng, count)
    made.there[:] = rng.random(count) < 0.8
    first, second = rng.integers(0, count, pairs), rng.integers(0, count, pairs)
    first = np.sort(first) if ordered else first
    # By single products only, by matrix products only, and whichever is cheaper, in blocks of any size.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PRODUCT_GAIN", gain)
        patch.setattr(module, "_CELLS", cells)
        scores = pair_similarities(made, first.astype(np.int32), second.astype(np.int32))
    assert scores.dtype == np.float32
    wide = made.features.astype(float)
    for a, b, score in zip(first, second, scores, strict=True):
        expected = float(wide[a] @ wide[b]) if made.there[a] and made.there[b] else -1.0
        assert score == pytest.approx(expected, abs=1e-6)


def test_pairs_that_name_no_template() -> None:
    made = unit_templates(np.random.default_rng(0), 3)
    for first, second, told in [
        ([0, 3], [1, 1], "outside 0 to 2"),
        ([0], [-1], "outside"),
        ([0], [1, 2], "as many"),
    ]:
        with pytest.raises(DatasetError, match=told):
            pair_similarities(made, np.array(first), np.array(second))
