"""`facewise train DATA.csv --recipe attributes`: photos that a CSV labels to faces, and to a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from facewise.data.attributes import LEARN, VALIDATE, LabelledPhotos, labelled_photos
from facewise.data.phash import perceptual_hash
from facewise.errors import DatasetError, ImageError, SettingError
from facewise.evaluation.attribute_photos import FaceCrop, face_crops
from facewise.files import write_bytes
from facewise.geometry import Cut
from facewise.image import read_image
from facewise.models.pretrained import read_pretrained
from facewise.pipeline import Pipeline
from facewise.recipes import recipe_settings
from facewise.textfile import read_text
from facewise.training.attributes.config import AttributesConfig, attributes_config
from facewise.training.attributes.faces import LabelledFaces
from facewise.training.attributes.run import CONFIG, AttributesRun, train_attributes
from facewise.training.display import Bar, Display

RECIPE = "attributes"
DATA = "data.json"
"""Of a run: which CSV it learns from."""

_NAMED = 5
"""Photos that cannot be read, named one by one."""

_LOOKED_AT = 8
"""Photos looked at to see whether they are crops already."""


def is_for_attributes(recipe: str | Path | None, resume: Path | None) -> bool:
    """Whether a recipe, or the run to go on with, is one of attributes."""
    if resume is not None:
        return (resume / DATA).is_file()
    if recipe is None:
        return False
    text = str(recipe)
    if not text.endswith((".yaml", ".yml")):
        return text == RECIPE
    try:
        return _read(text).get("recipe") == RECIPE
    except SettingError:
        return False


def train_listed(
    data: Path | None,
    recipe: str | Path | None = RECIPE,
    *,
    start: str | None = None,
    out: Path | None = None,
    resume: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    pipeline: Callable[[], Pipeline] = lambda: Pipeline.load(embed=False),
    device: str = "auto",
    display: Display | None = None,
) -> AttributesRun:
    """Train on the photos of a CSV.

    Args:
        data: A CSV as `facewise.data.attributes.labelled_photos` reads it. Photos of 112 pixels are crops.
            With `resume`, None is the one the run began with.
        recipe: `attributes`, or a YAML file of settings.
        start: An embedder to begin with, in place of the recipe's.
        out: A new folder for the run; None is `runs/NAME`.
        resume: Folder of a run to go on with; its settings stand.
        settings: Put over the recipe's.
        pipeline: Makes the detector that finds the faces.
        device: `auto`, `cpu` or `cuda`.
        display: Shows progress; None is a progress bar.

    Raises:
        SettingError: A setting is wrong, or the folder is taken.
        DatasetError: The CSV cannot be learned from.
        StoppedError: Somebody stopped the run; it is saved.
    """
    display = Bar() if display is None else display
    if resume is not None:
        if settings or out is not None or start is not None:
            raise SettingError("A resumed run keeps its settings: name no model, settings or new folder.")
        config, folder = attributes_config(_read(resume / CONFIG)), resume
        data = data or Path(json.loads((resume / DATA).read_text(encoding="utf-8"))["data"])
    else:
        if data is None:
            raise SettingError("Name the data to train on.")
        given = recipe_settings(RECIPE) if str(recipe) == RECIPE else _read(str(recipe))
        over = dict(settings or {}) | ({} if start is None else {"start": start})
        config = attributes_config(_over(given, over))
        folder = Path("runs") / config.name if out is None else out
        if folder.exists() and any(not found.name.startswith(".") for found in folder.iterdir()):
            raise SettingError(
                f"{folder} is there already; name a new folder, or go on with --resume {folder}."
            )
    photos = labelled_photos(data)
    for sentence in photos.bad:
        display.say(sentence)
    cut = read_pretrained(config.start).preprocess.cut
    faces = read_faces(photos, cut, pipeline, config, display)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / DATA, json.dumps({"data": str(data.absolute())}).encode())
    on = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    run = train_attributes(faces, folder, config=config, device=on, display=display)
    assert run is not None  # noqa: S101  all branches were trained
    return run


def read_faces(
    photos: LabelledPhotos,
    cut: Cut,
    pipeline: Callable[[], Pipeline],
    config: AttributesConfig,
    display: Display,
) -> LabelledFaces:
    """The main face of each photo, and whether it is learned from or validated on.

    Where the CSV does not say, that is drawn by what the face looks like, so that copies of a photo are in
    one part.

    Raises:
        DatasetError: No photo has a face.
    """
    crops, places = [], []
    without: list[str] = []
    unreadable: list[str] = []
    detector = None if _are_crops(photos, cut.size) else pipeline().detector
    for place, found in enumerate(face_crops(photos, cut, detector)):
        if isinstance(found, FaceCrop):
            crops.append(found.crop)
            places.append(place)
        else:
            (unreadable if found else without).append(found or photos.keys[place])
    for sentence in unreadable[:_NAMED]:
        display.say(sentence)
    if without or len(unreadable) > _NAMED:
        display.say(f"Left out: {len(without)} photos without a face, {len(unreadable)} that cannot be read.")
    if not crops:
        raise DatasetError(f"No face was found in the photos of {photos.name}.")
    kept = np.array(places)
    if photos.part is None:
        draws = np.array([_draw(perceptual_hash(crop), config.seed) for crop in crops])
        part = np.where(draws < config.validation, VALIDATE, LEARN)
    else:
        part = photos.part[kept]
    labels = {name: values[kept] for name, values in photos.labels.items()}
    faces = LabelledFaces((np.stack(crops),), labels, part.astype(np.int64), photos.name)
    display.say(
        f"{photos.name}: {int((part == LEARN).sum())} faces to learn from, "
        f"{int((part == VALIDATE).sum())} to validate and calibrate on."
    )
    return faces if photos.part is None or (part == VALIDATE).any() else _divided(faces, config)


def _are_crops(photos: LabelledPhotos, size: int) -> bool:
    """Whether the first photos that can be read have the size of crops."""
    sides = set()
    for key in photos.keys[:_LOOKED_AT]:
        try:
            sides.add(read_image(photos.root / key).shape[:2])
        except ImageError:
            continue
    return sides == {(size, size)}


def _divided(faces: LabelledFaces, config: AttributesConfig) -> LabelledFaces:
    """With some of what is to be learned kept to validate on, where the CSV keeps none."""
    draws = np.array([_draw(perceptual_hash(faces.crop(i)), config.seed) for i in range(len(faces))])
    part = np.where((faces.part == LEARN) & (draws < config.validation), VALIDATE, faces.part)
    return replace(faces, part=part)


def _draw(code: int, seed: int) -> float:
    """A number from 0 to 1 for a perceptual hash."""
    digest = hashlib.sha256(f"{seed} {code}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _over(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others put over them; `epochs` is that of all branches."""
    whole = json.loads(json.dumps(settings))
    for key, value in changes.items():
        if key == "epochs":
            whole["branches"] = [{**branch, "epochs": value} for branch in whole["branches"]]
            continue
        *groups, last = key.split(".")
        inside = whole
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[last] = value
    return dict(whole)


def _read(path: str | Path) -> dict[str, Any]:
    try:
        settings = yaml.safe_load(read_text(path, "configuration", SettingError))
    except yaml.YAMLError as error:
        raise SettingError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(settings, dict):
        raise SettingError(f"{path} holds no settings.")
    return settings
