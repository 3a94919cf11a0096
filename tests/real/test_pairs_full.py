"""LFW View 2 by the other protocols, with the public models: minutes, run by `make check-real`."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from facewise.data.bin import read_bin
from facewise.data.folder import folder_source
from facewise.evaluation import FaceCache, Lfw, LfwResult, evaluate_lfw
from facewise.evaluation.bin_file import evaluate_bin
from facewise.evaluation.embedded import detector_key
from facewise.evaluation.folder_protocol import evaluate_folder
from facewise.evaluation.groups_file import group_pairs, read_groups
from facewise.evaluation.pair_file import read_pair_file
from facewise.evaluation.pair_run import evaluate_pair_file
from facewise.image import content_hash
from facewise.pipeline import Pipeline

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("lfw")]


@pytest.fixture(scope="module")
def view_2(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> LfwResult:
    return evaluate_lfw(lfw, pipeline, cache=cache)


def test_pairs_as_a_csv(
    pipeline: Pipeline, lfw: Lfw, cache: FaceCache, view_2: LfwResult, shared: Path, tmp_path: Path
) -> None:
    path = tmp_path / "lfw.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["a", "b", "same", "fold", "identity_a", "identity_b"])
        for pair in lfw.pairs:
            people = [photo.split("/")[0] for photo in (pair.a, pair.b)]
            rows.writerow([pair.a, pair.b, int(pair.same), pair.fold, *people])
    found = read_pair_file(path, lfw.images)
    gender = read_groups(shared / "data" / "lfw" / "gender.csv", ["gender"])
    groups = group_pairs(gender, ["gender"], found.pairs, found.root)
    result = evaluate_pair_file(found, pipeline, groups=groups, cache=cache)
    assert result.folded is not None
    assert result.folded.kfold is not None
    assert view_2.metrics.kfold is not None
    np.testing.assert_array_equal(result.scored.similarities, view_2.scored.similarities)
    assert result.folded.kfold.to_dict() == view_2.metrics.kfold.to_dict()
    assert result.metrics.operating_points == view_2.metrics.operating_points
    assert (result.metrics.eer, result.metrics.auc) == (view_2.metrics.eer, view_2.metrics.auc)
    assert result.scored.data_hash == view_2.scored.data_hash
    assert result.who.resampled == "people, with all their pairs"
    women, men = result.groups[0].rates.rows
    assert (women.group, men.group) == ("female", "male")
    assert women.genuine + men.genuine > 2900


def test_pairs_as_a_verification_file(
    pipeline: Pipeline, lfw: Lfw, cache: FaceCache, view_2: LfwResult, tmp_path: Path
) -> None:
    """Crops by the same detector, in a file as InsightFace writes it, embedded as they are."""
    photos = sorted({photo for pair in lfw.pairs for photo in (pair.a, pair.b)})
    hashes = {photo: content_hash((lfw.images / photo).read_bytes()) for photo in photos}
    crops = cache.crops(hashes.values(), detector_key(pipeline))
    data = {
        photo: bytes(cv2.imencode(".png", crops[digest].crop[:, :, ::-1])[1])
        for photo, digest in hashes.items()
    }
    images = [data[photo] for pair in lfw.pairs for photo in (pair.a, pair.b)]
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps((images, [pair.same for pair in lfw.pairs])))
    result = evaluate_bin(read_bin(path), pipeline.embedder)
    folded = result.pairs.folded
    assert folded is not None
    assert view_2.metrics.kfold is not None
    np.testing.assert_allclose(result.pairs.scored.similarities, view_2.scored.similarities, atol=1e-5)
    assert folded.accuracy == pytest.approx(view_2.metrics.kfold.mean, abs=2 / 6000)
    assert result.insightface_accuracy == pytest.approx(folded.accuracy, abs=2e-3)


def test_all_of_lfw_as_a_folder(pipeline: Pipeline, lfw: Lfw, cache: FaceCache) -> None:
    people = folder_source(lfw.images)
    result = evaluate_folder(people, pipeline, shots=(1, 5), repeats=3, cache=cache)
    assert (result.photos, result.people) == (13233, 5749)
    found = result.verification.metrics
    assert (found.genuine, found.impostors) == (242257, 13233 * 13232 // 2 - 242257)
    tar = {point.fmr_target: round(point.tar, 4) for point in found.operating_points}
    rank1 = [round(one.figures["rank1"].mean, 4) for one in result.identification]
    print(f"LFW, all pairs: TAR@FMR {tar}, rank-1 from 1 and 5 photos {rank1}")  # noqa: T201
    assert tar[1e-3] >= 0.98
    assert found.auc_error < 1e-8
    assert rank1[0] < rank1[1]
    assert rank1[1] >= 0.99
