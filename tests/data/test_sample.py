"""Some photos of a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.data.sample import open_photos, sample_crops, sample_photos
from facewise.errors import DatasetError


@pytest.fixture
def people(tmp_path: Path, drawn_photo) -> Path:
    """Four people with three photos of one face each, one photo without a face, one that is no photo."""
    for person in range(4):
        folder = tmp_path / "people" / f"P{person}"
        folder.mkdir(parents=True)
        for i in range(3):
            photo = drawn_photo([(100 + 20 * i, 110, 80, person)])
            PIL.Image.fromarray(photo).save(folder / f"{i}.png")
    PIL.Image.fromarray(drawn_photo([])).save(tmp_path / "people" / "P0" / "empty.png")
    (tmp_path / "people" / "P1" / "broken.png").write_bytes(b"no photo")
    return tmp_path / "people"


def test_whole_photos_are_chosen_by_the_seed(people: Path) -> None:
    source = open_photos(people)
    all_of_them = sample_photos(source, 100, longest=1024)
    assert sorted(all_of_them.keys) == sorted(key for key in source.keys if "broken" not in key)
    assert [key for key, _ in all_of_them.unreadable] == ["P1/broken.png"]
    assert all(image.shape == (240, 320, 3) for image in all_of_them.images)
    one, same, other = (sample_photos(source, 5, longest=160, seed=seed) for seed in (1, 1, 2))
    assert one.keys == same.keys != other.keys
    assert len(one.images) == 5
    assert all(image.shape == (120, 160, 3) for image in one.images)


def test_crops_are_cut_of_photos_and_what_has_no_face_is_named(people: Path, tiny_pipeline) -> None:
    told: list[int] = []
    sample = sample_crops(open_photos(people), 100, 112, pipeline=lambda: tiny_pipeline, progress=told.append)
    assert len(sample.images) == len(sample.keys) == sum(told) == 12
    assert sample.without_face == ["P0/empty.png"]
    assert [key for key, _ in sample.unreadable] == ["P1/broken.png"]
    assert {crop.shape for crop in sample.images} == {(112, 112, 3)}
    # The face fills its crop: no grey of the background in the middle.
    assert all(np.ptp(crop[56, 40].astype(int)) > 100 for crop in sample.images)
    few = sample_crops(open_photos(people), 3, 112, pipeline=lambda: tiny_pipeline)
    assert few.keys == sample.keys[:3]


def test_what_is_crops_already_is_taken_as_it_is(people: Path, tiny_pipeline, tmp_path: Path) -> None:
    crops = sample_crops(open_photos(people), 100, 112, pipeline=lambda: tiny_pipeline)
    (tmp_path / "crops" / "A").mkdir(parents=True)
    for i, crop in enumerate(crops.images):
        PIL.Image.fromarray(crop).save(tmp_path / "crops" / "A" / f"{i:02}.png")
    (tmp_path / "crops" / "B").mkdir()
    PIL.Image.fromarray(crops.images[0]).save(tmp_path / "crops" / "B" / "0.png")

    def fail():
        raise AssertionError("crops need no detector")

    again = sample_crops(open_photos(tmp_path / "crops"), 100, 112, pipeline=fail)
    assert len(again.images) == 13
    for key, image in zip(again.keys, again.images, strict=True):
        np.testing.assert_array_equal(image, crops.images[int(Path(key).stem)])


def test_people_can_be_left_out(people: Path) -> None:
    source = open_photos(people)
    kept = sample_photos(source, 100, longest=1024, without={"P0", "P1", "Nobody"})
    assert {key.split("/")[0] for key in kept.keys} == {"P2", "P3"}
    with pytest.raises(DatasetError, match="left without the people"):
        sample_photos(source, 100, longest=1024, without={"P0", "P1", "P2", "P3"})


def test_loose_photos_are_photos_too(people: Path, tmp_path: Path) -> None:
    source = open_photos(people / "P2")
    assert sorted(source.keys) == ["0.png", "1.png", "2.png"]
    assert list(source.names) == ["P2"]
    with pytest.raises(DatasetError, match="no file or folder"):
        open_photos(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError):
        open_photos(tmp_path / "empty")
