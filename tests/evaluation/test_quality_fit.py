"""Quality learned and thresholds set on drawn embeddings, whose law is known, judged on other people."""

import numpy as np
import pytest

from facewise.data.degrade import FAMILIES
from facewise.errors import DatasetError
from facewise.evaluation import quality_fit
from facewise.evaluation.quality_fit import PLAIN, Degraded, calibrate_quality, fit_quality, tasks, third
from facewise.models.quality import QualityRule

SIZE = 24
PHOTOS = 160
FMR = 1e-2
CENTRES = np.random.default_rng(1).standard_normal((len(FAMILIES), SIZE))
CENTRES /= np.linalg.norm(CENTRES, axis=1, keepdims=True)


def drawn(seed: int) -> Degraded:
    """The stronger, the more a photo shows its family and the less its person; two photos of each person."""
    rng = np.random.default_rng(seed)
    rows, people, families, strengths = [], [], [], []
    who = rng.standard_normal((PHOTOS, SIZE))
    for family in (PLAIN, *FAMILIES):
        for person in range(PHOTOS):
            strength = 0.0 if family == PLAIN else float(rng.random())
            centre = 0.0 if family == PLAIN else CENTRES[list(FAMILIES).index(family)] * 6.0 * strength**2
            rows.append(who[person] * (1.0 - 0.6 * strength) + centre + 0.6 * rng.standard_normal(SIZE))
            people.append(person)
            families.append(family)
            strengths.append(strength)
    vectors = np.array(rows)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Degraded(
        vectors.astype(np.float32),
        np.array(people),
        np.arange(len(rows)),
        np.array(families),
        np.array(strengths, np.float32),
    )


def plain_threshold(faces: Degraded) -> float:
    own = faces.of(faces.families == PLAIN)
    scores = (own.vectors @ own.vectors.T)[np.triu_indices(len(own.people), 1)]
    return float(np.quantile(scores, 1.0 - FMR))


@pytest.fixture(scope="module")
def fitted() -> tuple[QualityRule, float]:
    plain = plain_threshold(drawn(2))
    return fit_quality(drawn(1), drawn(2), plain, fmr=FMR), plain


def matched(rule: QualityRule | None, plain: float, faces: Degraded, strongest: float) -> tuple[float, float]:
    """Shares of pairs of strangers that suffer alike that are taken for one person, and that are refused."""
    same = refused = count = 0
    for family in FAMILIES:
        own = faces.of((faces.families == family) & (np.abs(faces.strengths - strongest) < 0.1))
        i, j = np.triu_indices(len(own.people), 1)
        scores = np.einsum("nd,nd->n", own.vectors[i], own.vectors[j])
        needed, usable = np.full(len(i), plain), np.ones(len(i), bool)
        if rule is not None:
            value = rule.of(own.vectors)
            needed = rule.threshold(plain, FMR, plain, np.maximum(value[i], value[j]))
            usable = np.isfinite(needed) & (np.minimum(value[i], value[j]) >= rule.least)
        same += int(np.count_nonzero(usable & (scores >= needed)))
        refused += int(np.count_nonzero(~usable))
        count += len(i)
    return same / count, refused / count


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
def test_strangers_who_suffer_alike_are_matched_no_more_often_than_stated(fitted, strength):
    rule, plain = fitted
    faces = drawn(3)
    same, refused = matched(rule, plain, faces, strength)
    assert same <= 2 * FMR
    if strength > 0.8:
        assert matched(None, plain, faces, strength)[0] > 20 * FMR  # what there was to mend
        assert refused > 0.5


def test_quality_falls_with_strength_and_thresholds_rise(fitted):
    rule, plain = fitted
    faces = drawn(4)
    value = rule.of(faces.vectors)
    assert ((value >= 0.0) & (value <= 1.0)).all()
    of_plain = value[faces.families == PLAIN]
    strong, weak = value[faces.strengths > 0.8], value[(faces.strengths > 0) & (faces.strengths < 0.2)]
    assert np.median(of_plain) > np.median(strong) + 0.2
    assert np.median(weak) > np.median(strong)
    needed = rule.threshold(plain, FMR, plain, np.array([np.median(strong), np.median(of_plain), 1.0]))
    assert (needed >= plain).all()
    assert needed[0] > needed[1] >= needed[2]
    kinds = [rule.kind(v) for v in faces.vectors[(faces.families == "mask") & (faces.strengths > 0.7)]]
    assert kinds.count("covered") > len(kinds) / 2


def test_a_rule_is_read_back_as_it_was_written(fitted):
    rule, plain = fitted
    again = QualityRule.from_dict(rule.to_dict())
    faces = drawn(5)
    np.testing.assert_allclose(again.of(faces.vectors), rule.of(faces.vectors), atol=1e-6)
    values = np.linspace(0, 1, 50)
    np.testing.assert_allclose(
        again.threshold(plain, FMR, plain, values), rule.threshold(plain, FMR, plain, values), atol=1e-4
    )


def test_people_are_parted_in_three_and_nobody_is_in_two_parts():
    names = [f"person {n}" for n in range(60)]
    labels = np.repeat(np.arange(60), 2)
    parts = [{task.photo // 2 for task in tasks(labels, names, part, 0, share=0.01)} for part in range(3)]
    for part, people in enumerate(parts):
        assert people
        assert {third(names[person]) for person in people} == {part}


def test_too_few_people_are_refused_in_one_sentence():
    from facewise.evaluation.calibration_data import PhotosOfPeople
    from facewise.models import Calibration, Threshold

    data = PhotosOfPeople("few", [], np.arange(20), [str(n) for n in range(20)], 10)
    points = (Threshold(1e-3, 0.4, 1e-3, 0.1, (0.0, 0.2)),)
    calibration = Calibration("few", "all", "00", 9, 9, False, "tiny", "11", points)
    assert "900 people" in (quality_fit.lacks(data, calibration) or "")
    with pytest.raises(DatasetError, match="900 people, and there are 20"):
        calibrate_quality(data, None, calibration)  # type: ignore[arg-type]
