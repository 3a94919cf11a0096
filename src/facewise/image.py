"""From a path, bytes, a file object, a PIL image or an array to an `Image`.

That is RGB, uint8, `(H, W, 3)`, C-contiguous, the right way up.

Six formats are read and no other: JPEG, PNG, WebP, BMP, GIF and TIFF (of several frames, the first). What the
pixels become:

* EXIF orientation is applied; unreadable EXIF counts as upright. ICC profiles are ignored.
* Transparency is laid over white, as paper and web pages are: most cut-out portraits and logos assume it.
* Grey, palette and 1-bit images are expanded to RGB. 16-bit grey is scaled by 1/257 and rounded; of 16-bit
  colour the high byte is kept (at most 1 grey level from the rounded value). Pixels of 32 bits or floating
  point have no agreed white, so they are refused rather than guessed at.
* CMYK (also Adobe's inverted one, and YCCK) becomes RGB without a profile: R = 255 - min(255, C + K).

Whatever is wrong with a photo is told as one `ImageError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple, NoReturn, TypeAlias, TypeGuard, cast

import cv2
import numpy as np
import PIL
import PIL.Image

from facewise.errors import ImageError, PhotoTooLargeError
from facewise.filenames import shown
from facewise.types import Image

ImageSource: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | PIL.Image.Image | np.ndarray
)
"""A local path; the bytes of an image file, or a binary file object, read from its start where it can be
sought; a PIL image; or an array of RGB, RGBA or grey uint8 pixels."""

MAX_PIXELS = 100_000_000
"""Width × height above which a photo is refused unless the caller says otherwise: 300 MB as RGB."""

MAX_FILE_BYTES = 256 * 2**20
"""Size of a file, or of image bytes, above which a photo is refused."""

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_BROKEN_URL = re.compile(r"(?:^[a-z][a-z0-9+.-]+|/(?:https?|ftp|file|s3|gs)):/", re.IGNORECASE)
"""A URL as pathlib leaves it, which makes one slash of two, alone or behind the folder of a table."""
_LONGEST_NAME = 4096
_ORIENTATION_TAG, _BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG = 0x0112, 0x0102, 0x0106

_TURN: dict[int, Callable[[Image], object]] = {
    2: lambda image: cv2.flip(image, 1),
    3: lambda image: cv2.rotate(image, cv2.ROTATE_180),
    4: lambda image: cv2.flip(image, 0),
    5: cv2.transpose,
    6: lambda image: cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE),
    7: lambda image: cv2.flip(cv2.transpose(image), -1),
    8: lambda image: cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
"""EXIF orientation → what brings the stored pixels upright (Exif 2.32, tag 274)."""


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Read a photo.

    Args:
        source: A local path; the bytes of an image file or a binary file object; a PIL image, which is taken
            as a file of it would be, EXIF orientation included; or a uint8 array: `(H, W, 3)` is taken as
            RGB, `(H, W, 4)` as RGBA, `(H, W)` and `(H, W, 1)` as grey.
        max_pixels: Refuse more than this many pixels (width × height), before anything is decoded. For files
            Pillow's own ceiling, twice `PIL.Image.MAX_IMAGE_PIXELS` (179 million), holds as well.

    Returns:
        RGB uint8 `(H, W, 3)`, C-contiguous. An array that already is so is returned itself, not copied.

    Raises:
        ImageError: The source is missing, unreadable, damaged, too large or of an unsupported kind.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, PIL.Image.Image):
        return _from_pil(source, max_pixels)
    return decode(load(source), name=source_name(source), max_pixels=max_pixels)


def read_hashed(source: ImageSource, *, max_pixels: int = MAX_PIXELS) -> tuple[Image, str]:
    """A photo, read once, and the sha256 (hex) it is known by.

    That is of the file's bytes; of shape and pixels where the source is an array or a PIL image.

    Raises:
        ImageError: As for `read_image`.
    """
    if isinstance(source, np.ndarray | PIL.Image.Image):
        image = read_image(source, max_pixels=max_pixels)
        return image, content_hash(repr(image.shape).encode() + image.tobytes())
    data = load(source)
    return decode(data, name=source_name(source), max_pixels=max_pixels), content_hash(data)


def is_one_photo(source: object) -> TypeGuard[ImageSource]:
    """Whether `source` stands for one photo, rather than being an iterable of photos; None is one, unread."""
    of_one = isinstance(
        source, str | os.PathLike | bytes | bytearray | memoryview | PIL.Image.Image | np.ndarray
    )
    return of_one or source is None or _is_stream(source)


def source_name(source: object) -> str:
    """What to call a source in a sentence: its path (see `filenames.shown`), `image bytes` or `array`.

    A file object and a PIL image are called by the file they were opened from. Anything else has a name as
    well, so that what is no photo can be told of.
    """
    if isinstance(source, np.ndarray):
        return "array"
    if isinstance(source, bytes | bytearray | memoryview):
        return "image bytes"
    path = source
    if isinstance(source, PIL.Image.Image):
        path = getattr(source, "filename", "") or "PIL image"
    elif _is_stream(source):
        path = getattr(source, "name", None)
        if not isinstance(path, str | os.PathLike | bytes) or not path:
            path = "image bytes"
    if not isinstance(path, str | os.PathLike | bytes):
        return "None" if path is None else f"a {type(path).__name__}"
    name = os.fsdecode(path)
    if len(name) > _LONGEST_NAME:  # no path, but perhaps a photo in base64
        name = f"{name[:40]}…"
    return shown(name)


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | None) -> bytes:
    """The bytes of an image file, read once, for a caller who needs both `content_hash` and `decode`.

    Args:
        source: A local path; a binary file object, which is read from its start where it can be sought; or
            bytes, which are returned as they are.

    Returns:
        The content, not yet known to be an image.

    Raises:
        ImageError: The path is missing, unreadable, not a regular file, empty or over `MAX_FILE_BYTES`.
    """
    if isinstance(source, bytes):
        return source
    if isinstance(source, bytearray | memoryview):
        return bytes(source)
    name = source_name(source)
    if _is_stream(source):
        return _from_stream(source, name)
    if source is None:
        _fail(name, "it is not a photo", "OpenCV gives None for a file it cannot read, so check its path")
    if not isinstance(source, str | os.PathLike):
        _fail(name, "it is not a photo", "give a path, bytes, a file object, a PIL image or a numpy array")
    path = local_path(source, name)
    with file_errors(name):
        # Looked at before it is opened: opening a device can have effects of its own.
        _check_regular(Path(path).stat(), name)
        # Looked at again after, and opened without waiting: a FIFO swapped in between must not hang us.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            _check_regular(os.fstat(file.fileno()), name)
            return file.read()


def decode(data: bytes, *, name: str = "image bytes", max_pixels: int = MAX_PIXELS) -> Image:
    """Decode the bytes of an image file.

    Args:
        data: The whole file.
        name: What to call the photo in an error, see `source_name`.
        max_pixels: As in `read_image`.

    Returns:
        RGB uint8 `(H, W, 3)`, C-contiguous.

    Raises:
        ImageError: Not one of the six formats, damaged, cut short or too large.
    """
    _check_length(len(data), name)
    ceiling = PIL.Image.MAX_IMAGE_PIXELS
    limit = max_pixels if ceiling is None else min(max_pixels, 2 * ceiling)
    header = _plain_jpeg(data)
    if header is not None:
        _check_pixels(header.width, header.height, limit, name)
        image = _decode_plain_jpeg(data, header)
        if image is not None:
            return image
    return _decode_with_pillow(data, name, limit)


def content_hash(data: bytes) -> str:
    """The sha256 of a file's bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


# Errors


def _fail(
    name: str,
    wrong: str,
    remedy: str,
    cause: BaseException | None = None,
    kind: type[ImageError] = ImageError,
) -> NoReturn:
    raise kind(f"Cannot read {name}: {wrong}; {remedy}.") from cause


@contextlib.contextmanager
def file_errors(name: str) -> Iterator[None]:
    """Turn what the file system says of the photo or folder `name` into an `ImageError`."""
    try:
        yield
    except FileNotFoundError as error:
        if _BROKEN_URL.search(name):
            name = _BROKEN_URL.sub(lambda found: f"{found[0]}/", name, count=1)
            _fail(name, _IS_URL, "download the photo first", error)
        _fail(name, "there is no such file or folder", "check the path", error)
    except PermissionError as error:
        _fail(name, "you may not read it", "change its permissions or run as its owner", error)
    except (OSError, ValueError) as error:  # ValueError: a name the file system cannot encode
        reason = getattr(error, "strerror", None) or "the path is not valid here"
        _fail(name, f"the system says '{reason}'", "check the path and the disk", error)


def local_path(source: str | os.PathLike[str], name: str) -> str:
    """The path as text, or an `ImageError` if it cannot be a local one."""
    path = os.fsdecode(source)
    if not path:  # which pathlib would take for the current folder
        _fail(name, "the path is empty", "give the path of a photo")
    if "\0" in path:
        _fail(name, "the path holds a NUL byte", "check the path")
    if _URL.match(path):
        _fail(name, _IS_URL, "download the photo first")
    if path.startswith("data:") and "," in path and not os.path.exists(path):  # noqa: PTH110  maybe no path
        _fail(f"{path[:40]}…", "it is a data: URL", "decode its base64 and give the bytes")
    return path


_IS_URL = "it is a URL and only local paths are read"


def _check_regular(info: os.stat_result, name: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        _fail(name, "it is a folder", "name a photo in it")
    if not stat.S_ISREG(info.st_mode):
        _fail(name, "it is a device, pipe or socket", "give a regular file")
    _check_length(info.st_size, name)


def _check_length(length: int, name: str) -> None:
    if length == 0:
        _fail(name, "it is empty", "copy or download the photo again")
    if length > MAX_FILE_BYTES:
        wrong = f"it is larger than {MAX_FILE_BYTES // 2**20} MiB"
        _fail(name, wrong, "save it smaller", kind=PhotoTooLargeError)


def _check_pixels(width: int, height: int, limit: int, name: str) -> None:
    if width * height > limit:
        wrong = f"its {width} × {height} pixels are over the limit of {limit:,}"
        _fail(name, wrong, "make it smaller first", kind=PhotoTooLargeError)


# Arrays


def _from_array(array: np.ndarray, max_pixels: int) -> Image:
    name = "array"
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in {2, 3} or channels not in {1, 3, 4}:
        wrong = f"its dtype is {array.dtype} and its shape {array.shape}"
        _fail(name, wrong, "give uint8 of shape (H, W, 3) RGB, (H, W, 4) RGBA, (H, W) or (H, W, 1) grey")
    if array.size == 0:
        _fail(name, f"it has no pixels, its shape is {array.shape}", "give at least one pixel")
    _check_pixels(array.shape[1], array.shape[0], max_pixels, name)
    if channels == 4:
        return _over_white(PIL.Image.fromarray(np.ascontiguousarray(array), "RGBA"))
    if channels == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array)


# Objects

_READING = threading.Lock()
"""Held while a file object or a PIL image of the caller's is read: the same one may be given twice."""


def _is_stream(source: object) -> TypeGuard[IO[bytes]]:
    return callable(getattr(source, "read", None)) and not isinstance(source, os.PathLike)


def _from_stream(stream: IO[bytes], name: str) -> bytes:
    with file_errors(name), _READING:
        if getattr(stream, "closed", False):
            _fail(name, "the file object is closed", "give it while it is open")
        if not isinstance(stream.read(0), bytes):
            _fail(name, "the file object gives text", "open the photo with mode 'rb'")
        if callable(getattr(stream, "seekable", None)) and stream.seekable():
            stream.seek(0)
        data = stream.read(MAX_FILE_BYTES + 1)
    _check_length(len(data), name)
    return data


def _from_pil(picture: PIL.Image.Image, max_pixels: int) -> Image:
    name = source_name(picture)
    width, height = picture.size
    if not width * height:
        _fail(name, f"it has no pixels, its size is {width} × {height}", "give at least one pixel")
    _check_pixels(width, height, max_pixels, name)
    try:
        with _READING:
            picture.load()
        return _upright(_to_rgb(picture, name), picture.getexif)
    except ImageError:
        raise
    except MemoryError as error:
        _fail(name, "there is not enough memory to decode it", "make it smaller first", error)
    # As in `_decode_with_pillow`: its file is decoded only here.
    except Exception as error:  # noqa: BLE001
        wrong = f"Pillow cannot decode or convert it ({picture.mode})"
        _fail(name, wrong, "give it as RGB, or give the file", error)


# JPEG, the quick way: nearly every photo. OpenCV gives the same bits as Pillow (both are libjpeg-turbo) in
# half the time, with four threads in a third. Whatever is unusual about a file leaves it to Pillow.


_PASSED_OVER = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xEE)}
"""JPEG markers that do not change how pixels are to be read: tables, comments, APP0 to APP13."""


class _JpegHeader(NamedTuple):
    width: int
    height: int
    exif: bytes


def _plain_jpeg(data: bytes) -> _JpegHeader | None:
    """The header of an 8-bit grey or YCbCr JPEG that is all there; None of anything else."""
    # Entropy-coded data cannot contain this marker, so a file that was cut short does not end in it.
    if not (data.startswith(b"\xff\xd8\xff") and data.endswith(b"\xff\xd9")):
        return None
    exif, position = b"", 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : end]
        if marker in {0xC0, 0xC1, 0xC2} and len(body) >= 6:  # baseline, extended or progressive frame
            bits, height, width, _ = struct.unpack_from(">BHHB", body)
            plain = bits == 8 and width and height and body[6::3] in {b"\x01", b"\x01\x02\x03"}
            return _JpegHeader(width, height, exif) if plain else None
        if marker == 0xE1 and body.startswith(b"Exif\0"):
            exif = exif or body
        # Adobe's APP14 (other colours) and XMP's orientation are Pillow's.
        elif marker not in _PASSED_OVER or b"tiff:Orientation" in body:
            return None
        position = end
    return None


def _decode_plain_jpeg(data: bytes, header: _JpegHeader) -> Image | None:
    """Decode with OpenCV; None if it will not, so that Pillow has its say."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cast("Image | None", cv2.imdecode(np.frombuffer(data, np.uint8), flags))
    except cv2.error:
        return None
    if image is None or image.shape != (header.height, header.width, 3):
        return None
    return _upright(image, lambda: _parse_exif(header.exif)) if header.exif else image


# Everything else: Pillow

_QUIET = threading.Lock()
"""Held while the warning filters, which all threads share, are changed: two at once would mix them up."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _decode_with_pillow(data: bytes, name: str, limit: int) -> Image:
    try:
        with _quiet():
            picture = PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
            _check_pixels(*picture.size, limit, name)
            # These may warn while they are decoded; the others decode outside the lock, in parallel.
            if picture.format == "TIFF" or b"acTL" in data:
                picture.load()
        picture.load()
        return _upright(_to_rgb(picture, name), picture.getexif)
    except ImageError:
        raise
    except PIL.Image.DecompressionBombError as error:
        wrong = f"it has more than {limit:,} pixels"
        _fail(name, wrong, "make it smaller first", error, PhotoTooLargeError)
    except MemoryError as error:
        _fail(name, "there is not enough memory to decode it", "make it smaller first", error)
    # Pillow's decoders raise whatever their code trips over in a damaged file: OSError, SyntaxError,
    # KeyError, struct.error, ... No list of them stays complete.
    except Exception as error:  # noqa: BLE001
        if data.startswith(_MAGIC):
            _fail(name, "it is damaged or cut short", "copy or download the photo again", error)
        _fail(name, "it is not a JPEG, PNG, WebP, BMP, GIF or TIFF image", "convert it to one", error)


def _to_rgb(picture: PIL.Image.Image, name: str) -> Image:
    if picture.mode.startswith("I;16"):
        return _from_grey16(picture)
    if picture.mode in {"I", "F"}:
        kind = "floating-point" if picture.mode == "F" else "32-bit"
        _fail(name, f"its pixels are {kind} numbers without an agreed white", "convert it to 8 bits first")
    if picture.has_transparency_data:
        return _over_white(picture.convert("RGBA"))
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _from_grey16(picture: PIL.Image.Image) -> Image:
    tags = getattr(picture, "tag_v2", {})
    grey = np.asarray(picture).astype(np.uint32)
    largest = 2 ** int(tags.get(_BITS_PER_SAMPLE_TAG, (16,))[0]) - 1  # TIFF has 12-bit grey as well
    scaled = ((grey * 255 + largest // 2) // largest).astype(np.uint8)
    if tags.get(_PHOTOMETRIC_TAG) == 0:  # TIFF's WhiteIsZero, which Pillow undoes for 8 bits only
        scaled = 255 - scaled
    if "transparency" in picture.info:
        scaled[grey == picture.info["transparency"]] = 255
    return np.repeat(scaled[:, :, None], 3, axis=2)


def _over_white(picture: PIL.Image.Image) -> Image:
    canvas = PIL.Image.new("RGB", picture.size, "white")
    canvas.paste(picture, mask=picture.getchannel("A"))
    return np.array(canvas)


def _parse_exif(body: bytes) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif.load(body)
    return exif


def _upright(image: Image, read_exif: Callable[[], PIL.Image.Exif]) -> Image:
    try:
        with _quiet():
            orientation = read_exif().get(_ORIENTATION_TAG)
    # A photo whose pixels are fine is not refused for its EXIF: many programs write it wrong.
    except (SyntaxError, ValueError, LookupError, TypeError, OSError, EOFError, struct.error):
        return image
    turn = _TURN.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else cast("Image", turn(image))
