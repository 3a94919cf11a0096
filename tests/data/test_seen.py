"""What is remembered of photos trained on, whether they came as photos, as crops of ours, or as pixels."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facewise.data.csvfile import csv_source
from facewise.data.folder import folder_source
from facewise.data.look import look_of
from facewise.data.prepare import prepare
from facewise.data.prepared import open_prepared
from facewise.data.seen import (
    SeenPhoto,
    read_run,
    read_seen,
    record_in_model,
    seen_photos,
    trained_on,
    write_seen,
)
from facewise.data.source import Subset
from facewise.data.store_build import build_store
from facewise.errors import DatasetError, ModelError
from facewise.image import read_image
from facewise.models import read_model
from facewise.models.trained_on import LOOK
from facewise.pipeline import Pipeline
from tiny_models import draw

hex_digits = st.binary(min_size=32, max_size=32).map(bytes.hex) | st.just("")
names = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whole photos of four people, one without a face."""
    root = tmp_path_factory.mktemp("seen") / "photos"
    for who in range(4):
        for number in range(2):
            path = root / f"Person {who}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            faces = [] if (who, number) == (3, 1) else [(70 + number, 60, 80, 37 * who)]
            PIL.Image.fromarray(draw((150, 170), faces)).save(path)
    return root


@pytest.fixture(scope="module")
def prepared(photos: Path, tiny_pipeline: Pipeline) -> Path:
    out = photos.parent / "crops"
    prepare(folder_source(photos), tiny_pipeline, 112, out)
    return out


def test_a_crop_remembers_the_photo_it_was_cut_from(photos: Path, prepared: Path, tmp_path: Path) -> None:
    source = open_prepared(prepared)
    store = build_store(source, tmp_path / "store")
    seen = seen_photos(source, crop_of=store.read)
    assert len(seen) == 7
    for i, one in enumerate(seen):
        assert (one.key, one.person) == (source.keys[i], one.key.split("/")[0])
        assert one.photo == sha256(photos / one.key)
        assert one.crop == sha256(source.path(i))
        assert bytes.fromhex(one.look) == look_of(read_image(source.path(i)))
    # A list of the crops says the same, as does a part of the dataset.
    listing = prepared.parent / "listing.csv"
    rows = [f"crops/{file},someone" for file in source.files]
    listing.write_text("\n".join(["path,person", *rows]) + "\n")
    listed = seen_photos(csv_source(listing))
    assert [(p.photo, p.crop, p.look) for p in listed] == [(p.photo, p.crop, p.look) for p in seen]
    told: list[int] = []
    assert seen_photos(Subset(source, [5, 2]), progress=told.append) == [seen[5], seen[2]]
    assert seen_photos(source, [5, 2]) == [seen[5], seen[2]]
    assert sum(told) == 2


def test_photos_and_crops_that_are_nobodys_crops(photos: Path) -> None:
    source = folder_source(photos)
    seen = seen_photos(source)
    assert [(p.photo, p.crop) for p in seen] == [(sha256(photos / key), "") for key in source.keys]
    assert seen[-1].look == ""  # one grey: nothing to be seen


def test_what_is_no_file_is_known_by_its_pixels(prepared: Path, tmp_path: Path) -> None:
    store = build_store(open_prepared(prepared), tmp_path / "store")
    (first, *_) = seen_photos(store)
    crop = store.read(0)
    assert first.photo == hashlib.sha256(repr(crop.shape).encode() + crop.tobytes()).hexdigest()
    assert bytes.fromhex(first.look) == look_of(crop)


def test_a_photo_that_is_gone_leaves_its_look(photos: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(photos, tmp_path / "photos"))
    source = folder_source(copy)
    crops = [source.read(i) for i in range(8)]
    (copy / source.keys[2]).unlink()
    (copy / source.keys[3]).write_bytes(b"no photo")
    seen = seen_photos(source, crop_of=crops.__getitem__)
    assert (seen[2].photo, bytes.fromhex(seen[2].look)) == ("", look_of(crops[2]))
    without = seen_photos(source)
    assert (without[2].photo, without[2].look) == ("", "")
    assert (without[3].photo, without[3].look) == (hashlib.sha256(b"no photo").hexdigest(), "")
    assert trained_on(seen).photos == 8


@given(
    st.lists(
        st.builds(
            SeenPhoto, names, names, hex_digits, hex_digits,
            st.binary(min_size=LOOK, max_size=LOOK).map(bytes.hex) | st.just(""),
        ),
        min_size=1, max_size=5,
    )
)  # fmt: skip
def test_a_run_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, seen: list[SeenPhoto]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    write_seen(folder, seen)
    assert read_seen(folder) == seen
    record = read_run(folder)
    assert record == trained_on(seen)
    assert (record.photos, record.people) == (len(seen), len({one.person for one in seen}))
    digests = [digest for one in seen for digest in (one.photo, one.crop)]
    assert record.has_contents(digests) == [bool(digest) for digest in digests]


def test_a_run_lists_all_its_photos_however_many(tmp_path: Path) -> None:
    seen = [SeenPhoto(str(i), "Ada", sha256_of(i), "", "") for i in range(10)]
    write_seen(tmp_path, seen)
    assert trained_on(seen, most=9).listed is False
    assert read_run(tmp_path).listed


def sha256_of(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()


def test_a_run_without_photos_has_its_people(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("Ada\nBo\n")
    record = read_run(tmp_path)
    assert (record.listed, record.people, record.has_names(["bo", "Cy"])) == (False, 2, [True, False])
    (tmp_path / "people.txt").unlink()
    with pytest.raises(DatasetError, match=r"There is no photos\.csv"):
        read_run(tmp_path)
    with pytest.raises(DatasetError, match=r"There is no photos\.csv"):
        read_run(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "line", ["k,p,abc,,", "k,p,,,12", "k,p," + "G" * 64 + ",,", "k,p", ",p,,,", "k,p,,," + "0" * 31]
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "photos.csv").write_text(f"key,person,photo,crop,look\nk,p,,,\n{line}\n")
    with pytest.raises(DatasetError, match="Line 3"):
        read_seen(tmp_path)


def test_a_model_that_is_there_already(prepared: Path, tiny_embedder_file: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(tiny_embedder_file, tmp_path / "model.onnx"))
    before = read_model(path).fingerprint
    seen = seen_photos(open_prepared(prepared))
    card = record_in_model(path, seen, ["Ada"]).card
    assert card.trained_on is not None
    assert card.trained_on.has_names(["Ada", "Person 0"]) == [True, False]
    assert all(card.trained_on.has_contents([p.photo for p in seen] + [p.crop for p in seen]))
    assert read_model(path).fingerprint == before
    assert np.array_equal(read_model(path).card.trained_on.look_words(), card.trained_on.look_words())
    with pytest.raises(ModelError):
        record_in_model(tmp_path / "nope.onnx", seen)
