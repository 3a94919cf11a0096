"""`facewise identify` on videos against detecting and embedding every frame: pace, and the same answer.

Photos of LFW are moved across a background (`moving_photos.py`), so that who was there when is known: half
of the people are enrolled with two other photos, half are strangers. All ways look at the same files in
turn, with the bundled models and the same threads: with the tracker and eight looks a second (the default),
with the tracker and a look at every frame, and each frame as a photo by itself (`Gallery.identify_many`).

    benchmarks/video.py [CLIPS [SECONDS]]
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from facewise.gallery import Gallery
from facewise.video import VideoSettings, identify_video
from facewise.video.reader import VideoFile
from facewise.video.watch import Watcher
from moving_photos import FPS, Walker, cast, in_view, stage, write
from real import LFW

CLIPS = int(sys.argv[1]) if len(sys.argv) > 1 else 4
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 16.0
PEOPLE, SHOWN = 8, 2
FIRST_SEED = 100
"""Of the videos: the tracker was corrected on what it did wrong with seed 0, and on none of these."""


@dataclass
class Sums:
    """What came of one way over all clips."""

    seconds: list[float] = field(default_factory=list)
    there: int = 0
    seen: int = 0
    named_right: int = 0
    named_wrong: int = 0
    told: list[set[str]] = field(default_factory=list)
    strangers: list[int] = field(default_factory=list)
    switches: int = 0


def main() -> None:
    ways = {"8 looks a second": Sums(), "every frame": Sums(), "each frame as a photo": Sums()}
    decoding, known_of, strangers_of = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for clip in range(CLIPS):
            seed = FIRST_SEED + clip
            people = cast(LFW / "images", PEOPLE, seed)
            known = set(list(people)[::2])
            walkers = stage(people, SECONDS, seed, SHOWN)
            path = write(Path(folder) / f"{clip}.mp4", walkers, SECONDS, seed)
            known_of.append(known)
            strangers_of.append(PEOPLE - len(known))
            with Gallery.open(Path(folder) / f"{clip}.db") as gallery:
                for name in known:
                    gallery.enroll(name, people[name][:SHOWN])
                begun = time.perf_counter()
                with VideoFile(path) as video:
                    frames = sum(1 for _ in video.stamps())
                decoding.append(time.perf_counter() - begun)
                for way, sums in ways.items():
                    if way == "each frame as a photo":
                        _as_photos(sums, path, gallery, walkers, known)
                    else:
                        every = 1 if way == "every frame" else None
                        _as_video(sums, path, gallery, walkers, known, every)
    _print(ways, decoding, known_of, strangers_of, frames)


def _as_video(
    sums: Sums, path: Path, gallery: Gallery, walkers: list[Walker], known: set[str], every: int | None
) -> None:
    begun = time.perf_counter()
    result = identify_video(path, gallery, settings=VideoSettings(every=every))
    sums.seconds.append(time.perf_counter() - begun)
    sums.told.append({p.name for p in result.people if p.name is not None})
    sums.strangers.append(sum(p.name is None for p in result.people))
    there = {p.name: np.zeros(result.frames, bool) for p in result.people if p.name}
    for person in result.people:
        for i in person.intervals if person.name else ():
            there[person.name][i.first_frame : i.last_frame + 1] = True
    for frame in range(result.frames):
        seen = in_view(walkers, frame / FPS)
        for name in known & set(seen):
            sums.there += 1
            sums.named_right += bool(name in there and there[name][frame])
    with VideoFile(path) as video:  # again, untimed: the tracks themselves
        watcher = Watcher(gallery, VideoSettings(every=every), video.fps, gallery.search_decision())
        watcher.watch(video, lambda: False, lambda *_: None, None)
    sums.switches += sum(_switches(t, walkers) for t in watcher.tracker.tracks)
    sums.named_wrong += len(sums.told[-1] - known)


def _switches(track, walkers: list[Walker]) -> int:
    """How often a track goes over from one true person to another."""
    who = []
    for at, box in zip(track.times, track.boxes, strict=True):
        middle = (box[:2] + box[2:]) / 2
        near = [
            name
            for name, (x, y, size) in in_view(walkers, at).items()
            if np.hypot(*(middle - (x, y))) < 0.4 * size
        ]
        if len(near) == 1:
            who.append(near[0])
    return sum(a != b for a, b in pairwise(who))


def _as_photos(sums: Sums, path: Path, gallery: Gallery, walkers: list[Walker], known: set[str]) -> None:
    def images(stamps):
        with VideoFile(path) as video:
            for stamp in video.stamps():
                stamps.append(stamp)
                yield video.image()

    stamps: list = []
    begun = time.perf_counter()
    answers = [matches for _, matches in gallery.identify_many(images(stamps))]
    sums.seconds.append(time.perf_counter() - begun)
    told: set[str] = set()
    for stamp, matches in zip(stamps, answers, strict=True):
        names = {m.name for m in matches if m.name is not None}
        told |= names
        seen = set(in_view(walkers, stamp.seconds))
        sums.there += len(known & seen)
        sums.named_right += len(names & known & seen)
    sums.told.append(told)
    sums.named_wrong += len(told - known)


def _print(
    ways: dict[str, Sums],
    decoding: list[float],
    known_of: list[set[str]],
    strangers_of: list[int],
    frames: int,
) -> None:
    total = frames * CLIPS
    slowest = np.array(ways["every frame"].seconds)
    print(
        f"{CLIPS} videos of {SECONDS:g} s, 960×540 at {FPS:g} frames/s, {PEOPLE} people each, half of them "
        f"enrolled with {SHOWN} other photos; bundled models; decoding alone {total / sum(decoding):.0f} "
        "frames/s.\n"
    )
    known = sum(map(len, known_of))
    columns = (
        "way", "frames/s", "times every frame", "by video", f"known people found, of {known}", "wrong names",
        f"strangers told, of {sum(strangers_of)}", "time in view under their name",
        "identity switches",
    )  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for way, sums in ways.items():
        ratios = " ".join(f"{r:.1f}" for r in slowest / np.array(sums.seconds))
        found = sum(len(told & known) for told, known in zip(sums.told, known_of, strict=True))
        strangers = str(sum(sums.strangers)) if sums.strangers else "–"
        switches = str(sums.switches) if sums.strangers else "–"
        print(
            f"| {way} | {total / sum(sums.seconds):.0f} | {slowest.sum() / sum(sums.seconds):.2f} | {ratios} "
            f"| {found} | {sums.named_wrong} | {strangers} | {sums.named_right / sums.there:.1%} "
            f"| {switches} |"
        )
    tracked = (ways["8 looks a second"], ways["every frame"])
    same = sum(a == b for a, b in zip(*(s.told for s in tracked), strict=True))
    print(f"\nThe same names by both ways of tracking in {same} of {CLIPS} videos.")


if __name__ == "__main__":
    main()
