"""What `facewise.image` reads, what the pixels become, and what it says of a photo it cannot read."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from facewise import image as image_module
from facewise.errors import ImageError
from facewise.image import content_hash, decode, load, read_hashed, read_image, source_name
from mutations import encode, picture, png_chunk

RGB = picture(67, 41)
GREY = RGB[:, :, 1]
LOSSLESS: dict[str, dict[str, object]] = {
    "PNG": {},
    "WEBP": {"lossless": True, "exact": True},
    "BMP": {},
    "TIFF": {},
}


def of(array: np.ndarray, mode: str | None = None) -> PIL.Image.Image:
    made = PIL.Image.fromarray(array)
    return made if mode is None else made.convert(mode)


def expand(grey: np.ndarray) -> np.ndarray:
    return np.stack([grey] * 3, axis=2)


def complaint(source: object, **options: int) -> str:
    """The sentence `read_image` refuses a source with; it is one sentence, of printable characters."""
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert sentence.startswith("Cannot read ")
    assert sentence.endswith(".")
    assert sentence.isprintable()
    return sentence


def tiff(array: np.ndarray, order: str, bits: int, kind: int, photometric: int) -> bytes:
    """An uncompressed one-strip TIFF, built by hand: Pillow cannot write every kind it reads."""
    samples = 1 if array.ndim == 2 else array.shape[2]
    body = array.tobytes()
    start = 8 + 2 + 11 * 12 + 4 + 4 * samples
    after = 8 + 2 + 11 * 12 + 4
    tags = [(256, 4, array.shape[1]), (257, 4, array.shape[0]), (258, 3, bits), (259, 3, 1)]
    tags += [(262, 3, photometric), (273, 4, start), (277, 3, samples), (278, 4, array.shape[0])]
    tags += [(279, 4, len(body)), (284, 3, 1), (339, 3, kind)]
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(tags))
    extra = b""
    for tag, type_, value in tags:
        if tag in {258, 339} and samples == 3:
            out += struct.pack(order + "HHII", tag, 3, 3, after + len(extra))
            extra += struct.pack(order + "3H", value, value, value)
        elif type_ == 3:
            out += struct.pack(order + "HHIHH", tag, 3, 1, value, 0)
        else:
            out += struct.pack(order + "HHII", tag, 4, 1, value)
    return out + bytes(4) + extra.ljust(4 * samples, b"\0") + body


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    import zlib

    data = png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + data + png_chunk(b"IEND", b"")


def unfiltered(array: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.tobytes() for row in array)


# Formats and modes


@pytest.mark.parametrize("format_", LOSSLESS)
def test_lossless_formats_are_exact(format_: str) -> None:
    assert np.array_equal(read_image(encode(of(RGB), format_, **LOSSLESS[format_])), RGB)


@pytest.mark.parametrize("format_", ["PNG", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_grey_palette_and_one_bit(format_: str, mode: str) -> None:
    made = of(RGB).quantize(64) if mode == "P" else of(RGB, mode)
    assert np.array_equal(read_image(encode(made, format_)), np.asarray(made.convert("RGB")))


@given(
    pixels=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).map(lambda s: (*s, 3))),
    format_=st.sampled_from(list(LOSSLESS)),
)
def test_any_array_survives_a_lossless_round_trip(pixels: np.ndarray, format_: str) -> None:
    image = read_image(encode(of(pixels), format_, **LOSSLESS[format_]))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    assert np.array_equal(image, pixels)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_red_is_red(format_: str) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    mean = read_image(encode(of(red), format_)).mean(axis=(0, 1))
    assert mean[0] > 250
    assert mean[2] < 5


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_has_the_bits_pillow_gives(mode: str, subsampling: int, progressive: bool) -> None:
    data = encode(of(RGB, mode), "JPEG", progressive=progressive, subsampling=subsampling, quality=60)
    expected = np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(read_image(data), expected)


def test_jpeg_with_something_after_its_end_is_read() -> None:
    data = encode(of(RGB), "JPEG")
    assert np.array_equal(read_image(data + b"trailer"), read_image(data))


def test_cmyk_jpeg_and_tiff() -> None:
    """A file Pillow writes has Adobe's marker and inverted inks; a plain one is neither."""
    flat = np.full((16, 16, 4), (255, 0, 0, 0), np.uint8)  # full cyan ink
    cyan = PIL.Image.fromarray(flat, "CMYK")
    for data in (encode(cyan, "JPEG", quality=100), encode(cyan, "TIFF")):
        assert np.abs(read_image(data).mean(axis=(0, 1)) - (0, 255, 255)).max() < 3


def test_ycck_jpeg() -> None:
    """The same samples told to be YCCK (Adobe transform 2): neutral chroma is neutral grey."""
    samples = np.full((16, 16, 4), (128, 128, 128, 255), np.uint8)
    data = bytearray(encode(PIL.Image.fromarray(255 - samples, "CMYK"), "JPEG", quality=100))
    adobe = data.index(b"Adobe")
    data[adobe + 11] = 2
    mean = read_image(bytes(data)).mean(axis=(0, 1))
    assert np.ptp(mean) < 3


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(format_: str) -> None:
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    rgba[:10, :, 3] = 0
    rgba[10:20, :, 3] = 100
    alpha = rgba[..., 3:] / 255
    expected = np.rint(RGB * alpha + 255 * (1 - alpha))
    image = read_image(encode(of(rgba), format_, **LOSSLESS[format_]))
    assert np.abs(image - expected).max() <= 1
    assert (image[:10] == 255).all()
    assert np.array_equal(image[20:], RGB[20:])
    assert np.array_equal(read_image(rgba), image)


def test_grey_with_alpha_and_palette_with_transparency() -> None:
    grey_alpha = np.dstack([GREY, np.zeros_like(GREY)])
    assert (read_image(encode(PIL.Image.fromarray(grey_alpha, "LA"), "PNG")) == 255).all()
    palette = of(RGB).quantize(16)
    gone = np.asarray(palette) == 3
    expected = np.asarray(palette.convert("RGB")).copy()
    expected[gone] = 255
    for format_ in ("PNG", "GIF"):
        assert np.array_equal(read_image(encode(palette, format_, transparency=3)), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_grey_is_scaled_not_clipped(order: str) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = expand(np.rint(deep / 257).astype(np.uint8))
    assert np.array_equal(read_image(png(256, 256, 16, 0, unfiltered(deep.astype(">u2")))), expected)
    made = tiff(deep.astype(order + "u2"), order, 16, 1, 1)
    assert np.array_equal(read_image(made), expected)


def test_16_bit_tiff_with_white_as_zero_and_png_with_a_transparent_grey() -> None:
    deep = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    expected = expand(np.rint(deep / 257).astype(np.uint8))
    assert np.array_equal(read_image(tiff(deep, "<", 16, 1, 0)), 255 - expected)
    clear = png(16, 16, 16, 0, unfiltered(deep.astype(">u2")), png_chunk(b"tRNS", struct.pack(">H", 512)))
    expected[0, 2] = 255
    assert np.array_equal(read_image(clear), expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_colour_keeps_the_high_byte(order: str) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    for data in (
        png(30, 20, 16, 2, unfiltered(deep.astype(">u2"))),
        tiff(deep.astype(order + "u2"), order, 16, 1, 2),
    ):
        assert np.array_equal(read_image(data), deep >> 8)


def test_pixels_without_an_agreed_white_are_refused() -> None:
    assert "floating-point" in complaint(encode(of(np.ones((4, 4), np.float32)), "TIFF"))
    assert "32-bit" in complaint(encode(of(np.ones((4, 4), np.int32)), "TIFF"))


@pytest.mark.parametrize("format_", ["GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_frame_is_read(format_: str) -> None:
    frames = [of(np.full((9, 9, 3), level, np.uint8)) for level in (10, 120, 250)]
    options = {"save_all": True, "append_images": frames[1:], **LOSSLESS.get(format_, {})}
    assert (read_image(encode(frames[0], format_, **options)) == 10).all()


def test_no_other_format_is_opened() -> None:
    for format_ in ("PPM", "TGA", "ICO", "PCX", "EPS"):
        assert "not a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF" in complaint(encode(of(RGB), format_))


# Orientation: the tag says where row 0 and column 0 of what is stored lie in the upright picture
# (Exif 2.32, 4.6.4). `bottom` and `right` count from the far edges.


def stored_place(orientation: int, row: int, column: int, bottom: int, right: int) -> tuple[int, int]:
    """Where the pixel at (row, column) of the upright picture is stored."""
    return {
        1: (row, column),
        2: (row, right),
        3: (bottom, right),
        4: (bottom, column),
        5: (column, row),
        6: (right, row),
        7: (right, bottom),
        8: (column, bottom),
    }[orientation]


def stored_as(upright: np.ndarray, orientation: int) -> np.ndarray:
    height, width = upright.shape[:2]
    shape = (height, width) if orientation < 5 else (width, height)
    stored = np.zeros((*shape, 3), np.uint8)
    for row in range(height):
        for column in range(width):
            place = stored_place(orientation, row, column, height - 1 - row, width - 1 - column)
            stored[place] = upright[row, column]
    return stored


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "CMYK", "PNG", "WEBP", "TIFF", "LZW"])
def test_exif_orientation(format_: str, orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24], upright[:16, 24:], upright[16:, :24] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    made = of(stored_as(upright, orientation))
    if format_ == "CMYK":
        data = encode(made.convert("CMYK"), "JPEG", exif=exif, quality=100)
    elif format_ == "LZW":
        data = encode(made, "TIFF", exif=exif, compression="tiff_lzw")
    else:
        data = encode(made, format_, exif=exif, **LOSSLESS.get(format_, {"subsampling": 0, "quality": 100}))
    image = read_image(data)
    assert image.shape == upright.shape
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - upright).max() <= 3


@pytest.mark.parametrize(
    "value", [b"", b"\0" * 4, b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\x01\0\x12\x01"]
)
def test_a_photo_is_not_refused_for_its_exif(value: bytes) -> None:
    for made, format_ in ((of(RGB), "JPEG"), (of(RGB, "CMYK"), "JPEG"), (of(RGB), "PNG"), (of(RGB), "WEBP")):
        data = encode(made, format_, exif=b"Exif\0\0" + value)
        assert read_image(data).shape == RGB.shape


# Arrays


def test_an_rgb_array_is_returned_itself() -> None:
    assert read_image(RGB) is RGB
    turned = read_image(RGB.swapaxes(0, 1))
    assert turned.flags.c_contiguous
    assert np.array_equal(turned, RGB.swapaxes(0, 1))


def test_grey_arrays_are_expanded() -> None:
    assert np.array_equal(read_image(GREY), expand(GREY))
    assert np.array_equal(read_image(GREY[:, :, None]), expand(GREY))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint16),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.uint8(3) * np.ones((), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0), np.uint8),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray) -> None:
    assert str(np.asarray(array).shape) in complaint(np.asarray(array))


# Limits


def bomb() -> bytes:
    return png(60_000, 60_000, 8, 2, b"")


def test_the_pixel_limit_is_checked_before_decoding() -> None:
    exact = RGB.shape[0] * RGB.shape[1]
    for source in (RGB, *(encode(of(RGB), name) for name in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"))):
        assert read_image(source, max_pixels=exact).shape == RGB.shape
        assert f"limit of {exact - 1:,}" in complaint(source, max_pixels=exact - 1)


def test_a_bomb_is_refused_at_once() -> None:
    jpeg = bytearray(encode(of(RGB), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    webp = bytearray(encode(of(RGB), "WEBP", save_all=True, append_images=[of(expand(GREY))]))
    webp[24:30] = b"\xff\x3f\0\xff\x3f\0"
    bitmap = bytearray(encode(of(RGB), "BMP"))
    bitmap[18:26] = struct.pack("<II", 50_000, 50_000)
    gif = bytearray(encode(of(RGB), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    wide = tiff(np.zeros((1, 4), np.uint8), "<", 8, 1, 1).replace(
        struct.pack("<HHII", 256, 4, 1, 4), struct.pack("<HHII", 256, 4, 1, 2**31 - 1)
    )
    tracemalloc.start()
    for data in (bomb(), jpeg, webp, bitmap, gif, wide):
        assert "pixels" in complaint(bytes(data))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_pillows_ceiling_holds_for_a_larger_limit_and_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = PIL.Image.MAX_IMAGE_PIXELS
    assert f"{2 * (before or 0):,}" in complaint(bomb(), max_pixels=10**12)
    assert before == PIL.Image.MAX_IMAGE_PIXELS
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    assert "pixels" in complaint(encode(of(RGB), "PNG"))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    assert read_image(encode(of(RGB), "PNG")).shape == RGB.shape


def test_file_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = tmp_path / "large.png"
    with sparse.open("wb") as file:
        file.truncate(image_module.MAX_FILE_BYTES + 1)
    assert "256 MiB" in complaint(sparse)
    monkeypatch.setattr(image_module, "MAX_FILE_BYTES", 100)
    assert "larger than" in complaint(encode(of(RGB), "PNG"))


# Files


def test_paths(tmp_path: Path) -> None:
    path = tmp_path / "Ünïcode name.png"
    of(RGB).save(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    for source in (path, str(path), link, path.read_bytes()):
        assert np.array_equal(read_image(source), RGB)


def test_load_decode_and_hash_read_the_file_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    of(RGB).save(path)
    data = load(path)
    path.unlink()
    assert content_hash(data) == hashlib.sha256(data).hexdigest()
    assert np.array_equal(decode(data, name="a.png"), RGB)
    assert load(data) is data
    with pytest.raises(ImageError, match=r"^Cannot read a\.png: it is damaged or cut short"):
        decode(data[:-200], name="a.png")


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_truncated_is_an_error(format_: str, tmp_path: Path) -> None:
    path = tmp_path / f"half.{format_.lower()}"
    data = encode(of(RGB), format_)
    for keep in (len(data) // 2, len(data) - len(data) // 8):
        path.write_bytes(data[:keep])
        sentence = complaint(path)
        assert str(path) in sentence
        assert "damaged or cut short" in sentence


def test_what_is_not_a_photo(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("These are not pixels.")
    assert "not a JPEG" in complaint(text)
    assert str(text) in complaint(str(text))
    text.write_bytes(b"")
    assert "empty" in complaint(text)
    assert complaint(b"").startswith("Cannot read image bytes: it is empty")
    assert "no such file" in complaint(tmp_path / "absent.jpg")
    assert "path is empty" in complaint("")
    assert "folder" in complaint(tmp_path)
    assert "NUL" in complaint(f"{tmp_path}/a\0.jpg")
    assert complaint(text / "below.jpg")
    assert complaint("a" * 5000)
    assert complaint("bad\ud800name.jpg")
    assert complaint(tmp_path / "two\nlines.jpg")
    for url in (
        "http://example.org/a.jpg",
        "HTTPS://example.org/a.jpg",
        "s3://bucket/a.jpg",
        "file:///a.jpg",
    ):
        assert "only local paths" in complaint(url)


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs on Windows")
def test_fifos_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "pipe.jpg"
    os.mkfifo(fifo)
    refused = threading.Thread(target=lambda: complaint(fifo), daemon=True)
    refused.start()
    refused.join(5)
    assert not refused.is_alive()
    assert "device, pipe or socket" in complaint(fifo)
    assert "device, pipe or socket" in complaint("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "secret.png"
    of(RGB).save(path)
    path.chmod(0)
    assert "may not read" in complaint(path)


def test_no_permission_as_the_system_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    of(RGB).save(path)

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert "may not read" in complaint(path)


# Manners


def test_no_warning_leaks_and_the_filters_stay_as_they_were() -> None:
    broken_exif = (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 2, 0xFFFF, 0x7FFFFFFF) + bytes(4)
    )
    animation = png(67, 41, 8, 2, unfiltered(RGB), png_chunk(b"acTL", bytes(8)))
    sources = [encode(of(RGB), "JPEG", exif=broken_exif), animation] * 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        with ThreadPoolExecutor(8) as pool:
            assert all(image.shape == RGB.shape for image in pool.map(read_image, sources))
        assert list(warnings.filters) == before
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read_image(animation)
    assert not caught


def test_whatever_a_decoder_raises_becomes_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(of(RGB), "PNG")
    for raised in (
        OSError,
        SyntaxError,
        ValueError,
        struct.error,
        EOFError,
        KeyError,
        OverflowError,
        RecursionError,
    ):

        def fail(*_: object, _raised: type[Exception] = raised, **__: object) -> None:
            raise _raised

        monkeypatch.setattr(PIL.Image, "open", fail)
        assert "damaged" in complaint(data)

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(PIL.Image, "open", exhausted)
    assert "memory" in complaint(data)


def test_pillow_decodes_a_jpeg_that_opencv_will_not(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(of(RGB), "JPEG")
    expected = read_image(data)

    def fail(*_: object) -> None:
        raise cv2.error

    for refusal in (fail, lambda *_: None):
        monkeypatch.setattr(cv2, "imdecode", refusal)
        assert np.array_equal(read_image(data), expected)


# Kinds of sources


def test_bytes_of_every_kind_and_file_objects_are_read_as_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data := encode(of(RGB), "PNG"))
    written = io.BytesIO()
    written.write(data)  # stands at its end, as after PIL's save
    for source in (bytearray(data), memoryview(data), io.BytesIO(data), written, written):
        assert np.array_equal(read_image(source), RGB)
    with path.open("rb") as file:
        assert np.array_equal(read_image(file), RGB)
        assert source_name(file) == str(path)
        assert read_hashed(file)[1] == read_hashed(path)[1] == content_hash(data)
    assert "the file object is closed" in complaint(file)
    with path.open(encoding="latin-1") as text:
        assert "gives text; open the photo with mode 'rb'" in complaint(text)


def test_a_stream_that_cannot_be_sought_is_read() -> None:
    class Pipe:
        rest = encode(of(RGB), "PNG")

        def read(self, size: int) -> bytes:
            given, self.rest = self.rest[:size], self.rest[size:]
            return given

    assert np.array_equal(read_image(Pipe()), RGB)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr"])
def test_a_pil_image_is_read_as_a_file_of_it(mode: str) -> None:
    if mode == "I;16":
        made = PIL.Image.fromarray(GREY.astype(np.uint16) * 257)
    else:
        made = of(RGB).quantize(64) if mode == "P" else of(RGB).convert(mode)
    format_ = "TIFF" if mode in {"CMYK", "YCbCr"} else "PNG"
    assert np.array_equal(read_image(made), read_image(encode(made, format_)))


@pytest.mark.parametrize("orientation", [3, 6])
def test_a_pil_image_is_turned_as_its_exif_says(orientation: int, tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a.jpg").write_bytes(encode(of(RGB), "JPEG", exif=exif))
    with PIL.Image.open(tmp_path / "a.jpg") as picture:
        assert np.array_equal(read_image(picture), read_image(tmp_path / "a.jpg"))
        assert source_name(picture) == str(tmp_path / "a.jpg")


def test_a_pil_image_that_cannot_be_had_is_told() -> None:
    data = encode(of(RGB), "PNG")
    assert "Pillow cannot decode" in complaint(PIL.Image.open(io.BytesIO(data[: len(data) // 2])))
    assert "32-bit numbers" in complaint(PIL.Image.new("I", (4, 4)))
    assert "it has no pixels" in complaint(PIL.Image.new("RGB", (0, 4)))
    assert "over the limit" in complaint(PIL.Image.new("L", (40, 40)), max_pixels=1599)


def test_what_is_no_photo_is_told_as_such() -> None:
    assert complaint(None).startswith("Cannot read None: it is not a photo; OpenCV gives None")
    for source in (5, ["a.jpg"], object()):
        assert f"Cannot read a {type(source).__name__}: it is not a photo" in complaint(source)


@pytest.mark.parametrize(
    "path", ["https://a.b/c.jpg", Path("https://a.b/c.jpg"), Path("/d/https://a"), "s3://a"]
)
def test_a_url_is_told_as_one_with_either_number_of_slashes(path: str | Path) -> None:
    assert "it is a URL and only local paths are read; download the photo first" in complaint(path)


def test_a_data_url_and_base64_given_as_a_path_are_not_repeated_at_length() -> None:
    sentence = complaint("data:image/png;base64," + "A" * 5000)
    assert "it is a data: URL; decode its base64 and give the bytes" in sentence
    assert len(sentence) < 200
    assert len(complaint("A" * 5000)) < 200


def test_a_tiff_whose_numbers_are_none_is_refused_or_read() -> None:
    """A tag that says it holds no value, where one is looked for."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "TIFF")
    data = bytearray(buffer.getvalue())
    start = int.from_bytes(data[4:8], "little")
    for entry in range(int.from_bytes(data[start : start + 2], "little")):
        at = start + 2 + 12 * entry + 4
        changed = bytes(data[:at]) + bytes(4) + bytes(data[at + 4 :])
        with suppress(ImageError):
            assert decode(changed, name="a.tif").shape[2] == 3
