"""The facade: the same answers as the parts it is made of, and decisions that say where they come from."""

from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import facewise
from facewise.errors import FaceNotFoundError, ImageError, ModelError, SettingError
from facewise.gallery import Gallery
from facewise.models import (
    Calibration,
    ScoreMap,
    Threshold,
    default_name,
    read_model,
    save_calibration,
    write_model,
)
from facewise.models.quality import QualityRule
from facewise.pipeline import PhotoFaces, Pipeline
from facewise.recognizer import Recognizer, compare_photos
from facewise.types import Face, Quality

Draw = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def recognizer(tiny_pipeline: Pipeline) -> Recognizer:
    return Recognizer(pipeline=tiny_pipeline)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory, drawn_photo: Draw) -> dict[str, Path]:
    """Two photos of each of two people, and one of nobody."""
    folder = tmp_path_factory.mktemp("people")
    drawn = {
        "ada1": drawn_photo([(120, 110, 60, 2)]),
        "ada2": drawn_photo([(180, 120, 84, 2)]),
        "bob1": drawn_photo([(150, 100, 70, 7)]),
        "bob2": drawn_photo([(140, 130, 56, 7)]),
        "nobody": drawn_photo([]),
    }
    for name, photo in drawn.items():
        PIL.Image.fromarray(photo).save(folder / f"{name}.png")
    return {name: folder / f"{name}.png" for name in drawn}


def calibrated(tmp_path: Path, detector: Path, embedder: Path, threshold: float) -> Recognizer:
    model = read_model(embedder)
    copy = write_model(tmp_path / "calibrated.onnx", model.network, model.card)
    points = (Threshold(1e-3, threshold, 0.0, 0.1, (0, 0.2)), Threshold(0.1, -0.9, 0.05, 0.0, (0, 0)))
    save_calibration(copy, Calibration("LFW", "View 2", "00", 30, 20, False, "tiny", "11", points))
    return Recognizer(detector=detector, model=copy.path, threads=1)


def test_people_are_told_apart(recognizer: Recognizer, people: dict[str, Path]) -> None:
    alike = [recognizer.verify(people[f"{who}1"], people[f"{who}2"]).similarity for who in ("ada", "bob")]
    unlike = [
        recognizer.verify(people[f"ada{i}"], people[f"bob{j}"]).similarity for i in (1, 2) for j in (1, 2)
    ]
    assert min(alike) > 0.98
    assert max(unlike) < 0.8


def test_similarity_is_the_cosine_of_the_embeddings(recognizer: Recognizer, people: dict[str, Path]) -> None:
    a, b = recognizer.embed(people["ada1"]), recognizer.embed(people["bob1"])
    result = recognizer.verify(people["ada1"], people["bob1"])
    cosine = float(a.astype(np.float64) @ b.astype(np.float64))
    assert result.similarity == pytest.approx(cosine, abs=1e-6)
    assert -1 <= result.similarity <= 1
    assert recognizer.verify(people["ada1"], people["ada1"]).similarity == pytest.approx(1, abs=1e-6)
    assert recognizer.verify(people["ada1"], people["ada1"]).similarity <= 1


def test_verify_is_symmetric_and_keeps_its_photos_apart(
    recognizer: Recognizer, people: dict[str, Path]
) -> None:
    forth = recognizer.verify(people["ada1"], people["bob1"])
    back = recognizer.verify(people["bob1"], people["ada1"])
    assert forth.similarity == pytest.approx(back.similarity, abs=1e-6)
    for result, names in ((forth, ("ada1", "bob1")), (back, ("bob1", "ada1"))):
        for face, name in zip(result.faces, names, strict=True):
            np.testing.assert_array_equal(face.box, recognizer.detect(people[name])[0].box)
            np.testing.assert_allclose(face.embedding, recognizer.embed(people[name]), atol=1e-6)


def test_without_calibration_there_is_a_similarity_and_no_decision(
    recognizer: Recognizer, people: dict[str, Path]
) -> None:
    result = recognizer.verify(people["ada1"], people["ada2"])
    assert result.same is None
    assert result.threshold is None
    assert result.fmr is None
    assert result.probability is None
    assert "no calibration" in result.note
    assert "facewise calibrate" in result.note


def test_a_given_threshold_decides(recognizer: Recognizer, people: dict[str, Path]) -> None:
    similarity = recognizer.verify(people["ada1"], people["bob1"]).similarity
    for threshold, same in ((similarity - 1e-3, True), (similarity + 1e-3, False)):
        result = recognizer.verify(people["ada1"], people["bob1"], threshold=threshold)
        assert result.same is same
        assert (result.threshold, result.fmr, result.probability) == (threshold, None, None)


def test_a_similarity_at_the_threshold_is_a_match(recognizer: Recognizer, people: dict[str, Path]) -> None:
    similarity = recognizer.verify(people["ada1"], people["bob1"]).similarity
    assert recognizer.verify(people["ada1"], people["bob1"], threshold=similarity).same is True


def test_the_calibration_decides(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, people: dict[str, Path]
) -> None:
    recognizer = calibrated(tmp_path, tiny_detector_file, tiny_embedder_file, 0.95)
    for pair, same in ((("ada1", "ada2"), True), (("ada1", "bob2"), False)):
        result = recognizer.verify(*(people[name] for name in pair))
        assert result.same is same
        assert (result.threshold, result.fmr) == (0.95, 1e-3)
        assert "LFW View 2, 20 impostor pairs" in result.note
    loose = recognizer.verify(people["ada1"], people["bob2"], fmr=0.1)
    assert (loose.same, loose.threshold, loose.fmr) == (True, -0.9, 0.1)
    own = recognizer.verify(people["ada1"], people["bob2"], threshold=-1)
    assert (own.same, own.threshold, own.fmr) == (True, -1, None)
    with pytest.raises(SettingError, match=r"only at 0\.1, 0\.001"):
        recognizer.verify(people["ada1"], people["bob2"], fmr=1e-4)


def test_settings_are_judged_before_any_work(recognizer: Recognizer) -> None:
    with pytest.raises(SettingError):
        recognizer.verify("/nowhere/a.jpg", "/nowhere/b.jpg", threshold=3)


def test_no_face_names_the_photo(recognizer: Recognizer, people: dict[str, Path]) -> None:
    nobody = people["nobody"]
    for ask in (
        lambda: recognizer.embed(nobody),
        lambda: recognizer.verify(nobody, people["ada1"]),
        lambda: recognizer.verify(people["ada1"], nobody),
    ):
        with pytest.raises(FaceNotFoundError, match=r"No face was found in .*nobody\.png"):
            ask()
    assert recognizer.detect(nobody) == []
    assert recognizer.faces(nobody) == []
    assert recognizer.align(nobody).shape == (0, 112, 112, 3)


def test_an_unreadable_photo_is_named(recognizer: Recognizer, people: dict[str, Path]) -> None:
    for pair in (("/nowhere/b.jpg", people["ada1"]), (people["ada1"], "/nowhere/b.jpg")):
        with pytest.raises(ImageError, match=r"/nowhere/b\.jpg"):
            recognizer.verify(*pair)


def test_none_is_an_image_error_and_costs_one_photo_of_many(
    recognizer: Recognizer, people: dict[str, Path], tmp_path: Path
) -> None:
    ada, broken = people["ada1"], None
    with pytest.raises(ImageError, match=r"^Cannot read None: it is not a photo; OpenCV gives None"):
        recognizer.verify(ada, broken)
    found = list(recognizer.read_many([ada, broken, PIL.Image.open(ada)]))
    assert [len(one.faces) for one in found] == [1, 0, 1]
    assert isinstance(found[1].error, ImageError)
    with Gallery.open(tmp_path / "g.db", pipeline=recognizer.pipeline) as gallery:
        done = gallery.enroll("Ada", [ada, broken], keep="face")
        assert (done.added, [rejection.source for rejection in done.rejected]) == (1, ["None"])
        with pytest.raises(ImageError, match="Cannot read None"):
            gallery.enroll("Bob", broken)
        with people["bob1"].open("rb") as file:
            assert gallery.enroll("Bob", file, keep="photo").added == 1
        assert gallery.enroll("Ada", PIL.Image.open(people["ada2"])).added == 1


def test_bytes_path_and_array_give_the_same(recognizer: Recognizer, people: dict[str, Path]) -> None:
    path = people["ada1"]
    pixels = np.array(PIL.Image.open(path))
    bmp = io.BytesIO()
    PIL.Image.fromarray(pixels).save(bmp, "BMP")
    expected = recognizer.embed(path)
    for source in (str(path), path.read_bytes(), bmp, bmp, pixels, PIL.Image.fromarray(pixels)):
        np.testing.assert_allclose(recognizer.embed(source), expected, atol=1e-6)
    swapped = recognizer.embed(np.ascontiguousarray(pixels[..., ::-1]))
    assert float(swapped @ expected) < 0.95  # BGR is another person here


def test_detect_align_and_faces_go_together(recognizer: Recognizer, drawn_photo: Draw) -> None:
    photo = drawn_photo([(80, 100, 50, 1), (240, 130, 64, 5)])
    detected, crops, faces = recognizer.detect(photo), recognizer.align(photo), recognizer.faces(photo)
    assert len(detected) == len(crops) == len(faces) == 2
    vectors = recognizer.pipeline.embedder.embed(crops)
    for found, face, vector in zip(detected, faces, vectors, strict=True):
        assert found.embedding is None
        assert found.quality is None
        np.testing.assert_array_equal(found.box, face.box)
        np.testing.assert_allclose(face.embedding, vector, atol=1e-5)
        assert face.quality is not None
    np.testing.assert_allclose(recognizer.embed(photo), faces[0].embedding, atol=1e-5)


def test_the_main_face_of_a_photo_is_compared(recognizer: Recognizer, drawn_photo: Draw, people) -> None:
    """Ada in the middle, Bob at the edge: the photo is Ada's."""
    photo = drawn_photo([(160, 120, 64, 2), (40, 200, 32, 7)])
    assert recognizer.verify(photo, people["ada1"]).similarity > 0.98
    assert recognizer.verify(photo, people["bob1"]).similarity < 0.8


def test_how_many_faces_a_photo_has_is_told(recognizer: Recognizer, drawn_photo: Draw, people) -> None:
    photo = drawn_photo([(160, 120, 64, 2), (40, 200, 32, 7), (280, 40, 36, 9)])
    result = recognizer.verify(photo, people["ada1"])
    assert (result.found, result.comparisons) == ((3, 1), 1)
    assert recognizer.verify(people["ada1"], photo).found == (1, 3)


def test_the_best_pair_of_all_faces(recognizer: Recognizer, drawn_photo: Draw, people) -> None:
    """Bob at the edges of both photos, strangers in their middles."""
    a = drawn_photo([(160, 120, 64, 2), (40, 200, 32, 7)])
    b = drawn_photo([(160, 120, 64, 11), (270, 60, 36, 7), (40, 190, 40, 9)])
    assert recognizer.verify(a, b).similarity < 0.8
    best = recognizer.verify(a, b, face="best", threshold=0.9)
    assert (best.same, best.found, best.comparisons) == (True, (2, 3), 6)
    assert best.similarity > 0.98
    assert [face.box[0] for face in best.faces] == pytest.approx([24, 252], abs=1)
    assert "most alike of 6 pairs" in best.note
    alone = recognizer.verify(people["ada1"], people["ada2"], face="best", threshold=0.9)
    assert (alone.comparisons, alone.note) == (1, "given by the user")
    with pytest.raises(SettingError, match="'main' or 'best', not 'any'"):
        recognizer.verify(a, b, face="any")  # type: ignore[arg-type]


def test_the_best_of_several_pairs_is_judged_more_strictly(
    tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path, drawn_photo: Draw
) -> None:
    """At FMR 1e-3 the best of two pairs needs a rate of 5e-4; the next one measured is 1e-4."""
    model = read_model(tiny_embedder_file)
    copy = write_model(tmp_path / "calibrated.onnx", model.network, model.card)
    rates = ((1e-2, 0.2), (1e-3, 0.5), (1e-4, 0.7))
    points = tuple(Threshold(rate, threshold, rate, 0.1, (0, 0.2)) for rate, threshold in rates)
    scores = ScoreMap(10.0, -5.0, -4.0, 4.0, 0.5)
    save_calibration(copy, Calibration("LFW", "View 2", "00", 30, 20, False, "tiny", "11", points, scores))
    recognizer = Recognizer(detector=tiny_detector_file, model=copy.path, threads=1)
    pair, one = drawn_photo([(80, 100, 50, 7), (240, 130, 64, 2)]), drawn_photo([(160, 120, 64, 2)])
    best = recognizer.verify(pair, one, face="best")
    assert (best.comparisons, best.fmr, best.threshold) == (2, 1e-4, 0.7)
    assert "FMR 0.0002 at most" in best.note
    looser = recognizer.verify(pair, one, face="best", fmr=1e-2)
    assert (looser.fmr, looser.threshold) == (1e-3, 0.5)
    assert best.prior == 0.5  # of the photos; each of the two pairs has a half of those odds
    assert best.probability == pytest.approx(1 / (1 + 2 * math.exp(-4.0)))
    six = drawn_photo([(40 + 48 * i, 60 + 110 * (i % 2), 30, 20 + i) for i in range(6)])
    assert recognizer.verify(six, pair, face="best").fmr == 1e-4  # the strictest there is
    with pytest.raises(SettingError, match=r"best of 12 pairs .* goes down to 0\.0001 only"):
        recognizer.verify(six, pair, face="best", fmr=1e-3)


def test_the_best_pair_is_one_that_can_be_judged() -> None:
    """The most alike pair may be one whose photos cannot tell, as blurred strangers are alike."""
    points = (Threshold(1e-3, 0.5, 1e-3, 0.1, (0, 0.2)), Threshold(1e-4, 0.5, 1e-4, 0.1, (0, 0.2)))
    flat = np.zeros((2, 2), np.float32)
    layers = ((flat, flat[0]), (flat, flat[0]), (flat, flat[0]))
    rule = QualityRule(layers, ("blur",), 0.1, 1e-3, np.float32([0]), np.float32([0.5]), 0.0, 0.9, {})
    calibration = Calibration("LFW", "x", "00", 9, 9, False, "tiny", "11", points, quality=rule)

    def photo(*faces: tuple[float, bool]) -> PhotoFaces:
        return PhotoFaces("photo", faces=tuple(face(*one) for one in faces))

    def face(angle: float, good: bool) -> Face:
        reasons = () if good else ("blurred",)
        quality = Quality(0.9, 40, 100, 0, 0, 0, value=1.0, reasons=reasons)
        vector = np.float32([np.cos(angle), np.sin(angle)])
        return Face(np.float32([0, 0, 9, 9]), 0.9, np.zeros((5, 2), np.float32), vector, quality)

    one = photo((0.0, True))
    good, unclear = compare_photos(one, photo((0.1, False), (0.5, True)), calibration), (0.1, False)
    assert (good.same, good.similarity) == (True, pytest.approx(np.cos(0.5)))
    maybe = compare_photos(one, photo(unclear, (1.5, True)), calibration)
    assert (maybe.same, maybe.similarity) == (None, pytest.approx(np.cos(0.1)))
    assert "blurred" in maybe.note
    stranger = compare_photos(one, photo((1.2, False), (1.5, True)), calibration)
    assert (stranger.same, stranger.similarity) == (False, pytest.approx(np.cos(1.5)))
    nobody = compare_photos(one, photo((1.2, False), (1.5, False)), calibration)
    assert (nobody.same, nobody.similarity) == (None, pytest.approx(np.cos(1.2)))


def test_read_many_takes_files_and_folders(recognizer: Recognizer, people: dict[str, Path]) -> None:
    results = list(recognizer.read_many(people["ada1"].parent))
    assert [Path(result.source).name for result in results] == [
        "ada1.png", "ada2.png", "bob1.png", "bob2.png", "nobody.png",
    ]  # fmt: skip
    assert [len(result.faces) for result in results] == [1, 1, 1, 1, 0]
    missing, ada = recognizer.read_many(["/nowhere/c.jpg", people["ada1"]])
    assert "/nowhere/c.jpg" in str(missing.error)
    assert len(ada.faces) == 1


def test_identify_opens_a_gallery_by_path(
    recognizer: Recognizer, people: dict[str, Path], tmp_path: Path, drawn_photo: Draw
) -> None:
    from facewise import Gallery

    path = tmp_path / "people.db"
    with Gallery.open(path, pipeline=recognizer.pipeline) as gallery:
        gallery.enroll("Ada", people["ada1"])
        gallery.enroll("Bob", people["bob1"])
        opened = recognizer.identify(people["ada2"], gallery, threshold=0.9)
    assert [match.name for match in opened] == ["Ada"]
    assert [m.name for m in recognizer.identify(people["bob2"], path, threshold=0.9)] == ["Bob"]
    both = recognizer.identify(
        drawn_photo([(80, 100, 50, 7), (240, 130, 64, 2), (150, 200, 40, 50)]), path, threshold=0.9
    )
    assert sorted((match.face.box[0] // 50, match.name) for match in both) == [
        (1, "Bob"),
        (2, None),
        (4, "Ada"),
    ]
    undecided = recognizer.identify(people["bob2"], path)
    assert [(match.name, match.decided) for match in undecided] == [(None, False)]


def test_the_module_verify_uses_the_default_models(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_detector_file: Path,
    tiny_embedder_file: Path,
    people,
) -> None:
    import shutil

    import facewise
    from facewise import recognizer as module
    from facewise.models import default_name
    from facewise.models.home import make, models_folder

    monkeypatch.setenv("FACEWISE_HOME", str(tmp_path))
    for cached in vars(module).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()
    shutil.copy(tiny_detector_file, make(models_folder()) / f"{default_name('detector')}.onnx")
    shutil.copy(tiny_embedder_file, make(models_folder()) / f"{default_name('embedder')}.onnx")
    assert facewise.verify(people["ada1"], people["ada2"], threshold=0.9).same is True
    assert facewise.verify(people["ada1"], people["bob2"], threshold=0.9).same is False
    for cached in vars(module).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


KEPT = """
import os, sys, threading
opened = []
def watch(event, of):
    if event == "open" and str(of[0]).endswith(".onnx"):
        opened.append(str(of[0]))
sys.addaudithook(watch)
import facewise as fw
a, b, other_home = sys.argv[1:]
"""


@pytest.fixture
def homes(tmp_path: Path, tiny_detector_file: Path, tiny_embedder_file: Path) -> list[Path]:
    """Two homes, the tiny models under the names of the default ones in each."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        (folder / "models").mkdir(parents=True)
        shutil.copy(tiny_detector_file, folder / "models" / f"{default_name('detector')}.onnx")
        shutil.copy(tiny_embedder_file, folder / "models" / f"{default_name('embedder')}.onnx")
    return folders


def in_process(code: str, homes: list[Path], people: dict[str, Path]) -> str:
    """What a process prints that runs this code after `KEPT`, in the first home."""
    root = Path(facewise.__file__).parents[1]
    words = [people["ada1"], people["ada2"], homes[1]]
    return subprocess.run(
        [sys.executable, "-c", KEPT + code, *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(root), "FACEWISE_HOME": str(homes[0])},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_a_second_call_opens_no_model_again(homes: list[Path], people: dict[str, Path]) -> None:
    code = "fw.verify(a, b); print(len(opened)); fw.verify(b, a); fw.verify(a, a); print(len(opened))"
    assert in_process(code, homes, people).split() == ["2", "2"]


def test_threads_that_call_at_once_share_one_recogniser(homes: list[Path], people: dict[str, Path]) -> None:
    code = """
together, found = threading.Barrier(8), []
def call():
    together.wait()
    found.append(fw.verify(a, b).similarity)
threads = [threading.Thread(target=call) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(opened), len(found), max(found) - min(found) < 1e-6)
"""
    assert in_process(code, homes, people).split() == ["2", "8", "True"]


def test_other_defaults_are_opened(homes: list[Path], people: dict[str, Path]) -> None:
    code = """
from facewise.models import default_path
fw.verify(a, b)
os.environ["FACEWISE_HOME"] = other_home
fw.verify(a, b); fw.verify(a, b)
print(len(opened), sum(path.startswith(other_home) for path in opened))
os.utime(default_path("embedder"), ns=(0, 0))
fw.verify(a, b); fw.verify(a, b)
print(len(opened))
"""
    assert in_process(code, homes, people).split() == ["4", "2", "6"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_opens_its_own_and_ends(homes: list[Path], people: dict[str, Path]) -> None:
    code = """
before = fw.verify(a, b).similarity
child = os.fork()
after = fw.verify(a, b).similarity
assert abs(before - after) < 1e-6
if not child:
    os._exit(len(opened))  # as `multiprocessing` does
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(opened))
"""
    assert in_process(code, homes, people).split() == ["4", "2"]


def test_a_default_that_is_no_model_is_told(
    homes: list[Path], people: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEWISE_HOME", str(homes[0]))
    path = homes[0] / "models" / f"{default_name('embedder')}.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match="not a Facewise model file"):
        facewise.verify(people["ada1"], people["ada2"])
