"""Pictures for people: what is drawn where, whatever the photo, the name and the number of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.drawing import AMBER, BLUE, GREEN, RED, Tile, contact_sheet, draw_faces, save_image
from facewise.errors import FacewiseError, SettingError
from facewise.types import Face

GREY = 128
NAMES = [
    "Ada",
    "a very long name " * 20,
    "Ерёма Ωmega",
    "小威廉姆斯",
    "😀🏽",
    "שלום مرحبا",
    "bad\udcff\x07",
    "é" * 3,
]


def photo(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), GREY, dtype=np.uint8)


def face(x1: float, y1: float, x2: float, y2: float) -> Face:
    middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    marks = middle + np.array([[-1, -1], [1, -1], [0, 0], [-1, 1], [1, 1]]) * (x2 - x1) / 5
    return Face(np.array([x1, y1, x2, y2], dtype=np.float32), 0.9, marks.astype(np.float32))


def changed(image: np.ndarray) -> np.ndarray:
    return (image != GREY).any(axis=2)


def test_boxes_points_and_labels_are_where_they_belong() -> None:
    image = photo(400, 600)
    one = face(100, 150, 200, 270)
    drawn = draw_faces(image, [one], ["Ada"], [GREEN])
    assert (image == GREY).all()  # the photo given is left as it is
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    for y, x in ((200, 100), (200, 200), (150, 150), (270, 150)):
        assert tuple(drawn[y, x]) == GREEN
    for x, y in one.landmarks.round().astype(int):
        assert tuple(drawn[y, x]) == GREEN
    label = changed(drawn)[110:148]
    assert label.any()
    assert not changed(drawn)[:100].any()
    assert not changed(drawn)[280:].any()
    assert not changed(drawn)[:, 230:].any()


def test_lines_grow_with_the_face() -> None:
    def thickness(size: int) -> int:
        drawn = draw_faces(photo(1000, 1000), [face(100, 100, 100 + size, 100 + size)], [""], [RED])
        return int(changed(drawn)[100 + size // 2, 90:120].sum())

    assert thickness(60) == 2
    assert thickness(800) > 5


@pytest.mark.parametrize("label", NAMES)
@pytest.mark.parametrize(
    "box", [(-20, -30, 40, 50), (280, 200, 340, 260), (-50, -50, 400, 300), (10, 10, 11, 11)]
)
def test_any_name_and_any_place_can_be_drawn(label: str, box: tuple[float, ...]) -> None:
    drawn = draw_faces(photo(240, 320), [face(*box)], [label], [AMBER])
    assert drawn.shape == (240, 320, 3)
    assert changed(drawn).any()


def test_a_label_over_the_top_edge_stays_inside() -> None:
    drawn = draw_faces(photo(240, 320), [face(250, 2, 318, 80)], ["Ada Lovelace"], [BLUE])
    label = (drawn[:2] == BLUE).all(axis=2)
    assert label.sum() > 50


def test_a_tiny_photo_is_enlarged_so_that_a_label_fits() -> None:
    tiny = photo(48, 40)
    drawn = draw_faces(tiny, [face(10, 10, 30, 34)], ["Ada 0.93"], [GREEN])
    assert drawn.shape == (288, 240, 3)
    assert tuple(drawn[6 * 22, 60]) == GREEN
    assert draw_faces(photo(1, 1), [], [], []).shape == (320, 320, 3)
    assert draw_faces(photo(250, 250), [], [], []).shape == (250, 250, 3)


def test_many_faces() -> None:
    faces = [face(x, y, x + 15, y + 18) for x in range(0, 900, 30) for y in range(0, 600, 30)]
    drawn = draw_faces(photo(640, 960), faces, ["x"] * len(faces), [BLUE] * len(faces))
    assert changed(drawn).any()


def test_as_many_labels_as_faces() -> None:
    with pytest.raises(ValueError, match="argument"):
        draw_faces(photo(50, 50), [face(1, 1, 9, 9)], [], [])


def tiles(count: int, level: int = 40) -> list[Tile]:
    return [Tile(np.full((30, 20, 3), level, np.uint8), f"photo {i}.jpg\n0.{i}", GREEN) for i in range(count)]


def count_tiles(sheet: np.ndarray, tile: int, level: int = 40) -> int:
    inside = (sheet == level).all(axis=2).sum()
    return round(inside / (tile - 6) ** 2)


@pytest.mark.parametrize("counts", [[1], [3, 2], [25], [7, 25, 1, 2, 2, 10, 11]])
def test_a_contact_sheet_shows_every_tile(counts: list[int]) -> None:
    sheet = contact_sheet([(f"Group {i}", tiles(n)) for i, n in enumerate(counts)], tile=50, columns=10)
    assert count_tiles(sheet, 50) == sum(counts)
    assert sheet.shape[1] <= max(320, 8 + 10 * 58)


def test_short_groups_share_a_line_and_long_ones_wrap() -> None:
    line = contact_sheet([("A", tiles(4))], tile=50).shape[0]
    assert contact_sheet([("A", tiles(4)), ("B", tiles(4))], tile=50).shape[0] == line
    assert contact_sheet([("A", tiles(14))], tile=50).shape[0] > 1.5 * line


@pytest.mark.parametrize("name", NAMES)
def test_headings_and_captions_of_any_kind_fit(name: str) -> None:
    sheet = contact_sheet([(name, [Tile(photo(9, 9), name)]), (name, tiles(2)), ("", tiles(1))], tile=60)
    assert count_tiles(sheet, 60) == 3
    assert sheet.shape[1] <= 8 + 10 * 68


def test_a_long_caption_keeps_its_end() -> None:
    def caption(text: str) -> np.ndarray:
        return contact_sheet([("", [Tile(photo(9, 9), text)])], tile=80)[90:]

    assert not np.array_equal(caption("Ada_Lovelace_of_London_0001"), caption("Ada_Lovelace_of_London_0002"))


def test_characters_no_font_has_become_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facewise.drawing._FALLBACKS", ())

    def drawn(label: str) -> np.ndarray:
        return draw_faces(photo(100, 320), [face(20, 40, 80, 90)], [label], [RED])

    assert np.array_equal(drawn("小 Ada"), drawn("? Ada"))
    assert not np.array_equal(drawn("小 Ada"), drawn("Ada"))


def test_an_empty_sheet_is_refused() -> None:
    for rows in ([], [("A", [])]):
        with pytest.raises(SettingError, match="nothing to draw"):
            contact_sheet(rows)


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.webp", "new/folder/a.jpeg"])
def test_save(tmp_path: Path, name: str) -> None:
    image = photo(20, 30)
    save_image(tmp_path / name, image)
    back = np.array(PIL.Image.open(tmp_path / name).convert("RGB")).astype(int)
    assert np.abs(back - image).max() <= 2


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"\.jpg"):
        save_image(tmp_path / "a.gif", photo(9, 9))
    (tmp_path / "file").touch()
    with pytest.raises(FacewiseError, match="Cannot write"):
        save_image(tmp_path / "file/a.png", photo(9, 9))
    with pytest.raises(FacewiseError, match="Cannot write"):
        save_image(tmp_path / "a.jpg", photo(1, 70_000))  # more than JPEG can hold
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
