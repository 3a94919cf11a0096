"""Files of the formats that Pillow does not write, and colour profiles, made for the tests that read them."""

from __future__ import annotations

import io
import struct

import numpy as np
import PIL.Image

from facewise.formats.kinds import has
from mutations import encode, picture

DISPLAY_P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)), 2.2
ADOBE_RGB = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060)), 2.19921875
SRGB_PRIMARIES = (0.640, 0.330), (0.300, 0.600), (0.150, 0.060)
_D65 = (0.3127, 0.3290)
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def heic(image: PIL.Image.Image, **options: object) -> bytes:
    """An image as HEIC."""
    import pillow_heif

    stream = io.BytesIO()
    pillow_heif.register_heif_opener()
    image.save(stream, "HEIF", **options)
    return stream.getvalue()


def newer_originals() -> dict[str, list[bytes]]:
    """Small, whole photos of the formats that phones and cameras write, by what `kind_of` calls them."""
    rgb, big = PIL.Image.fromarray(picture(67, 41)), PIL.Image.fromarray(picture(200, 160))
    rgba = rgb.copy()
    rgba.putalpha(PIL.Image.fromarray(picture(67, 41, seed=2)[:, :, 0]))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    turned, several = {"exif": exif.tobytes()}, {"save_all": True, "append_images": [rgb.rotate(180)]}
    made = {
        "HEIF": [
            heic(rgb, quality=80), heic(big, quality=60), heic(rgba, quality=80), heic(rgb.convert("L")),
            heic(rgb, quality=-1, **turned),
        ],
        "AVIF": [
            encode(rgb, "AVIF"), encode(big, "AVIF", quality=90), encode(rgba, "AVIF"),
            encode(rgb.convert("L"), "AVIF"), encode(rgb, "AVIF", **turned), encode(rgb, "AVIF", **several),
        ],
        "MPO": [encode(rgb, "MPO", **several)],
    }  # fmt: skip
    if has("jxl"):
        made["JXL"] = [jxl(np.asarray(image)) for image in (rgb, big, rgba)]
        made["JXL"] += [jxl(np.asarray(image), lossless=True) for image in (rgb, rgb.convert("L"))]
    if has("raw"):
        made["RAW"] = [dng(picture(67, 41)), dng(picture(100, 60), 6)]
    return made


def jxl(pixels: np.ndarray, **options: object) -> bytes:
    """Pixels as JPEG XL."""
    import pylibjxl

    made: bytes = pylibjxl.encode(pixels, **options)
    return made


def dng(pixels: np.ndarray, orientation: int = 1) -> bytes:
    """RGB pixels behind a Bayer filter, as a camera that is not there would see them, in 16 bits."""
    height, width = pixels.shape[:2]
    linear = (pixels / 255.0) ** 2.2 * 60_000
    seen = np.zeros((height, width), "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        seen[row::2, column::2] = linear[row::2, column::2, channel]
    data = seen.tobytes()
    to_camera = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)
    rationals = b"".join(struct.pack("<ii", round(value * 10_000), 10_000) for value in to_camera)

    def longs(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}I", *values)

    def shorts(*values: int) -> bytes:
        return struct.pack(f"<{len(values)}H", *values)

    tags = [
        (254, 4, 1, longs(0)), (256, 4, 1, longs(width)), (257, 4, 1, longs(height)), (258, 3, 1, shorts(16)),
        (259, 3, 1, shorts(1)), (262, 3, 1, shorts(32803)), (271, 2, 6, b"Maker\0"), (272, 2, 6, b"Model\0"),
        (273, 4, 1, b""), (274, 3, 1, shorts(orientation)), (277, 3, 1, shorts(1)),
        (278, 4, 1, longs(height)), (279, 4, 1, longs(len(data))), (284, 3, 1, shorts(1)),
        (33421, 3, 2, shorts(2, 2)),
        (33422, 1, 4, bytes([0, 1, 1, 2])), (50706, 1, 4, bytes([1, 4, 0, 0])),
        (50708, 2, 12, b"Maker Model\0"), (50714, 3, 1, shorts(0)), (50717, 4, 1, longs(60_000)),
        (50721, 10, 9, rationals), (50728, 5, 3, longs(1, 1) * 3), (50778, 3, 1, shorts(21)),
    ]  # fmt: skip
    place = 8 + 2 + 12 * len(tags) + 4
    start = place + sum(len(value) for *_, value in tags if len(value) > 4)
    entries, values = b"", b""
    for tag, kind, count, told in tags:
        value = longs(start) if tag == 273 else told
        if len(value) <= 4:
            entries += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            entries += struct.pack("<HHII", tag, kind, count, place + len(values))
            values += value
    return b"II*\0" + longs(8) + shorts(len(tags)) + entries + longs(0) + values + data


def to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The matrix from linear RGB of these primaries, with a white of D65, to XYZ."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    x, y = _D65
    scale = np.linalg.solve(columns, np.array([x / y, 1.0, (1 - x - y) / y]))
    return columns * scale


def profile(primaries: tuple[tuple[float, float], ...], gamma: float, name: str = "Made") -> bytes:
    """A matrix profile for RGB (ICC.1:2001-04)."""
    x, y = _D65
    white = _BRADFORD @ np.array([x / y, 1.0, (1 - x - y) / y])
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ _D50 / white) @ _BRADFORD @ to_xyz(primaries)

    def fixed(values: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(v) * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = name.encode()
    described = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78)
    return _profile(
        b"RGB ",
        {
            b"desc": _padded(described), b"wtpt": fixed(_D50), b"rXYZ": fixed(adapted[:, 0]),
            b"gXYZ": fixed(adapted[:, 1]), b"bXYZ": fixed(adapted[:, 2]), b"rTRC": curve, b"gTRC": curve,
            b"bTRC": curve,
        },
    )  # fmt: skip


def grey_profile(gamma: float) -> bytes:
    """A profile for grey with a plain gamma."""
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(v) * 65536)) for v in _D50)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"Grey\0" + bytes(78 + 1)
    return _profile(b"GRAY", {b"desc": _padded(described), b"wtpt": white, b"kTRC": curve})


def ink_profile() -> bytes:
    """A profile for inks that are all black (ICC.1:2001-04, lut8Type)."""
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0])
    lut += b"".join(struct.pack(">i", 65536 if i in {0, 4, 8} else 0) for i in range(9))
    lut += bytes(range(256)) * 4
    lut += b"".join(bytes([0 if any(corner) else 255, 128, 128]) for corner in np.ndindex(2, 2, 2, 2))
    lut += bytes(range(256)) * 3
    white = b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(v) * 65536)) for v in _D50)
    described = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"Ink\0" + bytes(78 + 1)
    made = _profile(b"CMYK", {b"desc": _padded(described), b"wtpt": white, b"A2B0": _padded(lut)})
    return made[:12] + b"prtr" + made[16:20] + b"Lab " + made[24:]


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for signature, value in tags.items():
        table += signature + struct.pack(">II", start + len(body), len(value))
        body += value
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += b"".join(struct.pack(">i", round(float(v) * 65536)) for v in _D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
