"""What faces look like, from Python: the pipeline, the recogniser, and pools of several looks."""

from __future__ import annotations

import pytest

import facewise as fw
from facewise.analysis.pooling import pooled
from facewise.analysis.told import attributes_dict, in_one_line, in_words
from facewise.errors import ModelError, SettingError
from facewise.pipeline import Pipeline, Steps
from facewise.types import Age, Attributes, Guess
from plain_attributes import age, emotion, gender, race, reach

PEOPLE = (3, 70, 16)


@pytest.fixture(scope="module")
def recognizer(tiny_detector_file, tiny_embedder_file, plain_attributes_file):
    return fw.Recognizer(
        detector=tiny_detector_file, model=tiny_embedder_file, attributes=plain_attributes_file, threads=2
    )


@pytest.fixture(scope="module")
def party(drawn_photo):
    places = ((80, 80, 90), (230, 80, 70), (150, 180, 80))
    return drawn_photo([(*place, who) for place, who in zip(places, PEOPLE, strict=True)])


def by_place(faces):
    """Faces in the order of `PEOPLE`."""
    places = ((80, 80), (230, 80), (150, 180))
    middle = [((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces]
    return [faces[min(range(len(faces)), key=lambda i: abs(middle[i][0] - x) + abs(middle[i][1] - y))]
            for x, y in places]  # fmt: skip


def test_every_face_is_told_as_it_is_drawn(recognizer, party):
    faces = recognizer.analyze(party, ["race", "age", "gender", "emotion"])
    assert len(faces) == len(PEOPLE)
    for face, who in zip(by_place(faces), PEOPLE, strict=True):
        told = face.attributes
        assert (told.gender.answer, told.emotion.answer, told.race.answer) == (
            gender(who),
            emotion(who),
            race(who),
        )
        assert told.age.mean == pytest.approx(age(who), abs=0.6)
        assert told.age.low == pytest.approx(told.age.mean - reach(), abs=0.2)
        assert told.age.high == pytest.approx(told.age.mean + reach(), abs=0.2)
        assert sum(told.emotion.probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert (face.embedding, told.note) == (None, "")
        assert face.quality is not None


def test_race_is_told_only_where_it_is_named(recognizer, party):
    assert all(face.attributes.race is None for face in recognizer.analyze(party))
    assert all(face.attributes.emotion is not None for face in recognizer.analyze(party))
    (first, *_) = recognizer.analyze(party, ["race"])
    assert (first.attributes.age, first.attributes.gender, first.attributes.emotion) == (None, None, None)


def test_nothing_is_told_of_a_face_that_is_too_small(recognizer, drawn_photo):
    (face,) = recognizer.analyze(drawn_photo([(160, 120, 15, 3)]))
    assert face.attributes.note.startswith("too small")
    assert face.attributes.age is face.attributes.emotion is None
    assert recognizer.analyze(drawn_photo()) == []


@pytest.mark.parametrize(
    ("asked", "told"), [(["agee"], "age"), ([], "at least one"), ("age", "list"), (["age", "mood"], "mood")]
)
def test_what_cannot_be_asked_is_refused(recognizer, party, asked, told):
    with pytest.raises(SettingError, match=told):
        recognizer.analyze(party, asked)


def test_a_model_tells_what_it_has(tmp_path, tiny_detector_file, tiny_embedder_file, party):
    from plain_attributes import write_plain_attributes

    path = write_plain_attributes(tmp_path / "some.onnx", only=("emotion", "race")).path
    some = fw.Recognizer(detector=tiny_detector_file, model=tiny_embedder_file, attributes=path)
    (first, *_) = some.analyze(party)
    assert (first.attributes.age, first.attributes.race) == (None, None)
    assert first.attributes.emotion is not None
    with pytest.raises(SettingError, match="tells emotion, race, not age"):
        some.analyze(party, ["age"])
    races = write_plain_attributes(tmp_path / "races.onnx", only=("race",)).path
    with pytest.raises(SettingError, match="asked for by name"):
        fw.Recognizer(detector=tiny_detector_file, model=tiny_embedder_file, attributes=races).analyze(party)


def test_other_models_are_refused(tiny_detector_file, tiny_embedder_file, plain_attributes_file, party):
    for wrong in (tiny_detector_file, tiny_embedder_file):
        with pytest.raises(ModelError, match=r"kind '(detector|embedder)'"):
            Pipeline.load(tiny_detector_file, embed=False, attributes=wrong)
    with pytest.raises(ModelError, match="kind 'attributes'"):
        Pipeline.load(plain_attributes_file, embed=False)
    with pytest.raises(SettingError, match="without a model of attributes"):
        Pipeline.load(tiny_detector_file, embed=False).read(party, Steps(embed=False, attributes=("age",)))


def test_processes_say_what_threads_say(tiny_detector_file, plain_attributes_file, party, monkeypatch):
    monkeypatch.setattr("facewise.pipeline._MANY_OF_TWO", 4)
    pipeline = Pipeline.load(tiny_detector_file, embed=False, threads=2, attributes=plain_attributes_file)
    steps = Steps(embed=False, attributes=("age", "gender", "emotion"))
    assert pipeline.portable
    assert pipeline.providers == {"detector": "cpu", "attributes": "cpu"}
    photos = [party] * 4
    apart = [photo.faces for photo in pipeline.read_many(photos, steps, processes=True)]
    here = [photo.faces for photo in pipeline.read_many(photos, steps)]
    assert [[f.attributes for f in faces] for faces in apart] == [
        [f.attributes for f in faces] for faces in here
    ]


def test_the_default_models_are_those_of_the_store(tmp_path, monkeypatch, party, tiny_detector_file,
                                                   tiny_embedder_file, plain_attributes_file):  # fmt: skip
    models = tmp_path / "models"
    models.mkdir()
    names = {"facewise-detect-s": tiny_detector_file, "facewise-embed-s": tiny_embedder_file,
             "facewise-attributes-s": plain_attributes_file}  # fmt: skip
    for name, file in names.items():
        (models / f"{name}.onnx").write_bytes(file.read_bytes())
    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    faces = by_place(fw.analyze(party, ["gender"]))
    assert [face.attributes.gender.answer for face in faces] == [gender(who) for who in PEOPLE]


def guess(**probabilities: float) -> Guess:
    return Guess(max(probabilities, key=probabilities.__getitem__), probabilities)


def test_a_pool_is_the_weighted_mean():
    looks = [
        Attributes(Age(30, 20, 40), guess(female=0.9, male=0.1)),
        Attributes(Age(40, 32, 52), guess(female=0.2, male=0.8)),
        Attributes(note="blurred"),
    ]
    told = pooled(looks, [3.0, 1.0, 100.0], {"gender": 0.7})
    assert (told.age.mean, told.age.low, told.age.high) == pytest.approx((32.5, 23, 43))
    assert told.gender.probabilities == pytest.approx({"female": 0.725, "male": 0.275})
    assert (told.gender.answer, told.emotion, told.note) == ("female", None, "")
    assert pooled(looks, [1.0, 1.0, 1.0], {"gender": 0.7}).gender.answer is None
    assert pooled(looks[2:], [1.0], {"gender": 0.7}) == Attributes(note="blurred")


def test_what_is_told_in_words_and_as_data():
    told = Attributes(Age(33.94, 27.02, 41.98), Guess(None, {"female": 0.61, "male": 0.39}),
                      guess(happy=0.9991, sad=0.0009))  # fmt: skip
    assert in_words(told.age) == "34 (27–42)"
    assert in_words(told.gender) == "not sure (female 61%)"
    assert in_words(told.emotion) == "happy 99%"
    assert in_one_line(told) == "34 (27–42), happy"
    assert in_one_line(Attributes(note="blurred")) == "blurred"
    assert in_one_line(Attributes(gender=told.gender)) == "not sure"
    assert attributes_dict(told, ["age", "gender"]) == {
        "age": {"mean": 33.9, "low": 27.0, "high": 42.0},
        "gender": {"answer": None, "probabilities": {"female": 0.61, "male": 0.39}},
        "note": "",
    }
