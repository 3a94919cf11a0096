"""The tracker on made-up detections: invariants by hypothesis, and scenes whose answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.gallery.results import Identification
from facewise.models.calibration import Calibration, Threshold
from facewise.types import Candidate, Decision, Face, Quality
from facewise.video.people import people_of
from facewise.video.reader import Stamp
from facewise.video.track import Track, inside, look_weight
from facewise.video.tracker import START_SCORE, Likeness, Tracker

LIKENESS = Likeness(join=0.5, part=0.2)


def unit(vector) -> np.ndarray:
    vector = np.asarray(vector, dtype=np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def face(x, y=100.0, size=40.0, who: int | None = 0, score=0.9, noise=0.0, seed=0, sharp=100.0) -> Face:
    """A face around (x, y); people's embeddings are orthogonal but for noise."""
    box = np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2], dtype=np.float32)
    embedding = None
    if who is not None:
        noisy = np.eye(16)[who] + noise * np.random.default_rng(seed).standard_normal(16)
        embedding = unit(noisy)
    quality = Quality(score, size / 2, sharp, 0.0, 0.0, 0.0)
    return Face(box, score, np.zeros((5, 2), np.float32), embedding, quality)


def run(looks, likeness=LIKENESS, step=0.125, **options) -> Tracker:
    tracker = Tracker(likeness, **options)
    for i, faces in enumerate(looks):
        tracker.look(Stamp(i * 3, i * step), faces)
    return tracker


numbers = st.floats(-50, 400, allow_nan=False, width=32)
made_faces = st.builds(
    face,
    x=numbers,
    y=numbers,
    size=st.floats(2, 200, width=32),
    who=st.one_of(st.none(), st.integers(0, 3)),
    score=st.floats(0.0, 1.0),
    noise=st.floats(0, 0.5),
    seed=st.integers(0, 9),
    sharp=st.floats(0, 1e6),
)
made_looks = st.lists(st.lists(made_faces, max_size=5), max_size=12)
likenesses = st.sampled_from([LIKENESS, Likeness(None, None), Likeness(0.9, 0.9), Likeness(-1.0, -1.0)])


@settings(max_examples=60)
@given(made_looks, likenesses, st.floats(0.0, 5.0), st.floats(0.001, 3.0))
def test_invariants(looks, likeness, patience, step):
    """No face is lost, doubled or in two tracks; tracks go forward in time; pools are unit vectors."""
    tracker, given_to, poor = Tracker(likeness, patience=patience), 0, 0
    for i, faces in enumerate(looks):
        before = {t.number: len(t) for t in tracker.tracks}
        tracks = tracker.look(Stamp(i * 2, i * step), faces)
        assert len(tracks) == len(faces)
        numbers = [t.number for t in tracks if t is not None]
        assert len(set(numbers)) == len(numbers)
        for one, track in zip(faces, tracks, strict=True):
            if track is None:
                poor += 1
                assert one.score < START_SCORE
            else:
                given_to += 1
                np.testing.assert_array_equal(track.box, one.box)
                assert len(track) == before.get(track.number, 0) + 1
                if track.number not in before:
                    assert one.score >= START_SCORE
        for track in tracker.tracks:
            if track.number not in numbers:
                assert len(track) == before[track.number]
    assert sum(len(t) for t in tracker.tracks) == given_to
    assert given_to + poor == sum(len(faces) for faces in looks)
    assert [t.number for t in tracker.tracks] == list(range(1, len(tracker.tracks) + 1))
    for track in tracker.tracks:
        assert (np.diff(track.frames) > 0).all()
        assert (np.diff(track.times) > 0).all()
        assert (np.diff(track.times) <= patience + 1e-9).all()
        assert np.isfinite(track.predicted(1e6)).all()
        if track.pooled is not None:
            assert np.linalg.norm(track.pooled.astype(np.float64)) == pytest.approx(1, abs=1e-5)


@settings(max_examples=25)
@given(made_looks, likenesses)
def test_the_same_twice(looks, likeness):
    def story(tracker):
        return [(list(t.frames), t.boxes.tolist()) for t in tracker.tracks]

    assert story(run(looks, likeness)) == story(run(looks, likeness))


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True), st.randoms(use_true_random=False))
def test_the_order_of_faces_in_a_look_does_not_matter(people, random):
    looks = [[face(60 * who + 2 * i, who=who) for who in people] for i in range(6)]
    shuffled = [random.sample(faces, len(faces)) for faces in looks]

    def paths(tracker):
        return sorted((list(t.frames), t.boxes.tolist()) for t in tracker.tracks)

    assert paths(run(looks)) == paths(run(shuffled))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(0.01, 10), st.integers(0, 9)), min_size=1, max_size=8))
def test_a_pool_is_the_weighted_mean_normalised(looks):
    """Against a plain sum in float64; and one weight for all changes nothing."""
    faces = [face(100, noise=0.3, seed=seed) for _, seed in looks]
    track, doubled = (Track(1, Stamp(0, 0.0), faces[0], looks[0][0] * times) for times in (1, 2))
    for i, (one, (weight, _)) in enumerate(zip(faces[1:], looks[1:], strict=True), start=1):
        track.add(Stamp(i, float(i)), one, weight)
        doubled.add(Stamp(i, float(i)), one, 2 * weight)
    total = sum(weight * one.embedding.astype(float) for one, (weight, _) in zip(faces, looks, strict=True))
    np.testing.assert_allclose(track.pooled, total / np.linalg.norm(total), atol=1e-6)
    np.testing.assert_allclose(track.pooled, doubled.pooled, atol=1e-6)


def test_a_look_must_be_later():
    track = Track(1, Stamp(5, 1.0), face(0), 1.0)
    with pytest.raises(ValueError, match="later"):
        track.add(Stamp(5, 2.0), face(0), 1.0)


def test_weights_prefer_what_shows_more():
    def weight(hidden=0.0, shown=1.0, **quality):
        facts = {"score": 0.9, "size": 40.0, "sharpness": 100.0, "yaw": 0.0, "pitch": 0.0, "roll": 0.0}
        one = Face(np.zeros(4, np.float32), facts["score"], np.zeros((5, 2), np.float32), None,
                   Quality(**facts | quality))  # fmt: skip
        return look_weight(one, hidden, shown)

    whole = weight()
    assert weight(size=400.0) == whole  # beyond what a crop holds, more pixels tell no more
    for less in (
        {"size": 10.0},
        {"sharpness": 25.0},
        {"yaw": 0.8},
        {"pitch": -0.8},
        {"hidden": 0.5},
        {"shown": 0.6},
    ):
        assert 0 < weight(**less) < whole
    assert weight(yaw=3.0) > 0
    assert weight(hidden=1.0, shown=0.0) > 0
    assert weight(sharpness=1e5) == whole  # as the edge of a crop that reaches out of the frame has it


def test_how_much_of_a_face_is_in_the_frame():
    from facewise.geometry import TEMPLATE_112

    def share(x, y):
        landmarks = (TEMPLATE_112 + np.array([x, y])).astype(
            np.float32
        )  # a crop of 112 pixels, upright, at (x, y)
        return inside(Face(np.zeros(4, np.float32), 0.9, landmarks), (224, 336))

    assert share(50, 50) == share(0, 0) == share(224, 112) == 1.0
    assert share(-56, 50) == share(280, 50) == share(50, 168) == pytest.approx(0.5)
    assert share(-56, -56) == pytest.approx(0.25)
    assert share(500, 0) == 0.0
    assert inside(Face(np.zeros(4, np.float32), 0.9, np.zeros((5, 2), np.float32)), (9, 9)) == 1.0


def test_two_cross_and_stay_who_they_are():
    looks = [[face(20 + 15 * i, who=0), face(320 - 15 * i, y=104, who=1)] for i in range(21)]
    tracks = run(looks).tracks
    assert [len(t) for t in tracks] == [21, 21]
    assert tracks[0].box[0] > 250
    assert tracks[1].box[0] < 60


def test_two_alike_cross_by_how_they_move():
    """Twins: the same embedding. Only the constant velocity tells them apart."""
    looks = [[face(20 + 15 * i, who=0), face(320 - 15 * i, y=108, who=0)] for i in range(21)]
    tracks = run(looks).tracks
    assert [len(t) for t in tracks] == [21, 21]
    assert tracks[0].box[0] > 250
    assert tracks[1].box[0] < 60


def test_one_who_is_hidden_for_a_while_goes_on():
    looks = [[face(20 + 10 * i)] if not 6 <= i < 14 else [] for i in range(25)]
    (track,) = run(looks).tracks
    assert len(track) == 17


def test_one_who_turns_up_elsewhere_is_known_by_looks_alone():
    looks = [[face(20)], [face(20)], [], [face(300, y=30)], [face(300, y=30)]]
    assert len(run(looks).tracks) == 1
    assert len(run(looks, Likeness(None, None)).tracks) == 2


def test_after_patience_a_new_track_starts():
    looks = [[face(20)], *[[]] * 20, [face(20)]]
    assert [len(t) for t in run(looks, patience=1.0).tracks] == [1, 1]
    assert [len(t) for t in run(looks, patience=5.0).tracks] == [2]


def test_a_cut_to_another_person_in_the_same_place_parts():
    looks = [[face(100, who=0)]] * 5 + [[face(100, who=1)]] * 5
    assert [len(t) for t in run(looks).tracks] == [5, 5]
    # A poor look is no evidence against who is in that place.
    blurred = [[face(100, who=0)]] * 5 + [[face(100, who=1, sharp=1.0)]] + [[face(100, who=0)]] * 4
    assert [len(t) for t in run(blurred).tracks] == [10]


def test_another_who_steps_into_a_place_that_was_left_is_another():
    """Alike enough to carry on at once, not enough after a while."""
    other = face(100, who=1)
    alike = Face(other.box, 0.9, other.landmarks, unit([0.4, 0.9, *[0] * 14]), other.quality)
    for away, tracks in ((1, 1), (6, 2)):
        looks = [[face(100, who=0)]] * 5 + [[]] * away + [[alike]] * 5
        assert len(run(looks).tracks) == tracks


def test_poor_looks_do_not_lead_over_to_another():
    """Somebody leaves as another comes: at the edge of the picture both are hardly seen."""
    poor = [[face(100, who=1, sharp=0.5)]] * 2
    tracks = run([[face(100, who=0)]] * 5 + poor + [[face(100, who=1)]] * 5).tracks
    assert [len(t) for t in tracks] == [7, 5]


def test_less_sure_faces_carry_on_and_never_start():
    looks = [[face(100)], [face(102, score=0.3)], [face(104)], [face(300, score=0.5, who=1)]]
    (track,) = run(looks).tracks
    assert len(track) == 3


def test_without_embeddings_place_alone_decides():
    looks = [[face(20 + 5 * i, who=None), face(200, who=None)] for i in range(6)]
    assert [len(t) for t in run(looks).tracks] == [6, 6]


def test_what_similarities_mean_comes_from_the_calibration():
    points = tuple(
        Threshold(f, t, f, 0.0, (0.0, 0.1)) for f, t in ((0.1, 0.1), (0.01, 0.2), (1e-3, 0.4), (1e-5, 0.6))
    )
    calibration = Calibration("d", "p", "0" * 64, 1, 1, False, "x", "0" * 64, points)
    assert Likeness.of(calibration, None) == Likeness(0.4, 0.2)
    assert Likeness.of(None, Decision(0.7, None, "given")) == Likeness(0.7, None)
    assert Likeness.of(None, None) == Likeness(None, None)


# From tracks to people, with a plain gallery: person k is the k-th axis


def tell(tracks, known=("Ada", "Bob"), threshold=0.5):
    from facewise.gallery.identification import identification
    from facewise.types import Candidate

    decision = None if threshold is None else Decision(threshold, 1e-3, "made up")

    def who(pools):
        return [
            identification(
                tuple(sorted((Candidate(name, float(pool[k])) for k, name in enumerate(known)),
                             key=lambda c: -c.similarity)),
                decision,
            )
            for pool in pools
        ]  # fmt: skip

    return people_of(tracks, who, decision, 0.5)


def test_a_person_of_several_tracks_is_told_once():
    looks = [[face(20)]] * 4 + [[]] * 30 + [[face(250)]] * 4
    (ada,) = tell(run(looks).tracks)
    assert (ada.name, ada.label, ada.decided, ada.faces) == ("Ada", "Ada", True, 8)
    assert ada.tracks == (1, 2)
    assert [(i.first_frame, i.last_frame, i.faces) for i in ada.intervals] == [(0, 9, 4), (102, 111, 4)]
    assert ada.intervals[0].end == pytest.approx(0.375)


def test_strangers_are_kept_apart_and_joined():
    looks = [[face(20, who=4), face(200, who=5)]] * 4 + [[]] * 30 + [[face(250, who=5)]] * 4
    people = tell(run(looks).tracks)
    assert [(p.name, p.label, p.faces) for p in people] == [(None, "unknown 1", 4), (None, "unknown 2", 8)]


def test_nobody_is_in_two_places_at_once():
    """Somebody who looks like Ada stands beside Ada."""
    tracks = run([[face(20, who=0), face(200, who=0, noise=0.05)]] * 4).tracks
    people = tell(tracks)
    assert [p.label for p in people] == ["Ada", "unknown 1"]
    assert people[0].tracks == (1,)


def test_strangers_alike_and_together_are_two():
    people = tell(run([[face(20, who=4), face(200, who=4)]] * 4).tracks)
    assert [p.label for p in people] == ["unknown 1", "unknown 2"]


def test_without_a_rule_nobody_is_named():
    (one,) = tell(run([[face(20)]] * 4).tracks, threshold=None)
    assert (one.name, one.label, one.decided) == (None, "Ada?", False)
    (nobody,) = tell(run([[face(20)]] * 4).tracks, known=(), threshold=None)
    assert (nobody.label, nobody.similarity) == ("unknown 1", -1.0)


def test_intervals_part_where_somebody_was_away():
    looks = [[face(20)]] * 3 + [[]] * 12 + [[face(20)]] * 3
    (ada,) = tell(run(looks).tracks)
    assert [(i.faces, i.track) for i in ada.intervals] == [(3, 1), (3, 1)]


def poor(x, who=0, reasons=("blurred",), value=0.1) -> Face:
    shown = face(x, who=who)
    return replace(shown, quality=replace(shown.quality, value=value, reasons=reasons))


def test_poor_looks_are_followed_and_do_not_vote():
    tracker = run([[face(100, who=0)], [poor(102, who=1)], [poor(104, who=1)], [face(106, who=0)]])
    (track,) = tracker.tracks
    assert len(track) == 4
    assert track.pooled @ np.eye(16)[0] == pytest.approx(1.0)
    assert track.reasons == ()


def test_a_track_of_poor_looks_alone_is_nobodys_and_says_why():
    looks = [[poor(100), poor(300)], [poor(102), poor(302)], [poor(104, reasons=("too dark",)), poor(304)]]
    tracks = run(looks).tracks
    assert [track.reasons for track in tracks] == [("blurred",), ("blurred",)]

    def ada(pools):
        return [Identification("Ada", 1.0, True, 0.5, 1e-3, (Candidate("Ada", 1.0, 1),)) for _ in pools]

    people = people_of(tracks, ada, Decision(0.5, 1e-3, "made up"), 0.5)
    assert [(one.name, one.decided, one.label, one.note) for one in people] == [
        (None, False, *["no decision: the face is blurred"] * 2)
    ] * 2


def test_weights_follow_quality_where_it_is_known():
    good, bad = (poor(100, reasons=(), value=value) for value in (0.9, 0.3))
    assert look_weight(bad) == pytest.approx(look_weight(good) / 3)
    assert good.quality is not None
    shut = replace(
        good, quality=replace(good.quality, remarks=("turned by 31°", "eyes closed", "mouth open"))
    )
    assert look_weight(shut) == pytest.approx(look_weight(good) / 4)
    assert look_weight(face(100)) == pytest.approx(look_weight(good) / 0.9)
