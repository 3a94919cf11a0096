"""Fine-tuning on little, unequal and damaged data: what is said, what is learned, what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from test_finetune import PREPROCESS, RECIPE, Tells, part, weights_file

from facewise.data.balanced import Balanced
from facewise.data.source import FileSource
from facewise.data.store_build import build_store
from facewise.embedding import Embedder
from facewise.errors import SettingError
from facewise.models.pretrained import read_pretrained
from facewise.nn.losses import LOSSES
from facewise.pipeline import Pipeline, Steps
from facewise.training import train
from facewise.training.config import make_config
from facewise.training.crops import Crops, divide
from facewise.training.head_start import start_head
from facewise.training.heldout import read_held_out
from facewise.training.settings import Data


@pytest.fixture
def model():
    return weights_file()[0]


def unequal(drawn, counts):
    """People with so many photos each."""

    class Unequal(FileSource):
        def __init__(self):
            self.whole = drawn(people=len(counts), photos=max(counts))
            self.kept = [
                i for i, key in enumerate(self.whole.keys) if int(key[4:6]) < counts[self.whole.labels[i]]
            ]
            keys, labels = [self.whole.keys[i] for i in self.kept], self.whole.labels[self.kept]
            FileSource.__init__(self, "unequal", ".", keys, labels, self.whole.names)

        @property
        def identity(self):
            return f"unequal {counts}"

        def read(self, index):
            return self.whole.read(self.kept[index])

    return Unequal()


def run(data, model, out="run", display=None, **changes):
    display = display or Tells()
    done = train(
        data,
        "softmax-mobilefacenet",
        start=model,
        out=out,
        display=display,
        device="cpu",
        settings=RECIPE | changes,
    )
    return done, display.told


def test_a_person_with_one_photo_is_learned_and_said(drawn, model):
    done, told = run(unequal(drawn, [8, 8, 1, 8]), model, epochs=1)
    assert any("1 of 4 people have too few photos for one to be held out (P02)" in line for line in told)
    assert Path("run/people.txt").read_text().split() == ["P00", "P01", "P02", "P03"]
    held = read_held_out("run").known
    assert {held.names[label] for label in held.labels} == {"P00", "P01", "P03"}
    assert "accuracy" in done.result


def test_three_people_and_a_batch_larger_than_all_photos(drawn, model):
    done, told = run(
        drawn(people=3, photos=5), model, epochs=2, **{"data.batch_size": 640, "start.batch_norm": "adapt"}
    )
    assert any(
        "There are 12 photos to learn from, so a batch is all of them, not 640." in line for line in told
    )
    assert [line["step"] for line in done.metrics if line["kind"] == "train"] == [1, 2]


def test_three_hundred_people(drawn, model):
    done, told = run(drawn(people=300, photos=3), model, epochs=1, **{"data.batch_size": 128})
    assert len(done.metrics) == 2
    assert not any("unequal" in line for line in told)


def test_no_photo_is_left_out_of_an_epoch_but_one_that_batch_norm_could_not_use(drawn, model):
    for photos, steps in ((6, 2), (5, 1)):  # 10 photos in batches of 8; 9 leave one alone
        data = unequal(drawn, [photos - 1, 5])
        done, _ = run(
            data,
            model,
            f"run-{photos}",
            epochs=1,
            **{"data.held_out_photos": 0.0, "start.batch_norm": "adapt"},
        )
        assert done.metrics[0]["step"] == steps
    with pytest.raises(SettingError, match="too few for accumulate=4; set it to 1"):
        run(unequal(drawn, [3, 3]), model, "x", accumulate=4, **{"data.held_out_photos": 0.0})


def test_unequal_people_are_said_and_can_be_balanced(drawn, model):
    data = unequal(drawn, [1, 12, 12])
    _, told = run(data, model, "plain", epochs=1, **{"data.held_out_photos": 0.0})
    assert any("Photos are unequal: 1 of P00, 12 of P01. data.sampler=balanced" in line for line in told)
    _, told = run(
        data, model, "balanced", epochs=1, **{"data.held_out_photos": 0.0, "data.sampler": "balanced"}
    )
    assert not any("unequal" in line for line in told)
    _, told = run(data, model, "capped", epochs=1, **{"data.held_out_photos": 0.0, "data.max_photos": 4})
    assert not any("unequal" in line for line in told)
    assert any(line.startswith("9 photos of 3 people") for line in told)


@pytest.mark.parametrize(("counts", "size"), [([5, 500], 32), ([1, 1, 7], 4), ([3], 8), ([2, 0, 9], 5)])
def test_balanced_batches(counts, size):
    labels = np.repeat(np.arange(len(counts)), counts)
    sampler = Balanced(labels, size, 3)
    for epoch in (0, 1):
        batches = sampler.batches(epoch)
        assert len(batches) == len(sampler) == -(-len(labels) // size)
        assert all(len(batch) == size for batch in batches)
        chosen = np.concatenate(batches)
        per_person = np.bincount(labels[chosen], minlength=len(counts))[np.array(counts) > 0]
        assert per_person.max() - per_person.min() <= 1
        for label in range(len(counts)):  # nobody's photo comes twice before all of theirs came once
            times = np.bincount(chosen[labels[chosen] == label], minlength=len(labels))[labels == label]
            assert not len(times) or times.max() - times.min() <= 1
        assert [b.tolist() for b in sampler.batches(epoch)] == [b.tolist() for b in batches]
    if len(labels) > 3:
        assert not np.array_equal(np.concatenate(sampler.batches(0)), np.concatenate(sampler.batches(1)))
    with pytest.raises(SettingError):
        Balanced([], 4, 0)
    with pytest.raises(SettingError):
        Balanced(labels, 0, 0)
    with pytest.raises(SettingError):
        sampler.batches(-1)


def chosen_of(store, seed=0, **settings):
    parts = divide(Crops(store, Path(), None), Data(**settings), seed)
    return parts.train


def test_the_people_with_the_most_photos_and_so_many_of_each(drawn, tmp_path):
    store = build_store(unequal(drawn, [3, 6, 6, 2, 8]), tmp_path / "store", 32)
    assert chosen_of(store, max_people=2).names == ("P01", "P04")  # as many as P02, before it by name
    assert chosen_of(store, max_people=3).names == ("P01", "P02", "P04")
    assert len(chosen_of(store, max_people=99)) == 25
    few = chosen_of(store, max_photos=4)
    assert np.bincount(few.labels).tolist() == [3, 4, 4, 2, 4]
    assert few.keys == chosen_of(store, max_photos=4).keys
    assert few.keys != chosen_of(store, seed=1, max_photos=4).keys
    assert few.keys == chosen_of(store, seed=1, max_photos=4, split_seed=0).keys
    # Drawn person by person: who else is there changes nothing.
    some = chosen_of(store, max_photos=4, max_people=2)
    assert set(some.keys) == {key for key in few.keys if key[:3] in ("P01", "P04")}
    # Fewer are drawn out of more.
    assert set(chosen_of(store, max_photos=2).keys) < set(few.keys)
    parts = divide(Crops(store, Path(), None), Data(max_photos=5, held_out_photos=0.2), 0)
    assert np.bincount(parts.known.labels).tolist() == [1, 1, 1, 1, 1]


def class_means(network, store, unit):
    """One photo after the other, in plain loops."""
    sums = np.zeros((len(store.names), 16))
    for i in range(len(store)):
        with torch.no_grad():
            vector = (
                network.eval()(torch.from_numpy(PREPROCESS(store.take([i])))).numpy()[0].astype(np.float64)
            )
        sums[store.labels[i]] += vector / np.linalg.norm(vector) if unit else vector
    return sums / np.bincount(store.labels)[:, None]


@pytest.mark.parametrize("loss", ["arcface", "subcenter-arcface", "partial-fc", "softmax", "adacos"])
def test_a_head_begins_with_the_class_means(drawn, tmp_path, model, loss):
    network = read_pretrained(model).build(unit=False)
    store = build_store(drawn(people=5, photos=6), tmp_path / "store", 32)
    head = LOSSES.build(loss, 16, 5)
    assert start_head(head, network, store, PREPROCESS)
    with torch.no_grad():
        features = network.eval()(torch.from_numpy(PREPROCESS(store.take(np.arange(len(store))))))
        logits = head.eval().logits(features).numpy()
    if loss == "softmax":
        means = class_means(network, store, unit=False)
        distances = ((features.numpy()[:, None] - means) ** 2).sum(2)
        differences = logits + 0.5 * distances * np.linalg.norm(head.weight[0].detach()) / np.linalg.norm(
            means[0]
        )
        np.testing.assert_allclose(differences - differences[:, :1], 0, atol=1e-3)
        assert (logits.argmax(1) == distances.argmin(1)).all()
    else:
        means = class_means(network, store, unit=True)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
        np.testing.assert_allclose(logits, units @ means.T, atol=0.06 if loss.startswith("sub") else 1e-5)
    if loss == "subcenter-arcface":
        assert not torch.equal(head.weight[0], head.weight[1])


def test_a_loss_without_rows_is_left_as_it_is(drawn, tmp_path, model):
    store = build_store(drawn(people=3, photos=3), tmp_path / "store", 32)
    head = LOSSES.build("triplet", 16, 3)
    assert not start_head(head, read_pretrained(model).build(unit=False), store, PREPROCESS)


def test_a_random_head_is_random(drawn, model):
    run(drawn(), model, "means", epochs=1, **{"optimizer.rate": 1e-12})
    run(drawn(), model, "random", epochs=1, **{"optimizer.rate": 1e-12, "start.head": "random"})
    means, random = part("means", "head.weight")["head.weight"], part("random", "head.weight")["head.weight"]
    assert not torch.allclose(means, random, atol=0.01)


def test_fine_tuning_with_a_teacher(drawn, model):
    """Names and another model's answers at once, and accuracy measured."""
    other, _ = weights_file("other.safetensors", "test-smooth", seed=9)
    teacher = train(
        drawn(), "softmax-mobilefacenet", start=other, out="teacher", display=Tells(), device="cpu",
        settings=RECIPE | {"epochs": 1},
    )  # fmt: skip
    distill = {"distill.teachers": [str(teacher.model.path)], "distill.loss": 1.0, "distill.relations": 1.0}
    done, _ = run(unequal(drawn, [8, 8, 1, 8]), model, "both", epochs=3, **distill)
    assert done.result["accuracy"] > 0.5
    assert read_held_out("both").known.predicted is not None
    with pytest.raises(SettingError, match=r"set distill\.loss above 0"):
        make_config({"name": "x", "data": {"held_out_photos": 0.2}, "distill": {"teachers": ["t"]}})


def test_raw_photos_with_a_corrupt_one_and_one_without_a_face(tiny_pipeline, drawn_photo, tmp_path):
    """As a user has them: the bad ones are named, the run goes on."""
    rng = np.random.default_rng(0)
    photos = tmp_path / "photos"
    for person in range(3):
        (photos / f"Person {person}").mkdir(parents=True)
        for k in range(5):
            x, y, d = rng.integers(60, 100), rng.integers(60, 100), rng.integers(60, 80)
            photo = drawn_photo([(x, y, d, person)], (160, 200))
            cv2.imwrite(str(photos / f"Person {person}" / f"{k}.png"), photo[:, :, ::-1])
    (photos / "Person 0" / "corrupt.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    cv2.imwrite(str(photos / "Person 1" / "nobody.png"), np.full((160, 200, 3), 90, np.uint8))
    two = drawn_photo([(50, 60, 70, 2), (150, 60, 40, 0)], (160, 200))
    cv2.imwrite(str(photos / "Person 2" / "two.png"), two[:, :, ::-1])
    model, _ = weights_file()
    display = Tells()
    done = train(
        photos, "softmax-mobilefacenet", start=model, out="run", display=display, device="cpu",
        settings=RECIPE | {"epochs": 1}, pipeline=lambda: tiny_pipeline,
    )  # fmt: skip
    assert any("corrupt.jpg" in line and line.startswith("Left out") for line in display.told)
    assert any("nobody.png" in line and line.startswith("Left out") for line in display.told)
    assert any("two.png shows 2 faces; the main one is taken." in line for line in display.told)
    assert done.model.card.training["photos"] + len(read_held_out("run").known.keys) == 16


@pytest.mark.parametrize("alignment", ["box", "square"])
def test_a_model_of_boxes_learns_from_boxes(tiny_pipeline, drawn_photo, tmp_path, alignment):
    """As FaceNet and VGGFace2 want it: what was learned from is what recognition cuts from the same photo."""
    photos, rng = tmp_path / "photos", np.random.default_rng(0)
    for person in range(3):
        (photos / f"Person {person}").mkdir(parents=True)
        for k in range(4):
            x, y, d = rng.integers(60, 100), rng.integers(60, 100), rng.integers(60, 80)
            photo = drawn_photo([(x, y, d, person)], (160, 200))
            cv2.imwrite(str(photos / f"Person {person}" / f"{k}.png"), photo[:, :, ::-1])
    preprocess = replace(PREPROCESS, alignment=alignment, margin=0.2)
    model, _ = weights_file(preprocess=preprocess)
    done = train(
        photos, "softmax-mobilefacenet", start=model, out="run", display=Tells(), device="cpu",
        settings=RECIPE | {"epochs": 1}, pipeline=lambda: tiny_pipeline,
    )  # fmt: skip
    assert done.model.card.preprocess == preprocess
    held = read_held_out("run").known
    cutting = Pipeline(tiny_pipeline.detector, None, cut=preprocess.cut)
    found = [cutting.read(photos / key, Steps(embed=False, keep_crops=True)).crops[0] for key in held.keys]
    np.testing.assert_allclose(Embedder(done.model).embed(np.stack(found)), held.embeddings, atol=1e-4)
