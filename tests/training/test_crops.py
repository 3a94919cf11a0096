"""From what a user names as data to crops: aligned once, filtered, divided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from drawn_people import DrawnPeople

from facewise.data.source import Subset
from facewise.data.split import split
from facewise.errors import DatasetError, SettingError
from facewise.pipeline import Pipeline
from facewise.training.config import Data
from facewise.training.crops import divide, load_crops
from tiny_models import draw


def photos(folder, people=3, each=2):
    for person in range(people):
        for number in range(each):
            path = Path(folder) / f"P{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = draw((150, 170), [(70 + 3 * number + person, 60, 44 + 6 * number, 37 * person + 5)])
            PIL.Image.fromarray(picture).save(path)


def detector(tiny_pipeline):
    return lambda: Pipeline(tiny_pipeline.detector, None, threads=1)


def test_photos_are_aligned_once(tiny_pipeline):
    photos("people")
    Path("people/P0/nobody.png").write_bytes(Path("people/P0/0.png").read_bytes())
    PIL.Image.new("RGB", (150, 170)).save("people/P0/nobody.png")
    Path("people/P1/broken.jpg").write_bytes(b"\xff\xd8\xff")
    said, made = [], []

    def pipeline():
        made.append(1)
        return detector(tiny_pipeline)()

    crops = load_crops("people", 48, pipeline=pipeline, say=said.append)
    assert len(crops.store) == 6
    assert crops.store.size == 48
    assert said[-1] == "6 of 8 photos aligned."
    (broken,) = [text for text in said if "broken.jpg" in text]
    assert broken.startswith("Left out: Cannot read people/P1/broken.jpg")
    assert "Left out: no face was found in P0/nobody.png." in said
    assert crops.store.name == "people"
    again = load_crops("people", 48, pipeline=pipeline, say=said.append)
    assert again.store.data_hash == crops.store.data_hash
    assert len(made) == 2  # the detector tells which crops are the same


def test_photos_that_all_are_bad_are_told(tiny_pipeline):
    Path("people/P0").mkdir(parents=True)
    for number in range(12):
        Path(f"people/P0/{number}.jpg").write_bytes(b"\xff\xd8\xff")
    said = []
    with pytest.raises(DatasetError, match="No photo of people could be aligned: there is no face"):
        load_crops("people", 48, pipeline=detector(tiny_pipeline), say=said.append)
    assert len(said) == 11
    assert said[-1] == "… and 2 more; `facewise data prepare` names them all."


def test_crops_are_taken_as_they_are():
    def no_pipeline():
        raise AssertionError("there is nothing to align")

    for person in range(3):
        Path(f"crops/P{person}").mkdir(parents=True)
        for number in range(2):
            noise = np.random.default_rng(10 * person + number).integers(0, 255, (32, 32, 3), np.uint8)
            PIL.Image.fromarray(noise).save(f"crops/P{person}/{number}.png")
    assert len(load_crops("crops", 32, pipeline=no_pipeline).store) == 6
    with pytest.raises(AssertionError, match="nothing to align"):
        load_crops("crops", 48, pipeline=no_pipeline)


@pytest.fixture
def crops():
    class Crops(DrawnPeople):
        pass

    return load_crops(DrawnPeople(people=10, photos=6), 32)


def test_held_out_photos_and_people(crops):
    parts = divide(crops, Data(held_out_photos=0.34, held_out_people=0.3), seed=0)
    assert len(parts.train.names) == 7
    assert parts.known is not None
    assert parts.unknown is not None
    assert parts.known.names == parts.train.names
    assert set(parts.unknown.names).isdisjoint(parts.train.names)
    assert set(parts.known.keys).isdisjoint(parts.train.keys)
    assert len(parts.train) + len(parts.known) + len(parts.unknown) == 60
    assert np.bincount(parts.known.labels).tolist() == [2] * 7
    for part in (parts.train, parts.known):  # one number for one person in both
        for key, label in zip(part.keys, part.labels, strict=True):
            assert key.startswith(part.names[label])


def test_a_split_file_takes_the_place_of_fractions(crops):
    store = crops.store
    mine = Subset(store, [i for i, label in enumerate(store.labels) if label < 7])
    by_photo = split(mine, (0.5, 0.5), names=("train", "val"))
    by_photo.save("split.csv")
    with Path("split.csv").open("a") as file:
        file.writelines(f"{key},P08,val\n" for key in store.keys if key.startswith("P08"))
    parts = divide(crops, Data(split="split.csv"), seed=0)
    assert len(parts.train) == len(parts.known) == 21
    assert parts.train.names == parts.known.names
    assert set(parts.unknown.names) == {"P08"}
    Path("other.csv").write_text("key,person,part\nP00/00.png,P00,test\n")
    with pytest.raises(DatasetError, match="no part train"):
        divide(crops, Data(split="other.csv"), seed=0)


def test_people_by_pair_file_or_by_name(crops):
    Path("names.txt").write_text("P01\n\nP02\nNobody\n")
    assert divide(crops, Data(only_people="names.txt"), 0).train.names == ("P01", "P02")
    Path("pairs.txt").write_text("P01\t1\t2\nP03\t1\tP04\t2\n")
    assert len(divide(crops, Data(without_people="pairs.txt"), 0).train.names) == 7
    with pytest.raises(SettingError, match=r"no file missing\.txt"):
        divide(crops, Data(only_people="missing.txt"), 0)
    Path("empty.txt").write_text("\n")
    with pytest.raises(DatasetError, match="empty"):
        divide(crops, Data(only_people="empty.txt"), 0)
    Path("one.txt").write_text("P01\n")
    with pytest.raises(DatasetError, match="training needs two"):
        divide(crops, Data(only_people="one.txt"), 0)
