"""What a photo's quality does: to who is enrolled, to who is identified, to templates and to groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gallery_fakes import CALIBRATION, SIZE, FakePipeline, face_of, photo

from facewise.errors import PoorPhotoError, SettingError
from facewise.evaluation.quality_fit import KINDS
from facewise.gallery import Gallery, Sample
from facewise.quality import REMEDIES
from facewise.types import Quality
from planted_quality import of_quality, planted_rule, with_rule

RULED = with_rule(CALIBRATION)
GOOD = Quality(0.99, 40.0, 120.0, 0.1, -0.1, 0.0)


class PoorPipeline(FakePipeline):
    """`ada:1` is a good photo of Ada, `ada:142` one of quality 0.42; `ada:203` is told to be dark.

    On `ada:31` her eyes are closed and her mouth is open, which takes a mesh to tell.
    """

    def _embed(self, who, shot):
        return of_quality(face_of(who, shot), shot / 100 - 1 if 100 <= shot < 200 else 1.0)

    def read(self, photo):
        found = super().read(photo)
        data = Path(photo).read_bytes()
        if b":2" in data and len(data) > 6:
            bad = replace(GOOD, reasons=("too dark",))
            found = replace(found, faces=tuple(replace(face, quality=bad) for face in found.faces))
        if b":31" in data:
            shut = replace(GOOD, remarks=("eyes closed", "mouth open"))
            found = replace(found, faces=tuple(replace(face, quality=shut) for face in found.faces))
        return found


@pytest.fixture
def pipeline():
    return PoorPipeline(calibration=RULED)


@pytest.fixture
def gallery(tmp_path, pipeline):
    with Gallery.open(tmp_path / "people.db", pipeline=pipeline) as opened:
        yield opened


def shots(folder: Path, *names: str) -> list[Path]:
    return [photo(folder, f"{name.replace(':', '_')}.jpg", name) for name in names]


def test_enrolment_refuses_the_poor_and_keeps_the_good(gallery, tmp_path):
    given = shots(tmp_path, "ada:1", "ada:203", "ada:120", "ada:160", "ada:175", "ada:195")
    done = gallery.enroll("ada", given)
    assert done.added == 3  # the good one, one that needs 0.65, and one of the best cell
    assert [r.reason for r in done.rejected] == [
        "its face is too dark: take one in more light",
        "its face is blurred: take a sharper one",
        "its face is too poor to know somebody by (quality 0.60, likely blurred): take a sharper one",
    ]


@pytest.mark.parametrize(("quality", "added"), [("strict", 2), ("off", 6)])
def test_how_much_is_asked_can_be_chosen(gallery, tmp_path, quality, added):
    given = shots(tmp_path, "ada:1", "ada:203", "ada:120", "ada:160", "ada:175", "ada:195")
    done = gallery.enroll("ada", given, quality=quality)
    assert done.added == added
    if quality == "off":
        assert sum("enrolled all the same" in warning for warning in done.warnings) == 3
    with pytest.raises(SettingError, match="off, standard, strict"):
        gallery.enroll("ada", given, quality="best")


@pytest.mark.parametrize(("quality", "added"), [("standard", 2), ("off", 2), ("strict", 1)])
def test_what_could_be_better_is_told_and_refused_by_the_strict(gallery, tmp_path, quality, added):
    done = gallery.enroll("ada", shots(tmp_path, "ada:1", "ada:31"), quality=quality)
    assert done.added == added
    told = [f"{r.source}: {r.reason}." for r in done.rejected] if added == 1 else list(done.warnings)
    (told,) = told
    assert told == (
        f"{tmp_path / 'ada_31.jpg'}: its face could be shown better (eyes closed, mouth open): take one with "
        "the eyes open, and take one with the mouth closed."
    )


def test_nothing_but_poor_photos_is_an_error_that_says_so(gallery, tmp_path):
    with pytest.raises(PoorPhotoError, match="its face is blurred: take a sharper one"):
        gallery.enroll("ada", shots(tmp_path, "ada:120"))


def test_every_kind_of_defect_has_a_remedy():
    assert [kind for kind in KINDS if not any(kind.startswith(known) for known in REMEDIES)] == []


def test_a_folder_and_embeddings_are_asked_the_same(gallery, tmp_path):
    shots(tmp_path / "people" / "ada", "ada:1", "ada:120")
    shots(tmp_path / "people" / "bob", "bob:120")
    ada, bob = gallery.enroll_folder(tmp_path / "people")
    assert (ada.added, len(ada.rejected), bob.added, len(bob.rejected)) == (1, 1, 0, 1)
    poor = [Sample(of_quality(face_of("cy"), q), f"cy {q}") for q in (0.2, 1.0)]
    how = {"fingerprint": gallery.pipeline.embedder.fingerprint, "calibration": RULED}
    done = gallery.enroll_embeddings("cy", poor, **how)
    assert (done.added, [r.source for r in done.rejected]) == (1, ["cy 0.2"])


def test_a_calibration_without_quality_lets_everybody_in_and_decides(tmp_path):
    with Gallery.open(tmp_path / "people.db", pipeline=PoorPipeline()) as gallery:
        given = shots(tmp_path, "ada:203", "ada:120")
        assert gallery.enroll("ada", given).added == 2
        assert [m.name for one in given for m in gallery.identify(one)] == ["ada", "ada"]


def test_a_poor_probe_gets_no_decision_but_by_a_threshold_of_the_user(gallery, tmp_path):
    gallery.enroll("ada", shots(tmp_path, "ada:1"))
    dark, blurred = shots(tmp_path, "ada:203", "ada:120")
    for probe, why in ((dark, "too dark"), (blurred, "blurred")):
        (match,) = gallery.identify(probe)
        assert (match.name, match.decided, match.threshold) == (None, False, None)
        assert match.note == f"no decision: the face is {why}"
        assert match.candidates
    (match,) = gallery.identify(dark, threshold=0.3)
    assert (match.name, match.decided) == ("ada", True)


def test_the_threshold_is_that_of_the_better_photo(gallery, tmp_path):
    """0.5 beside a good sample, 0.65 beside one of middling quality, and no decision beside a poor one."""
    (probe,) = shots(tmp_path, "ada:160")
    gallery.enroll("ada", shots(tmp_path, "ada:1"))
    (match,) = gallery.identify(probe)
    assert (match.name, match.threshold) == ("ada", 0.5)
    gallery.remove("ada")
    gallery.enroll("ada", shots(tmp_path, "ada:175"))
    (match,) = gallery.identify(probe)
    assert (match.name, match.threshold) == ("ada", pytest.approx(0.65))
    gallery.remove("ada")
    gallery.enroll("ada", shots(tmp_path, "ada:162"), quality="off")
    (match,) = gallery.identify(probe)
    assert (match.name, match.decided) == (None, False)
    assert match.note.startswith("no decision: the face and the photo of ada are both too poor")


def test_who_passes_by_a_good_sample_is_found_behind_a_poor_one(gallery):
    """A poor sample is like every poor probe: it must not hide who passes by their own threshold."""
    embedder = gallery.pipeline.embedder
    how = {"fingerprint": embedder.fingerprint, "calibration": RULED, "quality": "off"}
    wolf, probe = of_quality(face_of("wolf"), 0.35), of_quality(face_of("ada", 1), 0.35)
    wolf = wolf * 0.6 + probe * 0.8
    wolf /= np.linalg.norm(wolf)
    gallery.enroll_embeddings("wolf", [Sample(wolf)], **how)
    gallery.enroll_embeddings("ada", [Sample(of_quality(face_of("ada", 2), 1.0))], **how)
    decision = gallery.search_decision()
    for top in (1, 5):
        (who,) = gallery.identify_embeddings(
            [probe], fingerprint=embedder.fingerprint, decision=decision, calibration=RULED, top=top
        )
        assert (who.name, who.decided, who.threshold) == ("ada", True, 0.5)
        assert who.candidates[0].name == "ada"
        assert len(who.candidates) == min(top, 2)
    assert (
        gallery.identify_embeddings([probe], fingerprint=embedder.fingerprint, decision=decision)[0].name
        == "wolf"
    )


def _alike(rng: np.random.Generator, many: int, qualities: np.ndarray) -> np.ndarray:
    """Strangers, the more alike the worse their photos are."""
    rows = rng.standard_normal((many, SIZE))
    rows[:, :2] = 0.0
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    bad = (1.0 - qualities)[:, np.newaxis]
    rows *= np.sqrt(1.0 - bad**2)
    rows[:, 0] = bad[:, 0]
    return rows.astype(np.float32)


@pytest.mark.parametrize("scoring", ["best", "mean"])
def test_strangers_of_any_quality_are_named_no_oftener_than_good_ones(tmp_path, scoring):
    """Thresholds set at FMR 1e-2 in each cell: an enrolled one and strangers, all of mixed quality."""
    rng = np.random.default_rng(5)

    def mixed(many: int) -> np.ndarray:
        return _alike(rng, many, rng.uniform(0.3, 1.0, many))

    pool = mixed(3000)
    rule = planted_rule(SIZE, 0.0, fmr=1e-2)
    values = rule.of(pool)
    better = np.maximum(values[:, None], values[None])[np.triu_indices(len(pool), 1)]
    similar = (pool @ pool.T)[np.triu_indices(len(pool), 1)]
    cells = np.searchsorted(rule.qualities, better, side="right") - 1
    limits = [float(np.quantile(similar[cells == cell], 0.99)) for cell in range(len(rule.qualities))]
    limits = np.maximum.accumulate(limits[::-1])[::-1]
    rule = replace(rule, thresholds=np.array(limits, np.float32), least=0.0, ceiling=1.0)
    points = (replace(CALIBRATION.thresholds[0], fmr=1e-2, threshold=limits[-1]),)
    calibration = replace(CALIBRATION, thresholds=points, quality=rule)
    with Gallery.open(tmp_path / "people.db", pipeline=FakePipeline(calibration=calibration)) as gallery:
        how = {"fingerprint": gallery.pipeline.embedder.fingerprint}
        for i, row in enumerate(mixed(20)):
            gallery.enroll_embeddings(f"p{i}", [Sample(row)], **how)
        decision = gallery.search_decision(fmr=1e-2, scoring=scoring)
        ask = {"decision": decision, "scoring": scoring, **how}
        probes = mixed(3000)
        ruled = gallery.identify_embeddings(probes, calibration=calibration, **ask)
        plain = gallery.identify_embeddings(probes, **ask)
    named = [np.mean([one.name is not None for one in answers]) for answers in (ruled, plain)]
    assert named[0] <= decision.fpir < named[1]


def test_templates_weigh_samples_by_quality(gallery):
    embedder = gallery.pipeline.embedder
    how = {"fingerprint": embedder.fingerprint}
    good, poor = of_quality(face_of("ada"), 1.0), of_quality(face_of("bob"), 0.1)
    gallery.enroll_embeddings("ada", [Sample(good), Sample(poor)], **how)
    ask = {"decision": gallery.search_decision(), "scoring": "mean", **how}
    (plain,) = gallery.identify_embeddings([good], **ask)
    (weighed,) = gallery.identify_embeddings([good], calibration=RULED, **ask)
    mean = good.astype(np.float64) + 0.1 * poor
    assert weighed.similarity == pytest.approx(good @ mean / np.linalg.norm(mean), abs=1e-5)
    assert plain.similarity < weighed.similarity
    gallery.enroll_embeddings("ada", [Sample(of_quality(face_of("cy"), 0.1))], **how)
    gallery.enroll_embeddings("bob", [Sample(of_quality(face_of("bob"), 0.2))], **how)
    gallery.remove("bob")  # what was weighed before stays so
    (again,) = gallery.identify_embeddings([good], calibration=RULED, **ask)
    mean += 0.1 * of_quality(face_of("cy"), 0.1)
    assert again.similarity == pytest.approx(good @ mean / np.linalg.norm(mean), abs=1e-5)
