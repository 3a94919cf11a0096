"""From photos to aligned crops on disk: what is written, what is told, and going on after a stop."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import record_writer as writer
from filelock import FileLock

from facewise.data.csvfile import csv_source
from facewise.data.folder import folder_source
from facewise.data.open import open_source
from facewise.data.prepare import prepare
from facewise.data.prepared import MANIFEST, is_prepared, open_prepared
from facewise.data.recordsource import RecordSource
from facewise.data.source import FileSource, Subset
from facewise.data.split import split
from facewise.errors import DatasetError, FacewiseError, SettingError
from facewise.geometry import align
from facewise.pipeline import Pipeline
from tiny_models import draw, landmarks_of

A, B = (90, 80, 60, 1), (220, 150, 90, 2)


def save(path: Path, *faces: tuple[float, ...]) -> np.ndarray:
    image = draw((240, 320), faces)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)
    return image


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two of Ada, one with several faces; one of Bob, one without a face, one unreadable."""
    root = tmp_path / "photos"
    save(root / "Ada" / "1.png", A)
    save(root / "Ada" / "2.png", A, B)
    save(root / "Bob" / "1.png", B)
    save(root / "Bob" / "none.png")
    (root / "Bob" / "broken.jpg").write_text("no photo")
    return root


@pytest.fixture
def pipeline(tiny_pipeline: Pipeline) -> Pipeline:
    return tiny_pipeline


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_crops_and_what_became_of_every_photo(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    done: list[int] = []
    made = prepare(folder_source(photos), pipeline, 112, tmp_path / "out", done.append)
    assert sum(done) == 5
    assert made.counts() == {"ok": 2, "several faces": 1, "no face": 1, "unreadable": 1}
    assert sorted(tree(tmp_path / "out")) == ["Ada/1.png", "Ada/2.png", "Bob/1.png", MANIFEST]
    assert [photo.key for photo in made.of("several faces")] == ["Ada/2.png"]
    (broken,) = made.of("unreadable")
    assert "broken.jpg" in broken.error
    first = made.photos[0]
    assert np.allclose(first.landmarks, landmarks_of(90, 80, 60), atol=0.5)
    assert (first.faces, first.person) == (1, "Ada")
    assert len(first.sha256) == 64
    # The crop is what alignment by these landmarks gives, without loss.
    image = np.asarray(PIL.Image.open(photos / "Ada" / "1.png"))
    expected = align(image, np.array([first.landmarks], np.float32), 112)[0]
    crop = np.asarray(PIL.Image.open(tmp_path / "out" / "Ada" / "1.png"))
    # Landmarks are kept to a thousandth of a pixel, and OpenCV 4 rounds places to a 32nd.
    assert np.abs(crop.astype(int) - expected).max() <= 8
    assert np.abs(crop.astype(int) - expected).mean() < 0.1


def test_the_crops_are_a_dataset_with_the_keys_of_the_photos(
    photos: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    source = folder_source(photos)
    made = prepare(source, pipeline, 96, tmp_path / "out")
    crops = open_source(tmp_path / "out")
    assert crops.keys == made.source().keys == ("Ada/1.png", "Ada/2.png", "Bob/1.png")
    assert (crops.names, crops.labels.tolist()) == (("Ada", "Bob"), [0, 0, 1])
    assert crops.read(0).shape == (96, 96, 3)
    assert isinstance(crops, FileSource)
    assert crops.path(2) == tmp_path / "out" / "Bob" / "1.png"
    # A split of the photos holds for the crops, though some photos have none.
    parts = split(source, (0.5, 0.5))
    assert len(parts.part(crops, "train").keys) + len(parts.part(crops, "test").keys) == 3


@pytest.mark.parametrize("cut", [0, 1, 2.5, 4, 5.9])
def test_stopped_anywhere_it_goes_on_and_ends_the_same(
    photos: Path, pipeline: Pipeline, tmp_path: Path, cut: float
) -> None:
    source = folder_source(photos)
    prepare(source, pipeline, 112, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    manifest = tmp_path / "cut" / MANIFEST
    lines = manifest.read_bytes().splitlines(keepends=True)
    kept = lines[: 1 + int(cut)]
    if cut % 1 and len(lines) > 1 + int(cut):  # in the midst of a line
        kept.append(lines[1 + int(cut)][:40])
    manifest.write_bytes(b"".join(kept))
    calls: list[int] = []
    made = prepare(source, pipeline, 112, tmp_path / "cut", calls.append)
    before = [json.loads(line)["status"] for line in lines[1 : 1 + int(cut)]]
    assert made.resumed == len(before) - before.count("unreadable")  # they are tried again
    assert calls == [made.resumed, *[1] * (5 - made.resumed)]
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_a_link_in_the_place_of_a_half_written_crop_is_not_followed(
    photos: Path, pipeline: Pipeline, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"precious")
    (tmp_path / "out" / "Ada").mkdir(parents=True)
    (tmp_path / "out" / "Ada" / ".part").symlink_to(theirs)
    prepare(folder_source(photos), pipeline, 112, tmp_path / "whole")
    begun = (tmp_path / "whole" / MANIFEST).read_bytes().splitlines(keepends=True)[0]
    (tmp_path / "out" / MANIFEST).write_bytes(begun)
    prepare(folder_source(photos), pipeline, 112, tmp_path / "out")
    assert theirs.read_bytes() == b"precious"
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_stopped_by_an_exception(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    source = folder_source(photos)
    prepare(source, pipeline, 112, tmp_path / "whole")

    def stop(count: int) -> None:
        if count and (tmp_path / "cut" / "Ada" / "2.png").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, pipeline, 112, tmp_path / "cut", stop)
    assert is_prepared(tmp_path / "cut")
    with pytest.raises(DatasetError, match="in part, 2 of 5 photos"):
        open_prepared(tmp_path / "cut")
    assert prepare(source, pipeline, 112, tmp_path / "cut").resumed == 2
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


def test_crops_that_are_gone_or_cut_short(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    source, out = folder_source(photos), tmp_path / "out"
    prepare(source, pipeline, 112, out)
    whole = tree(out)
    (out / "Ada" / "1.png").unlink()
    (out / "Bob" / "1.png").write_bytes(b"")
    assert prepare(source, pipeline, 112, out).resumed == 2
    assert tree(out) == whole


def test_photos_mended_or_added_since(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(folder_source(photos), pipeline, 112, out)
    save(photos / "Bob" / "mended.png", B)
    (photos / "Bob" / "mended.png").replace(photos / "Bob" / "broken.jpg")
    save(photos / "Ada" / "1.bmp", B)  # sorted before 1.png, which keeps its name
    made = prepare(folder_source(photos), pipeline, 112, out)
    assert {p.key: p.crop for p in made.photos if p.crop}["Ada/1.bmp"] == "Ada/1-2.png"
    assert made.counts()["unreadable"] == 0
    assert len(open_prepared(out).keys) == 5


def test_photos_that_changed_are_done_again(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    out = tmp_path / "out"
    save(photos / "Cid" / "1.png", A)
    prepare(folder_source(photos), pipeline, 112, out)
    save(photos / "Ada" / "1.png", B)  # another content under the same name
    save(photos / "Ada" / "2.png")  # without a face now
    shutil.rmtree(photos / "Cid")
    save(photos / "Dan" / "1.png", B)
    made = prepare(folder_source(photos), pipeline, 112, out)
    assert (made.added, made.replaced, made.gone) == (1, 2, 1)
    prepare(folder_source(photos), pipeline, 112, tmp_path / "anew")
    assert tree(out) == tree(tmp_path / "anew")
    assert not (out / "Cid").exists()
    again = prepare(folder_source(photos), pipeline, 112, out)
    assert (again.added, again.replaced, again.gone, again.resumed) == (0, 0, 0, 5)


def test_a_photo_of_another_person_now_is_done_again(pipeline: Pipeline, tmp_path: Path) -> None:
    save(tmp_path / "1.png", A)
    save(tmp_path / "2.png", B)
    table = tmp_path / "photos.csv"
    table.write_text("path,person\n1.png,Ada\n2.png,Bob\n")
    prepare(csv_source(table), pipeline, 112, tmp_path / "out")
    table.write_text("path,person\n1.png,Eve\n2.png,Bob\n")
    made = prepare(csv_source(table), pipeline, 112, tmp_path / "out")
    assert (made.replaced, made.resumed) == (1, 1)
    assert sorted(tree(tmp_path / "out")) == ["Bob/2.png", "Eve/1.png", MANIFEST]


def test_names_that_clash_or_no_file_system_has(pipeline: Pipeline, tmp_path: Path) -> None:
    rows = [("x/a.png", "A/C: D?"), ("y/a.png", "A/C: D?"), ("x/A.jpg.png", ".."), ("z/a.png", "a/c: d?")]
    for key, _ in rows:
        save(tmp_path / key, A)
    (tmp_path / "list.csv").write_text("path,person\n" + "".join(f"{k},{p}\n" for k, p in rows))
    source = csv_source(tmp_path / "list.csv")
    out = tmp_path / "out"
    prepare(source, pipeline, 112, out)
    assert sorted(tree(out)) == [
        "%2E./A.jpg.png", "A%2FC%3A D%3F/a-2.png", "A%2FC%3A D%3F/a.png", "a%2Fc%3A d%3F/a-3.png", MANIFEST,
    ]  # fmt: skip
    crops = open_prepared(out)
    assert crops.names == source.names
    assert [crops.names[label] for label in crops.labels] == [person for _, person in rows]


def test_records_and_subsets(pipeline: Pipeline, tmp_path: Path) -> None:
    images = [save(tmp_path / "a.png", face) for face in (A, B)]
    stored = []
    for image in images:
        PIL.Image.fromarray(image).save(tmp_path / "a.png")
        stored.append((tmp_path / "a.png").read_bytes())
    path = writer.write(tmp_path / "a.rec", writer.insightface([[stored[0], b"broken"], [stored[1]]]))
    made = prepare(RecordSource(path), pipeline, 112, tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == ["0/1.png", "1/3.png", MANIFEST]
    assert made.counts()["unreadable"] == 1
    part = prepare(Subset(RecordSource(path), [2]), pipeline, 112, tmp_path / "part")
    assert [photo.crop for photo in part.photos] == ["1/3.png"]


def test_a_damaged_record_is_one_unreadable_photo(pipeline: Pipeline, tmp_path: Path) -> None:
    save(tmp_path / "a.png", A)
    content = (tmp_path / "a.png").read_bytes()
    path = writer.write(tmp_path / "a.rec", writer.insightface([[content, content]]))
    source = RecordSource(path)
    data = bytearray(path.read_bytes())
    start = int(source.file._offsets[2])
    data[start : start + 4] = b"gone"
    path.write_bytes(bytes(data))
    made = prepare(source, pipeline, 112, tmp_path / "out")
    assert [photo.status for photo in made.photos] == ["ok", "unreadable"]
    assert "no record begins there" in made.photos[1].error


def test_jpg(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    prepare(folder_source(photos), pipeline, 112, tmp_path / "png")
    prepare(folder_source(photos), pipeline, 112, tmp_path / "jpg", format="jpg")
    a, b = open_prepared(tmp_path / "png"), open_prepared(tmp_path / "jpg")
    assert a.keys == b.keys
    assert b.path(0).suffix == ".jpg"
    assert np.abs(a.read(0).astype(int) - b.read(0)).mean() < 8


def test_folders_that_are_refused(photos: Path, pipeline: Pipeline, tmp_path: Path) -> None:
    source, out = folder_source(photos), tmp_path / "out"
    with pytest.raises(DatasetError, match="holds other files"):
        prepare(source, pipeline, 112, photos)
    (tmp_path / "file").touch()
    with pytest.raises(FacewiseError, match="is a file"):
        prepare(source, pipeline, 112, tmp_path / "file")
    prepare(source, pipeline, 112, out)
    with pytest.raises(DatasetError, match="made otherwise"):
        prepare(source, pipeline, 128, out)
    with pytest.raises(DatasetError, match="made otherwise"):
        prepare(source, pipeline, 112, out, format="jpg")
    before = tree(out)
    with pytest.raises(DatasetError, match=r"holds 3 crops of photos .* Ada/1\.png"):
        prepare(Subset(source, [3, 4]), pipeline, 112, out)
    assert tree(out) == before
    with FileLock(out / ".prepare.lock"):
        with pytest.raises(DatasetError, match="being prepared already"):
            prepare(source, pipeline, 112, out)
    for size, ending in ((8, "png"), (112, "gif")):
        with pytest.raises(SettingError, match="16 to 1024"):
            prepare(source, pipeline, size, out, format=ending)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda _: "", "Line 1"),
        (lambda text: text.replace('"facewise_prepared": 1', '"facewise_prepared": 2'), "another version"),
        (lambda text: text.replace('"Ada/1.png", "person"', "{"), "Line 2"),
        (lambda text: text.replace('"crop": "Ada/2.png"', '"crop": "../Ada/2.png"'), "Line 3"),
        (lambda text: text.replace('"score"', '"sore"'), "Line 2"),
        (lambda text: text + "[]\n", "Line 7"),
    ],
)
def test_damaged_manifests(photos: Path, pipeline: Pipeline, tmp_path: Path, damage, told: str) -> None:
    prepare(folder_source(photos), pipeline, 112, tmp_path / "out")
    manifest = tmp_path / "out" / MANIFEST
    manifest.write_text(damage(manifest.read_text()))
    with pytest.raises(DatasetError, match=told):
        open_source(tmp_path / "out")


def test_no_face_anywhere(pipeline: Pipeline, tmp_path: Path) -> None:
    save(tmp_path / "photos" / "Ada" / "1.png")
    made = prepare(folder_source(tmp_path / "photos"), pipeline, 112, tmp_path / "out")
    with pytest.raises(DatasetError, match="no photo has a face"):
        made.source()
    with pytest.raises(DatasetError, match="was not prepared"):
        open_prepared(tmp_path / "photos")


@pytest.mark.real
@pytest.mark.slow
def test_faces_of_lfw(shared: Path, real_models, tmp_path: Path) -> None:
    from facewise.data.lfw import lfw_people

    source = lfw_people(shared / "data" / "lfw", at_least=60)
    few = Subset(source, range(0, len(source.keys), 60))
    pipeline = Pipeline.load(real_models.detector, embed=False, threads=2)
    made = prepare(few, pipeline, 112, tmp_path / "out")
    assert made.counts()["no face"] == made.counts()["unreadable"] == 0
    assert made.source().keys == few.keys
    golden = np.load(shared / "reference" / "lfw_retinaface.npz")
    known = dict(zip(golden["path"].tolist(), golden["landmarks"], strict=True))
    away = [np.abs(np.array(photo.landmarks) - known[photo.key]).max() for photo in made.photos]
    assert np.median(away) < 0.1
