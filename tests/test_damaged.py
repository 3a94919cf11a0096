"""A photo damaged in its middle is refused, or used and named, whatever its decoder makes of it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable

import numpy as np
import PIL.Image
import pytest

from facewise.errors import DamagedPhotoError, ImageError, SettingError
from facewise.image import DAMAGED_VARIABLE, damaged_photos, decode, read_image
from mutations import encode, picture

PHOTO = PIL.Image.fromarray(picture(240, 200))

KINDS: dict[str, Callable[[], bytes]] = {
    "baseline": lambda: encode(PHOTO, "JPEG", quality=90),
    "progressive": lambda: encode(PHOTO, "JPEG", quality=90, progressive=True),
    "optimized": lambda: encode(PHOTO, "JPEG", quality=90, optimize=True, subsampling=0),
    "restarts": lambda: encode(PHOTO, "JPEG", quality=90, restart_marker_rows=1),
    "grey": lambda: encode(PHOTO.convert("L"), "JPEG", quality=90),
    "inks": lambda: encode(PHOTO.convert("CMYK"), "JPEG", quality=90),
    "tiff": lambda: encode(PHOTO, "TIFF", compression="jpeg"),
    "webp": lambda: encode(PHOTO, "WEBP"),
    "webp-alpha": lambda: encode(_see_through(), "WEBP"),
    "webp-frames": lambda: encode(
        PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(90).resize((240, 200))]
    ),
}


def _see_through() -> PIL.Image.Image:
    made = PHOTO.copy()
    made.putalpha(200)
    return made


def zeroed(data: bytes, where: float, length: int = 200) -> bytes:
    """A file with a run of zeros in it, as where a sector was lost."""
    scan = 60 if data.startswith(b"RIFF") else data.index(b"\xff\xda") + 20
    at = scan + int((len(data) - scan) * where)
    return data[:at] + bytes(length) + data[at + length :]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_in_the_middle_is_noticed_and_told_by_nobody_else(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = KINDS[kind]()
    sound = read_image(data)
    for where in (0.1, 0.2, 0.35):
        with pytest.raises(ImageError, match=r"^Cannot read image bytes: it is damaged or cut short"):
            read_image(zeroed(data, where))
    assert np.array_equal(read_image(data), sound)
    assert capfd.readouterr().err == ""


def test_lossless_webp_mostly_notices_damage() -> None:
    data = encode(PHOTO, "WEBP", lossless=True)
    refused = 0
    for where in np.linspace(0.2, 0.8, 20):
        try:
            read_image(zeroed(data, where))
        except ImageError:
            refused += 1
    assert refused >= 10


@pytest.mark.parametrize("kind", ["baseline", "restarts", "inks", "webp"])
def test_a_damaged_photo_is_used_where_asked_for_and_named(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = zeroed(KINDS[kind](), 0.35)
    with caplog.at_level(logging.WARNING, "facewise"):
        assert decode(data, name="a.jpg", damaged="use").shape == (200, 240, 3)
    assert caplog.messages == ["a.jpg is damaged, and was used as far as it could be read."]
    with damaged_photos("use"):
        assert read_image(data).shape == (200, 240, 3)
    with damaged_photos("use"), pytest.raises(DamagedPhotoError):
        read_image(data, damaged="refuse")
    monkeypatch.setenv(DAMAGED_VARIABLE, "use")
    assert read_image(data).shape == (200, 240, 3)
    monkeypatch.setenv(DAMAGED_VARIABLE, "perhaps")
    with pytest.raises(SettingError, match="refuse or use, not perhaps"):
        read_image(data)


def test_a_jpeg_cut_short_is_used_where_asked_for() -> None:
    data = encode(PHOTO, "JPEG")
    whole = read_image(data)
    half = decode(data[: len(data) // 2], damaged="use")
    assert half.shape == whole.shape
    assert np.array_equal(half[:40], whole[:40])


def test_what_harms_no_pixel_is_no_damage() -> None:
    data = encode(PHOTO, "JPEG", quality=90)
    whole = read_image(data)
    filled = data[:-2] + bytes(7) + data[-2:]  # a round length, as some cameras like it
    later_jfif = data.replace(b"JFIF\0\x01", b"JFIF\0\x03")
    for harmless in (filled, later_jfif, data + b"trailer", data + bytes(5000)):
        assert np.array_equal(read_image(harmless), whole)


@pytest.mark.parametrize("size", [(16, 16), (640, 480), (64, 3000)])
@pytest.mark.parametrize("colour", ["white", "black", (200, 30, 90)])
def test_flat_photos_are_sound(size: tuple[int, int], colour: object) -> None:
    """Whose data is short, or the same again and again."""
    flat = PIL.Image.new("RGB", size, colour)  # type: ignore[arg-type]
    for format_, options in (
        ("JPEG", {}), ("JPEG", {"optimize": True}), ("JPEG", {"progressive": True}),
        ("JPEG", {"optimize": True, "subsampling": 0}), ("WEBP", {}), ("WEBP", {"lossless": True}),
    ):  # fmt: skip
        for made in (flat, flat.convert("L")):
            assert read_image(encode(made, format_, **options)).shape == (size[1], size[0], 3)


def test_a_photo_of_flat_parts_and_others_is_sound() -> None:
    half = PIL.Image.new("RGB", (2000, 1200), "white")
    half.paste(PHOTO, (900, 500))
    for options in ({}, {"optimize": True}, {"progressive": True}):
        stream = io.BytesIO()
        half.save(stream, "JPEG", **options)
        assert read_image(stream.getvalue()).shape == (1200, 2000, 3)


@pytest.mark.real
def test_no_sound_photo_of_real_data_is_refused_and_every_damaged_one_is(shared) -> None:
    folder = shared / "data"
    photos = sorted((folder / "lfw/images").glob("*/*.jpg"))[::40]
    photos += sorted((folder / "celeba-wild/images").glob("*.webp"))[::60]
    photos += sorted(path for path in (folder / "crowd/images").rglob("*") if path.is_file())[::10]
    for photo in photos:
        read_image(photo)
    for photo in photos[:60]:
        with pytest.raises(ImageError, match="damaged"):
            read_image(zeroed(photo.read_bytes(), 0.35))
