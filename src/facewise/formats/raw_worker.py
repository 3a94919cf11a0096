"""Develops one camera RAW file: from stdin, to stdout as width, height (uint32) and RGB."""

from __future__ import annotations

import contextlib
import io
import struct
import sys

_SECONDS = 100
_BYTES, _BYTES_OF_PIXEL = 2 * 2**30, 24
"""Memory: of Python and its libraries, mostly set aside and not used; and of one pixel on its way."""


def main(limit: int) -> int:
    """Read, develop, write; the exit code is 0 if all went well."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no limits
        import resource  # noqa: PLC0415

        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
        most = _BYTES + _BYTES_OF_PIXEL * limit
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import rawpy  # noqa: PLC0415  within the limits

    out = sys.stdout.buffer
    with rawpy.imread(io.BytesIO(sys.stdin.buffer.read())) as raw:
        sizes = raw.sizes
        if sizes.raw_width * sizes.raw_height > limit:
            out.write(struct.pack("<II", sizes.raw_width, sizes.raw_height))
            return 1
        pixels = raw.postprocess(use_camera_wb=True)
    out.write(struct.pack("<II", pixels.shape[1], pixels.shape[0]))
    out.write(pixels.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
