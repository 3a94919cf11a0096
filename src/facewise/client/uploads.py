"""Photos on their way to a service: whatever a photo may be becomes a file of the request."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from facewise.errors import ImageError

if TYPE_CHECKING:
    from facewise.image import ImageSource

Photo: TypeAlias = "ImageSource"
"""A path, the bytes of an image file or a file object of them, a PIL image, or RGB pixels `(H, W, 3)`."""

Upload: TypeAlias = tuple[str, tuple[str, bytes, str]]
"""Form field, and the file's name, content and type."""


def uploads(field: str, photos: Iterable[Photo]) -> list[Upload]:
    """The files of a form field.

    Args:
        field: `photo`, `photos`, `a` or `b`.
        photos: Read here and now, so that a missing one is told before anything is sent. Of a path, only
            the file's own name is sent, not its folders.

    Raises:
        ImageError: A file cannot be read, or an array is no image.
    """
    return [(field, _file(photo, number)) for number, photo in enumerate(photos, start=1)]


def _file(photo: Photo, number: int) -> tuple[str, bytes, str]:
    if isinstance(photo, bytes | bytearray | memoryview):
        return f"photo-{number}", bytes(photo), "application/octet-stream"
    if isinstance(photo, np.ndarray):
        return f"photo-{number}.png", _png(photo), "image/png"
    if isinstance(photo, str | os.PathLike):
        return _name(Path(photo)), _read(Path(photo)), "application/octet-stream"
    import PIL.Image  # noqa: PLC0415  not needed for files

    from facewise.image import load, read_image, source_name  # noqa: PLC0415

    if isinstance(photo, PIL.Image.Image):
        return f"photo-{number}.png", _png(read_image(photo)), "image/png"
    data, path = load(photo), getattr(photo, "name", None)
    name = _name(Path(source_name(photo))) if isinstance(path, str) and path else f"photo-{number}"
    return name, data, "application/octet-stream"


def _name(path: Path) -> str:
    # A name that is not text in any encoding cannot be sent; its odd bytes are shown by their codes.
    return path.name.encode(errors="backslashreplace").decode()


def _read(path: Path) -> bytes:
    if not path.exists():
        raise ImageError(f"There is no photo {path}.")
    if not path.is_file():
        raise ImageError(f"{path} is not a file: give the photos one by one.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"Cannot read {path}: {error.strerror or error}.") from error


def _png(image: NDArray[np.uint8]) -> bytes:
    """PNG, which loses nothing: the service sees the pixels the caller has."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"An array as a photo is RGB, uint8, (H, W, 3), not {image.dtype} of shape {image.shape}."
        )
    import cv2  # noqa: PLC0415  not needed for files

    done, data = cv2.imencode(".png", image[:, :, ::-1])
    if not done:
        raise ImageError(f"An image of {image.shape[1]}×{image.shape[0]} pixels cannot be made a PNG.")
    return data.tobytes()
