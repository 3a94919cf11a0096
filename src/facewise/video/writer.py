"""A video file, written whole or not at all, in a codec that this OpenCV really has."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facewise.errors import FacewiseError, SettingError
from facewise.files import atomic_write, text_path
from facewise.types import Image

_CODECS = {
    ".mp4": ("avc1", "mp4v"),
    ".m4v": ("avc1", "mp4v"),
    ".mov": ("avc1", "mp4v"),
    ".mkv": ("avc1", "mp4v", "MJPG"),
    ".avi": ("XVID", "MJPG"),
    ".webm": ("VP80",),
}
"""FourCCs to try, best first. OpenCV's wheels cannot make H.264 unless the machine has an encoder for it."""

_LONGEST_PAUSE = 60.0
"""Seconds a frame is held at most: a damaged time must not fill the disk."""


@cache
def codec_for(suffix: str) -> str:
    """The FourCC a file of that ending is written with, found by trying.

    Args:
        suffix: With its dot, in any case.

    Raises:
        SettingError: An ending no video is written in, or no codec for it here.
    """
    if suffix.lower() not in _CODECS:
        raise SettingError(f"A video ends in one of {', '.join(_CODECS)}, not in {suffix or 'nothing'}.")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with tempfile.TemporaryDirectory() as folder, quiet():
        for codec in _CODECS[suffix.lower()]:
            trial = Path(folder) / f"{codec}{suffix.lower()}"
            writer = _open(trial, codec, 25.0, (64, 48))
            good = writer.isOpened()
            writer.write(np.zeros((48, 64, 3), np.uint8))
            writer.release()
            if good and trial.is_file() and trial.stat().st_size:
                return codec
    raise SettingError(
        f"This OpenCV has no codec to write {suffix} with: choose another of {', '.join(_CODECS)}."
    )


def check_out(out: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Refuses, before any work, an annotated video that cannot be written or is the video itself.

    Args:
        out: Where to write.
        path: The video.

    Raises:
        SettingError: An ending or codec that cannot be written, or the same file.
    """
    codec_for(Path(out).suffix)
    if Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
        raise SettingError(f"{out} is the video itself: write the annotated one to another file.")


class VideoOut:
    """Takes frames with their times, writes them at an even rate; `video_out` makes one.

    Args:
        path: The file.
        codec: Its FourCC.
        fps: Frames a second. Of an uneven rate, frames are held or left out so that times stay what they are.
    """

    def __init__(self, path: Path, codec: str, fps: float) -> None:
        self._path, self._codec, self._fps = path, codec, fps
        self._writer: Any = None
        self._size = (0, 0)
        self._last: Image | None = None
        self.written = 0
        self._cut = 0

    def write(self, image: Image, seconds: float) -> None:
        """One frame.

        Args:
            image: (H, W, 3) RGB; another size than the first one's is scaled to it.
            seconds: When it is shown, later than the one before.

        Raises:
            FacewiseError: The file cannot be written.
        """
        frame = self._fitted(image)
        due = round(seconds * self._fps) - self._cut
        longest = round(_LONGEST_PAUSE * self._fps)
        if due - self.written > longest:
            self._cut += due - self.written - longest
            due = self.written + longest
        held = frame if self._last is None else self._last
        for _ in range(due - self.written):
            self._writer.write(held)
            self.written += 1
        if due == self.written:
            self._writer.write(frame)
            self.written += 1
        self._last = frame

    def close(self) -> None:
        """Ends the file."""
        if self._writer is not None:
            self._writer.release()

    def _fitted(self, image: Image) -> Image:
        """BGR, of the file's size; codecs want even sides, so an odd one is repeated once."""
        height, width = image.shape[:2]
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        if height % 2 or width % 2:
            bgr = cv2.copyMakeBorder(bgr, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        size = (bgr.shape[1], bgr.shape[0])
        if self._writer is None:
            self._size = size
            with quiet():
                self._writer = _open(self._path, self._codec, self._fps, size)
            if not self._writer.isOpened():
                raise FacewiseError(
                    f"A video of {size[0]} × {size[1]} pixels cannot be written to {self._path.suffix} with "
                    f"{self._codec}: choose another ending."
                )
        if size != self._size:
            bgr = cv2.resize(bgr, self._size, interpolation=cv2.INTER_AREA)
        return np.asarray(bgr, dtype=np.uint8)


@contextmanager
def video_out(path: str | os.PathLike[str], fps: float) -> Iterator[VideoOut]:
    """A video to write frames to; it is at `path` when the block ends well, and otherwise not at all.

    Raises:
        SettingError: An ending that cannot be written.
        FacewiseError: The file cannot be written, or not whole, as on a full disk.
    """
    codec = codec_for(Path(path).suffix)
    with atomic_write(path) as temporary:
        out = VideoOut(temporary, codec, fps)
        try:
            yield out
        finally:
            out.close()
        if not out.written:
            raise FacewiseError(f"{path} was not written: there was no frame to write.")
        # OpenCV's writer tells of no error, so what was written is looked at.
        if not _whole(temporary, out.written):
            raise FacewiseError(
                f"{path} could not be written whole: the disk may be full; free some space and try again."
            )


def _whole(path: Path, frames: int) -> bool:
    with text_path(path) as text:
        capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG)
    try:
        told = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return bool(capture.isOpened() and capture.grab() and told >= 0.98 * frames - 2)
    finally:
        capture.release()


def _open(path: Path, codec: str, fps: float, size: tuple[int, int]) -> Any:
    fourcc = cv2.VideoWriter_fourcc(*codec)  # type: ignore[attr-defined]
    with text_path(path) as text:
        return cv2.VideoWriter(text, cv2.CAP_FFMPEG, fourcc, fps, size)


@contextmanager
def quiet() -> Iterator[None]:
    """What OpenCV has to say of a codec or file that it cannot use is told in a sentence, not printed."""
    logging = getattr(cv2.utils, "logging", None)
    before = None if logging is None else logging.getLogLevel()
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        if logging is not None:
            logging.setLogLevel(before)
