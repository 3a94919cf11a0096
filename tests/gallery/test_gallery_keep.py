"""Groups, kept photos, and both through an export."""

import hashlib
import io
import shutil
import tracemalloc
import zipfile

import cv2
import numpy as np
import PIL.Image
import pytest
from gallery_fakes import FINGERPRINT, SIZE, FakePipeline, face_of, photo, sample

from facewise.errors import GalleryError, ImageError, SettingError, StorageFullError, UnknownPersonError
from facewise.gallery import Gallery, Sample, Space
from facewise.gallery.portraits import kept_photo
from facewise.gallery.sqlite import SqliteStore
from facewise.types import Face
from facewise.vault import new_key_file

SPACE = Space(FINGERPRINT, "fake", SIZE, False)
FACES = ((90, 90, 60, 200), (230, 110, 40, 90))


def pixels(jpeg):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, "u1"), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def face_at(*box):
    return Face(np.array(box, np.float32), 0.9, np.zeros((5, 2), np.float32))


def ramp(height, width):
    """Each pixel says where it is."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, np.full_like(x, 128)], -1).astype(np.uint8)


def test_nothing_is_kept_unless_asked():
    assert kept_photo(ramp(100, 100), face_at(10, 10, 50, 50), "none") is None


def test_a_portrait_shows_the_face_with_a_margin():
    image = ramp(1000, 1000)
    portrait = pixels(kept_photo(image, face_at(400, 300, 600, 500), "face"))
    assert portrait.shape == (256, 256, 3)
    expected = image[200:600, 300:700]  # the box's 200 pixels, and 100 more on each side
    expected = cv2.resize(expected, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(portrait.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((0, 0, 100, 100), (300, 300)),
        ((-50, -50, 60, 60), (300, 300)),
        ((290, 290, 400, 400), (300, 300)),
        ((400, 400, 500, 500), (300, 300)),  # outside of it all
        ((0, 0, 1, 1), (1, 1)),
        ((10, 10, 10, 10), (300, 300)),
        ((0, 0, 5000, 4000), (40, 9000)),
    ],
)
def test_a_portrait_of_a_face_at_the_edge(box, size):
    height, width, _ = pixels(kept_photo(ramp(*size), face_at(*box), "face")).shape
    assert 1 <= height <= 256
    assert 1 <= width <= 256


@pytest.mark.parametrize(
    ("size", "expected"), [((3000, 2000), (1600, 1067)), ((1600, 10), (1600, 10)), ((30, 20), (30, 20))]
)
def test_a_kept_photo_is_never_larger_than_it_was_or_1600(size, expected):
    kept = pixels(kept_photo(ramp(*size), face_at(0, 0, 9, 9), "photo"))
    assert kept.shape[:2] == expected


@pytest.mark.parametrize("keep", ["face", "photo"])
def test_no_metadata_is_kept_and_the_photo_is_upright(keep):
    image = PIL.Image.fromarray(ramp(200, 300))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    exif[0x010E] = "a secret description"
    exif.get_ifd(0x8825)[1] = "N"  # where it was taken
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, comment=b"another secret", quality=95)
    data = file.getvalue()
    assert b"secret" in data
    kept = kept_photo(data, face_at(50, 50, 150, 150), keep)
    assert b"secret" not in kept
    assert b"Exif" not in kept
    assert dict(PIL.Image.open(io.BytesIO(kept)).getexif()) == {}
    upright = np.asarray(image.transpose(PIL.Image.Transpose.ROTATE_270))
    if keep == "photo":
        assert np.abs(pixels(kept).astype(int) - upright).mean() < 3
    else:
        assert np.abs(pixels(kept).astype(int) - upright[0:200, 0:200]).mean() < 3


def test_a_photo_that_changed_between_detection_and_keeping_is_refused(tmp_path):
    path = tmp_path / "a.png"
    PIL.Image.fromarray(ramp(50, 50)).save(path)
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    assert kept_photo(path, face_at(0, 0, 9, 9), "photo", old)
    PIL.Image.fromarray(ramp(60, 60)).save(path)
    with pytest.raises(ImageError, match="changed"):
        kept_photo(path, face_at(0, 0, 9, 9), "photo", old)
    path.unlink()
    with pytest.raises(ImageError):
        kept_photo(path, face_at(0, 0, 9, 9), "photo", old)


@pytest.mark.parametrize("encrypted", [False, True])
def test_enrolling_keeps_what_was_asked_for(tmp_path, tiny_pipeline, drawn_photo, encrypted):
    key = tmp_path / "k" if encrypted else None
    if key:
        new_key_file(key)
    path = tmp_path / "ada.png"
    PIL.Image.fromarray(drawn_photo([FACES[0]])).save(path)
    with Gallery.open(tmp_path / "people.db", pipeline=tiny_pipeline, key_file=key) as gallery:
        assert gallery.enroll("Ada", path, keep="face", groups=["staff"]).added == 1
        assert gallery.enroll("Bob", drawn_photo([FACES[1]]), keep="photo").added == 1
        array = drawn_photo([(60, 120, 50, 30)])
        assert gallery.enroll("Eve", [array], keep="none").added == 1
        people = {p.name: p.groups for p in gallery.people()}
        assert people == {"Ada": ("staff",), "Bob": (), "Eve": ()}
        kept = {}
        for name in people:
            (one,) = gallery.show(name).samples
            kept[name] = gallery.photo(one.id)
            assert one.has_photo == (kept[name] is not None)
        assert kept["Eve"] is None
        assert max(pixels(kept["Ada"]).shape) <= 256
        assert pixels(kept["Bob"]).shape == (240, 320, 3)
        assert np.abs(pixels(kept["Bob"]).astype(int) - drawn_photo([FACES[1]])).mean() < 5
        with pytest.raises(SettingError, match="keep='all'"):
            gallery.enroll("Ada", path, keep="all")
        assert gallery.check() == []


def test_a_folder_is_kept_photo_by_photo(tmp_path, tiny_pipeline, drawn_photo):
    folder = tmp_path / "people"
    for name, faces in (("Ada", [FACES[0]]), ("Bob", [FACES[1]])):
        (folder / name).mkdir(parents=True)
        PIL.Image.fromarray(drawn_photo(faces)).save(folder / name / "1.png")
        (folder / name / "0.png").write_bytes(b"not an image")
    with Gallery.open(tmp_path / "people.db", pipeline=tiny_pipeline) as gallery:
        done = list(gallery.enroll_folder(folder, keep="photo", groups=["all", "2024"]))
        assert [(e.name, e.added, len(e.rejected)) for e in done] == [("Ada", 1, 1), ("Bob", 1, 1)]
        for name, faces in (("Ada", [FACES[0]]), ("Bob", [FACES[1]])):
            (one,) = gallery.show(name).samples
            assert np.abs(pixels(gallery.photo(one.id)).astype(int) - drawn_photo(faces)).mean() < 5
            assert gallery.show(name).groups == ("2024", "all")


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "people.db")
    yield store
    store.close()


def test_groups(store):
    store.add([("ada", [sample("ada", 1)]), ("bob", [sample("bob", 1)])], SPACE, {"ada": ["staff", "it"]})
    assert store.person("ada").groups == ("it", "staff")
    ada, bob = (p.id for p in store.people())
    assert store.keys().groups == {ada: frozenset({"it", "staff"})} == store.load().groups
    version, state = store.version(), store.state()
    store.set_groups("bob", ["visitors"])
    assert store.version() != version
    assert store.state() != state
    assert store.descends_from(state)
    # Of somebody who is there already, and without a new sample, too.
    store.add([("ada", [sample("ada", 1)])], SPACE, {"ada": ["vip"]})
    assert store.person_by_id(ada).groups == ("it", "staff", "vip")
    _, change = store.merge("ada", "bob")
    assert change.gone == ()
    assert store.person("ada").groups == ("it", "staff", "vip", "visitors")
    assert bob not in store.keys().groups
    store.set_groups("ada", [])
    assert store.keys().groups == {}
    with pytest.raises(UnknownPersonError):
        store.set_groups("nobody", ["x"])
    assert store.check() == []


@pytest.mark.parametrize("name", ["", "  ", "a,b", "x" * 201, "a\nb", "a\u202eb"])
def test_what_is_no_groups_name(tmp_path, name):
    with Gallery.open(tmp_path / "people.db", pipeline=FakePipeline()) as gallery:
        gallery.enroll("ada", photo(tmp_path, "a.jpg", "ada:1"))
        for use in (
            lambda: gallery.set_groups("ada", ["good", name]),
            lambda: gallery.enroll("bob", photo(tmp_path, "b.jpg", "bob:1"), groups=["good", name]),
        ):
            with pytest.raises(GalleryError, match="group's name"):
                use()
        assert [(p.name, p.groups) for p in gallery.people()] == [("ada", ())]


def test_states_tell_one_content_from_another(store, tmp_path):
    def changes():
        yield lambda: store.add([("ada", [sample("ada", s) for s in range(3)])], SPACE)
        yield lambda: store.add([("bob", [sample("bob", 1)])], SPACE)
        yield lambda: store.set_groups("ada", ["x"])
        yield lambda: store.rename("ada", "eve")
        yield lambda: store.remove_sample(1)
        yield lambda: store.merge("eve", "bob")
        yield lambda: store.remove("eve")

    seen = [store.state()]
    for change in changes():
        change()
        assert store.state() not in seen
        assert all(store.descends_from(state) for state in [*seen, store.state()])
        seen.append(store.state())
        if len(seen) == 4:
            shutil.copy(tmp_path / "people.db", tmp_path / "copy.db")
            shutil.copy(tmp_path / "people.db-wal", tmp_path / "copy.db-wal")
    assert not store.descends_from("0" * 32)
    assert store.add([("x", [])], SPACE).added[0].samples == ()  # which changes nothing
    assert store.state() == seen[-1]
    copy = SqliteStore(tmp_path / "copy.db")
    assert copy.state() == seen[3]
    assert copy.descends_from(seen[2])
    assert not copy.descends_from(seen[4])  # what came after the copy was made is not its past
    copy.close()


def test_an_export_takes_groups_and_photos_along(tmp_path):
    pictures = [b"\xff\xd8" + np.random.default_rng(i).bytes(100 * i + 1) for i in range(3)]
    with Gallery.open(tmp_path / "people.db") as gallery:
        for name, given in (("ada", pictures[:2]), ("bob", [None]), ("cyd", pictures[2:])):
            gallery.enroll_embeddings(
                name,
                [Sample(face_of(name, i), f"{name}{i}.jpg", photo=p) for i, p in enumerate(given)],
                fingerprint=FINGERPRINT,
                groups=["staff", "x"] if name == "ada" else [],
            )
        assert gallery.export(tmp_path / "people.npz") == 4
    with Gallery.open(tmp_path / "other.db") as other:
        assert sum(done.added for done in other.import_(tmp_path / "people.npz")) == 4
        assert {p.name: p.groups for p in other.people()} == {"ada": ("staff", "x"), "bob": (), "cyd": ()}
        kept = [other.photo(s.id) for name in ("ada", "bob", "cyd") for s in other.show(name).samples]
        assert kept == [pictures[0], pictures[1], None, pictures[2]]
        assert all(done.added == 0 for done in other.import_(tmp_path / "people.npz"))
        assert other.check() == []


def test_an_export_of_the_first_version_is_still_read(tmp_path):
    header = (
        '{"format": "facewise-gallery", "version": 1, "model": "fake", "size": 32, "flip": false, '
        f'"fingerprint": "{FINGERPRINT}", '
        '"samples": [{"name": "ada", "source": "a.jpg", "source_hash": "", '
        '"created": "2024-01-02T00:00:00Z", "quality": null}]}'
    )
    np.savez(
        tmp_path / "old.npz",
        header=np.frombuffer(header.encode(), np.uint8),
        embeddings=face_of("ada", 1)[None],
    )
    with Gallery.open(tmp_path / "people.db") as gallery:
        assert gallery.import_(tmp_path / "old.npz")[0].added == 1


@pytest.mark.parametrize("name", ["header", "embeddings", "photos"])
@pytest.mark.parametrize("way", ["packed", "said"])
def test_an_export_that_says_it_is_larger_than_it_is_is_refused_before_it_is_made(tmp_path, name, way):
    with Gallery.open(tmp_path / "people.db") as gallery:
        gallery.enroll_embeddings("ada", [Sample(face_of("ada"))], fingerprint=FINGERPRINT)
        gallery.export(tmp_path / "people.npz")
    with np.load(tmp_path / "people.npz") as file:
        content = dict(file)
    bomb = tmp_path / "bomb.npz"
    if way == "packed":
        np.savez_compressed(bomb, **content | {name: np.zeros(1 << 26, np.uint8)})
        assert bomb.stat().st_size < 1 << 20
    else:
        with zipfile.ZipFile(bomb, "w") as file:
            for key, array in content.items():
                with file.open(f"{key}.npy", "w") as member:
                    if key == name:
                        said = {"descr": "|u1", "fortran_order": False, "shape": (1 << 26,)}
                        np.lib.format.write_array_header_1_0(member, said)
                        member.write(b"abc")
                    else:
                        np.lib.format.write_array(member, array)
    tracemalloc.start()
    with Gallery.open(tmp_path / "other.db") as other, pytest.raises(GalleryError, match="damaged or not"):
        other.import_(bomb)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 24


def test_an_export_of_nested_lists_is_refused(tmp_path):
    deep = np.frombuffer(b"[" * 200_000, np.uint8)
    np.savez(tmp_path / "deep.npz", header=deep, embeddings=face_of("ada")[None])
    with Gallery.open(tmp_path / "people.db") as gallery, pytest.raises(GalleryError, match="damaged or not"):
        gallery.import_(tmp_path / "deep.npz")


@pytest.mark.parametrize("photos", [b"", b"\xff\xd8", b"\xff\xd8x", b"xxxx"])
def test_an_export_whose_photos_are_cut_is_refused(tmp_path, photos):
    with Gallery.open(tmp_path / "people.db") as gallery:
        gallery.enroll_embeddings(
            "ada", [Sample(face_of("ada"), photo=b"\xff\xd8ab")], fingerprint=FINGERPRINT
        )
        gallery.export(tmp_path / "people.npz")
    with np.load(tmp_path / "people.npz") as file:
        content = dict(file) | {"photos": np.frombuffer(photos, np.uint8)}
    np.savez(tmp_path / "cut.npz", **content)
    with Gallery.open(tmp_path / "other.db") as other, pytest.raises(GalleryError, match="damaged"):
        other.import_(tmp_path / "cut.npz")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE photos SET data = zeroblob(length(data))", "The photo of sample 1 is no JPEG"),
        ("UPDATE photos SET data = x'ffd8'", "The photo of sample 1 is damaged"),
        ("DELETE FROM photos", "The photo of sample 1 is damaged"),
        ("DELETE FROM vectors WHERE id = 2", "Sample 2 has 0 bytes"),
        ("UPDATE samples SET vector = 1", "Two samples share the place 1 of vectors"),
        ("UPDATE samples SET photo = NULL", "The place 1 of photos belongs to no sample and is not wiped"),
        ("UPDATE groups SET name = 'a,b'", "'a,b' is not a group's name"),
    ],
)
def test_check_tells_what_is_wrong_with_the_new(store, damage, told):
    given = Sample(face_of("ada", 1), photo=b"\xff\xd8 a photo")
    store.add([("ada", [given, sample("ada", 2)])], SPACE, {"ada": ["staff"]})
    assert store.check() == []
    store._db.execute(damage)
    assert any(told in problem for problem in store.check()), store.check()


def test_errors_have_their_kinds(store):
    assert issubclass(StorageFullError, GalleryError)
    store.add([("ada", [sample("ada", 1)]), ("bob", [sample("bob", 1)])], SPACE)
    for use in (
        lambda: store.person("eve"),
        lambda: store.person_by_id(99),
        lambda: store.remove("eve"),
        lambda: store.rename("eve", "x"),
        lambda: store.merge("ada", "eve"),
        lambda: store.remove_sample(99),
        lambda: store.vectors(np.array([1, 99])),
    ):
        with pytest.raises(UnknownPersonError):
            use()
    with pytest.raises(GalleryError, match="already a 'bob'") as told:
        store.rename("ada", "bob")
    assert type(told.value).__name__ == "NameTakenError"
    assert store.photo(99) is None
