"""What a decoder says of a file it will not read."""

from __future__ import annotations

from facewise.errors import ImageError, PhotoTooLargeError

DAMAGED = "it is damaged or cut short", "copy or download the photo again"
"""What is wrong with, and the remedy for, most files that no decoder reads."""


class Refused(Exception):  # noqa: N818  it becomes an ImageError where the photo's name is known
    """A photo cannot be read.

    Args:
        wrong: What is wrong with it, as half a sentence: `it is damaged`.
        remedy: What to do about it: `copy the photo again`.
        kind: The error it becomes.
    """

    def __init__(self, wrong: str, remedy: str, kind: type[ImageError] = ImageError) -> None:
        super().__init__(wrong, remedy)
        self.wrong, self.remedy, self.kind = wrong, remedy, kind


def check_pixels(width: int, height: int, limit: int) -> None:
    """Refuse more pixels than `limit`.

    Raises:
        Refused: There are more, or none.
    """
    if width < 1 or height < 1:
        raise Refused(*DAMAGED)
    if width * height > limit:
        wrong = f"its {width} × {height} pixels are over the limit of {limit:,}"
        raise Refused(wrong, "make it smaller first", PhotoTooLargeError)
