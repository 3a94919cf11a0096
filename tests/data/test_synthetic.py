"""Drawn people: the same every time, and what is told of them is what is drawn."""

from __future__ import annotations

import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.source import Source, check
from facewise.data.synthetic import Person, SyntheticSource, View, render, scene, truth_of
from facewise.data.synthetic.camera import DISTANCE
from facewise.data.synthetic.figure import figure
from facewise.data.synthetic.names import name_of
from facewise.data.synthetic.shape import Expression, Head
from facewise.errors import SettingError
from facewise.geometry import align, pose

SMALL = 64
PERSON = Person.draw(0, 6)


def test_a_photo_is_the_same_whatever_was_drawn_before():
    view = View.draw(3, 2, 5, size=SMALL)
    first = render(Person.draw(3, 2), view)
    figure.cache_clear()
    render(Person.draw(3, 9), View.draw(3, 9, 1, size=SMALL))
    again = render(Person.draw(3, 2), View.draw(3, 2, 5, size=SMALL))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.truth.landmarks, again.truth.landmarks)
    assert first.image.dtype == np.uint8
    assert first.image.shape == (SMALL, SMALL, 3)
    assert first.image.flags.c_contiguous


def test_the_truth_of_a_photo_needs_no_photo():
    view = View.draw(3, 2, 5, size=SMALL)
    drawn, told = render(Person.draw(3, 2), view).truth, truth_of(Person.draw(3, 2), view)
    assert np.array_equal(drawn.landmarks, told.landmarks)
    assert np.array_equal(drawn.box, told.box)
    assert drawn.as_dict() == told.as_dict()


def test_people_seeds_and_photos_differ():
    assert Person.draw(0, 1) != Person.draw(0, 2)
    assert replace(Person.draw(1, 1), seed=0) != Person.draw(0, 1)
    assert replace(View.draw(0, 1, 2), photo=1) != View.draw(0, 1, 1)
    assert replace(View.draw(0, 2, 1), person=1) != View.draw(0, 1, 1)
    names = [name_of(number) for number in range(8000)]
    assert len(set(names)) == len(names)


@settings(max_examples=40)
@given(
    number=st.integers(0, 10_000),
    yaw=st.floats(-1, 1),
    pitch=st.floats(-0.6, 0.6),
    roll=st.floats(-0.6, 0.6),
    smile=st.floats(-0.5, 1),
    opened=st.floats(0, 18),
)
def test_landmarks_are_projections_of_points_of_the_head(number, yaw, pitch, roll, smile, opened):
    """Rotations by Rodrigues' formula and a pinhole, written down a second time."""
    person = Person.draw(0, number)
    view = View(size=SMALL, yaw=yaw, pitch=pitch, roll=roll, smile=smile, mouth_open=opened)
    turn, nod, tilt = (
        cv2.Rodrigues(np.array(axis, np.float64))[0] for axis in ((0, yaw, 0), (-pitch, 0, 0), (0, 0, roll))
    )
    pivot = np.array([0, 70, -20])
    points = Head(person).landmarks(Expression(mouth_open=opened, smile=smile))
    middle = np.array([[0, 32, 70]])
    seen = []
    for places in (points, middle):
        x, y, z = (tilt @ nod @ turn @ (places - pivot).T) + pivot[:, None]
        scale = view.face_height * SMALL / 180 * DISTANCE / (DISTANCE - z)
        seen.append(np.stack([scale * x, scale * y], 1))
    expected = seen[0] - seen[1] + np.array(view.centre) * SMALL - 0.5
    assert np.allclose(truth_of(person, view).landmarks, expected, atol=1e-3)


def test_a_frontal_face_is_symmetric():
    for number in range(4):
        left_eye, right_eye, nose, left_mouth, right_mouth = truth_of(
            Person.draw(0, number), View(size=SMALL)
        ).landmarks
        assert np.isclose(left_eye[0] + right_eye[0], 2 * nose[0], atol=1e-3)
        assert np.isclose(left_mouth[0] + right_mouth[0], 2 * nose[0], atol=1e-3)
        assert np.isclose(left_eye[1], right_eye[1], atol=1e-3)
        assert left_eye[0] < nose[0] < right_eye[0]
        assert left_eye[1] < nose[1] < left_mouth[1]


@pytest.mark.parametrize(("angle", "axis"), [("yaw", 0), ("pitch", 1), ("roll", 2)])
def test_angles_have_the_signs_that_geometry_measures(angle, axis):
    views = [View(size=SMALL, **{angle: value}) for value in (-0.5, -0.25, 0.0, 0.25, 0.5)]
    measured = [pose(truth_of(PERSON, view).landmarks)[axis] for view in views]
    assert np.all(np.diff(measured) > 0.05)
    if angle != "pitch":  # noses are of different lengths, which looks like a nod
        assert np.isclose(measured[2], 0, atol=1e-3)
    if angle == "roll":
        assert np.allclose(measured, [-0.5, -0.25, 0, 0.25, 0.5], atol=0.01)


@pytest.mark.parametrize(("yaw", "roll"), [(0.0, 0.0), (0.5, 0.0), (0.0, -0.5)])
def test_eyes_are_drawn_where_the_landmarks_say(yaw, roll):
    """What changes when the eyes look elsewhere is the eyes."""
    view = View(size=200, yaw=yaw, roll=roll)
    away = (render(PERSON, replace(view, gaze=(gaze, 0.0))).image.astype(int) for gaze in (-3.0, 3.0))
    change = np.abs(np.subtract(*away)).sum(2).astype(np.float64)
    truth = render(PERSON, view).truth
    distance = np.linalg.norm(truth.landmarks[1] - truth.landmarks[0])
    row, column = np.mgrid[:200, :200]
    near = np.hypot(
        *(np.stack([column, row])[:, None] - truth.landmarks[:2].T[:, :, None, None])
    )  # (2, H, W): to each eye
    assert change[near.min(0) > 0.3 * distance].sum() == 0
    for eye in range(2):
        weight = change * (near[eye] < 0.3 * distance)
        centre = [(weight * column).sum() / weight.sum(), (weight * row).sum() / weight.sum()]
        assert np.linalg.norm(centre - truth.landmarks[eye]) < 0.06 * distance


def test_the_mouth_is_drawn_where_the_landmarks_say():
    shut, opened = (render(PERSON, View(size=200, mouth_open=value)) for value in (0.0, 6.0))
    change = np.abs(shut.image.astype(int) - opened.image.astype(int)).sum(2)
    corners = shut.truth.landmarks[3:]
    inside = change[int(corners[0, 1]) - 2 : int(corners[0, 1]) + 8, int(corners[0, 0]) : int(corners[1, 0])]
    assert inside.max() > 150
    assert change[: int(shut.truth.landmarks[2, 1]) - 5].max() == 0


def test_boxes_hold_the_landmarks():
    for number in range(60):
        view = View.draw(5, number, 1, size=SMALL, difficulty=1.0)
        truth = truth_of(Person.draw(5, number), view)
        assert truth.box.dtype == truth.landmarks.dtype == np.float32
        assert np.all(truth.landmarks >= truth.box[:2])
        assert np.all(truth.landmarks <= truth.box[2:])
        assert 0.5 < (truth.box[2] - truth.box[0]) / (truth.box[3] - truth.box[1]) < 1.5


def test_light_comes_from_where_it_is_said_to():
    from_left, from_right = (
        render(PERSON, View(size=SMALL, light=(side, -0.2, 0.5), light_strength=0.9)) for side in (-1, 1)
    )
    x1, y1, x2, y2 = from_left.truth.box.astype(int)
    middle = (x1 + x2) // 2
    for rendered, sign in ((from_left, 1), (from_right, -1)):
        face = rendered.image[y1:y2].astype(float)
        assert sign * (face[:, x1:middle].mean() - face[:, middle:x2].mean()) > 10


def test_glasses_are_before_the_eyes():
    bare, clear, dark = (
        render(PERSON, View(size=SMALL, glasses=glasses)) for glasses in ("none", "clear", "dark")
    )
    column, row = bare.truth.landmarks[0].astype(int)
    around = (slice(row - 3, row + 4), slice(column - 3, column + 4))
    assert dark.image[around].mean() < 0.75 * bare.image[around].mean()
    assert np.abs(clear.image[around].astype(float) - bare.image[around]).mean() < 45
    assert (clear.image != bare.image).any()


def test_difficulty_widens_what_differs():
    views = [
        [View.draw(0, person, 1, difficulty=difficulty) for person in range(100)]
        for difficulty in (0.0, 0.5, 1.0)
    ]
    for angle in ("yaw", "pitch", "roll"):
        easy, middling, hard = (np.std([getattr(view, angle) for view in some]) for some in views)
        assert easy == 0
        assert 0.05 < middling < hard
    assert not any(view.cover for view in views[0] + views[1])
    assert any(view.cover for view in views[2])


def test_identity_shows_in_shape_more_than_in_mean_colour():
    source = SyntheticSource(8, 4, seed=1, size=96, difficulty=0.3)
    crops = []
    for index in range(len(source.keys)):
        rendered = source.rendered(index)
        crops.append(align(rendered.image, rendered.truth.landmarks, 48).astype(float))
    pixels = np.stack(crops)
    same = np.equal.outer(source.labels, source.labels)

    def nearest_is_same(features: np.ndarray) -> float:
        distance = np.square(features[:, None] - features[None]).sum(-1)
        np.fill_diagonal(distance, np.inf)
        return float(same[np.arange(len(same)), distance.argmin(1)].mean())

    by_shape = nearest_is_same(pixels.reshape(len(pixels), -1))
    by_colour = nearest_is_same(pixels.mean((1, 2)))
    assert by_shape > 0.35
    assert by_colour < by_shape - 0.1


def test_a_source_without_files():
    source = SyntheticSource(3, 2, seed=4, size=SMALL)
    assert isinstance(source, Source)
    check(source)
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert source.labels.dtype == np.int64
    assert source.keys[3] == f"{source.names[1]}/{source.names[1]}_0002.jpg"
    copy = pickle.loads(pickle.dumps(source))
    assert np.array_equal(copy.read(3), source.read(3))
    assert source.rendered(3).truth.person == source.names[1]
    with pytest.raises(IndexError):
        source.read(6)


def test_people_are_the_same_however_many_are_asked_for():
    few, many = SyntheticSource(2, 2, seed=4, size=SMALL), SyntheticSource(50, 7, seed=4, size=SMALL)
    assert few.names == many.names[:2]
    assert np.array_equal(few.read(3), many.read(8))  # photo 2 of person 1


def test_a_scene_shows_everybody_once():
    people = [Person.draw(0, number) for number in range(5)]
    made, again = (scene(people, np.random.default_rng(8), size=(200, 300)) for _ in range(2))
    assert np.array_equal(made.image, again.image)
    assert made.image.shape == (200, 300, 3)
    assert [truth.person for truth in made.truths] == [person.name for person in people]
    for i, one in enumerate(made.truths):
        assert np.all(one.landmarks >= 0)
        assert np.all(one.landmarks < [300, 200])
        for other in made.truths[i + 1 :]:
            overlap = np.minimum(one.box[2:], other.box[2:]) - np.maximum(one.box[:2], other.box[:2])
            assert overlap.min() <= 0
    assert scene([], np.random.default_rng(8), size=(60, 80)).truths == ()
    assert scene(people, np.random.default_rng(8), size=(200, 300), difficulty=1.0).image.shape == (
        200,
        300,
        3,
    )


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Person.draw(-1, 0), "seed must be 0 or more, not -1"),
        (lambda: View.draw(0, 0, 0), "photo's number must be 1 or more"),
        (lambda: View.draw(0, 0, 1, difficulty=1.5), "difficulty must be between 0 and 1"),
        (lambda: View(size=8), "side of a photo must be between 32 and 2048, not 8"),
        (lambda: View(glasses="pink"), "none, clear, dark"),
        (lambda: SyntheticSource(0, 5), "number of people must be between 1"),
        (lambda: SyntheticSource(5, 0), "photos of each person must be between 1"),
        (lambda: SyntheticSource(5, 5, size=5000), "side of a photo"),
        (lambda: scene([PERSON] * 100, np.random.default_rng(0), size=(64, 64)), "too small for 100 people"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, says):
    with pytest.raises(SettingError, match=says):
        make()
