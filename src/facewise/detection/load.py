"""A detector from a model file, whatever runs its network."""

from __future__ import annotations

from facewise.detection.base import DetectorSettings
from facewise.detection.model_detector import ModelDetector
from facewise.detection.onnx_detector import OnnxDetector
from facewise.detection.yunet import NAME, YuNetDetector
from facewise.models.file import ModelFile
from facewise.network import AUTO


def load_detector(
    model: ModelFile,
    *,
    settings: DetectorSettings | None = None,
    provider: str = AUTO,
    threads: int | None = None,
    variant: str = "auto",
) -> ModelDetector:
    """Make the detector that a model file asks for by the name of its decoder.

    YuNet runs in OpenCV, all others on ONNX Runtime.

    Args:
        model: A model file of kind `"detector"`.
        settings: What counts as a face.
        provider: See `facewise.network.PROVIDERS`.
        threads: CPU threads to use; None is all CPUs of this process.
        variant: Which of the model's networks runs, a key of `facewise.variants.VARIANTS`.

    Raises:
        ModelError: The model is no detector, of an unknown family, or does not load, or the provider or
            variant is not to be had.
        SettingError: An unknown provider or variant, or a thread count below 1.
    """
    in_opencv = (model.card.decoder or {}).get("name") == NAME
    make = YuNetDetector if in_opencv else OnnxDetector
    return make(model, settings=settings, provider=provider, threads=threads, variant=variant)
