"""Random changes of aligned crops while training, so that a model sees more than the photos there are.

OpenCV directly, all geometry in one warp; `benchmarks/data.py` measures it.
"""

from facewise.data.augment.augmentation import Augmentation, Draw
from facewise.data.augment.presets import PRESETS, augmentation
from facewise.data.augment.warp import Warp, warp

__all__ = ["PRESETS", "Augmentation", "Draw", "Warp", "augmentation", "warp"]
