import contextlib
import json
import shutil
import stat
import sys
import threading
import unicodedata

import numpy as np
import pytest
from gallery_fakes import FINGERPRINT, SIZE, FakePipeline, face_of, photo, sample, unit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from facewise.errors import (
    DatasetError,
    FaceNotFoundError,
    FacewiseError,
    GalleryError,
    ImageError,
    SettingError,
)
from facewise.gallery import Gallery, Rejection, Sample
from facewise.types import Decision

RULE = Decision(0.5, 1e-3, "test")


@pytest.fixture
def pipeline():
    return FakePipeline()


@pytest.fixture
def gallery(tmp_path, pipeline):
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as gallery:
        yield gallery


def put(gallery, name, *shots, person=None, **options):
    samples = [sample(person or name, shot) for shot in shots]
    return gallery.enroll_embeddings(
        name, samples, **({"fingerprint": FINGERPRINT, "model": "fake"} | options)
    )


def who(gallery, person, shot=9, **options):
    options = {"fingerprint": FINGERPRINT, "decision": RULE} | options
    return gallery.identify_embeddings(face_of(person, shot), **options)[0]


# Photos


def test_enrol_and_identify(gallery, tmp_path):
    ada = [photo(tmp_path, f"ada{i}.jpg", f"ada:{i}") for i in range(3)]
    done = gallery.enroll("Ada", ada)
    assert (done.name, done.added, done.rejected, done.warnings) == ("Ada", 3, (), ())
    gallery.enroll("Bob", photo(tmp_path, "bob.jpg", "bob:1"))
    matches = gallery.identify(photo(tmp_path, "party.jpg", "bob:7 eve:1 ada:8"))
    assert [m.name for m in matches] == ["Bob", None, "Ada"]
    assert all(m.decided and m.threshold == 0.5 and m.fmr == 1e-3 for m in matches)
    assert [c.name for c in matches[2].candidates] == ["Ada", "Bob"]
    assert matches[0].similarity == matches[0].candidates[0].similarity >= 0.5
    assert gallery.identify(photo(tmp_path, "sea.jpg", "nobody")) == []
    assert gallery.identify(b"ada:3")[0].name == "Ada"
    with pytest.raises(ImageError):
        gallery.identify(photo(tmp_path, "broken.jpg", "broken"))


def test_quality_and_origin_are_kept(gallery, tmp_path):
    path = photo(tmp_path, "ada.jpg", "ada:1")
    gallery.enroll("Ada", [path])
    (kept,) = gallery.show("Ada").samples
    assert (kept.name, kept.source, kept.fingerprint) == ("Ada", str(path), FINGERPRINT)
    assert (kept.quality.size, kept.quality.sharpness, kept.quality.yaw) == (40.0, 120.0, 0.1)
    assert kept.created.endswith("Z")


def test_good_photos_are_enrolled_and_bad_ones_named(gallery, tmp_path):
    good, none, broken = (
        photo(tmp_path, n, c) for n, c in [("g.jpg", "ada:1"), ("n.jpg", "nobody"), ("b.jpg", "broken")]
    )
    done = gallery.enroll("Ada", [none, good, broken, tmp_path / "missing.jpg"])
    assert done.added == 1
    assert [r.source for r in done.rejected] == [str(none), str(broken), str(tmp_path / "missing.jpg")]
    assert done.rejected[0] == Rejection(str(none), "no face was found in it")
    assert "not an image" in done.rejected[1].reason


@pytest.mark.parametrize(
    ("contents", "error", "told"),
    [
        (["nobody"], FaceNotFoundError, "0.jpg \\(no face was found in it\\)"),
        (["broken", "nobody"], ImageError, "0.jpg is not an image\\); .*1.jpg \\(no face"),
        (["nobody"] * 6, FaceNotFoundError, "and 3 more"),
        ([], GalleryError, "No photo of 'Ada' was given"),
    ],
)
def test_an_enrolment_without_a_good_photo_leaves_no_trace(gallery, tmp_path, contents, error, told):
    with pytest.raises(error, match=told):
        gallery.enroll("Ada", [photo(tmp_path, f"{i}.jpg", c) for i, c in enumerate(contents)])
    assert gallery.people() == []
    assert gallery.space is None
    assert gallery.check() == []


def test_the_main_of_several_faces_is_taken_and_told(gallery, tmp_path):
    done = gallery.enroll("Ada", [photo(tmp_path, "two.jpg", "ada:1 bob:1")])
    assert done.added == 1
    assert "2 faces" in done.warnings[0]
    assert who(gallery, "ada").name == "Ada"
    assert who(gallery, "bob").name is None


def test_duplicates_are_told_and_not_stored_twice(gallery, tmp_path):
    a, b = photo(tmp_path, "a.jpg", "ada:1"), photo(tmp_path, "b.jpg", "ada:2")
    copy = photo(tmp_path, "copy of a.jpg", "ada:1")
    assert gallery.enroll("Ada", [a, copy]).duplicates == (str(copy),)
    done = gallery.enroll("Ada", [a, b])
    assert (done.added, done.duplicates) == (1, (str(a),))
    again = gallery.enroll("Ada", [a, b])
    assert (again.added, again.duplicates) == (0, (str(a), str(b)))
    assert gallery.people()[0].samples == 2


def test_somebody_elses_photo_is_refused_and_a_lookalike_told(gallery, tmp_path):
    a = photo(tmp_path, "a.jpg", "ada:1")
    gallery.enroll("Ada", [a])
    with pytest.raises(GalleryError, match="already enrolled as 'Ada'"):
        gallery.enroll("Bob", [a])
    assert [p.name for p in gallery.people()] == ["Ada"]
    done = gallery.enroll("Bob", [a, photo(tmp_path, "b.jpg", "bob:1")])
    assert (done.added, done.rejected) == (1, (Rejection(str(a), "it is already enrolled as 'Ada'"),))
    twin = photo(tmp_path, "twin.jpg", "ada:2")
    done = gallery.enroll("Eve", [twin])
    similarity = float(face_of("ada", 1) @ face_of("ada", 2))
    assert done.warnings == (f"{twin} looks like Ada ({similarity:.2f}).",)
    assert gallery.enroll("Eve", [photo(tmp_path, "t3.jpg", "ada:3")], threshold=0.999).warnings == ()


def test_swapped_people_are_noticed(gallery, tmp_path):
    gallery.enroll("Ada", [photo(tmp_path, "a1.jpg", "ada:1")])
    gallery.enroll("Bob", [photo(tmp_path, "b1.jpg", "bob:1")])
    assert "looks like Bob" in gallery.enroll("Ada", [photo(tmp_path, "b2.jpg", "bob:2")]).warnings[0]
    assert "looks like Ada" in gallery.enroll("Bob", [photo(tmp_path, "a2.jpg", "ada:2")]).warnings[0]


def test_names_follow_the_faces_whatever_the_order_of_enrolment(gallery):
    people = [f"person {i}" for i in np.random.default_rng(0).permutation(40)]
    for shot in (1, 2):
        for name in people[:: 1 if shot == 1 else -1]:
            put(gallery, name, shot)
    found = gallery.identify_embeddings(
        np.stack([face_of(name, 9) for name in people]), fingerprint=FINGERPRINT, decision=RULE
    )
    assert [f.name for f in found] == people


def test_many_photos_are_identified_in_order(gallery, tmp_path):
    gallery.enroll("Ada", photo(tmp_path, "a.jpg", "ada:1"))
    contents = ["ada:2 eve:1", "broken", "nobody", "ada:3"]
    paths = [photo(tmp_path, f"{i}.jpg", content) for i, content in enumerate(contents)]
    found = list(gallery.identify_many(paths))
    assert [p.source for p, _ in found] == [str(path) for path in paths]
    assert [p.error is not None for p, _ in found] == [False, True, False, False]
    assert [[m.name for m in matches] for _, matches in found] == [["Ada", None], [], [], ["Ada"]]


# Decisions


def test_without_calibration_or_threshold_nothing_is_decided(tmp_path):
    pipeline = FakePipeline(calibration=None)
    with Gallery.open(tmp_path / "g.db", pipeline=pipeline) as gallery:
        path = photo(tmp_path, "a.jpg", "ada:1")
        gallery.enroll("Ada", [path])
        (match,) = gallery.identify(path)
        assert (match.name, match.decided, match.threshold) == (None, False, None)
        assert match.candidates[0].name == "Ada"
        (match,) = gallery.identify(path, threshold=0.9)
        assert (match.name, match.decided, match.threshold, match.fmr) == ("Ada", True, 0.9, None)


def test_settings_out_of_range_are_refused(gallery, tmp_path):
    path = photo(tmp_path, "a.jpg", "ada:1")
    gallery.enroll("Ada", [path])
    for bad in ({"threshold": 1.5}, {"threshold": float("nan")}, {"fmr": 0.0}, {"fmr": 1e-5}, {"top": 0}):
        with pytest.raises(SettingError):
            gallery.identify(path, **bad)
    with pytest.raises(SettingError, match="'best' or 'mean'"):
        gallery.identify(path, scoring="worst")


def test_the_threshold_itself_counts_as_the_same(gallery):
    put(gallery, "Ada", 1, person="ada")
    similarity = who(gallery, "ada").similarity
    assert who(gallery, "ada", decision=Decision(similarity, None, "")).name == "Ada"
    assert who(gallery, "ada", decision=Decision(np.nextafter(similarity, 2), None, "")).name is None


def test_everybody_is_a_stranger_to_an_empty_gallery(gallery):
    found = who(gallery, "ada")
    assert (found.name, found.decided, found.similarity, found.candidates) == (None, True, -1.0, ())


def test_mean_scoring_pools_the_samples(gallery):
    put(gallery, "Ada", *range(8), person="ada")
    assert who(gallery, "ada", scoring="mean").similarity > who(gallery, "ada", scoring="best").similarity


# Models


def test_another_models_embeddings_are_refused_naming_both(gallery, tmp_path):
    path = photo(tmp_path, "a.jpg", "ada:1")
    gallery.enroll("Ada", [path])
    other = FakePipeline(name="other", fingerprint="b2" * 32)
    with Gallery.open(tmp_path / "people.db", pipeline=other) as foreign:
        for refused in (
            lambda: foreign.enroll("Bob", [path]),
            lambda: foreign.identify(path),
            lambda: foreign.enroll_folder(tmp_path),
        ):
            (tmp_path / "x").mkdir(exist_ok=True)
            with pytest.raises(
                GalleryError, match=r"fake .a1a1a1a1a1a1.* other .b2b2b2b2b2b2.*: use that model"
            ):
                refused()
        assert other.opened == []  # refused before any photo is read
    with pytest.raises(GalleryError, match=r"a1a1a1a1a1a1.*b2b2b2b2b2b2"):
        put(gallery, "Bob", 1, fingerprint="b2" * 32)
    with pytest.raises(GalleryError, match=r"a1a1a1a1a1a1.*b2b2b2b2b2b2"):
        who(gallery, "ada", fingerprint="b2" * 32)


def test_another_flip_setting_is_refused(gallery, tmp_path):
    path = photo(tmp_path, "a.jpg", "ada:1")
    gallery.enroll("Ada", [path])
    with Gallery.open(tmp_path / "people.db", pipeline=FakePipeline(flip=True)) as foreign:
        with pytest.raises(GalleryError, match=r"enrolled without flip averaging.*use flip=False"):
            foreign.identify(path)
    with pytest.raises(GalleryError, match="use flip=False"):
        put(gallery, "Bob", 1, flip=True)


def test_a_lost_race_to_bind_is_refused_by_the_store(gallery, tmp_path, monkeypatch):
    """The check before the transaction sees an unbound gallery; the one inside it must still refuse."""
    put(gallery, "Ada", 1)
    monkeypatch.setattr("facewise.gallery.enrollment.refuse_foreign", lambda *_: None)
    with pytest.raises(GalleryError, match="b2b2b2b2b2b2"):
        put(gallery, "Bob", 1, fingerprint="b2" * 32)
    assert gallery.check() == []


@pytest.mark.parametrize(
    "bad", [np.zeros(SIZE), np.full(SIZE, np.nan), np.ones(SIZE), unit(np.ones(SIZE - 1)), np.eye(SIZE)]
)
def test_what_is_no_embedding_is_refused(gallery, bad):
    put(gallery, "Ada", 1)
    bad = np.asarray(bad, np.float32)
    with pytest.raises(GalleryError):
        gallery.enroll_embeddings("Bob", [sample("bob"), Sample(bad, "bad.jpg")], fingerprint=FINGERPRINT)
    assert [p.name for p in gallery.people()] == ["Ada"]
    if bad.ndim == 1:
        with pytest.raises(GalleryError):
            gallery.identify_embeddings(bad, fingerprint=FINGERPRINT)


def test_a_source_that_is_not_unicode_is_kept_escaped(gallery):
    gallery.enroll_embeddings("Ada", [Sample(face_of("ada"), "ad\udce4.jpg")], fingerprint=FINGERPRINT)
    assert gallery.show("Ada").samples[0].source == "ad\\udce4.jpg"


def test_an_identical_embedding_without_a_source_is_a_duplicate(gallery):
    put(gallery, "Ada", 1)
    bare = Sample(face_of("eve"))
    assert gallery.enroll_embeddings("Eve", [bare, bare], fingerprint=FINGERPRINT).duplicates == (
        "an embedding",
    )


def test_default_models_are_loaded_with_the_gallerys_flip(tmp_path, monkeypatch):
    asked = []

    class Module:
        class Pipeline:
            @staticmethod
            def load(flip=None):
                asked.append(flip)
                return FakePipeline(flip=bool(flip))

    monkeypatch.setitem(sys.modules, "facewise.pipeline", Module)
    path = photo(tmp_path, "a.jpg", "ada:1")
    with Gallery.open(tmp_path / "g.db", pipeline=FakePipeline(flip=True)) as gallery:
        gallery.enroll("Ada", [path])
    with Gallery.open(tmp_path / "g.db") as gallery:
        assert gallery.people()
        assert asked == []  # looking after a gallery needs no model
        assert gallery.identify(path)[0].name == "Ada"
        gallery.identify(path)
        assert asked == [True]


# Names and looking after a gallery


@pytest.mark.parametrize(
    "bad", ["", "  ", "\t", "a\nb", "a\x00b", "\ud800", "x" * 201, "a\u2028b", "\u202egpj"]
)
def test_bad_names_are_refused(gallery, bad):
    with pytest.raises(GalleryError, match="name"):
        put(gallery, bad, 1, person="ada")


def test_names_are_stripped_and_composed(gallery):
    put(gallery, " Zoe\u0308 ", 1)
    put(gallery, "Zo\u00eb", 2, person="z")
    (zoe,) = gallery.people()
    assert (zoe.name, zoe.samples) == (unicodedata.normalize("NFC", "Zoe\u0308"), 2)
    assert gallery.show("Zoe\u0308").name == zoe.name
    put(gallery, "x" * 200, 3)
    put(gallery, "پیام\u200cرسان", 4)


def test_an_unknown_name_is_told_with_the_nearest(gallery):
    put(gallery, "Ada Lovelace", 1)
    for call in (
        gallery.show,
        gallery.remove,
        lambda name: gallery.rename(name, "X"),
        lambda name: gallery.merge("Ada Lovelace", name),
        lambda name: gallery.merge(name, "Ada Lovelace"),
    ):
        with pytest.raises(GalleryError, match=r"no 'ada lovelac' in .*did you mean 'Ada Lovelace'"):
            call("ada lovelac")
    with pytest.raises(GalleryError, match="holds 1 people"):
        gallery.show("Zebra")


def test_rename_merge_remove(gallery):
    put(gallery, "Ada", 1, 2)
    put(gallery, "Bob", 1)
    put(gallery, "Countess", 3, person="Ada")
    with pytest.raises(GalleryError, match="merge the two instead"):
        gallery.rename("Bob", "Ada")
    gallery.rename("Ada", "Ada")
    gallery.rename("Ada", "Augusta")
    assert who(gallery, "Ada", 1).name == "Augusta"
    with pytest.raises(GalleryError, match="merged with itself"):
        gallery.merge("Bob", "Bob")
    assert gallery.merge("Augusta", "Countess") == 1
    assert [(p.name, p.samples) for p in gallery.people()] == [("Augusta", 3), ("Bob", 1)]
    assert gallery.remove("Augusta") == 3
    assert who(gallery, "Ada").name is None
    assert who(gallery, "Bob").name == "Bob"
    assert gallery.check() == []


def test_remove_sample(gallery):
    put(gallery, "Ada", 1, 2)
    first, second = gallery.show("Ada").samples
    gallery.remove_sample(first.id)
    assert [s.id for s in gallery.show("Ada").samples] == [second.id]
    with pytest.raises(GalleryError, match="only one of 'Ada'"):
        gallery.remove_sample(second.id)
    with pytest.raises(GalleryError, match="no sample 999"):
        gallery.remove_sample(999)
    put(gallery, "Ada", 3)
    assert gallery.show("Ada").samples[-1].id not in (first.id, second.id)


def test_changes_of_another_connection_are_seen(gallery, tmp_path):
    put(gallery, "Ada", 1)
    assert who(gallery, "Bob").name is None
    with Gallery.open(tmp_path / "people.db") as other:
        put(other, "Bob", 1)
        assert who(gallery, "Bob").name == "Bob"
        other.rename("Bob", "Robert")
        assert who(gallery, "Bob").name == "Robert"
        put(gallery, "Eve", 1)
        assert who(other, "Eve").name == "Eve"
        put(other, "Dan", 1)
        put(gallery, "Fay", 1)  # written over a change not seen yet
        assert [who(gallery, n).name for n in ("Dan", "Fay", "Bob")] == ["Dan", "Fay", "Robert"]


def test_enrolling_does_not_load_the_gallery_again(gallery, monkeypatch):
    put(gallery, "Ada", 1)
    who(gallery, "Ada")
    loads = []
    load = gallery._store.load
    monkeypatch.setattr(gallery._store, "load", lambda: loads.append(1) or load())
    for i in range(300):
        put(gallery, f"person {i}", 1, decision=RULE)
    assert all(who(gallery, f"person {i}").name == f"person {i}" for i in range(300))
    assert loads == []


def test_searches_and_enrolments_in_threads(gallery):
    put(gallery, "Ada", 1)
    wrong, done = [], threading.Event()

    def search():
        while not done.is_set():
            if who(gallery, "Ada").name != "Ada":
                wrong.append(1)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for i in range(60):
        put(gallery, f"person {i}", 1)
        if i % 10 == 0:
            gallery.remove(f"person {i}")
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(gallery.people()) == 55


def test_a_closed_gallery_says_so(tmp_path):
    gallery = Gallery.open(tmp_path / "g.db")
    gallery.close()
    gallery.close()
    with pytest.raises(GalleryError, match="closed"):
        gallery.people()


# A folder of people


def test_enrol_a_folder(gallery, tmp_path):
    root = tmp_path / "photos"
    for name in ("ada", "bob"):
        for i in range(3):
            photo(root / name, f"{i}.jpg", f"{name}:{i}")
    photo(root / "bob", "3.jpg", "broken")
    photo(root / "eve", "0.jpg", "nobody")
    (root / "empty").mkdir()
    photo(root / "bad\x07name", "0.jpg", "x:1")
    photo(root, "readme.txt", "hello")
    photo(root / "ada" / "more", "0.jpg", "ada:8")
    photo(root / ".hidden", "0.jpg", "broken")
    photo(root / "ada", ".DS_Store", "broken")
    photo(root / "ada", "Thumbs.db", "broken")
    photo(root / "ada", "clip.mov", "broken")
    photo(root, "loose.jpg", "ada:9")
    said: list[str] = []
    done = {e.name: e for e in gallery.enroll_folder(root, tell=said.append)}
    assert {n: e.added for n, e in done.items()} == {"ada": 4, "bob": 3, "eve": 0, "bad\x07name": 0}
    told = {n: [r.reason for r in e.rejected] for n, e in done.items()}
    assert told["ada"] == []
    assert "not an image" in told["bob"][0]
    assert told["eve"] == ["no face was found in it"]
    assert "control characters" in told["bad\x07name"][0]
    assert len(said) == 3
    assert said[0].endswith("1 photo in nobody's folder (loose.jpg).")
    assert said[1].endswith("1 folder without a photo (empty).")
    assert said[2].endswith("1 file with no ending of a photo (1 .mov).")
    assert [p.name for p in gallery.people()] == ["ada", "bob"]
    assert all(
        e.added == 0 for e in gallery.enroll_folder(root, tell=said.append)
    )  # once more: all duplicates
    with pytest.raises(DatasetError, match="holds no people"):
        gallery.enroll_folder(root / "eve")
    with pytest.raises(DatasetError, match="no folder"):
        gallery.enroll_folder(root / "nowhere")
    (root / "loose.jpg").unlink()
    shutil.move(root, tmp_path / "above" / "photos")
    with pytest.raises(DatasetError, match=r"name .*photos if these are the people"):
        gallery.enroll_folder(tmp_path / "above")


# Export and import


def test_export_and_import(gallery, tmp_path):
    put(gallery, "Ada", 1, 2)
    put(gallery, "Bob", 1)
    gallery.enroll("Eve", [photo(tmp_path, "e.jpg", "eve:1")])
    out = tmp_path / "all.npz"
    assert gallery.export(out) == 4
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    with np.load(out, allow_pickle=False) as file:
        assert json.loads(file["header"].tobytes())["fingerprint"] == FINGERPRINT
    with Gallery.open(tmp_path / "copy.db") as copy:
        put(copy, "Bob", 1)
        done = {e.name: (e.added, e.duplicates) for e in copy.import_(out)}
        assert done == {"Ada": (2, ()), "Bob": (0, ("Bob1.jpg",)), "Eve": (1, ())}
        assert [(p.name, p.samples) for p in copy.people()] == [("Ada", 2), ("Bob", 1), ("Eve", 1)]
        assert who(copy, "Ada").similarity == who(gallery, "Ada").similarity
        assert copy.show("Eve").samples[0].quality.size == 40.0
        assert copy.check() == []
        put(copy, "Ada", 3)
        copy.export(out)  # replaces the old file
    assert len(gallery.import_(out)) == 3
    assert gallery.people()[0].samples == 3


def test_an_export_of_another_model_is_refused(gallery, tmp_path):
    put(gallery, "Ada", 1)
    with Gallery.open(tmp_path / "other.db") as other:
        put(other, "Bob", 1, fingerprint="b2" * 32)
        other.export(tmp_path / "other.npz")
    with pytest.raises(GalleryError, match=r"a1a1a1a1a1a1.*b2b2b2b2b2b2"):
        gallery.import_(tmp_path / "other.npz")


def test_bad_exports_are_refused(gallery, tmp_path):
    with pytest.raises(GalleryError, match="empty"):
        gallery.export(tmp_path / "x.npz")
    put(gallery, "Ada", *range(20))
    with pytest.raises(GalleryError, match="gallery itself"):
        gallery.export(tmp_path / "people.db")
    (tmp_path / "file").touch()
    with pytest.raises(FacewiseError, match="Cannot write"):
        gallery.export(tmp_path / "file" / "x.npz")
    with pytest.raises(GalleryError, match="no file"):
        gallery.import_(tmp_path / "nowhere.npz")
    good = tmp_path / "good.npz"
    gallery.export(good)
    header, rows = (np.load(good)[k] for k in ("header", "embeddings"))
    told = json.loads(header.tobytes())

    def refused(match, rows=rows, **changes):
        text = np.frombuffer(json.dumps(told | changes).encode(), np.uint8)
        np.savez(tmp_path / "bad.npz", header=text, embeddings=rows)
        with pytest.raises(GalleryError, match=match):
            gallery.import_(tmp_path / "bad.npz")

    refused("not an export", format="something")
    refused("newer", version=9)
    refused("not an export", samples=told["samples"][1:])
    refused("not an export", samples=[{}] * 20)
    refused("not an export", samples=[s | {"name": 7} for s in told["samples"]])
    refused("control", samples=[s | {"name": "\x00"} for s in told["samples"]])
    refused("not 1", rows=rows * 2)
    refused("not finite", rows=rows * np.nan)
    refused("values each", rows=rows[:, 1:])
    np.savez(tmp_path / "pickle.npz", header=np.array([{}], dtype=object), embeddings=rows)
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", rows)
    for name in ("pickle.npz", "text.npz", "array.npy", "people.db"):
        with pytest.raises(GalleryError, match="damaged or not an export"):
            gallery.import_(tmp_path / name)
    data = good.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(60):
        broken = bytearray(data[: int(rng.integers(len(data)))] if i % 2 else data)
        for at in rng.integers(0, len(broken), 3 if broken else 0):
            broken[at] ^= int(rng.integers(1, 256))
        (tmp_path / "broken.npz").write_bytes(broken)
        with contextlib.suppress(GalleryError):
            gallery.import_(tmp_path / "broken.npz")
    assert gallery.people()[0].samples == 20
    assert gallery.check() == []


# Any sequence of changes, against a dict


class GalleryMachine(RuleBasedStateMachine):
    """After any sequence of changes, the gallery's people are those of a dict {name: {(person, shot)}}."""

    names = Bundle("names")

    @initialize()
    def start(self):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.gallery = Gallery.open(f"{self.folder.name}/g.db")
        self.model = {}

    @rule(target=names, name=st.sampled_from(["Ada", "Bob", "Cyd", "Dan", "Eve"]))
    def name(self, name):
        return name

    @rule(
        name=names,
        shots=st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 3)), min_size=1, max_size=3),
    )
    def enroll(self, name, shots):
        samples = [sample(person, shot) for person, shot in shots]
        owners = {s: n for n, own in self.model.items() for s in own}
        own = set(self.model.get(name, ()))
        new = {s for s in shots if s not in owners}
        if not new and not own & set(shots):
            with pytest.raises(GalleryError, match="already enrolled"):
                self.gallery.enroll_embeddings(name, samples, fingerprint=FINGERPRINT)
            return
        done = self.gallery.enroll_embeddings(name, samples, fingerprint=FINGERPRINT)
        assert done.added == len(new)
        assert len(done.rejected) == sum(owners.get(s, name) != name for s in shots)
        assert done.added + len(done.duplicates) + len(done.rejected) == len(shots)
        self.model[name] = own | new

    @rule(name=names)
    def remove(self, name):
        if name in self.model:
            assert self.gallery.remove(name) == len(self.model.pop(name))
        else:
            with pytest.raises(GalleryError, match="There is no"):
                self.gallery.remove(name)

    @rule(old=names, new=names)
    def rename(self, old, new):
        if old in self.model and (new not in self.model or new == old):
            self.gallery.rename(old, new)
            self.model[new] = self.model.pop(old)
        else:
            with pytest.raises(GalleryError):
                self.gallery.rename(old, new)

    @rule(into=names, from_=names)
    def merge(self, into, from_):
        if into in self.model and from_ in self.model and into != from_:
            assert self.gallery.merge(into, from_) == len(self.model[from_])
            self.model[into] |= self.model.pop(from_)
        else:
            with pytest.raises(GalleryError):
                self.gallery.merge(into, from_)

    @rule(name=names)
    def remove_sample(self, name):
        if len(self.model.get(name, ())) > 1:
            gone = self.gallery.show(name).samples[0]
            self.gallery.remove_sample(gone.id)
            self.model[name].remove((gone.source[0], int(gone.source[1])))

    @rule()
    def reopen(self):
        self.gallery.close()
        self.gallery = Gallery.open(f"{self.folder.name}/g.db", create=False)

    @invariant()
    def same_as_the_model(self):
        if not hasattr(self, "gallery"):
            return
        assert {p.name: p.samples for p in self.gallery.people()} == {
            n: len(s) for n, s in self.model.items()
        }
        owners = {s: n for n, own in self.model.items() for s in own}
        for (person, shot), owner in list(owners.items())[:4]:
            found = self.gallery.identify_embeddings(
                face_of(person, shot), fingerprint=FINGERPRINT, decision=Decision(0.9999, None, "")
            )
            assert found[0].name == owner
        assert self.gallery.check() == []

    def teardown(self):
        if hasattr(self, "gallery"):
            self.gallery.close()
            self.folder.cleanup()


TestGalleryMachine = GalleryMachine.TestCase
TestGalleryMachine.settings = settings(max_examples=25, stateful_step_count=25)
