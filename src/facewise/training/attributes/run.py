"""`train_attributes`: labelled faces to a run folder with a model of attributes in it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import facewise
from facewise.errors import DatasetError, SettingError
from facewise.files import one_at_a_time, write_bytes
from facewise.models.attributes import MOST_YEARS, WORDS
from facewise.models.export import check_parity, export_onnx
from facewise.models.file import ModelCard, ModelFile, write_model
from facewise.models.pretrained import Pretrained, read_pretrained
from facewise.nn.attributes import AttributeNetwork, Branch, BranchOptions
from facewise.nn.backbones.mobilefacenet_relu6 import MobileFaceNetReLU6
from facewise.training.attributes.branch import BranchTrainer, measured
from facewise.training.attributes.calibrate import calibrate, uncalibrated
from facewise.training.attributes.config import AttributesConfig, BranchSettings
from facewise.training.attributes.faces import LEARN, VALIDATE, LabelledFaces
from facewise.training.display import Bar, Display
from facewise.training.environment import git_hash
from facewise.training.pace import Pace

CONFIG, MODEL = "config.yaml", "model.onnx"
LICENCE = "the user's own; mind the terms of the photos"

_FEWEST = 20
"""Faces to learn from and to validate on, below which nothing can come of it."""


@dataclass(frozen=True, slots=True)
class AttributesRun:
    """A finished run.

    Attributes:
        folder: Everything of it.
        config: Its settings.
        model: The model file, calibrated on the faces kept from it.
        result: What it measured on them: mean absolute error in years, accuracies.
    """

    folder: Path
    config: AttributesConfig
    model: ModelFile
    result: Mapping[str, float]


def train_attributes(
    faces: LabelledFaces,
    out: str | Path,
    *,
    config: AttributesConfig | None = None,
    device: str = "cpu",
    pace: Pace | None = None,
    display: Display | None = None,
    licence: str = LICENCE,
    only: int | None = None,
) -> AttributesRun | None:
    """Train a model of attributes, or go on with a run that was stopped.

    Args:
        faces: To learn from and to validate on.
        out: Folder of the run.
        config: Settings.
        device: `cpu` or `cuda`.
        pace: How it is computed; None is float32 as it is.
        display: Shows progress; None is a progress bar.
        licence: What the model's card says of its terms.
        only: Train this branch alone and make no model yet: branches may be trained side by side, in
            processes of their own.

    Returns:
        The run, or None with `only`.

    Raises:
        DatasetError: Too few faces are labelled.
        SettingError: The start is no network this can go on from.
        StoppedError: Somebody stopped the run; it is saved.
    """
    config, folder = config or AttributesConfig(), Path(out)
    display = Bar() if display is None else display
    branches = _branches(faces, config)
    start = read_pretrained(config.start)
    torch.manual_seed(config.seed)
    network = build(start, branches, config)
    trained, seconds = [], 0.0
    hashes = [faces.data_hash(names) for names in branches]
    for number, names in enumerate(branches):
        if only not in (None, number):
            continue
        settings = _settings(config, names)
        place = folder / f"branch-{number}"
        place.mkdir(parents=True, exist_ok=True)
        busy = SettingError(f"Another process trains in {place}; wait for it to end.")
        with one_at_a_time(place / ".lock", busy):
            branch = network.branches[number]
            assert isinstance(branch, Branch)  # noqa: S101  for the type checker
            display.say(f"Branch {number + 1} of {len(branches)}: {', '.join(names)}.")
            trainer = BranchTrainer(
                branch, faces, start.preprocess, config, settings, place,
                pace=pace, device=torch.device(device), display=display,
                identity=_identity(config, settings, hashes[number]),
            )  # fmt: skip
            trainer.load()
            if not trainer.progress.finished:
                trainer.fit()
            trained.append(trainer.used)
            seconds += trainer.progress.seconds
    if only is not None:
        return None
    network.branches = nn.ModuleList(trained)
    write_bytes(folder / CONFIG, config.dump().encode())
    training = {
        "git": git_hash(),
        "data": faces.name,
        "data_hash": hashlib.sha256(" ".join(hashes).encode()).hexdigest(),
        "photos": int((faces.part == LEARN).sum()),
        "validated_on": int((faces.part == VALIDATE).sum()),
        "seed": config.seed,
        "seconds": round(seconds, 1),
        "start": dict(start.facts) | {"model": start.name, "licence": start.licence},
        "settings": config.model_dump(mode="json"),
    }
    model = calibrate(export(network, folder / MODEL, start, config.name, training, licence), faces)
    result = _result(model, faces)
    write_bytes(folder / "result.json", json.dumps(result, indent=2).encode())
    display.say(f"The model is {folder / MODEL}.")
    return AttributesRun(folder, config, model, result)


def build(start: Pretrained, branches: list[tuple[str, ...]], config: AttributesConfig) -> AttributeNetwork:
    """The network before its training.

    Raises:
        SettingError: The start is of another architecture than a MobileFaceNet of 112 pixels.
    """
    backbone = start.build()
    if not isinstance(backbone, MobileFaceNetReLU6) or start.preprocess.size != 112:
        raise SettingError(
            f"A model of attributes starts from a mobilefacenet-relu6 of 112 pixels, but {start.name} is "
            f"{start.backbone} of {start.preprocess.size}."
        )
    widths = [
        {name: MOST_YEARS + 1 if name == "age" else len(WORDS[name]) for name in names} for names in branches
    ]
    options: list[BranchOptions] = []
    for names, width in zip(branches, widths, strict=True):
        settings = _settings(config, names)
        options.append({"widths": width, "side": settings.side, "frozen": settings.frozen})
    return AttributeNetwork(backbone, options, dropout=config.dropout)


def export(
    network: AttributeNetwork,
    path: Path,
    start: Pretrained,
    name: str,
    training: Mapping[str, Any],
    licence: str,
) -> ModelFile:
    """Write a network as a model file, proven to give the same numbers.

    Raises:
        ModelError: The export gives other numbers than PyTorch.
    """
    ready = copy.deepcopy(network).cpu().eval()
    ready.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    onnx = export_onnx(ready, torch.zeros(2, 3, 112, 112), dynamic={0: "batch"}, outputs=ready.outputs)
    noise = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    parity = check_parity(ready, onnx, [torch.from_numpy(start.preprocess(noise))])
    card = ModelCard(
        kind="attributes",
        name=name,
        version="1",
        licence=licence,
        source=f"trained by Facewise {facewise.__version__}",
        preprocess=start.preprocess,
        training={
            **training,
            "parameters": sum(p.numel() for p in ready.parameters()),
            "parity": parity.relative,
        },
        attributes=uncalibrated(ready.outputs),
    )
    return write_model(path, onnx, card)


def _settings(config: AttributesConfig, names: tuple[str, ...]) -> BranchSettings:
    return next(one for one in config.branches if set(names) <= set(one.attributes))


def _branches(faces: LabelledFaces, config: AttributesConfig) -> list[tuple[str, ...]]:
    known = faces.known
    found = [tuple(name for name in one.attributes if name in known) for one in config.branches]
    branches = [names for names in found if names]
    if not branches:
        raise DatasetError(f"No face of {faces.name} is labelled with anything that is to be learned.")
    for names in branches:
        for part, what in ((LEARN, "learn from"), (VALIDATE, "validate on")):
            count = len(faces.chosen(names, part))
            if count < _FEWEST:
                raise DatasetError(
                    f"{faces.name} has {count} faces to {what} with {' or '.join(names)}; "
                    f"at least {_FEWEST} are needed."
                )
    return branches


def _identity(config: AttributesConfig, settings: BranchSettings, data_hash: str) -> dict[str, str]:
    """What a checkpoint of a branch must share to be gone on from; other branches are not its business."""
    free = {"save_minutes", "about", "name", "branches"}
    kept = config.model_dump(mode="json", exclude_defaults=True, exclude=free)
    own = settings.model_dump_json()
    return {"faces": data_hash, "configuration": config.told_apart(kept), "branch": own}


def _result(model: ModelFile, faces: LabelledFaces) -> dict[str, float]:
    from facewise.analysis.attributes import AttributeModel  # noqa: PLC0415

    loaded = AttributeModel(model, threads=1)
    names = tuple(name for name in loaded.attributes if name in faces.known)
    found = loaded.predict(faces.some(faces.chosen(names, VALIDATE)), threads=1)
    return measured(
        faces, names, {name: np.log(np.maximum(found[name], 1e-12)).astype(np.float64) for name in names}
    )
