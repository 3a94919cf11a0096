"""What the training of a model of attributes is: every choice that shapes it."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from facewise.errors import SettingError, nearest_known
from facewise.models.attributes import ATTRIBUTES
from facewise.nn.attributes import SIDE
from facewise.training.settings import Optimizer, PaceSettings, Schedule, Settings


class BranchSettings(Settings):
    """A branch of the network, trained by itself.

    Attributes:
        attributes: What it tells; those that no photo is labelled with are left out.
        epochs: How often each of its photos is shown in a cycle.
        cycles: How often the schedule is gone through (Loshchilov and Hutter 2017, 1608.03983): from the
            second time on it begins with the average of the weights, at a third of the rate.
        side: Pixels that the face is brought to: see `facewise.nn.attributes.Branch`.
        frozen: Blocks of the backbone that stay as they are.
        augmentation: A preset, or its settings with `preset` among them.
    """

    attributes: tuple[str, ...]
    epochs: float = Field(8.0, gt=0)
    cycles: int = Field(1, ge=1)
    side: int = SIDE
    frozen: int = Field(0, ge=0)
    augmentation: str | dict[str, Any] = "medium"

    @field_validator("attributes")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in ATTRIBUTES]
        if unknown or not names:
            raise ValueError(f"must be some of {', '.join(ATTRIBUTES)}, not {', '.join(unknown) or 'none'}")
        return names


class AttributesConfig(PaceSettings):
    """A training of attributes, and how it is computed (`PaceSettings`).

    Attributes:
        recipe: What kind of recipe this is: `attributes`.
        name: Of the model.
        about: In a sentence.
        start: The embedder whose backbone is learned on from: see `facewise.models.pretrained`.
        branches: See `BranchSettings`.
        batch_size: Photos a batch.
        optimizer, schedule: See there; the schedule's epoch is a branch's.
        dropout: Share of the last features dropped.
        smoothing: Of the words' labels (Szegedy et al. 2016, 1512.00567, sec. 7).
        balance: Words count by their number of photos to the power of minus this; 0 counts photos.
        years: Standard deviation of the age that is learned, in years (Gao et al. 2017, 1611.01731).
        mean_weight: What the error of the mean age in decades counts beside the distribution's.
        ema: Decay of the average of the weights, which is what is used; 0 is none.
        validation: Share of the photos that nothing is learned from, for calibration; where the CSV says
            nothing of it.
        seed: Of all that is drawn.
        save_minutes: Between checkpoints.
    """

    recipe: str = "attributes"
    name: str = "attributes"
    about: str = ""
    start: str = "facewise-embed-s"
    branches: tuple[BranchSettings, ...] = (
        BranchSettings(attributes=("age", "gender", "race"), frozen=5),
        BranchSettings(attributes=("emotion",), side=64),
    )
    batch_size: int = Field(64, ge=2)
    optimizer: Optimizer = Optimizer(name="adamw", rate=1.5e-3, weight_decay=0.02)
    schedule: Schedule = Schedule(name="one-cycle")
    dropout: float = Field(0.2, ge=0, lt=1)
    smoothing: float = Field(0.1, ge=0, lt=1)
    balance: float = Field(0.25, ge=0, le=1)
    years: float = Field(2.5, gt=0)
    mean_weight: float = Field(1.0, ge=0)
    ema: float = Field(0.998, ge=0, lt=1)
    validation: float = Field(0.15, gt=0, lt=1)
    seed: int = Field(0, ge=0)
    save_minutes: float = Field(3.0, gt=0)

    def dump(self) -> str:
        """YAML."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def attributes_config(settings: dict[str, Any]) -> AttributesConfig:
    """Check settings.

    Raises:
        SettingError: A key is unknown or a value is not what it must be.
    """
    try:
        return AttributesConfig.model_validate(settings)
    except ValidationError as error:
        raise SettingError(" ".join(_explain(problem) for problem in error.errors())) from None


def _explain(problem: Any) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
        return f"There is no setting {where}{nearest_known(where, AttributesConfig.model_fields)}"
    return f"{where}: {str(problem['msg']).removeprefix('Value error, ')}.".replace("..", ".")
