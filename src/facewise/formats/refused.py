"""What a decoder says of a file it will not read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from facewise.errors import ImageError, PhotoTooLargeError

DAMAGED = "it is damaged or cut short", "copy or download the photo again"
"""What is wrong with, and the remedy for, most files that no decoder reads."""


class Refused(Exception):  # noqa: N818  it becomes an ImageError where the photo's name is known
    """A photo cannot be read.

    Args:
        wrong: What is wrong with it, as half a sentence: `it is damaged`.
        remedy: What to do about it: `copy the photo again`.
        kind: The error it becomes.
        size: Its height and width in pixels, where they are what is wrong.
    """

    def __init__(
        self,
        wrong: str,
        remedy: str,
        kind: type[ImageError] = ImageError,
        size: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(wrong, remedy)
        self.wrong, self.remedy, self.kind, self.size = wrong, remedy, kind, size


@contextlib.contextmanager
def decoding(wrong: str = DAMAGED[0], remedy: str = DAMAGED[1]) -> Iterator[None]:
    """Refuse, as `wrong`, what a decoder trips over.

    Of a damaged file that is anything: OSError, SyntaxError, KeyError, struct.error. No list stays complete.
    """
    try:
        yield
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("there is not enough memory to decode it", "make it smaller first") from error
    except Exception as error:
        raise Refused(wrong, remedy) from error


def check_pixels(width: int, height: int, limit: int) -> None:
    """Refuse more pixels than `limit`.

    Raises:
        Refused: There are more, or none.
    """
    if width < 1 or height < 1:
        raise Refused(*DAMAGED)
    if width * height > limit:
        wrong = f"its {width} × {height} pixels are over the limit of {limit:,}"
        raise Refused(wrong, "make it smaller first", PhotoTooLargeError, (height, width))
