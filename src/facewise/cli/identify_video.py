"""`facewise identify` on videos and cameras: who was there when."""

from __future__ import annotations

import csv
import io
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from facewise.cli import STOPPED
from facewise.cli.output import (
    BadItems,
    check_output_file,
    count,
    progress_bar,
    say,
    table,
    tell,
    usage_error,
)
from facewise.errors import FacewiseError
from facewise.filenames import shown

if TYPE_CHECKING:
    from facewise.gallery import Gallery
    from facewise.video import VideoResult


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """What the command was asked to do with videos.

    Attributes:
        out: The annotated video of the one video or camera, or None.
        csv: The table of who was there when, or None.
        every: Look at each N-th frame, or None.
        seconds: Look at so many seconds, or None.
        camera: Its number, or None.
        fmr: What to decide by, as given.
        fpir: Likewise.
        threshold: Likewise.
        groups: Of the people to look among, or None.
    """

    out: Path | None
    csv: Path | None
    every: int | None
    seconds: float | None
    camera: int | None
    fmr: float | None
    fpir: float | None
    threshold: float | None
    groups: tuple[str, ...] | None

    def check(self, videos: Sequence[Path], paths: Sequence[Path]) -> None:
        """Refuses, before any work, what makes no sense together or cannot be written."""
        from facewise.video.writer import codec_for

        if self.camera is not None and paths:
            usage_error("give photos and videos, or --camera N, not both.")
        sources = len(videos) + (self.camera is not None)
        given = {"--out": self.out, "--csv": self.csv, "--every": self.every, "--seconds": self.seconds}
        asked = ", ".join(option for option, value in given.items() if value is not None)
        if asked and not sources:
            usage_error(f"{asked}: for videos and cameras only, and no PATH is a video.")
        if self.out is not None and sources > 1:
            usage_error("--out names the one video to write; for several use --draw FOLDER.")
        for path in (self.out, self.csv):
            if path is not None:
                check_output_file(path)
        if self.out is not None:
            codec_for(self.out.suffix)


def identify_videos(
    opened: Gallery,
    videos: Sequence[Path],
    options: VideoOptions,
    bad: BadItems,
    stop: Callable[[], bool],
    drawn: Callable[[Path], Path | None],
) -> list[VideoResult]:
    """Looks at each video, or at the camera; what is bad goes to `bad`.

    Args:
        opened: The gallery.
        videos: The files.
        options: What to do.
        bad: Told what went wrong.
        stop: Whether Ctrl-C was pressed.
        drawn: Where a file's annotated video goes, None for nowhere.
    """
    from facewise.video import VideoSettings, identify_camera, identify_video

    settings = VideoSettings(every=options.every, seconds=options.seconds)
    fmr, fpir, threshold = options.fmr, options.fpir, options.threshold
    if options.camera is not None:
        until = "Ctrl-C ends it." if options.seconds is None else f"For {options.seconds:g} s."
        tell(f"Looking at camera {options.camera}. {until}")
        result = identify_camera(
            options.camera,
            opened,
            fmr=fmr,
            fpir=fpir,
            threshold=threshold,
            groups=options.groups,
            settings=settings,
            out=options.out,
            stop=stop,
            seen=_tell_seen,
        )
        if result.problem is not None:
            bad.add(result.source, result.problem)
        return [result]
    results = []
    for path in videos:
        if stop():
            tell(f"{path} was not looked at.")
            continue
        out = options.out or drawn(path)
        try:
            with frames_bar(f"Watching {path.name}", 2 if out else 1) as progress:
                result = identify_video(
                    path,
                    opened,
                    fmr=fmr,
                    fpir=fpir,
                    threshold=threshold,
                    groups=options.groups,
                    settings=settings,
                    out=out,
                    progress=progress,
                    stop=stop,
                )
        except FacewiseError as error:
            bad.add(str(path), error)
            continue
        results.append(result)
        if result.problem is not None:
            bad.add(str(path), result.problem)
    return results


@contextmanager
def ctrl_c_asks() -> Iterator[Callable[[], bool]]:
    """Within the block the first Ctrl-C asks to stop, the second stops as ever."""
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: Any) -> None:
        if pressed and callable(before):
            before(number, frame)
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def frames_bar(label: str, passes: int) -> Iterator[Callable[[int, int | None], None]]:
    """A bar over the frames of all passes; its function is told how many frames of this pass are done."""
    done = 0

    with progress_bar(label, None) as bar:

        def tell_frames(frames: int, total: int | None) -> None:
            nonlocal done
            step, done = (frames - done if frames > done else frames), frames
            bar(step, None if total is None else total * passes)

        yield tell_frames


def _tell_seen(seconds: float, name: str, similarity: float) -> None:
    alike = f" ({similarity:.2f})" if similarity > -1 else ""
    tell(f"{clock(seconds)}  {name}{alike}")


def tell_videos(results: Sequence[VideoResult]) -> None:
    """The table of who was there when, on stdout."""
    rows = [row for result in results for row in _rows(result)]
    table("", ("video", "who", "from", "to", "faces", "similarity"), rows, right=(2, 3, 4, 5))
    for result in results:
        brief = f"; {count(result.brief, 'face')} seen too briefly to tell left out" if result.brief else ""
        say(
            f"{shown(result.source)}: {count(len(result.people), 'person', 'people')} in "
            f"{clock(result.seconds)}, {result.looked_at} of {count(result.frames, 'frame')} looked at"
            f"{brief}."
        )
        if result.out is not None:
            say(f"Annotated in {shown(result.out)}.")


def _rows(result: VideoResult) -> Iterator[tuple[object, ...]]:
    name = shown(result.source)
    if not result.people:
        yield name, "nobody", "", "", "", ""
    for person in result.people:
        who = person.label
        for i in person.intervals:
            yield name, who, clock(i.start), clock(i.end), i.faces, f"{i.similarity:.3f}"
            name = who = ""


def write_csv(path: Path, results: Sequence[VideoResult]) -> None:
    """One row an interval, UTF-8."""
    from facewise.files import write_bytes
    from facewise.video.results import CSV_COLUMNS, csv_rows

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for result in results:
        writer.writerows(csv_rows(result))
    write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))
    tell(f"Who was there when is in {path}.")


def clock(seconds: float) -> str:
    """`0:07.5`, `1:02:07.5`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{start}:{rest / 10:04.1f}"


def end_if_stopped(stopped: bool) -> None:
    """Ends the command as Ctrl-C does, once everything that was done is told."""
    if stopped:
        tell("Stopped; what was seen until then is told.")
        raise typer.Exit(STOPPED)
