"""`facewise gallery new-key` and `rekey`: encryption of a gallery's embeddings and kept photos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facewise.cli.options import DEFAULT_GALLERY, CounterFile, GalleryPath, Json, KeyFile, given_path
from facewise.cli.output import count, print_json, say, usage_error


def new_key(
    path: Annotated[Path, typer.Argument(help="The key file to make.", parser=given_path)],
    json: Json = False,
) -> None:
    """Make a key file. Keep it apart from the gallery, and a copy: without it nothing can be read."""
    from facewise.vault import new_key_file

    new_key_file(path)
    if json:
        print_json({"key_file": str(path)})
    else:
        say(f"A new key is in {path}: whoever loses it loses what is encrypted with it.")


def rekey(
    gallery: GalleryPath = DEFAULT_GALLERY,
    key_file: KeyFile = None,
    new_key_file: Annotated[
        Path | None,
        typer.Option("--new-key-file", parser=given_path, metavar="FILE", help="The key from now on."),
    ] = None,
    counter_file: CounterFile = None,
    plain: Annotated[bool, typer.Option("--plain", help="From now on without encryption.")] = False,
    json: Json = False,
) -> None:
    """Encrypt a gallery, give it another key, or end its encryption. No byte of the old is left."""
    from facewise.errors import GalleryError
    from facewise.gallery.rekey import is_encrypted
    from facewise.gallery.rekey import rekey as write_anew
    from facewise.gallery.uri import parse_uri

    if (new_key_file is None) == (not plain):
        usage_error("give --new-key-file FILE, or --plain.")
    uri = parse_uri(gallery)
    if uri.scheme != "sqlite" or uri.path is None:
        raise GalleryError(f"{gallery} is not a gallery file: only those are encrypted by Facewise.")
    path = uri.path
    # A key named by the environment is no mistake where there is nothing to open with it yet.
    samples = write_anew(path, key_file if is_encrypted(path) else None, new_key_file, counter_file)
    if json:
        print_json({"gallery": str(gallery), "photos": samples, "encrypted": not plain})
    else:
        say(f"{count(samples, 'photo')} of {gallery} written anew, {'not ' if plain else ''}encrypted.")
