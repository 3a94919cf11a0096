"""Training: the configuration, the loop, what it saves, and how several processes share it."""

from facewise.training.run import Run, load_recipe, train

__all__ = ["Run", "load_recipe", "train"]
