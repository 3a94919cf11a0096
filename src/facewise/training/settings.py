"""The groups of settings of a run: its data, its optimiser, its start and others."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from facewise.nn.fast import KINDS, Kind


class Settings(BaseModel):
    """A group of settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PaceSettings(Settings):
    """How a network is computed in training; what is `auto` is chosen by `facewise.training.pace`.

    Attributes:
        precision: `fp32`; `bf16` autocast; or `fp16` autocast with a gradient scaler, on CUDA only.
        fast_layers: Whether `facewise.nn.fast` replaces layers on a CPU, or which kinds it replaces.
        channels_last: Whether images and weights lie in memory channels last, or else as NCHW.
    """

    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    fast_layers: Literal["auto"] | bool | tuple[Kind, ...] = "auto"
    channels_last: Literal["auto"] | bool = "auto"

    @field_validator("fast_layers", "channels_last", mode="wrap")
    @classmethod
    def _in_one_sentence(cls, value: Any, check: ValidatorFunctionWrapHandler, about: Any) -> Any:
        """Pydantic has a sentence for each kind of value that it could have been."""
        try:
            return check(value)
        except ValidationError:
            kinds = f", or a list of {', '.join(KINDS)}" if about.field_name == "fast_layers" else ""
            raise ValueError(f"must be auto, true or false{kinds}, not {value!r}") from None

    def told_apart(self, settings: dict[str, Any]) -> str:
        """Settings as text to tell runs apart by, that also tells what version 0.1 told of the same run.

        Its defaults were bf16, fast layers and channels last; what a run has chosen is told by itself.

        Args:
            settings: Those that are not the defaults.
        """
        before = {"precision": "bf16", "fast_layers": True, "channels_last": True}
        kept = {k: value for k, value in settings.items() if not (k in before and value == before[k])}
        return json.dumps(kept, sort_keys=True)


class Part(BaseModel):
    """A named part and its options, `{name: arcface, margin: 0.4}`; the part checks them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """All but the name."""
        return dict(self.model_extra or {})


class Data(Settings):
    """Whose photos, and how they come in batches.

    Attributes:
        size: Side of the aligned crops in pixels.
        min_photos: People with fewer photos are left out.
        max_people: So many people at most: those with the most photos, and of as many by name.
        max_photos: So many photos a person at most, drawn by the seed of what is held out.
        only_people: File of the people to use: an LFW pair file or a name a line; relative to the dataset.
        without_people: The same, for people to leave out: those a later test needs.
        split: A CSV of `facewise data split` that says which photo is for what (parts `train`, `val`); it
            takes the place of the two fractions.
        held_out_photos: Fraction of each person's photos kept for measuring accuracy, stratified.
        held_out_people: Fraction of the people kept for measuring verification on people never seen.
        split_seed: Of what is held out; None is the run's seed. With one for all, runs of several seeds are
            measured on the same photos.
        pairs: File of pairs to learn from, as LFW's; relative to the dataset. For the `pairs` sampler.
        sampler: `shuffle`, every photo once an epoch; `people`, P people × K photos a batch, which losses on
            pairs need; or `pairs`, those of a file, for contrastive with `negatives: given`.
        batch_size: Photos a batch, over all processes.
        photos_per_person: K, for the `people` sampler.
        augmentation: A preset, or its settings with `preset` among them.
        threads: Threads that augment; one makes some 3,000 crops a second, and more only wait for each other.
        record_photos: Keep hashes of the photos and people learned from in the run and the model file, so
            that a test on them is noticed. Whoever has a photo can tell by them whether it was among these.
    """

    size: int = Field(112, ge=16, le=512)
    min_photos: int = Field(1, ge=1)
    max_people: int | None = Field(None, ge=2)
    max_photos: int | None = Field(None, ge=1)
    only_people: str | None = None
    without_people: str | None = None
    split: str | None = None
    held_out_photos: float = Field(0.0, ge=0.0, lt=1.0)
    held_out_people: float = Field(0.0, ge=0.0, lt=1.0)
    split_seed: int | None = Field(None, ge=0)
    pairs: str | None = None
    sampler: Literal["shuffle", "people", "balanced", "pairs"] = "shuffle"
    batch_size: int = Field(64, ge=2)
    photos_per_person: int = Field(4, ge=2)
    augmentation: str | dict[str, Any] = "light"
    threads: int = Field(1, ge=1)
    record_photos: bool = True


class Optimizer(Settings):
    """How weights move.

    Attributes:
        name: `sgd` (momentum), `adam` or `adamw`.
        rate: Learning rate at the schedule's top.
        head_rate: That of the loss's own weights; None is the same.
        weight_decay: Not on norms, biases and slopes.
        head_weight_decay: That of the loss's own weights; None is the same.
        momentum: Of sgd.
        nesterov: For sgd, Nesterov's momentum.
        betas: Of adam and adamw.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    rate: float = Field(0.1, gt=0)
    head_rate: float | None = Field(None, gt=0)
    weight_decay: float = Field(5e-4, ge=0)
    head_weight_decay: float | None = Field(None, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)


class Schedule(Settings):
    """How the learning rate goes; see `facewise.training.schedule`.

    Attributes:
        name: `cosine`, `poly`, `one-cycle`, `step` or `constant`.
        warmup_epochs: Linear from nothing, before the rest.
        final: Fraction of the rate at the end, for cosine, poly and one-cycle.
        power: Of poly.
        milestones: Epochs after which step multiplies the rate by `factor`.
        factor: See milestones.
        peak: Fraction of all steps after which one-cycle is at its top.
    """

    name: Literal["cosine", "poly", "one-cycle", "step", "constant"] = "cosine"
    warmup_epochs: float = Field(1.0, ge=0)
    final: float = Field(0.0, ge=0, le=1)
    power: float = Field(2.0, gt=0)
    milestones: tuple[float, ...] = ()
    factor: float = Field(0.1, gt=0, le=1)
    peak: float = Field(0.3, gt=0, lt=1)


class EarlyStopping(Settings):
    """Stop when nothing gets better.

    Attributes:
        patience: Validations without a better value of `Config.best_by` before the run stops.
        least: What counts as better.
    """

    patience: int = Field(5, ge=1)
    least: float = Field(0.0, ge=0)


class Distillation(Settings):
    """Learning from other models' answers; see `facewise.training.distill`.

    Attributes:
        teachers: Public PyTorch checkpoints (`.pt`, `.pth`, `.ckpt`), model files, or names in the model
            store. Their embeddings side by side are what is learned.
        flip: Average the teachers over each crop and its mirror image: twice their time.
        embedding: Weight of 1 − cosine between the student's embedding and the teachers'.
        relations: Weight of the squared differences between the cosines of the batch's faces to each other.
        hints: Modules of the student and the modules of the first teacher whose outputs they learn.
        hint: Weight of that.
        forcing_epochs: Over so many epochs the chance falls from 1 to 0 that every part of the student is
            given the teacher's answer of the part before in place of the student's own; needs hints.
        mix: Chance that a batch's faces are blended with each other.
        loss: Weight of `Config.loss` on the names of people with two photos or more; 0 ignores names.
    """

    teachers: tuple[str, ...] = Field(min_length=1)
    flip: bool = False
    embedding: float = Field(1.0, ge=0)
    relations: float = Field(0.0, ge=0)
    hints: dict[str, str] = {}
    hint: float = Field(1.0, ge=0)
    forcing_epochs: float = Field(0.0, ge=0)
    mix: float = Field(0.0, ge=0, le=1)
    loss: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Distillation:
        if self.forcing_epochs and not self.hints:
            raise ValueError("forcing_epochs needs hints")
        if not (self.embedding or self.relations or (self.hints and self.hint)):
            raise ValueError("embedding, relations and hint are all 0, so nothing would be learned")
        return self


class Start(Settings):
    """Fine-tuning: the weights to begin with, and what may move them.

    A network is ordered into stages, from the pixels up, by the side of its feature maps
    (`facewise.training.stages`).

    Attributes:
        model: A model in the store, a model file, a run's folder, a file of weights or a public checkpoint.
            Backbone, crop size and preprocessing are this model's.
        backbones: What the recipe was made for; another is refused, and none is any.
        freeze: `none`; `backbone`, so that only the head learns; or `gradual`, which frees the backbone's
            stages one by one from the top (Howard and Ruder 2018, "ULMFiT", 1801.06146, section 3.3). What is
            frozen does not change at all, running statistics included.
        unfreeze_epochs: Over so many epochs `gradual` frees all stages; the head alone learns at first.
        layer_decay: Every stage learns at this fraction of the rate of the stage above it (the same paper's
            discriminative fine-tuning, section 3.2); 1 is the same rate for all.
        batch_norm: `keep` the model's running statistics, or `adapt` them: batches are normalised by their
            own, as in training from scratch, which needs batches of some size.
        head: Rows of the head from the `class-means` of the model's embeddings of the training photos, or
            `random`.
    """

    model: str | None = None
    backbones: tuple[str, ...] = ()
    freeze: Literal["none", "backbone", "gradual"] = "none"
    unfreeze_epochs: float = Field(5.0, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    batch_norm: Literal["adapt", "keep"] = "keep"
    head: Literal["class-means", "random"] = "class-means"
