"""One suite for every store: what a gallery promises, it promises wherever it is kept."""

import re
import threading
from dataclasses import astuple

import numpy as np
import pytest
from conformance import KINDS, SPACE, Model, Place, put, with_photo
from gallery_fakes import CALIBRATION, FINGERPRINT, SIZE, face_of, sample, unit
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from facewise.errors import GalleryError, NameTakenError, SettingError, UnknownPersonError
from facewise.gallery import Sample, Space
from facewise.gallery.vectors import VectorGallery
from facewise.types import Decision, Quality
from planted_quality import of_quality, with_rule

pytest.importorskip("milvus_lite")

RULED = with_rule(CALIBRATION)
JPEG = b"\xff\xd8\xff"


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    place = Place(request.param, tmp_path)
    yield place
    place.close()


@pytest.fixture
def store(place):
    return place.open()


def names(store):
    return [person.name for person in store.people()]


def told(person):
    return person.name, person.samples, person.groups


def test_an_empty_gallery(place, store):
    assert store.space() is None
    assert store.people() == []
    assert store.samples() == []
    assert store.check() == []
    assert store.photo(1) is None
    loaded, keys = store.load(), store.keys()
    assert loaded.rows.shape == (0, 0)
    assert (len(loaded.names), len(loaded.people), len(loaded.samples), loaded.groups) == (0, 0, 0, {})
    assert (len(keys.names), len(keys.people), keys.size) == (0, 0, 0)
    for ask in (
        lambda: store.person("ada"),
        lambda: store.person_by_id(1),
        lambda: store.remove("ada"),
        lambda: store.rename("ada", "bob"),
        lambda: store.merge("ada", "bob"),
        lambda: store.set_groups("ada", []),
        lambda: store.remove_sample(1),
        lambda: store.vectors(np.array([1])),
    ):
        with pytest.raises(UnknownPersonError, match=re.escape(store.location)):
            ask()
    gallery = VectorGallery(store)
    assert gallery.comparisons() == gallery.comparisons("mean") == 0
    (stranger,) = gallery.identify_embeddings(face_of("ada"), fingerprint=FINGERPRINT)
    assert (stranger.name, stranger.similarity, stranger.candidates) == (None, -1.0, ())


def test_what_was_stored_is_there_again_after_opening(place, store):
    quality = Quality(0.9, 80.0, 120.5, 0.1, -0.2, 0.3)
    first = Sample(
        face_of("ada", 1), "a/фото 1.jpg", "ab" * 32, quality, "2024-01-02T03:04:05Z", JPEG + b"photo"
    )
    change = store.add([("Ada Lovelace", [first]), ("bob", [sample("bob", 1)])], SPACE, {"bob": ["staff"]})
    assert [a.stored for a in change.added] == [(0,), (0,)]
    number = change.added[0].samples[0]
    place.close()
    again = place.open(create=False)
    assert again.space() == SPACE
    ada = again.person("Ada Lovelace")
    assert (ada.created, ada.groups, ada.id) == ("2024-01-02T03:04:05Z", (), change.added[0].person)
    (kept,) = ada.samples
    assert (kept.id, kept.name, kept.source, kept.source_hash) == (
        number,
        "Ada Lovelace",
        "a/фото 1.jpg",
        "ab" * 32,
    )
    assert (kept.fingerprint, kept.created, kept.has_photo) == (FINGERPRINT, "2024-01-02T03:04:05Z", True)
    assert astuple(kept.quality) == astuple(quality)
    assert again.photo(number) == JPEG + b"photo"
    assert again.photo(change.added[1].samples[0]) is None
    assert again.person_by_id(ada.id).name == "Ada Lovelace"
    assert [told(p) for p in again.people()] == [("Ada Lovelace", 1, ()), ("bob", 1, ("staff",))]
    assert np.array_equal(again.vectors(np.array([number])), [face_of("ada", 1)])
    assert again.check() == []


def test_load_keys_vectors_and_samples_agree(store):
    for i in range(6):
        put(store, f"person {i % 3}", i, 10 + i, groups=["even"] if i % 2 == 0 else [])
    loaded, keys = store.load(), store.keys()
    assert np.array_equal(loaded.people, keys.people)
    assert np.array_equal(loaded.samples, keys.samples)
    assert loaded.names == keys.names
    assert loaded.groups == keys.groups
    assert keys.size == SIZE
    order = list(zip(loaded.people, loaded.samples, strict=True))
    assert order == sorted(order)
    assert loaded.rows.dtype == np.float32
    shuffled = np.random.default_rng(0).permutation(len(loaded.samples))
    assert np.array_equal(store.vectors(loaded.samples[shuffled]), loaded.rows[shuffled])
    assert np.array_equal(store.vectors(loaded.samples[[2, 2]]), loaded.rows[[2, 2]])
    assert store.vectors(loaded.samples[:0]).shape == (0, SIZE)
    with pytest.raises(UnknownPersonError):
        store.vectors(np.array([*loaded.samples, 999]))
    rows = {s.id: row for s, row in store.samples()}
    assert [s.name for s, _ in store.samples()] == sorted(s.name for s, _ in store.samples())
    for number, row in zip(loaded.samples, loaded.rows, strict=True):
        assert np.array_equal(rows[number], row)


def test_poor_photos_on_both_sides_need_a_higher_similarity(store):
    """The quality of what is enrolled is that of its vector, wherever that is kept."""
    gallery, decision = VectorGallery(store), RULED.decision()
    good, middling = (of_quality(face_of("ada"), quality) for quality in (1.0, 0.75))
    probe = of_quality(face_of("ada", 1), 0.75)
    gallery.enroll_embeddings("ada", [Sample(middling)], fingerprint=FINGERPRINT)

    def needed():
        (who,) = gallery.identify_embeddings(
            [probe], fingerprint=FINGERPRINT, decision=decision, calibration=RULED
        )
        return who.name, who.threshold

    assert needed() == ("ada", pytest.approx(0.65))
    gallery.enroll_embeddings("ada", [Sample(good)], fingerprint=FINGERPRINT)
    similarity = {0.5: probe @ good, 0.65: probe @ middling}
    passing = max((t for t, s in similarity.items() if s >= t), key=similarity.get)
    assert needed() == ("ada", pytest.approx(passing))


def test_duplicates_and_photos_of_others(store):
    put(store, "ada", 1, 2)
    added = put(store, "ada", 2, 3, 3)
    assert (added.stored, added.duplicates, added.taken) == ((1,), (0, 2), ())
    added = put(store, "bob", 1, 5, person="ada")
    assert (added.stored, added.duplicates, added.taken) == ((1,), (), ((0, "ada"),))
    nobody = put(store, "cid", 1, person="ada")
    assert (nobody.person, nobody.stored, nobody.taken) == (None, (), ((0, "ada"),))
    assert names(store) == ["ada", "bob"]
    without = Sample(face_of("dee", 1))
    assert store.add([("dee", [without])], SPACE).added[0].stored == (0,)
    assert store.add([("dee", [without])], SPACE).added[0].duplicates == (0,)
    assert store.check() == []


def test_batches_of_one_call_see_each_other(store):
    shots = [sample("ada", 1), sample("ada", 2)]
    change = store.add([("ada", shots[:1]), ("bob", shots), ("ada", shots)], SPACE)
    assert [(a.stored, a.duplicates, a.taken) for a in change.added] == [
        ((0,), (), ()),
        ((1,), (), ((0, "ada"),)),
        ((), (0,), ((1, "bob"),)),
    ]
    assert [told(p) for p in store.people()] == [("ada", 1, ()), ("bob", 1, ())]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (Space("b2" * 32, "else", SIZE, False), "embeddings of model fake"),
        (Space(FINGERPRINT, "fake", SIZE, True), "without flip averaging"),
    ],
)
def test_a_foreign_model_is_refused(store, other, why):
    put(store, "ada", 1)
    with pytest.raises(GalleryError, match=why):
        store.add([("bob", [sample("bob", 1)])], other)
    assert names(store) == ["ada"]
    assert store.space() == SPACE
    gallery = VectorGallery(store)
    with pytest.raises(GalleryError, match=why):
        gallery.identify_embeddings(face_of("ada"), fingerprint=other.fingerprint, flip=other.flip)


def test_another_size_is_refused(store):
    put(store, "ada", 1)
    with pytest.raises(GalleryError, match="32 values, and these have 64"):
        store.add([("bob", [sample("bob", 1, 64)])], Space(FINGERPRINT, "fake", 64, False))
    gallery = VectorGallery(store)
    with pytest.raises(GalleryError, match="32 values"):
        gallery.identify_embeddings(face_of("ada", 1, 64), fingerprint=FINGERPRINT)


def test_renaming(store):
    put(store, "ada", 1, groups=["staff"])
    put(store, "bob", 1)
    number = store.person("ada").id
    store.rename("ada", "Ada")
    assert names(store) == ["Ada", "bob"]
    assert store.person("Ada").id == number
    assert store.person("Ada").groups == ("staff",)
    assert store.person("Ada").samples[0].name == "Ada"
    with pytest.raises(UnknownPersonError, match="did you mean 'Ada'"):
        store.person("ada")
    with pytest.raises(NameTakenError, match="already a 'bob'"):
        store.rename("Ada", "bob")
    store.rename("Ada", "Ada")
    assert names(store) == ["Ada", "bob"]
    assert store.check() == []


def test_renaming_and_regrouping_are_one_change(store):
    put(store, "ada", 1, 2, groups=["staff"])
    put(store, "bob", 1)
    before = store.version()
    store.rename("ada", "Ada", ["night", "day"])
    ada = store.person("Ada")
    assert (ada.groups, len(ada.samples)) == (("day", "night"), 2)
    assert store.load().groups == {ada.id: frozenset({"day", "night"})}
    for new, groups in (("bob", ["x"]), ("Cy", ["a,b"])):
        with pytest.raises(GalleryError):
            store.rename("Ada", new, groups)
        assert store.person("Ada").groups == ("day", "night")
    longest = [f"{i:02}" + "🙂" * 198 for i in range(64)]
    store.rename("Ada", "🙂" * 200, longest)
    assert store.person("🙂" * 200).groups == tuple(longest)
    store.rename("🙂" * 200, "Ada", [])
    assert store.person("Ada").groups == ()
    assert store.version() != before
    assert store.check() == []


def test_pages_of_people(store):
    for i, name in enumerate(["ada", "Émile", "bob", "Bobby", "zoe", "李小龍"]):
        put(store, name, i, i + 50, person=name, groups=["night"] * (i % 2) + ["staff"] * (i > 2))
    everybody = store.people()
    assert store.page(0, 100) == (everybody, 6)
    assert store.page(2, 3) == (everybody[2:5], 6)
    assert store.page(9, 3) == ([], 6)
    for search in (None, "B", "bOb", "é", "ZOE", "%", "_", ""):
        for group in (None, "night", "staff", "nobody"):
            wanted = [
                p
                for p in everybody
                if (search or "").casefold() in p.name.casefold() and (group is None or group in p.groups)
            ]
            assert store.page(0, 100, search, group) == (wanted, len(wanted))
            assert store.page(1, 1, search, group) == (wanted[1:2], len(wanted))


def test_merging(store):
    put(store, "ada", 1, 2, groups=["staff"], photo=JPEG + b"one")
    put(store, "bob", 3, 4, person="ada", groups=["guests"], photo=JPEG + b"two")
    ada, numbers = store.person("ada").id, [s.id for s in store.person("bob").samples]
    moved, change = store.merge("ada", "bob")
    assert (moved, change.gone) == (2, ())
    assert [told(p) for p in store.people()] == [("ada", 4, ("guests", "staff"))]
    assert store.person("ada").id == ada
    assert [store.photo(n) for n in numbers] == [JPEG + b"two"] * 2
    with pytest.raises(GalleryError, match="merged with itself"):
        store.merge("ada", "ada")
    with pytest.raises(UnknownPersonError):
        store.merge("ada", "bob")
    with pytest.raises(UnknownPersonError):
        store.merge("bob", "ada")
    assert store.check() == []


def test_removing(store):
    put(store, "ada", 1, 2, photo=JPEG + b"photo")
    put(store, "bob", 1, groups=["staff"])
    gone = {s.id for s in store.person("ada").samples}
    assert set(store.remove("ada").gone) == gone
    assert names(store) == ["bob"]
    assert [store.photo(n) for n in gone] == [None, None]
    with pytest.raises(UnknownPersonError):
        store.remove("ada")
    again = put(store, "ada", 1)
    assert not set(again.samples) & gone  # ids are never used again
    assert again.person not in {1, 2}
    assert store.check() == []


def test_removing_a_sample(store):
    put(store, "ada", 1, 2, 3, photo=JPEG + b"photo")
    first, second, third = (s.id for s in store.person("ada").samples)
    assert store.remove_sample(second).gone == (second,)
    assert [s.id for s in store.person("ada").samples] == [first, third]
    assert [store.photo(n) for n in (first, second, third)] == [JPEG + b"photo", None, JPEG + b"photo"]
    with pytest.raises(UnknownPersonError, match=f"no sample {second}"):
        store.remove_sample(second)
    store.remove_sample(third)
    with pytest.raises(GalleryError, match="the only one of 'ada'"):
        store.remove_sample(first)
    assert store.check() == []


def test_groups(store):
    put(store, "ada", 1, groups=["staff", "evening"])
    put(store, "bob", 1, groups=["staff"])
    put(store, "cid", 1)
    assert [p.groups for p in store.people()] == [("evening", "staff"), ("staff",), ()]
    put(store, "bob", 2, groups=["night"])
    put(store, "cid", 1, groups=["night"])  # the photo is known, the group is new
    assert [p.groups for p in store.people()] == [("evening", "staff"), ("night", "staff"), ("night",)]
    store.set_groups("ada", ["ночь", 'a "quoted" \\ group', "staff"])
    store.set_groups("bob", [])
    assert [p.groups for p in store.people()] == [('a "quoted" \\ group', "staff", "ночь"), (), ("night",)]
    assert store.load().groups == {
        store.person("ada").id: frozenset(store.person("ada").groups),
        store.person("cid").id: frozenset({"night"}),
    }
    assert store.check() == []


@pytest.mark.parametrize(
    "name",
    [
        '"',
        "'",
        "\\",
        'x" or id >= 0 or name == "',
        "%",
        "_",
        "{name}",
        "李小龍",
        "🙂",
        "a" * 200,
        "é" * 200,
        "🙂" * 200,
    ],
)
def test_any_name_is_only_a_name(store, name):
    put(store, "ada", 1)
    put(store, name, 1, person="bob", groups=[name])
    assert set(names(store)) == {"ada", name}
    assert store.person(name).groups == (name,)
    store.rename(name, "x")
    store.rename("x", name)
    assert len(store.remove(name).gone) == 1
    assert names(store) == ["ada"]


@pytest.mark.parametrize("size", [3, 49_149, 49_150, 700_000])
def test_photos_of_any_size(place, store, size):
    photo = JPEG + np.random.default_rng(size).bytes(size - len(JPEG))
    (number,) = put(store, "ada", 1, photo=photo).samples
    (other,) = put(store, "ada", 2, photo=JPEG + b"other").samples
    assert store.photo(number) == photo
    store.remove_sample(number)
    assert store.photo(number) is None
    assert store.photo(other) == JPEG + b"other"
    assert store.check() == []


def test_versions_change_with_content_only(store):
    put(store, "ada", 1)
    put(store, "bob", 1)
    before = store.version()
    assert store.version() == before
    store.people(), store.load(), store.keys(), store.samples(), store.check()
    assert store.version() == before
    seen = [before]
    for change in (
        lambda: put(store, "ada", 2),
        lambda: store.rename("ada", "Ada"),
        lambda: store.set_groups("bob", ["x"]),
        lambda: store.remove_sample(1),
        lambda: store.merge("Ada", "bob"),
        lambda: store.remove("Ada"),
    ):
        change()
        seen.append(store.version())
    assert len(set(seen)) == len(seen)


def test_a_change_tells_the_versions_around_it(store):
    put(store, "ada", 1)
    before = store.version()
    change = store.add([("bob", [sample("bob", 1)])], SPACE)
    assert (change.before, change.after) == (before, store.version())


def test_two_open_stores_see_each_other(place, store):
    other = place.open(create=False)
    put(store, "ada", 1)
    assert names(other) == ["ada"]
    seen = store.version()
    put(other, "bob", 1)
    assert store.version() != seen
    assert names(store) == ["ada", "bob"]
    one, two = VectorGallery(store), VectorGallery(other)
    found = [g.identify_embeddings(face_of("bob", 9), fingerprint=FINGERPRINT)[0] for g in (one, two)]
    assert [f.candidates[0].name for f in found] == ["bob", "bob"]
    other.remove("bob")
    assert [
        c.name for c in one.identify_embeddings(face_of("bob"), fingerprint=FINGERPRINT)[0].candidates
    ] == ["ada"]


def test_threads_lose_nothing(place, store):
    stores = [store, place.open()]

    def work(thread):
        for i in range(5):
            put(stores[thread % 2], f"{thread} {i}", 1)
            put(stores[thread % 2], "shared", 100 * thread + i)
            stores[thread % 2].keys()

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    people = {p.name: p.samples for p in store.people()}
    assert people == {"shared": 20, **{f"{t} {i}": 1 for t in range(4) for i in range(5)}}
    assert store.check() == []


def test_a_missing_gallery_is_not_made_unless_asked(place):
    with pytest.raises(GalleryError, match="no gallery"):
        place.open(create=False)
    assert not place.path.exists()


def test_a_gallery_without_its_folder(tmp_path):
    for kind in KINDS:
        folder = tmp_path / kind
        folder.mkdir()
        place = Place(kind, folder)
        place.uri = place.uri.replace(kind, f"{kind}/nowhere")
        with pytest.raises(GalleryError, match="cannot be created"):
            place.open()


def test_a_closed_gallery_says_so(store):
    put(store, "ada", 1)
    store.close()
    store.close()
    for use in (store.people, store.load, lambda: put(store, "bob", 1), store.version):
        with pytest.raises(GalleryError):
            use()


def test_private(place, store):
    put(store, "ada", 1)
    assert place.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("place", KINDS[:2], indirect=True)  # Milvus drops bytes when it compacts
def test_what_was_removed_is_in_no_file(place, store):
    photo = JPEG + np.random.default_rng(1).bytes(3000)
    for i in range(10):
        put(store, f"person {i}", 1, 2, photo=photo if i == 3 else None)
    dead = [face_of("person 3", 1), face_of("person 3", 2), face_of("person 4", 1)]
    rest = [face_of("person 5", 1)]
    if place.kind == "sqlite":
        assert (traces(place, dead), traces(place, rest)) == (3, 1)  # the search does find them
    store.remove("person 3")
    store.remove_sample(store.person("person 4").samples[0].id)
    assert traces(place, dead) == 0
    assert photo[500:600] not in everything(place)
    place.close()
    assert traces(place, dead) == 0
    assert place.open(create=False).check() == []


def everything(place):
    files = [p for p in place.path.parent.rglob("*") if p.is_file()]
    return b"".join(p.read_bytes() for p in files)


def traces(place, embeddings):
    """How many of these have any 16 bytes left in any file."""
    data = everything(place)
    blobs = [e.astype("<f4").tobytes() for e in embeddings]
    return sum(any(blob[i : i + 16] in data for i in range(0, len(blob), 16)) for blob in blobs)


# The gallery on top: the same answers, to the last bit, wherever it is kept.


def crowd(store, people=40, seed=0):
    rng = np.random.default_rng(seed)
    batches = []
    for i in range(people):
        shots = [sample(f"person {i}", shot) for shot in range(int(rng.integers(1, 5)))]
        batches.append((f"person {i}", shots))
    groups = {name: [f"group {i % 3}"] for i, (name, _) in enumerate(batches)}
    store.add(batches, SPACE, groups)
    return batches


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """The same crowd in every kind of gallery."""
    places = [Place(kind, tmp_path_factory.mktemp("three")) for kind in KINDS]
    galleries = []
    for place in places:
        store = place.open()
        crowd(store)
        galleries.append(VectorGallery(store))
    yield galleries
    for place in places:
        place.close()


@pytest.mark.parametrize("scoring", ["best", "mean"])
@pytest.mark.parametrize("top", [1, 5, 100])
def test_the_same_answers_everywhere(three, scoring, top):
    rng = np.random.default_rng(1)
    probes = np.stack(
        [face_of(f"person {i}", 77) for i in range(8)] + list(unit(rng.standard_normal((8, SIZE))))
    )
    answers = [
        [
            [(c.name, c.similarity) for c in i.candidates]
            for i in gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, scoring=scoring, top=top)
        ]
        for gallery in three
    ]
    for other in answers[1:]:
        assert [[name for name, _ in a] for a in other] == [[name for name, _ in a] for a in answers[0]]
        # The best sample's score is one sum over D in float64, the mean's may be summed in another order.
        atol = 0 if scoring == "best" else 1e-14
        assert np.allclose(
            [[s for _, s in a] for a in other], [[s for _, s in a] for a in answers[0]], rtol=0, atol=atol
        )
    assert [a[0][0] for a in answers[0][:8]] == [f"person {i}" for i in range(8)]
    model = Model()
    for name, samples in crowd(_Nowhere()):
        model.add(name, [(name, i) for i in range(len(samples))])
    for probe, found in zip(probes, answers[2], strict=True):
        wanted = model.scores(probe.astype(np.float64), scoring, None)[:top]
        assert [name for name, _ in found] == [name for _, name in wanted]
        assert np.allclose([s for _, s in found], [s for s, _ in wanted], atol=1e-12)


class _Nowhere:
    def add(self, *batches):
        pass


@pytest.mark.parametrize("scoring", ["best", "mean"])
@pytest.mark.parametrize("groups", [[], ["group 1"], ["group 0", "group 2"], ["nobody's"]])
def test_a_search_in_groups(three, scoring, groups):
    probes = np.stack([face_of("person 1", 77), face_of("stranger")])
    wanted = {f"person {i}" for i in range(40) if f"group {i % 3}" in groups}
    answers = []
    for gallery in three:
        found = gallery.identify_embeddings(
            probes, fingerprint=FINGERPRINT, scoring=scoring, top=99, groups=groups
        )
        answers.append([[c.name for c in one.candidates] for one in found])
        assert all(set(names) == wanted for names in answers[-1])
        if scoring == "mean":
            assert gallery.comparisons(scoring, groups=groups) == len(wanted)
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("scoring", ["best", "mean"])
def test_comparisons(three, scoring):
    counts = {gallery.comparisons(scoring) for gallery in three}
    assert len(counts) == 1
    assert (40 in counts) == (scoring == "mean")


def test_decisions_are_the_same(three):
    decision = Decision(0.6, 1e-3, "given")
    probes = np.stack([face_of("person 1", 9), face_of("stranger", 1)])
    for gallery in three:
        found = gallery.identify_embeddings(probes, fingerprint=FINGERPRINT, decision=decision)
        assert [(i.name, i.decided, i.threshold) for i in found] == [
            ("person 1", True, 0.6),
            (None, True, 0.6),
        ]


def test_bad_searches_are_refused_alike(three):
    for gallery in three:
        for bad in (
            np.ones((1, SIZE), np.float32),
            np.full((1, SIZE), np.nan, np.float32),
            np.ones((1, 1, 1)),
        ):
            with pytest.raises(GalleryError):
                gallery.identify_embeddings(bad, fingerprint=FINGERPRINT)
        with pytest.raises(SettingError, match="at least 1"):
            gallery.identify_embeddings(face_of("x"), fingerprint=FINGERPRINT, top=0)
        with pytest.raises(SettingError, match="'best' or 'mean'"):
            gallery.identify_embeddings(face_of("x"), fingerprint=FINGERPRINT, scoring="worst")


def test_ties_and_many_samples_of_one_person(store):
    """Two people with the very same face, and one whose samples alone would fill the first answer."""
    same = face_of("twin")
    rng = np.random.default_rng(3)
    near = unit(same + 0.02 * rng.standard_normal((300, SIZE)))
    batches = [
        ("one", [Sample(same, source_hash="1" * 64)]),
        ("many", [Sample(row, source_hash=f"{i:064x}") for i, row in enumerate(near)]),
        ("two", [Sample(same, source_hash="2" * 64)]),
        ("far", [Sample(-same, source_hash="3" * 64)]),
    ]
    store.add(batches, SPACE)
    gallery = VectorGallery(store)
    (found,) = gallery.identify_embeddings(same, fingerprint=FINGERPRINT, top=4)
    assert [c.name for c in found.candidates] == ["one", "two", "many", "far"]
    assert found.candidates[0].similarity == found.candidates[1].similarity
    assert gallery.comparisons() == 303


def test_export_and_import_between_all_kinds(place, store, tmp_path):
    put(store, "ada", 1, 2, groups=["staff"], photo=JPEG + b"kept")
    put(store, "bob", 1)
    gallery = VectorGallery(store)
    out = tmp_path / "out.npz"
    assert gallery.export(out) == 3
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        other = Place(kind, tmp_path / kind)
        copy = VectorGallery(other.open())
        assert sum(e.added for e in copy.import_(out)) == 3
        assert sum(e.added for e in copy.import_(out)) == 0
        assert [told(p) for p in copy.people()] == [told(p) for p in gallery.people()]
        assert [(s.source_hash, s.created, row.tobytes()) for s, row in copy._store.samples()] == [
            (s.source_hash, s.created, row.tobytes()) for s, row in store.samples()
        ]
        other.close()


# Whatever one does, in whatever order: as the dictionaries say.

_NAMES = st.sampled_from(["ada", "bob", "cid", "dee"])
_SHOTS = st.lists(st.tuples(st.sampled_from(["x", "y", "z"]), st.integers(0, 4)), min_size=1, max_size=3)
_GROUPS = st.lists(st.sampled_from(["staff", "guests", 'no "body"']), max_size=2)


class Stateful(RuleBasedStateMachine):
    """Every kind of store next to the model."""

    places = None

    @initialize()
    def start(self):
        self.model = Model()
        self.stores = [place.store for place in Stateful.places]
        for store in self.stores:
            for person in store.people():
                store.remove(person.name)

    def each(self, do, *, expect=None):
        """Does it with every store; where the model says that it fails, all fail alike."""
        results = []
        for store in self.stores:
            if expect is not None:
                with pytest.raises(expect):
                    do(store)
            else:
                results.append(do(store))
        return results

    @rule(name=_NAMES, shots=_SHOTS, groups=_GROUPS, photo=st.sampled_from([None, JPEG + b"small"]))
    def add(self, name, shots, groups, photo):
        wanted = self.model.add(name, shots, groups, photo)
        samples = [with_photo(sample(*shot), photo) for shot in shots]
        for change in self.each(lambda store: store.add([(name, samples)], SPACE, {name: groups})):
            added = change.added[0]
            assert (added.stored, added.duplicates, added.taken) == wanted

    @rule(name=_NAMES)
    def remove(self, name):
        if name not in self.model.people:
            self.each(lambda store: store.remove(name), expect=UnknownPersonError)
            return
        gone = len(self.model.people.pop(name).shots)
        for change in self.each(lambda store: store.remove(name)):
            assert len(change.gone) == gone

    @rule(old=_NAMES, new=_NAMES)
    def rename(self, old, new):
        people = self.model.people
        if old not in people:
            self.each(lambda store: store.rename(old, new), expect=UnknownPersonError)
        elif new in people and old != new:
            self.each(lambda store: store.rename(old, new), expect=NameTakenError)
        else:
            people[new] = people.pop(old)
            self.each(lambda store: store.rename(old, new))

    @rule(into=_NAMES, from_=_NAMES)
    def merge(self, into, from_):
        if into not in self.model.people or from_ not in self.model.people:
            self.each(lambda store: store.merge(into, from_), expect=UnknownPersonError)
        elif into == from_:
            self.each(lambda store: store.merge(into, from_), expect=GalleryError)
        else:
            moved = self.model.merge(into, from_)
            assert {n for n, _ in self.each(lambda store: store.merge(into, from_))} == {moved}

    @rule(name=_NAMES, at=st.integers(0, 3))
    def remove_sample(self, name, at):
        person = self.model.people.get(name)
        if person is None or at >= len(person.shots):
            return
        shot = person.shots[at]

        def remove(store):
            known = sample(*shot).source_hash
            (found,) = [s.id for s in store.person(name).samples if s.source_hash == known]
            return store.remove_sample(found)

        if len(person.shots) == 1:
            self.each(remove, expect=GalleryError)
        else:
            person.shots.remove(shot)
            self.each(remove)

    @rule(name=_NAMES, groups=_GROUPS)
    def set_groups(self, name, groups):
        if name not in self.model.people:
            self.each(lambda store: store.set_groups(name, groups), expect=UnknownPersonError)
        else:
            self.model.people[name].groups = set(groups)
            self.each(lambda store: store.set_groups(name, groups))

    @rule(
        probe=st.tuples(st.sampled_from(["x", "y", "z"]), st.integers(5, 6)),
        scoring=st.sampled_from(["best", "mean"]),
    )
    def identify(self, probe, scoring):
        if not self.stores[0].space():
            return
        face = face_of(*probe)
        wanted = self.model.scores(face.astype(np.float64), scoring, None)
        answers = []
        for store in self.stores:
            gallery = VectorGallery(store)
            (found,) = gallery.identify_embeddings(face, fingerprint=FINGERPRINT, scoring=scoring, top=9)
            answers.append([(c.name, c.similarity) for c in found.candidates])
        for answer in answers:
            assert sorted(name for name, _ in answer) == sorted(name for _, name in wanted)
            assert np.allclose([s for _, s in answer], [s for s, _ in wanted], rtol=0, atol=1e-12)

    @invariant()
    def same(self):
        if not hasattr(self, "model"):
            return
        wanted = sorted(
            (name, sorted(sample(*shot).source_hash for shot in p.shots), tuple(sorted(p.groups)))
            for name, p in self.model.people.items()
        )
        photos = {sample(*shot).source_hash: photo for shot, photo in self.model.photos.items()}
        for store in self.stores:
            details = [store.person(p.name) for p in store.people()]
            assert [(d.name, sorted(s.source_hash for s in d.samples), d.groups) for d in details] == wanted
            for detail in details:
                for one in detail.samples:
                    assert store.photo(one.id) == photos[one.source_hash]


class _Shared:
    def __init__(self, place):
        self.place, self.store = place, place.open()


def run_stateful(folder, examples, steps):
    folders = [folder / str(i) for i, _ in enumerate(KINDS)]
    for each in folders:
        each.mkdir()
    shared = [_Shared(Place(kind, each)) for kind, each in zip(KINDS, folders, strict=True)]
    Stateful.places = shared
    case = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],  # a case is a few requests a step: shrinking one takes minutes
    )
    try:
        from hypothesis.stateful import run_state_machine_as_test

        run_state_machine_as_test(Stateful, settings=case)
        assert [one.store.check() for one in shared] == [[], [], []]
    finally:
        for one in shared:
            one.place.close()


def test_any_sequence_of_calls_does_what_a_dictionary_would(tmp_path):
    run_stateful(tmp_path, examples=4, steps=10)


@pytest.mark.slow
def test_any_long_sequence_of_calls_does_what_a_dictionary_would(tmp_path):
    run_stateful(tmp_path, examples=60, steps=25)
