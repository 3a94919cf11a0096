"""Reads damaged videos, in a process of its own: `hostile_worker.py FOLDER FROM TO`.

Prints one line a file: `read N` frames with or without a problem, or `refused`. Whatever else happens (an
exception that is no ImageError, a signal) ends it, which the test sees.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from facewise.errors import ImageError
from facewise.video.reader import VideoFile
from mutations import bits_flipped, length_changed, overwritten, spliced, truncated

WAYS = (truncated, bits_flipped, overwritten, spliced, length_changed)


def main() -> None:
    folder, start, stop = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    originals = [path.read_bytes() for path in sorted(folder.iterdir())]
    suffixes = [path.suffix for path in sorted(folder.iterdir())]
    for seed in range(start, stop):
        rng = np.random.default_rng(seed)
        which = seed % len(originals)
        data = originals[which]
        for _ in range(int(rng.integers(1, 4))):
            data = WAYS[rng.integers(len(WAYS))](data, rng, originals) or b"\0"
        path = folder.parent / f"hostile{suffixes[which]}"
        path.write_bytes(data)
        try:
            with VideoFile(path, max_seconds=60.0) as video:
                last = -1.0
                frames = 0
                for stamp in video.stamps():
                    assert stamp.frame == frames
                    assert last < stamp.seconds < 60
                    image = video.image()
                    assert (image.dtype, image.shape[2]) == (np.uint8, 3)
                    last, frames = stamp.seconds, frames + 1
                    if frames >= 400:
                        break
            sys.stdout.write(f"read {frames} {video.problem or ''}\n")
        except ImageError as error:
            if "\n" in str(error):
                raise AssertionError("more than one line") from error
            sys.stdout.write("refused\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
