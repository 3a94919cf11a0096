"""What of a pretrained network may move, and how fast: frozen, freed stage by stage, slower below.

Howard and Ruder 2018, "Universal Language Model Fine-tuning" (1801.06146): gradual unfreezing (section
3.3) and discriminative fine-tuning (section 3.2), with `facewise.training.stages` for the layers they speak
of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from facewise.errors import SettingError
from facewise.training.settings import Start
from facewise.training.stages import Stage

_BatchNorm = nn.modules.batchnorm._BatchNorm


class Freezing:
    """Decides for every moment of a run what learns, by the epoch alone: a resume needs nothing else.

    What is frozen has no gradient, so no optimiser moves it, weight decay included, and it runs in
    evaluation mode, so that its running statistics stay and its dropout is off.

    Attributes:
        stages: From the pixels to the embedding.
    """

    def __init__(self, config: Start, network: nn.Module, stages: Sequence[Stage]) -> None:
        """Args: config: What is frozen and when. network: The backbone. stages: Its own."""
        self.stages = tuple(stages)
        self._config, self._network = config, network
        named = dict(network.named_parameters())
        self._parameters = [[named[name] for name in stage.parameters] for stage in self.stages]
        self._modules = [[network.get_submodule(name) for name in stage.modules] for stage in self.stages]

    def free(self, epoch: float) -> int:
        """How many stages learn, counted from the top, after so many epochs."""
        config, every = self._config, len(self.stages)
        if config.freeze == "backbone":
            return 0
        if config.freeze == "none":
            return every
        # The slack is for an epoch that is a fraction of steps: 0.6 · 5 of them are 2.9999999999999996.
        return min(every, int(epoch * every / config.unfreeze_epochs + 1e-9))

    @property
    def never(self) -> bool:
        """Whether the backbone stays as it is to the end."""
        return self._config.freeze == "backbone"

    def apply(self, epoch: float) -> None:
        """Put every parameter and module into the state of this moment; the network is in training mode."""
        frozen = len(self.stages) - self.free(epoch)
        for i, (parameters, modules) in enumerate(zip(self._parameters, self._modules, strict=True)):
            for parameter in parameters:
                parameter.requires_grad = i >= frozen
            for module in modules:
                module.train(i >= frozen)
        if self._config.batch_norm == "keep":
            _keep_statistics(self._network)

    def rates(self) -> Mapping[nn.Parameter, float]:
        """The fraction of the rate that each parameter learns at: `layer_decay` a stage from the top."""
        top = len(self.stages) - 1
        return {
            parameter: self._config.layer_decay ** (top - i)
            for i, parameters in enumerate(self._parameters)
            for parameter in parameters
        }


def usual_mode(config: Start, network: nn.Module) -> None:
    """Put a network in training mode into the state of most of a run: with `gradual`, all of it learns."""
    if config.freeze == "backbone":
        network.eval().requires_grad_(requires_grad=False)
    elif config.batch_norm == "keep":
        _keep_statistics(network)


def _keep_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()


def check_processes(config: Start | None, processes: int) -> None:
    """Several processes average the gradients of weights they agreed on at the start, of all of them.

    Raises:
        SettingError: Some are to be frozen, and there are several processes.
    """
    if config is not None and config.freeze != "none" and processes > 1:
        raise SettingError("start.freeze works in one process; start it without torchrun.")
