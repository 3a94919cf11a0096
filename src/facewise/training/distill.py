"""Learning from the answers of other models: photos need no names, and each says more than a name does.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (1503.02531); embeddings and their
relations: Park et al. 2019, "Relational Knowledge Distillation" (1904.05068); answers of inner layers
("hints"): Romero et al. 2015, "FitNets" (1412.6550). Teacher and student see the same augmented pixels, mixed
ones too: Beyer et al. 2022, "A good teacher is patient and consistent" (2106.05237).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # its usual name

from facewise.embedding import Embedder
from facewise.errors import ModelError, SettingError, nearest_known
from facewise.models.importing import FAMILIES, load_state, load_strictly, recognise
from facewise.models.store import find_model
from facewise.network import AUTO
from facewise.nn.losses.base import Head
from facewise.preprocess import Preprocess
from facewise.training.config import Distillation
from facewise.training.pace import autocast
from facewise.variants import variants_of

_CHECKPOINTS = (".pt", ".pth", ".ckpt")

_QUIETEST = 1e-3
"""Of a layer's mean variance: channels that vary less than this count as if they varied so much."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a teacher says of a batch.

    Attributes:
        embeddings: (B, D) float32, unit length.
        hints: Outputs of the inner layers asked for, (B, C, …), by the teacher's names.
    """

    embeddings: Tensor
    hints: Mapping[str, Tensor] = field(default_factory=dict)


class Teacher(Protocol):
    """A model that answers."""

    @property
    def embedding_size(self) -> int:
        """D."""
        ...

    @property
    def preprocess(self) -> Preprocess:
        """How crops become its input."""
        ...

    @property
    def facts(self) -> dict[str, str]:
        """Its name, and what tells it from others of that name."""
        ...

    def __call__(self, crops: NDArray[np.uint8]) -> Answer:
        """Answers to (B, S, S, 3) uint8 RGB crops."""
        ...


class CheckpointTeacher:
    """A public PyTorch checkpoint, which can also give hints and runs where the student does.

    Args:
        path: The checkpoint.
        device: Where to run.
        hints: Names of modules whose outputs are wanted.

    Raises:
        ModelError: It is no checkpoint of a known embedder.
        SettingError: It has no module of such a name.
    """

    def __init__(self, path: Path, device: torch.device, hints: Sequence[str] = ()) -> None:
        state = load_state(path)
        family = FAMILIES[recognise(state)]
        card = family.card
        if card.kind != "embedder" or card.embedding_size is None:
            raise ModelError(f"{path} is a {card.kind}; a teacher has to be an embedder.")
        network = family.build()
        load_strictly(network, family.take(state))
        self.embedding_size: int = card.embedding_size
        self.facts = {"name": family.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        self.device, self.preprocess = device, card.preprocess
        self.network = network.to(device).eval().requires_grad_(requires_grad=False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._seen: dict[str, Tensor] = {}
        for hint in hints:
            find_module(network, hint, f"the teacher {path.name}").register_forward_hook(self._keeps(hint))

    def _keeps(self, hint: str) -> Any:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self._seen[hint] = output

        return keep

    @torch.no_grad()
    def __call__(self, crops: NDArray[np.uint8]) -> Answer:
        """See `Teacher`."""
        images = torch.from_numpy(_network_input(self.preprocess, crops)).to(self.device)
        out = self.network(images.contiguous(memory_format=torch.channels_last))
        seen, self._seen = self._seen, {}
        return Answer(F.normalize(out.float(), dim=1), seen)


class ModelTeacher:
    """Any model file, on ONNX Runtime; its inner layers are not seen.

    Args:
        name: In the model store, or a path.
        device: Where its answers are wanted.
        flip: Average over the crop and its mirror image.
        provider: See `facewise.network.PROVIDERS`.
    """

    def __init__(self, name: str, device: torch.device, *, flip: bool = False, provider: str = AUTO) -> None:
        model = find_model(name, kind="embedder")
        # By name and not the faster one of an int8 model: a run that is resumed must be taught by the same
        # network, and in between something may have been measured.
        self.embedder = Embedder(model, flip=flip, provider=provider, variant=variants_of(model)[-1])
        self.embedding_size = self.embedder.embedding_size
        self.preprocess = self.embedder.model.card.preprocess
        self.facts = {"name": self.embedder.name, "sha256": self.embedder.fingerprint}
        self.device = device

    def __call__(self, crops: NDArray[np.uint8]) -> Answer:
        """See `Teacher`."""
        sized = _resize(crops, self.embedder.crop_size)
        return Answer(torch.from_numpy(self.embedder.embed(sized)).to(self.device))


class _Flipped:
    """A teacher's answer averaged over a crop and its mirror image; hints are those of the crop."""

    def __init__(self, teacher: Teacher) -> None:
        self.teacher, self.embedding_size, self.facts = teacher, teacher.embedding_size, teacher.facts
        self.preprocess = teacher.preprocess

    def __call__(self, crops: NDArray[np.uint8]) -> Answer:
        mirrored = self.teacher(np.ascontiguousarray(crops[:, :, ::-1])).embeddings
        plain = self.teacher(crops)
        return Answer(F.normalize(plain.embeddings + mirrored, dim=1), plain.hints)


class Distiller:
    """The teachers, what a student is compared with them by, and its inner layers on the way.

    Attributes:
        config: The settings.
        embedding_size: The student has to have: all teachers' together.
        class_of: (people,) int64: the class of each person for the loss on names, or -1 (see `name_classes`);
            of nobody until it is set.
        precision: What teachers that are checkpoints answer in: the student's, once that is chosen.
    """

    def __init__(
        self, config: Distillation, device: torch.device, preprocess: Preprocess | None = None
    ) -> None:
        """Open the teachers.

        Args:
            config: Which, and how.
            device: Where the student runs.
            preprocess: The student's; None is that of a network trained from scratch.

        Raises:
            ModelError: A teacher cannot be used.
            SettingError: A hint is of no module, no teacher can give hints, or a teacher takes other crops.
        """
        self.config, self.class_of = config, np.empty(0, np.int64)
        self.device, self.precision = device, "fp32"
        self.teachers = [
            _open(name, config, device, tuple(config.hints.values()) if i == 0 else ())
            for i, name in enumerate(config.teachers)
        ]
        if preprocess is not None:
            for teacher in self.teachers:
                _refuse_other_crops(teacher, preprocess)
        self.embedding_size = sum(teacher.embedding_size for teacher in self.teachers)
        self._own: dict[str, Tensor] = {}
        self._forced: dict[str, Tensor] = {}
        self._watching = False

    def facts(self) -> dict[str, Any]:
        """Who taught, for the model file: names and fingerprints, no paths."""
        return {"teachers": [teacher.facts for teacher in self.teachers]}

    def attach(self, student: nn.Module) -> None:
        """Watch the student's inner layers.

        Raises:
            SettingError: It has no module of such a name, or embeddings of another size than the teachers'.
        """
        size = int(student.embedding_size)  # type: ignore[arg-type]  # what every backbone has
        if self.config.embedding and size != self.embedding_size:
            raise SettingError(
                f"The student's embeddings have {size} numbers and the teachers' {self.embedding_size} "
                f"together; set backbone.embedding_size={self.embedding_size}, or with a student that is "
                "fine-tuned distill.embedding=0 distill.relations=1, which compares what both say of pairs."
            )
        for name in self.config.hints:
            find_module(student, name, "the student").register_forward_hook(self._watches(name))

    def _watches(self, name: str) -> Any:
        def watch(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            if not self._watching:
                return None
            self._own[name] = output
            forced = self._forced.get(name)
            return None if forced is None else forced.to(output.dtype)

        return watch

    def mix(self, crops: NDArray[np.uint8], place: Sequence[int]) -> tuple[NDArray[np.uint8], bool]:
        """Now and then a batch of faces that are nobody's: each blended with another.

        Args:
            crops: (B, S, S, 3).
            place: Numbers that the randomness is drawn from.

        Returns:
            The crops, and whether they are mixed (then labels do not hold).
        """
        random = np.random.default_rng([*place, 1])
        if not self.config.mix or random.random() >= self.config.mix or len(crops) < 2:
            return crops, False
        # The larger share is the first's: the other half would be the same blends again.
        share = random.uniform(0.5, 1.0, (len(crops), 1, 1, 1)).astype(np.float32)
        others = crops[random.permutation(len(crops))]
        blended = share * crops.astype(np.float32) + (1 - share) * others.astype(np.float32)
        return np.rint(blended).astype(np.uint8), True

    def ask(self, crops: NDArray[np.uint8]) -> Answer:
        """The teachers' answer: embeddings side by side, each with the same weight."""
        with autocast(self.precision, self.device):
            answers = [teacher(crops) for teacher in self.teachers]
        together = torch.cat([answer.embeddings for answer in answers], dim=1) / len(answers) ** 0.5
        return Answer(together, answers[0].hints)

    def forces(self, epoch: float, place: Sequence[int]) -> bool:
        """Whether the student's layers are now given the teacher's answer of the layer before.

        So each part learns from good inputs while those before it still give bad ones: the chance falls from
        1 to 0 over `forcing_epochs` (scheduled sampling, Bengio et al. 2015, 1506.03099, turned to layers).
        """
        left = 1.0 - epoch / self.config.forcing_epochs if self.config.forcing_epochs else 0.0
        return bool(np.random.default_rng([*place, 2]).random() < left)

    def run(self, student: Any, images: Tensor, answer: Answer, *, force: bool) -> Tensor:
        """The student's features, with what its inner layers gave kept for `loss`.

        Args:
            student: (B, 3, S, S) → (B, D).
            images: Its input.
            answer: The teachers'.
            force: See `forces`.
        """
        self._own = {}
        pairs = self.config.hints.items()
        self._forced = {own: answer.hints[theirs] for own, theirs in pairs} if force else {}
        self._watching = True
        try:
            features: Tensor = student(images)
        finally:
            self._watching, self._forced = False, {}
        return features

    def loss(self, embeddings: Tensor, answer: Answer) -> Tensor:
        """How far the student is from the teachers.

        `embedding` · mean(1 − cos(s, t)) + `relations` · mean((s sᵀ − t tᵀ)²) + `hint` · the mean over layers
        of the squared error in units of the teacher's variance in each channel.

        Args:
            embeddings: (B, D) features of the student, of any length.
            answer: The teachers'.
        """
        config, target = self.config, answer.embeddings
        student = F.normalize(embeddings.float(), dim=1)
        loss = student.new_zeros(())
        if config.embedding:
            loss = config.embedding * (1.0 - (student * target).sum(1)).mean()
        if config.relations:
            loss = loss + config.relations * F.mse_loss(student @ student.T, target @ target.T)
        if config.hints and config.hint:
            errors = [
                _relative_error(self._own[own], answer.hints[theirs]) for own, theirs in config.hints.items()
            ]
            loss = loss + config.hint * torch.stack(errors).mean()
        self._own = {}
        return loss


class NoHead(Head):
    """In the place of a loss on names, where there is none."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__(embedding_size, 2)


def name_classes(labels: NDArray[np.int64], people: int) -> NDArray[np.int64]:
    """Classes for a loss on names: one photo of a person says nothing of what stays the same.

    Args:
        labels: (N,) who is on each photo.
        people: How many there are.

    Returns:
        (people,) numbers from 0 for people with two photos or more, else -1.
    """
    several = np.bincount(labels, minlength=people) >= 2
    return np.where(several, np.cumsum(several) - 1, -1).astype(np.int64)


def find_module(network: nn.Module, name: str, whose: str) -> nn.Module:
    """A module by its dotted name.

    Raises:
        SettingError: There is none; the nearest name is told.
    """
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if name not in modules or not name:
        hint = nearest_known(name, [known for known in modules if known])
        raise SettingError(f"distill.hints: {whose} has no module {name!r}{hint}")
    return modules[name]


def _open(name: str, config: Distillation, device: torch.device, hints: Sequence[str]) -> Teacher:
    if Path(name).suffix in _CHECKPOINTS:
        teacher = CheckpointTeacher(Path(os.path.expandvars(name)).expanduser(), device, hints)
        return _Flipped(teacher) if config.flip else teacher
    if hints:
        raise SettingError(
            f"distill.hints need a PyTorch checkpoint as the first teacher; {name} is a model file."
        )
    return ModelTeacher(name, device, flip=config.flip)


def _refuse_other_crops(teacher: Teacher, student: Preprocess) -> None:
    """A teacher of faces cut otherwise would be shown what it does not know; another size is resized."""
    own, theirs = student.cut, teacher.preprocess.cut
    if (own.alignment, own.margin) != (theirs.alignment, theirs.margin):
        raise SettingError(
            f"The teacher {teacher.facts['name']} takes faces cut by {theirs.alignment}, margin "
            f"{theirs.margin:.3g}, and the student by {own.alignment}, margin {own.margin:.3g}: a "
            "teacher has to see the same crops."
        )


def _relative_error(own: Tensor, theirs: Tensor) -> Tensor:
    """Mean squared error in units of the teacher's variance in each channel, (B, C, …) both."""
    if own.shape != theirs.shape:
        raise SettingError(
            f"A hint of shape {tuple(theirs.shape)} cannot be learned by a layer that gives "
            f"{tuple(own.shape)}; name layers of the same shape in distill.hints."
        )
    theirs = theirs.float()
    others = [axis for axis in range(theirs.ndim) if axis != 1]
    variance = theirs.var(others, correction=0, keepdim=True)
    variance = variance.clamp_min(_QUIETEST * float(variance.mean()) + 1e-12)
    return ((own.float() - theirs).square() / variance).mean()


def _network_input(preprocess: Preprocess, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return preprocess(_resize(crops, preprocess.size))


def _resize(crops: NDArray[np.uint8], size: int | None) -> NDArray[np.uint8]:
    """What a student of another size sees, at the size the teacher takes."""
    if size is None or crops.shape[1] == size:
        return crops
    images = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float()
    sized = F.interpolate(images, (size, size), mode="bilinear", antialias=size < crops.shape[1])
    return np.ascontiguousarray(sized.round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
