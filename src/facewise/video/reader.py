"""Frames with their times, from a file or a camera."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import cv2

from facewise.errors import ImageError, SettingError
from facewise.files import text_path
from facewise.image import file_errors, local_path, source_name
from facewise.types import Image
from facewise.video.content import looks_like_video
from facewise.video.writer import quiet

MAX_PIXELS = 8192 * 4352
"""Width × height above which a video is refused: 8K passes."""

MAX_SECONDS = 24 * 3600.0
"""What comes later in a video is left out, and told."""

_FASTEST, _USUAL = 480.0, 25.0
"""Frames a second: more is a container's clock and no frame rate; what is taken where nothing is told."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which frame, and when: its number from 0, and seconds from the start of the video."""

    frame: int
    seconds: float


class FrameSource(Protocol):
    """A file or a camera: stamps one by one, and the picture of the newest, made only when asked for."""

    @property
    def name(self) -> str:
        """What to call it in a sentence."""
        ...

    @property
    def fps(self) -> float:
        """Frames a second, as told by the source; of a variable rate some average."""
        ...

    def stamps(self) -> Iterator[Stamp]:
        """Each frame in turn; times rise strictly."""
        ...

    def image(self) -> Image:
        """The newest frame, RGB uint8 (H, W, 3), the right way up."""
        ...


class _Capture:
    """What a file and a camera have in common: OpenCV's capture, asked politely."""

    def __init__(self, capture: Any, name: str, max_pixels: int) -> None:
        self._capture, self._max_pixels = capture, max_pixels
        self.name = name
        told = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = told if math.isfinite(told) and 0.1 <= told <= _FASTEST else _USUAL
        self.width = max(0, int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)))
        self.height = max(0, int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        self._check_pixels(self.width, self.height)

    def close(self) -> None:
        """Lets the file or the camera go."""
        self._capture.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def image(self) -> Image:
        """The newest frame; see `FrameSource.image`.

        Raises:
            ImageError: It cannot be decoded, or is larger than the limit.
        """
        try:
            good, picture = self._capture.retrieve()
        except cv2.error as error:
            raise ImageError(f"A frame of {self.name} cannot be decoded: the video is damaged.") from error
        if not good or picture is None or picture.ndim != 3 or picture.shape[2] != 3:
            raise ImageError(f"A frame of {self.name} cannot be decoded: the video is damaged.")
        self.height, self.width = picture.shape[:2]  # which may change in the midst of a stream
        self._check_pixels(self.width, self.height)
        rgb: Image = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return rgb

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            self.close()
            raise ImageError(
                f"{self.name} cannot be read: its {width} × {height} pixels are over the limit of "
                f"{self._max_pixels:,}; make it smaller first."
            )

    def _grab(self) -> bool:
        try:
            return bool(self._capture.grab())
        except cv2.error:  # a decoder that trips over damage ends the video
            return False


class VideoFile(_Capture):
    """A video file, opened. Close it, or use it in a `with` block.

    What is read is a regular local file whose content is that of a container of video; never an address, a
    playlist or a pattern of names. Rotation that the file asks for (as telephones do) is applied.

    Args:
        path: The file.
        max_pixels: Refuse larger frames, before any is decoded.
        max_seconds: Leave out what comes later.

    Attributes:
        problem: After the frames were read: what was wrong with the rest of them in one sentence, or None.

    Raises:
        ImageError: It is missing, no video, damaged from its start, or larger than the limit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_pixels: int = MAX_PIXELS,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        name = source_name(path)
        full = checked_path(path, name)
        # The decoders' complaints about damage are told as one sentence instead; a user may want them all.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with text_path(Path(full)) as text, quiet():
            capture = cv2.VideoCapture(text, cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise ImageError(
                f"{name} cannot be read as a video: it is damaged, cut short, without pictures or of a "
                "format unknown to this OpenCV; copy it again, or convert it to MP4."
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        super().__init__(capture, name, max_pixels)
        self._max_seconds = max_seconds
        told = float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.frames = int(told) if math.isfinite(told) and 0 < told < 2**40 else None
        self.problem: str | None = None

    def stamps(self) -> Iterator[Stamp]:
        """Each frame in turn, by the times in the file, so that a variable frame rate keeps its times."""
        last = Stamp(-1, -1.0 / self.fps)
        while self._grab():
            at = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            # Some containers have no times, and damaged ones have absurd ones: then frames follow evenly.
            if not (math.isfinite(at) and last.seconds < at < last.seconds + self._max_seconds):
                at = last.seconds + 1 / self.fps
            if at >= self._max_seconds:
                self.problem = (
                    f"{self.name} is longer than {self._max_seconds:g} s; what comes later is left out."
                )
                return
            last = Stamp(last.frame + 1, at)
            yield last
        self._tell_end(last)

    def _tell_end(self, last: Stamp) -> None:
        """Whether the frames came that the file speaks of, in number or in time: the count may be a guess."""
        read = last.frame + 1
        if self.frames is None:
            return
        seconds = self.frames / self.fps
        if read < 0.98 * self.frames - 1 and last.seconds < 0.98 * seconds - 2 / self.fps:
            self.problem = (
                f"{self.name} is damaged or cut short: {read} of about {self.frames} frames could be read."
            )


def checked_path(path: str | os.PathLike[str], name: str) -> Path:
    """The absolute path of a regular file with a video's content, so that FFmpeg takes it for nothing else.

    Raises:
        ImageError: It is something else.
    """
    full = Path(local_path(path, name)).absolute()
    with file_errors(name):
        if full.is_dir():
            raise ImageError(f"{name} is a folder: name a video in it.")
        if full.exists() and not full.is_file():
            raise ImageError(f"{name} is a device, pipe or socket: give a regular file, or --camera.")
        with full.open("rb") as file:
            start = file.read(1024)
    if not start:
        raise ImageError(f"{name} is empty: copy the video again.")
    if not looks_like_video(start):
        raise ImageError(
            f"{name} is not a video this Facewise reads: convert it to MP4, MOV, AVI, MKV or WebM first."
        )
    return full


class Camera(_Capture):
    """A camera of this machine, opened; frames have the times at which they came.

    Args:
        number: Which, from 0.
        clock: Seconds that never go back.

    Raises:
        ImageError: There is no such camera, or another program uses it.
    """

    def __init__(self, number: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        if number < 0:
            raise SettingError(f"Cameras are counted from 0; there is no camera {number}.")
        capture = cv2.VideoCapture(number)
        if not capture.isOpened():
            raise ImageError(
                f"Camera {number} cannot be opened: check that it is there, that no other program uses it "
                "and that you may."
            )
        # Old frames waiting in a queue would be told as present.
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        super().__init__(capture, f"camera {number}", MAX_PIXELS)
        self.frames = None
        self.problem: str | None = None
        self._clock = clock

    def stamps(self) -> Iterator[Stamp]:
        """Each frame as it comes, until the camera stops."""
        started, last, frame = self._clock(), -1e-3, 0
        while self._grab():
            last = max(self._clock() - started, last + 1e-3)
            yield Stamp(frame, last)
            frame += 1
        self.problem = f"{self.name} stopped giving frames after {max(last, 0):.1f} s."
