"""Photos on their way: the same bytes, the same pixels, no folder names, and bad ones told before sending."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.client.uploads import uploads
from facewise.errors import ImageError


def test_a_path_is_read_and_only_its_own_name_is_told(tmp_path: Path) -> None:
    photo = tmp_path / "secret project" / "ada.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"\xff\xd8 anything")
    expected = ("photo", ("ada.jpg", b"\xff\xd8 anything", "application/octet-stream"))
    assert uploads("photo", [photo]) == [expected]
    assert uploads("photo", [str(photo)]) == [expected]


def test_bytes_are_sent_as_they_are() -> None:
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert uploads("photos", [b"x", data])[1] == (
            "photos",
            ("photo-2", b"abc", "application/octet-stream"),
        )


def test_an_array_arrives_as_the_same_pixels_in_the_same_order() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    for array in (pixels, pixels[::-1], np.asfortranarray(pixels), pixels[:, ::2]):
        [(_, (name, data, kind))] = uploads("photo", [array])
        assert (name, kind) == ("photo-1.png", "image/png")
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(BytesIO(data)).convert("RGB")), array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="RGB, uint8"):
        uploads("photo", [array])


@pytest.mark.parametrize("photo", [None, 5, ["a.jpg"]])
def test_what_is_no_photo(photo: object) -> None:
    with pytest.raises(ImageError, match="it is not a photo"):
        uploads("photo", [photo])  # type: ignore[list-item]


def test_a_file_object_and_a_pil_image_are_sent(tmp_path: Path) -> None:
    (tmp_path / "ada.png").write_bytes(b"abc")
    with (tmp_path / "ada.png").open("rb") as file:
        assert uploads("photo", [file])[0][1][:2] == ("ada.png", b"abc")
    assert uploads("photo", [BytesIO(b"abc")])[0][1][:2] == ("photo-1", b"abc")
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, 3), dtype=np.uint8)
    [(_, (_, data, kind))] = uploads("photo", [PIL.Image.fromarray(pixels)])
    assert kind == "image/png"
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(BytesIO(data))), pixels)


def test_files_that_cannot_be_read_are_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no photo"):
        uploads("photo", [tmp_path / "missing.jpg"])
    with pytest.raises(ImageError, match="There is no photo"):
        uploads("photo", ["http://example.org/a.jpg"])  # a service fetches nothing, and neither does this
    with pytest.raises(ImageError, match="is not a file"):
        uploads("photo", [tmp_path])
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ImageError, match="is not a file"):  # and it does not wait for a writer
            uploads("photo", [tmp_path / "pipe"])


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"ad\xffa.jpg")
    try:
        path.write_bytes(b"x")
    except OSError:
        pytest.skip("this file system keeps no such names")
    [(_, (name, _, _))] = uploads("photo", [path])
    assert name == "ad\\udcffa.jpg"
