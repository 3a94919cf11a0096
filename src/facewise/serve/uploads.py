"""From a body to photos and parameters: `multipart/form-data`, or JSON with base64.

Base64 may have line breaks, the letters of URLs (- and _) or no padding, as other programs write it. A text
where a photo belongs (a path, a URL, a `data:` URL) is refused as what it is. Nothing here opens or fetches
anything.

What a parser would have to do is counted before it begins, by looking for single bytes: how many parts a form
can have, how many values a JSON can have and how deep they can lie. So a body costs by its length alone, and
what is refused for its number of photos is refused before the first of them is made.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from facewise.serve.errors import ProblemError
from facewise.serve.settings import Limits

_MOST_TEXT = 64 * 2**10
"""Bytes of one text field of a form."""

_MOST_HEADERS = 8 * 2**10
"""Bytes of the headers of one part of a form, and of a body's content type."""

_MOST_FIELDS = 200
"""Text fields of one form."""

_MOST_MARKS = 25_000
"""Brackets, commas and quotation marks of a JSON, beside those of its photos: the longest list of groups of
the longest names, of nothing else, has fewer."""

_MARKS_A_PHOTO = 3

_MOST_BESIDE = 512 * 2**10
"""Bytes of a body beside its photos."""

_BASE64 = 1.5
"""How much longer base64 in JSON may be than the photo: 4/3, line breaks and slashes escaped."""


_URL = re.compile(r"data:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Upload(bytes):
    """The bytes of a photo that somebody sent, with what to call it."""

    name: str


@dataclass(slots=True)
class Sent:
    """What a request's body holds.

    Attributes:
        photos: By field, in order.
        fields: Everything else; values are texts (or lists of them) where it came as a form.
        is_form: Whether it came as a form.
    """

    photos: dict[str, list[Upload]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    is_form: bool = True


def most_bytes(photo_fields: Mapping[str, bool], limits: Limits) -> int:
    """How long a body can be that holds nothing but these fields, in either form."""
    photos = sum(limits.max_photos if several else 1 for several in photo_fields.values())
    return min(limits.max_body, _MOST_BESIDE + int(_BASE64 * photos * limits.max_bytes))


def copies(body: bytes, content_type: str) -> int:
    """How many times its bytes `parse` holds in memory at once, at most: JSON is a text on its way to photos.

    A single letter beyond Latin-1 makes all of that text four bytes a letter.
    """
    if content_type.lstrip()[:19].lower() == "multipart/form-data":
        return 2
    return 3 if body.isascii() else 6


def parse(body: bytes, content_type: str, photo_fields: Mapping[str, bool], limits: Limits) -> Sent:
    """Takes a body apart.

    Args:
        body: The whole of it.
        content_type: As the header says.
        photo_fields: The fields that hold photos, and whether each may hold several.
        limits: Of photos, and of their bytes.

    Raises:
        ProblemError: Of another type, malformed, or over a limit; or a photo field holds no photo.
    """
    kind, options = parse_options_header(content_type if len(content_type) <= _MOST_HEADERS else "")
    if kind == b"multipart/form-data":
        boundary = options.get(b"boundary", b"")
        if not 1 <= len(boundary) <= 70:
            raise ProblemError(400, "bad_form", "The form's content type must name a boundary.")
        sent = _Form(boundary, photo_fields, limits).parse(body)
    elif kind == b"application/json":
        sent = _from_json(_json(body, photo_fields, limits), photo_fields, limits)
    else:
        raise ProblemError(
            415, "unsupported_type", "Send a form (multipart/form-data), or JSON with photos as base64."
            if photo_fields else "Send JSON, or a form (multipart/form-data).",
        )  # fmt: skip
    _check(sent, photo_fields, limits)
    return sent


def _check(sent: Sent, photo_fields: Mapping[str, bool], limits: Limits) -> None:
    for name, several in photo_fields.items():
        photos = sent.photos.get(name, [])
        if not photos:
            raise _unfit(f"The field {name} is missing: it holds the photo{'s' if several else ''}.")
        if not several and len(photos) > 1:
            raise _unfit(f"The field {name} holds one photo, not {len(photos)}.")
        for photo in photos:
            if len(photo) > limits.max_bytes:
                raise _too_large(photo.name, limits)


def _too_many(count: int, limits: Limits) -> ProblemError:
    return ProblemError(
        413, "too_many_photos", f"A request has at most {limits.max_photos} photos, not {count}."
    )


def _too_much(photo_fields: Mapping[str, bool], sentence: str) -> ProblemError:
    return ProblemError(413, "too_many_photos" if any(photo_fields.values()) else "too_long", sentence)


def _too_large(name: str, limits: Limits) -> ProblemError:
    return ProblemError(
        413, "photo_too_large", f"A photo has at most {limits.max_bytes // 2**20} MiB: save {name} smaller."
    )


def _unfit(sentence: str) -> ProblemError:
    return ProblemError(422, "bad_field", sentence)


def _no_photo(name: str) -> ProblemError:
    return ProblemError(
        422, "not_a_photo",
        f"The field {name} is no photo: upload the image file itself, or send its bytes as base64 in JSON; a "
        "path or a URL is never opened.",
    )  # fmt: skip


# JSON


def _json(body: bytes, photo_fields: Mapping[str, bool], limits: Limits) -> dict[str, Any]:
    if body.count(b"[") + body.count(b"{") > _MOST_MARKS:
        raise ProblemError(
            400, "bad_json", "The body is no JSON that is asked for here: it is lists of lists."
        )
    if body.count(b",") + body.count(b'"') > _MOST_MARKS + _MARKS_A_PHOTO * limits.max_photos:
        raise _too_much(
            photo_fields, f"The JSON has more values than {limits.max_photos} photos and all parameters."
        )

    def refuse(_: str) -> NoReturn:
        raise ValueError

    try:
        # As UTF-8 and nothing else: by itself Python would guess UTF-16, which no proxy in between reads.
        data = json.loads(body.decode("utf-8-sig"), parse_constant=refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError):  # a UnicodeDecodeError is one
        raise ProblemError(400, "bad_json", "The body is not JSON.") from None
    if not isinstance(data, dict):
        raise ProblemError(400, "bad_json", "The body must be a JSON object.")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ProblemError(400, "bad_json", "The body names a field twice.")
    return data


def _from_json(data: dict[str, Any], photo_fields: Mapping[str, bool], limits: Limits) -> Sent:
    sent = Sent(is_form=False)
    for name, value in data.items():
        if name not in photo_fields:
            sent.fields[name] = value
        elif photo_fields[name]:
            if not isinstance(value, list):
                raise _unfit(f"The field {name} is a list of photos, each as base64.")
            if len(value) > limits.max_photos:
                raise _too_many(len(value), limits)
            sent.photos[name] = [_from_base64(item, f"{name}[{i}]", limits) for i, item in enumerate(value)]
        else:
            sent.photos[name] = [_from_base64(value, name, limits)]
    return sent


def _from_base64(text: object, name: str, limits: Limits) -> Upload:
    if not isinstance(text, str) or not text:
        raise _no_photo(name)
    url = _URL.match(text)
    if url is not None:
        raise ProblemError(
            422, "not_a_photo",
            f"The field {name} is a data: URL: send only what follows its comma."
            if url[0].lower() == "data:"
            else f"The field {name} is a URL, which is never opened: download the photo and send its bytes.",
        )  # fmt: skip
    if len(text) > _BASE64 * limits.max_bytes + _LEAST_BASE64:
        raise _too_large(name, limits)
    try:
        photo = Upload(binascii.a2b_base64(_plain_base64(text), strict_mode=True))
    except ValueError:  # binascii.Error and UnicodeEncodeError are
        raise _no_photo(name) from None
    photo.name = name
    return photo


_LEAST_BASE64 = 64
"""Characters that the smallest photo has; fewer are taken to the letter, as they may be a path or a slip."""

_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _plain_base64(text: str) -> bytes:
    """Base64 as the strict have it: no blanks and line breaks, + and / instead of - and _, padded."""
    plain = text.encode("ascii")
    if len(plain) < _LEAST_BASE64:
        return plain
    plain = plain.translate(_FROM_URL_SAFE, b" \t\r\n")
    return plain if plain.endswith(b"=") else plain + b"=" * (-len(plain) % 4)


# Forms


class _Form:
    """One form, part by part."""

    def __init__(self, boundary: bytes, photo_fields: Mapping[str, bool], limits: Limits) -> None:
        self._boundary, self._photo_fields, self._limits = boundary, photo_fields, limits
        self._sent = Sent()
        self._fields = 0
        self._ended = False
        self._begin()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_part_data": self._on_data,
                "on_part_end": self._on_part,
                "on_end": self._on_end,
            },
        )

    def parse(self, body: bytes) -> Sent:
        most = _MOST_FIELDS + sum(
            self._limits.max_photos if many else 1 for many in self._photo_fields.values()
        )
        parts = body.count(b"--" + self._boundary) - 1
        if parts > most:
            raise _too_much(self._photo_fields, f"A form has at most {most} parts here, not {parts}.")
        try:
            self._parser.write(body)
        except FormParserError:
            self._ended = False
        if not self._ended:
            raise ProblemError(400, "bad_form", "The form is malformed or cut short.")
        return self._sent

    def _begin(self) -> None:
        self._name = self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._data: list[bytes] = []

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._bounded(len(self._name))

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._bounded(len(self._value) + 500 * len(self._headers))

    @staticmethod
    def _bounded(size: int) -> None:
        if size > _MOST_HEADERS:
            raise ProblemError(400, "bad_form", "The form's headers are too long.")

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True

    def _on_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name in self._photo_fields:
            if b"filename" not in options:
                raise _no_photo(name)
            photo = Upload(b"".join(self._data))
            photos = self._sent.photos.setdefault(name, [])
            if len(photos) >= self._limits.max_photos:
                raise _too_many(len(photos) + 1, self._limits)
            photo.name = _file_name(options[b"filename"]) or (
                f"{name}[{len(photos)}]" if self._photo_fields[name] else name
            )
            photos.append(photo)
        else:
            self._text(name, b"".join(self._data), is_file=b"filename" in options)

    def _text(self, name: str, data: bytes, *, is_file: bool) -> None:
        self._fields += 1
        if is_file or not name:
            told = ", ".join(self._photo_fields) or "none"
            raise _unfit(f"A file was sent in a field that takes none; photos belong in: {told}.")
        if len(data) > _MOST_TEXT or self._fields > _MOST_FIELDS:
            raise ProblemError(413, "too_long", "The form has too many or too long text fields.")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise ProblemError(400, "bad_form", "A text field of the form is not UTF-8.") from None
        known = self._sent.fields.get(name)
        if known is None:
            self._sent.fields[name] = text
        elif isinstance(known, list):
            known.append(text)
        else:
            self._sent.fields[name] = [known, text]


def _file_name(raw: bytes) -> str:
    """The last part of the name that a file had where it came from; empty if that is no plain text."""
    name = raw.decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2].strip()
    return name[:100] if name.isprintable() and "\ufffd" not in name else ""
