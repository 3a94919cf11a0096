"""What can go wrong, each told in one plain sentence that says what is wrong and what to do.

The command line prints the sentence to stderr and exits with code 3; a library caller catches
`FacewiseError` or one of its few children.
"""

from __future__ import annotations

from collections.abc import Iterable


class FacewiseError(Exception):
    """Base of every error Facewise raises on purpose. `str(error)` is one plain sentence."""


class FacewiseWarning(UserWarning):
    """What was asked for is done, but not all that goes with it; one plain sentence says what is not."""


class ImageError(FacewiseError):
    """A photo cannot be read: not an image, truncated, too large, missing."""


class PhotoTooLargeError(ImageError):
    """A photo has more bytes or pixels than are taken."""


class FileNameError(FacewiseError):
    """A file cannot have the name it was given: too long, or with characters its file system refuses."""


class DamagedPhotoError(ImageError):
    """A photo is damaged or cut short, though its decoder made a picture of it."""


class FaceNotFoundError(FacewiseError):
    """A photo was read, but the face that was asked for is not in it."""


class PoorPhotoError(FacewiseError):
    """A photo's face is too poor for what was asked: blurred, dark, small, covered."""


class NotLiveError(PoorPhotoError):
    """A face does not look live where only live ones are taken."""


class ModelError(FacewiseError):
    """A model file, checkpoint, provider or download is missing, broken or of the wrong kind."""


class GalleryError(FacewiseError):
    """A gallery is missing, damaged, or refuses what it was asked to do."""


class UnknownPersonError(GalleryError):
    """A gallery has nobody of that name or number, or no such sample."""


class NameTakenError(GalleryError):
    """A gallery has somebody of that name already."""


class ReadOnlyError(GalleryError):
    """A gallery can be read, but not written, and so not changed."""


class StorageFullError(GalleryError):
    """There is no room to store what was asked for; what was stored before is as it was."""


class UnusableGalleryError(GalleryError):
    """A gallery is damaged, was changed without its key, or is not the latest: nothing a caller can mend."""


class DatasetError(FacewiseError):
    """A dataset or protocol file is missing, incomplete or malformed."""


class SettingError(FacewiseError):
    """A setting is unknown or out of range."""


def nearest_known(name: str, known: Iterable[str]) -> str:
    """How a sentence about an unknown name ends: "; did you mean arcface?" or "; there are a, b."."""
    import difflib  # noqa: PLC0415  errors are loaded with everything, and this is rarely needed

    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(names)}."
