"""What `check_source` finds: unreadable photos, duplicates, conflicts, wrong labels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import record_writer as writer
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from facewise.data.check import Check, check_source
from facewise.data.folder import folder_source
from facewise.data.phash import bit_count, near_pairs, perceptual_hash
from facewise.data.recordsource import RecordSource
from facewise.data.source import FileSource, Source
from facewise.data.suspects import find_suspects
from facewise.errors import SettingError
from mutations import encode, picture


def photograph(seed: int, size: int = 96) -> np.ndarray:
    """Smooth random colours: as a photo, most of it is in the low frequencies."""
    rough = np.random.default_rng(seed).uniform(0, 255, (7, 7, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def bits_between(a: np.ndarray, b: np.ndarray) -> int:
    return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()


@pytest.mark.parametrize("seed", range(5))
def test_the_perceptual_hash_by_its_definition(seed: int) -> None:
    image = photograph(seed, 32)
    grey = np.array(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), float)
    low = scipy.fft.dctn(grey, norm="ortho")[:8, :8].ravel()
    expected = sum(int(value > np.median(low)) << (63 - i) for i, value in enumerate(low))
    assert (perceptual_hash(image) ^ expected).bit_count() <= 1  # one may be the median, but for rounding


@pytest.mark.parametrize("seed", range(10))
def test_hashes_stay_when_a_photo_is_scaled_compressed_or_brightened(seed: int) -> None:
    image = photograph(seed)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
    bright = np.clip(image.astype(float) * 0.9 + 12, 0, 255).astype(np.uint8)
    for other in (jpeg, bright, cv2.resize(image, (240, 240)), cv2.resize(image, (64, 64))):
        assert bits_between(image, other) <= 4
    assert bits_between(image, photograph(seed + 100)) > 10


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30, unique=True), st.integers(0, 40))
def test_near_pairs_are_those_of_a_plain_loop(numbers: list[int], most: int) -> None:
    near = [n ^ (1 << n % 64) for n in numbers[::2]]
    hashes = list(dict.fromkeys(numbers + near))
    expected = {
        (i, j, (a ^ b).bit_count())
        for i, a in enumerate(hashes)
        for j, b in enumerate(hashes)
        if i < j and (a ^ b).bit_count() <= most
    }
    assert set(near_pairs(np.array(hashes, np.uint64), most)) == expected


def test_near_pairs_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**63, 700).astype(np.uint64)
    hashes[600] = hashes[3] ^ np.uint64(5)
    assert list(near_pairs(hashes, 3)) == [(3, 600, 2)]
    counted = bit_count(hashes)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert bit_count(hashes).tolist() == counted.tolist() == [int(h).bit_count() for h in hashes]


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


@pytest.fixture
def found(tmp_path: Path) -> Check:
    seeds = {"Ada/1": 1, "Ada/2": 2, "Ada/2-again": 2, "Bob/1": 3, "Bob/ada2": 2, "Cleo/1": 4}
    for name, seed in seeds.items():
        save(tmp_path / f"{name}.png", photograph(seed))
    save(tmp_path / "Bob" / "1-small.jpg", cv2.resize(photograph(3), (80, 80)))
    save(tmp_path / "Cleo" / "ada1.jpg", photograph(1))
    (tmp_path / "Dan").mkdir()
    (tmp_path / "Dan" / "broken.jpg").write_bytes(b"\xff\xd8\xff no")
    return check_source(folder_source(tmp_path))


def test_what_a_check_finds(found: Check) -> None:
    assert (found.photos, found.people) == (9, 4)
    assert found.single == ("Dan",)
    assert [key for key, _ in found.unreadable] == ["Dan/broken.jpg"]
    assert "broken.jpg" in found.unreadable[0][1]
    (same,) = found.same
    assert same.keys == ("Ada/2-again.png", "Ada/2.png", "Bob/ada2.png")
    assert (same.people, same.bits, same.conflict) == (("Ada", "Bob"), None, True)
    assert {group.keys: group.conflict for group in found.near} == {
        ("Ada/1.png", "Cleo/ada1.jpg"): True,
        ("Bob/1-small.jpg", "Bob/1.png"): False,
    }
    assert len(found.conflicts) == 2
    data = found.to_dict()
    assert data["label_suspects"] is None
    assert data["duplicates_by_content"][0]["people"] == ["Ada", "Bob"]


def test_photos_in_records_are_checked_too(tmp_path: Path) -> None:
    people = [[writer.picture(3), b"broken"], [writer.picture(3)]]
    found = check_source(RecordSource(writer.write(tmp_path / "a.rec", writer.insightface(people))))
    assert found.conflicts[0].keys == ("1", "3")
    assert found.unreadable[0][0] == "2"
    assert "photo 2" in found.unreadable[0][1]


def test_many_equal_photos_are_one_group(tmp_path: Path) -> None:
    """As black ones are: not a pair for each two."""
    images = [np.zeros((8, 8 + i, 3), np.uint8) for i in range(40)]
    for i, image in enumerate(images):
        save(tmp_path / "Ada" / f"{i:02d}.png", image)
    (group,) = check_source(folder_source(tmp_path)).near
    assert (len(group.keys), group.bits) == (40, 0)


def test_bits_out_of_range() -> None:
    with pytest.raises(SettingError, match="0 to 16"):
        check_source(people([1, 1]), near_bits=17)


def people(labels: list[int]) -> Source:
    keys = [f"{i}.png" for i in range(len(labels))]
    return FileSource("made", ".", keys, np.array(labels), [f"p{i}" for i in range(max(labels) + 1)])


def embeddings(labels: list[int], noise: float = 0.3) -> np.ndarray:
    """(N, 128) unit vectors around one direction a person."""
    rng = np.random.default_rng(0)
    centre = rng.standard_normal((max(labels) + 1, 128))
    vectors = centre[labels] + noise * rng.standard_normal((len(labels), 128))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_wrong_labels_are_found() -> None:
    true = [i for i in range(60) for _ in range(5)]
    told = list(true)
    told[7], told[52] = 20, 3
    vectors = embeddings(true)
    # A stranger to all, under somebody's name: at right angles to everybody.
    span = np.linalg.qr(vectors.reshape(60, 5, -1).mean(axis=1).T)[0]
    stranger = np.random.default_rng(7).standard_normal(128)
    stranger -= span @ (span.T @ stranger)
    vectors[100] = stranger / np.linalg.norm(stranger)
    found = find_suspects(people(told), vectors)
    assert {s.key: (s.person, s.reason) for s in found.found} == {
        "7.png": ("p20", "like another"),
        "52.png": ("p3", "like another"),
        "100.png": ("p20", "unlike its own"),
    }
    by_key = {s.key: s for s in found.found}
    assert (by_key["7.png"].other, by_key["52.png"].other) == ("p1", "p10")
    assert found.found[-1].key == "100.png"
    # By the definition: the mean of the others of the same name.
    others = [i for i, label in enumerate(told) if label == 20 and i != 7]
    mean = vectors[others].mean(axis=0)
    assert by_key["7.png"].similarity == pytest.approx(
        float(vectors[7] @ mean / np.linalg.norm(mean)), abs=1e-5
    )
    assert found.compared == 300


def test_nothing_is_suspect_where_all_is_well() -> None:
    for number in (3, 60):
        labels = [i for i in range(number) for _ in range(5)]
        found = find_suspects(people(labels), embeddings(labels))
        assert (found.found, found.threshold is None) == ((), number == 3)


def test_photos_without_a_face_and_people_with_one_photo_are_not_judged() -> None:
    labels = [0, 0, 0, 1, 1, 2]
    vectors = embeddings(labels)
    vectors[1] = np.nan
    vectors[3] = np.nan
    found = find_suspects(people(labels), vectors)
    assert (found.compared, found.found) == (2, ())
    assert find_suspects(people([0, 0]), embeddings([0, 0])).compared == 0
    assert find_suspects(people([0, 1]), np.full((2, 8), np.nan, np.float32)).compared == 0


@pytest.mark.real
@pytest.mark.slow
def test_photos_of_lfw_under_two_names(shared: Path) -> None:
    """One photo under two names: the pixels of each two differ by less than 8 grey levels on average."""
    from facewise.data.open import open_source

    source = open_source(shared / "data" / "lfw")
    found = check_source(source)
    assert (found.photos, found.people, len(found.single), found.unreadable) == (13233, 5749, 4069, ())
    assert {group.people for group in found.conflicts} == {
        ("Bart_Hendricks", "Ricky_Ray"),
        ("Emmy_Rossum", "Eva_Amurri"),
        ("Gabrielle_Rose", "Martha_Bowen"),
    }
    for group in found.conflicts:
        a, b = (source.read(source.keys.index(key)).astype(int) for key in group.keys)
        assert np.abs(a - b).mean() < 8


def test_photos_damaged_in_their_middle_are_listed(tmp_path: Path) -> None:
    data = encode(PIL.Image.fromarray(picture(200, 160)), "JPEG", quality=95)
    (tmp_path / "Ada").mkdir()
    (tmp_path / "Ada/sound.jpg").write_bytes(data)
    middle = len(data) // 2
    (tmp_path / "Ada/lost.jpg").write_bytes(data[:middle] + bytes(200) + data[middle + 200 :])
    [(key, error)] = check_source(folder_source(tmp_path)).unreadable
    assert key == "Ada/lost.jpg"
    assert "damaged or cut short" in error
