"""Formats that phones and cameras write: what their own decoders give, within the limits, or a sentence."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from facewise.errors import ImageError, PhotoTooLargeError
from facewise.formats import kinds
from facewise.image import read_image
from facewise.photos import search_photos
from mutations import encode, picture, png_chunk
from photo_formats import (
    ADOBE_RGB,
    DISPLAY_P3,
    SRGB_PRIMARIES,
    dng,
    grey_profile,
    heic,
    ink_profile,
    jxl,
    newer_originals,
    profile,
    to_xyz,
)

RGB = picture(96, 64)
PHOTO = PIL.Image.fromarray(RGB)


def see_through() -> PIL.Image.Image:
    made = PHOTO.copy()
    made.putalpha(
        PIL.Image.fromarray(np.where(np.arange(96) < 40, 0, 255).astype(np.uint8)[None].repeat(64, 0))
    )
    return made


def told(source: object, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


# What their own decoders give


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("quality", [90, -1])
def test_heic(mode: str, quality: int) -> None:
    made = PHOTO.convert(mode)
    data = heic(made, quality=quality)
    theirs = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    ours = read_image(data)
    assert np.abs(ours - theirs).max() <= 1
    assert (
        np.abs(ours.astype(int) - np.asarray(made.convert("RGB"))).mean() < 9
    )  # noise, at half the resolution


def test_heic_turns_itself_once() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    turned = read_image(heic(PHOTO, quality=-1, exif=exif.tobytes()))
    assert turned.shape == (96, 64, 3)
    assert np.abs(turned.astype(int) - np.rot90(RGB, -1)).mean() < 9


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_avif(subsampling: str) -> None:
    data = encode(PHOTO, "AVIF", quality=95, subsampling=subsampling)
    assert np.array_equal(read_image(data), np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")))


def test_avif_is_turned_as_it_says_and_its_first_picture_is_read() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    assert read_image(encode(PHOTO, "AVIF", exif=exif)).shape == (96, 64, 3)
    frames = encode(PHOTO, "AVIF", save_all=True, append_images=[PHOTO.rotate(180)], quality=95)
    assert np.abs(read_image(frames).astype(int) - RGB).mean() < 8


def test_mpo_is_its_first_picture() -> None:
    data = encode(PHOTO, "MPO", save_all=True, append_images=[PHOTO.rotate(180)], quality=95)
    first = PIL.Image.open(io.BytesIO(data))
    assert first.format == "MPO"
    assert np.array_equal(read_image(data), np.asarray(first))


@pytest.mark.parametrize(
    "made", [RGB, RGB[:, :, 0], np.dstack([RGB, RGB[:, :, 0]])], ids=["rgb", "grey", "rgba"]
)
def test_jpeg_xl(made: np.ndarray) -> None:
    pytest.importorskip("pylibjxl")
    expected = read_image(made)
    assert np.array_equal(read_image(jxl(np.ascontiguousarray(made), lossless=True)), expected)


def test_camera_raw_is_what_libraw_makes_of_it() -> None:
    rawpy = pytest.importorskip("rawpy")
    for orientation, shape in ((1, (64, 96, 3)), (6, (96, 64, 3))):
        data = dng(RGB, orientation)
        with rawpy.imread(io.BytesIO(data)) as raw:
            expected = raw.postprocess(use_camera_wb=True)
        image = read_image(data)
        assert image.shape == shape
        assert np.array_equal(image, expected)


@pytest.mark.parametrize("format_", ["HEIF", "AVIF"])
def test_transparency_is_laid_over_white(format_: str) -> None:
    data = heic(see_through(), quality=95) if format_ == "HEIF" else encode(see_through(), "AVIF", quality=95)
    image = read_image(data)
    assert (image[:, :38] >= 254).all()
    assert np.abs(image[:, 44:].astype(int) - RGB[:, 44:]).mean() < 12


# Limits and damage


NEWER = {kind: made[0] for kind, made in newer_originals().items()}


@pytest.mark.parametrize("kind", NEWER)
def test_the_pixel_limit_holds_and_what_is_cut_short_is_an_error(kind: str, capfd) -> None:
    data = NEWER[kind]
    pixels = 67 * 41
    assert read_image(data, max_pixels=pixels).size == 3 * pixels
    with pytest.raises(PhotoTooLargeError, match=f"limit of {pixels - 1:,}"):
        read_image(data, max_pixels=pixels - 1)
    for keep in (20, len(data) // 3):
        assert "damaged or cut short" in told(data[:keep])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_a_bomb_is_refused_from_its_header(kind: str) -> None:
    data = bytearray(NEWER[kind])
    size = data.index(b"ispe") + 8
    data[size : size + 8] = struct.pack(">II", 60_000, 60_000)
    assert told(bytes(data), max_pixels=10**7)


# Colours


@pytest.mark.parametrize("space", [DISPLAY_P3, ADOBE_RGB], ids=["p3", "adobe"])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_colour_profile_is_applied(space, format_: str) -> None:
    primaries, gamma = space
    icc = profile(primaries, gamma)
    muted = (RGB // 2 + 60).astype(np.uint8)  # colours that sRGB has as well
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    options |= {"AVIF": {"quality": 100, "subsampling": "4:4:4"}}
    made = PIL.Image.fromarray(muted)
    if format_ == "HEIF":
        data = heic(made, quality=-1, chroma=444, icc_profile=icc)
    else:
        data = encode(made, format_, icc_profile=icc, **options.get(format_, {}))
    linear = (muted / 255) ** (round(gamma * 256) / 256)
    linear = np.clip(linear @ (np.linalg.inv(to_xyz(SRGB_PRIMARIES)) @ to_xyz(primaries)).T, 0, 1)
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    difference = np.abs(read_image(data) - expected)
    assert difference.mean() < (0.5 if format_ in {"PNG", "WEBP", "TIFF"} else 2.5)
    assert np.abs(expected - muted).mean() > 5


def test_profiles_that_change_nothing_or_are_of_no_use_leave_the_pixels() -> None:
    from PIL import ImageCms

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = profile(DISPLAY_P3[0], 2.2, "sRGB IEC61966-2.1")
    for format_ in ("PNG", "JPEG"):
        plain = read_image(encode(PHOTO, format_))
        for icc in (srgb, named, b"nothing", srgb[:200], bytes(500), grey_profile(1.0)):
            assert np.array_equal(read_image(encode(PHOTO, format_, icc_profile=icc)), plain)


def test_a_grey_profile_and_transparency_under_a_profile() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    linear = ramp / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    for format_ in ("PNG", "JPEG"):
        image = read_image(
            encode(PIL.Image.fromarray(ramp), format_, icc_profile=grey_profile(1.0), quality=100)
        )
        assert np.abs(image - expected[:, :, None])[:, 8:].max() < 4
    icc = profile(*DISPLAY_P3)
    solid = read_image(encode(PHOTO, "PNG", icc_profile=icc))
    over = read_image(encode(see_through(), "PNG", icc_profile=icc))
    assert np.array_equal(over[:, 40:], solid[:, 40:])
    assert (over[:, :40] == 255).all()


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_the_profile_of_inks_is_applied(format_: str) -> None:
    inks = np.zeros((32, 32, 4), np.uint8)
    inks[:, 16:, 0] = 128  # cyan by name, grey by the profile
    made = PIL.Image.fromarray(inks, "CMYK")
    image = read_image(encode(made, format_, icc_profile=ink_profile(), quality=100)).astype(int)
    assert (image[:, :8] > 250).all()
    assert np.abs(image[:, 24:] - 119).max() <= 6  # L* = 50
    plain = read_image(encode(made, format_, quality=100)).astype(int)
    assert np.abs(plain[:, 24:] - (127, 255, 255)).max() <= 4


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_fewer_bits_than_16_are_scaled_from_what_they_are(bits: int, format_: str) -> None:
    deep = np.linspace(0, 2**bits - 1, 64 * 48).astype(np.uint16).reshape(48, 64)
    expected = np.rint(deep * 255.0 / (2**bits - 1))
    image = read_image(encode(PIL.Image.fromarray(deep), format_))
    assert np.abs(image - expected[:, :, None]).max() <= 1
    dark = np.linspace(0, 9000, 64 * 48).astype(np.uint16).reshape(48, 64)  # dark, but of 16 bits
    assert np.abs(read_image(encode(PIL.Image.fromarray(dark), format_))[:, :, 0] - dark / 257).max() <= 1


def test_12_bit_colour_in_a_16_bit_png() -> None:
    import zlib

    deep = (np.random.default_rng(0).integers(0, 4096, (20, 30, 3))).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert np.abs(read_image(data) - deep * (255 / 4095)).max() <= 1


# Told as what they are


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"%PDF-1.7 and so on", "a PDF document"),
        (b"8BPS\0\1", "a Photoshop document"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b'<?xml version="1.0"?><svg></svg>', "an SVG drawing"),
        (b"\0\x05\x16\x07\0\2\0\0Mac OS X", "AppleDouble"),
        (b"These are not pixels.", "not a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF image"),
    ],
)
def test_what_is_no_photo_is_told_as_what_it_is(data: bytes, sentence: str) -> None:
    assert sentence in told(data)


def test_floating_point_is_told_grey_or_colour() -> None:
    grey = encode(PIL.Image.fromarray(np.ones((4, 4), np.float32)), "TIFF")
    assert "a TIFF of floating-point numbers" in told(grey)
    entries = [(256, 4, 2), (257, 4, 2), (258, 3, 32), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3)]
    entries += [(278, 4, 2), (279, 4, 48), (339, 3, 3)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in entries)
    colour = (b"II*\0\x08\0\0\0" + body + bytes(4)).ljust(200, b"\0") + np.ones(12, "<f4").tobytes()
    assert "a TIFF of floating-point numbers" in told(colour)


@pytest.mark.parametrize(
    ("data", "extra"), [(dng(RGB), "raw"), (b"\xff\x0a" + bytes(50), "jxl"), (b"FUJIFILMCCD-RAW 0201", "raw")]
)
def test_a_missing_extra_is_named(data: bytes, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, kinds.EXTRAS[extra][0], None)
    assert f"`pip install facewise[{extra}]`" in told(data)


def test_formats_are_told_by_content_and_found_by_any_of_their_names(tmp_path: Path) -> None:
    for name, data in (
        ("a.jpg", heic(PHOTO)),
        ("b.HEIC", encode(PHOTO, "JPEG")),
        ("c.avif", encode(PHOTO, "PNG")),
    ):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "d.MPO").write_bytes(encode(PHOTO, "MPO", save_all=True, append_images=[PHOTO]))
    (tmp_path / "e.mov").write_bytes(b"\0\0\0\x14ftypqt  ")
    found = search_photos(tmp_path)
    assert [path.name for path in found.photos] == ["a.jpg", "b.HEIC", "c.avif", "d.MPO"]
    assert found.left_out == {".mov": 1}
    for path in found.photos:
        assert read_image(path).shape == (64, 96, 3)


def test_a_decoder_that_dies_costs_no_photo() -> None:
    """Whatever killed it: the next photo has another one."""
    psutil = pytest.importorskip("psutil")
    data = NEWER["HEIF"]
    before = read_image(data)
    decoders = [
        child
        for child in psutil.Process().children()
        if any("facewise.formats" in word for word in child.cmdline())
    ]
    assert decoders
    for decoder in decoders:
        decoder.kill()
        decoder.wait()
    assert np.array_equal(read_image(data), before)


def test_photos_decode_side_by_side_and_the_process_ends_well() -> None:
    program = (
        "import sys; from concurrent.futures import ThreadPoolExecutor as Pool\n"
        "from facewise.image import read_image\n"
        "data = sys.stdin.buffer.read()\n"
        "with Pool(3) as pool: shapes = {a.shape for a in pool.map(read_image, [data] * 12)}\n"
        "print(shapes)"
    )
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, input=NEWER["HEIF"], capture_output=True, check=True, timeout=100)
    assert done.stdout.split() == b"{(41, 67, 3)}".split()
    assert done.stderr == b""
