"""Measuring while training: pairs of people never seen, and the numbers against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_people import DrawnPeople
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from facewise.data.store_build import build_store
from facewise.errors import DatasetError
from facewise.nn.losses import LOSSES
from facewise.training.validation import accuracy_and_loss, embed_store, make_pairs, verification


def test_pairs_are_what_they_say():
    labels = np.repeat(np.arange(5), [2, 3, 1, 40, 4])
    pairs = make_pairs(labels, seed=0)
    assert (labels[pairs.a] == labels[pairs.b]).tolist() == pairs.same.tolist()
    assert not (pairs.a == pairs.b).any()
    counts = np.bincount(labels[pairs.a[pairs.same]], minlength=5)
    assert counts.tolist() == [1, 3, 0, 50, 6]  # one with 780 pairs does not speak for all
    assert len(set(zip(pairs.a[pairs.same].tolist(), pairs.b[pairs.same].tolist(), strict=True))) == 60
    again = make_pairs(labels, seed=0)
    assert np.array_equal(again.a, pairs.a)
    assert not np.array_equal(make_pairs(labels, seed=1).a, pairs.a)


def test_the_most_pairs():
    pairs = make_pairs(np.repeat(np.arange(50), 8), seed=0, most=100)
    assert pairs.same.sum() == (~pairs.same).sum() == 100


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [0]])
def test_no_pairs(labels):
    with pytest.raises(DatasetError, match="make no pairs"):
        make_pairs(np.array(labels), seed=0)


@pytest.fixture
def store(tmp_path):
    return build_store(DrawnPeople(people=5, photos=4), tmp_path / "store", 32)


def embed(crops):
    return torch.from_numpy(crops[:, ::8, ::8].reshape(len(crops), -1).astype(np.float32)) / 100 - 1


def test_numbers_are_those_of_scikit_learn(store):
    head = LOSSES.build("softmax", embed(store.take([0])).shape[1], 5)
    with torch.no_grad():
        head.weight.normal_(std=0.1, generator=torch.Generator().manual_seed(0))
    found = accuracy_and_loss(store, embed, head, torch.device("cpu"))
    logits = head.logits(embed_store(store, embed)).detach()
    assert found["accuracy"] == pytest.approx(accuracy_score(store.labels, logits.argmax(1)))
    assert found["loss"] == pytest.approx(log_loss(store.labels, logits.double().softmax(1)), rel=1e-5)
    pairs = make_pairs(store.labels, 0)
    unit = torch.nn.functional.normalize(embed_store(store, embed)).numpy()
    scores = (unit[pairs.a] * unit[pairs.b]).sum(1)
    assert verification(store, embed, pairs)["auc"] == pytest.approx(
        roc_auc_score(pairs.same, scores), abs=1e-6
    )
