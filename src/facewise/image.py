"""From a path, bytes, a file object, a PIL image or an array to an `Image`.

That is RGB, uint8, `(H, W, 3)`, C-contiguous, the right way up.

Read are JPEG (MPO too), PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF and, with the optional extras `jxl` and `raw`,
JPEG XL and the camera RAW files that LibRaw knows (of several pictures, the first, or the one the file calls
its primary). What the pixels become:

* EXIF orientation is applied; unreadable EXIF counts as upright. HEIC and JPEG XL turn themselves.
* A colour profile (Display P3, Adobe RGB, grey, ink) is applied where it changes pixels: they become sRGB.
* Transparency is laid over white, as paper and web pages are: most cut-out portraits and logos assume it.
* Grey, palette and 1-bit images are expanded to RGB. 16-bit grey is scaled by 1/257 and rounded; of 16-bit
  colour the high byte is kept (at most 1 grey level from the rounded value). Where all of 16 bits' values fit
  into 12, 10 or 8, they are scaled from those. Pixels of 32 bits or floating point have no agreed white, so
  they are refused rather than guessed at.
* CMYK without a profile (also Adobe's inverted one, and YCCK) becomes RGB by R = 255 - min(255, C + K).

Whatever is wrong with a photo is told as one `ImageError`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal, NoReturn, TypeAlias, TypeGuard

import numpy as np
import PIL
import PIL.Image

from facewise.errors import DamagedPhotoError, ImageError, PhotoTooLargeError, SettingError
from facewise.filenames import shown
from facewise.formats import apart, jpeg, webp
from facewise.formats.colour import array_in_srgb, over_white, to_rgb
from facewise.formats.kinds import described, kind_of
from facewise.formats.pillow import decode_with_pillow
from facewise.formats.refused import DAMAGED, Refused, check_pixels, decoding
from facewise.formats.upright import parse_exif, upright
from facewise.formats.work import check_work
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

DAMAGED_VARIABLE = "FACEWISE_DAMAGED"
"""Environment variable that says what is done with damaged photos where the caller does not: see `decode`."""

Damaged: TypeAlias = Literal["refuse", "use"]

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_BROKEN_URL = re.compile(r"(?:^[a-z][a-z0-9+.-]+|/(?:https?|ftp|file|s3|gs)):/", re.IGNORECASE)
"""A URL as pathlib leaves it, which makes one slash of two, alone or behind the folder of a table."""
_LONGEST_NAME = 4096
_LOG = logging.getLogger(__name__)


def read_image(source: ImageSource, *, max_pixels: int = MAX_PIXELS, damaged: Damaged | None = None) -> Image:
    """Read a photo.

    Args:
        source: A local path; the bytes of an image file or a binary file object; a PIL image, which is taken
            as a file of it would be, EXIF orientation included; or a uint8 array: `(H, W, 3)` is taken as
            RGB, `(H, W, 4)` as RGBA, `(H, W)` and `(H, W, 1)` as grey.
        max_pixels: Refuse more than this many pixels (width × height), before anything is decoded. For files
            Pillow's own ceiling, twice `PIL.Image.MAX_IMAGE_PIXELS` (179 million), holds as well.
        damaged: See `decode`.

    Returns:
        RGB uint8 `(H, W, 3)`, C-contiguous. An array that already is so is returned itself, not copied.

    Raises:
        ImageError: The source is missing, unreadable, damaged, too large or of an unsupported kind.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    if isinstance(source, PIL.Image.Image):
        return _from_pil(source, max_pixels)
    return decode(load(source), name=source_name(source), max_pixels=max_pixels, damaged=damaged)


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


def decode(
    data: bytes,
    *,
    name: str = "image bytes",
    max_pixels: int = MAX_PIXELS,
    damaged: Damaged | None = None,
) -> Image:
    """Decode the bytes of an image file.

    Args:
        data: The whole file.
        name: What to call the photo in an error, see `source_name`.
        max_pixels: As in `read_image`.
        damaged: What to do with a JPEG, WebP or TIFF of JPEG that is damaged or cut short, but of which a
            decoder makes a picture: `"refuse"` it, or `"use"` the picture and log a warning that names it.
            None is what the environment variable `FACEWISE_DAMAGED` says, or else `"refuse"`.

    Returns:
        RGB uint8 `(H, W, 3)`, C-contiguous.

    Raises:
        ImageError: Of no format that is read, or too large; `DamagedPhotoError` where it is damaged or cut
            short, though its decoder made something of it.
        SettingError: `damaged` is none of the two.
    """
    _check_length(len(data), name)
    ceiling = PIL.Image.MAX_IMAGE_PIXELS
    limit = max_pixels if ceiling is None else min(max_pixels, 2 * ceiling)
    try:
        with decoding():
            image, is_damaged = _decoded(data, limit)
    except Refused as refused:
        _fail(name, refused.wrong, refused.remedy, refused.__cause__, refused.kind)
    if is_damaged:
        if _policy(damaged) == "refuse":
            _fail(name, *DAMAGED, kind=DamagedPhotoError)
        _LOG.warning("%s is damaged, and was used as far as it could be read.", name)
    return image


@contextlib.contextmanager
def damaged_photos(policy: Damaged | None) -> Iterator[None]:
    """Within this, what `decode` does unless told, also in processes started here; None changes nothing."""
    before = os.environ.get(DAMAGED_VARIABLE)
    if policy is not None:
        os.environ[DAMAGED_VARIABLE] = policy
    try:
        yield
    finally:
        if policy is not None and before is None:
            os.environ.pop(DAMAGED_VARIABLE, None)
        elif policy is not None and before is not None:
            os.environ[DAMAGED_VARIABLE] = before


def _policy(given: str | None) -> str:
    policy = given or os.environ.get(DAMAGED_VARIABLE) or "refuse"
    if policy not in {"refuse", "use"}:
        raise SettingError(f"What to do with damaged photos is refuse or use, not {policy}.")
    return policy


def _decoded(data: bytes, limit: int) -> tuple[Image, bool]:
    """The pixels, and whether the data is damaged nevertheless."""
    kind = kind_of(data)
    check_work(data, kind, limit)
    if kind == "JPEG":
        header = jpeg.read_header(data)
        if header is not None:
            check_pixels(header.width, header.height, limit)
            decoded = None if header.components == 4 else jpeg.decode_jpeg(data, header)
            if decoded is not None:
                return _finished_jpeg(decoded[0], header, data), decoded[1]
    if kind == "WEBP":
        plain = webp.decode_plain(data, limit)
        if plain is not None:
            return plain, webp.is_damaged(data)
    if kind in apart.KINDS:
        return apart.decode_apart(data, kind, limit), False
    if not kind:
        what = described(data)
        if what:
            raise Refused(f"it is {what}, which is not read as a photo", "save its picture as JPEG or PNG")
        raise Refused(_NO_PHOTO, "convert it to one")
    return decode_with_pillow(data, kind, limit)


def _finished_jpeg(image: Image, header: jpeg.Header, data: bytes) -> Image:
    image = array_in_srgb(image, header.icc, grey=header.components == 1)
    if header.xmp_turns:
        return upright(image, PIL.Image.open(io.BytesIO(data), formats=("JPEG",)).getexif)
    return upright(image, lambda: parse_exif(header.exif)) if header.exif else image


_NO_PHOTO = "it is not a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF image"


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
        return over_white(PIL.Image.fromarray(np.ascontiguousarray(array), "RGBA"))
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
        nothing: object = stream.read(0)
        if not isinstance(nothing, bytes):
            kind = "text" if isinstance(nothing, str) else f"a {type(nothing).__name__}, no bytes"
            _fail(name, f"the file object gives {kind}", "open the photo with mode 'rb', or give its bytes")
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
        return upright(to_rgb(picture), picture.getexif)
    except Refused as refused:
        _fail(name, refused.wrong, refused.remedy, refused, refused.kind)
    except MemoryError as error:
        _fail(name, "there is not enough memory to decode it", "make it smaller first", error)
    # As in `facewise.formats.pillow`: its file is decoded only here.
    except Exception as error:  # noqa: BLE001
        wrong = f"Pillow cannot decode or convert it ({picture.mode})"
        _fail(name, wrong, "give it as RGB, or give the file", error)
