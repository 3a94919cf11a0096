"""The public checkpoint of Xiaoccer/MobileFaceNet_Pytorch in our network, on real faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facewise.models.importing import load_state, load_strictly
from facewise.nn.backbones import BACKBONES, info

NAME = "mobilefacenet-xiaoccer"


@pytest.mark.real
def test_the_public_checkpoint_fits_and_tells_people_apart(shared: Path) -> None:
    network = BACKBONES.build(NAME)
    load_strictly(network, load_state(shared / "models" / "mobilefacenet_xiaoccer_068.ckpt"))
    assert sum(parameter.numel() for parameter in network.parameters()) == 999_552
    with np.load(shared / "reference" / "mobilefacenet_foamliu_crops.npz") as golden:
        people = np.array([str(path).split("/")[0] for path in golden["path"]])
        # Its template is that of our 112×112 crops, eight pixels further left.
        crops = golden["crop_rgb"][:, :, 8:104]
    mean, std = (np.float32(values) for values in (info(NAME).mean, info(NAME).std))
    images = torch.from_numpy(((crops - mean) / std).transpose(0, 3, 1, 2).copy())
    assert images.shape[1:] == info(NAME).input_shape
    with torch.inference_mode():
        embeddings = torch.nn.functional.normalize(network.eval()(images), dim=1).numpy()
    first, second = np.triu_indices(len(people), 1)
    similarity = (embeddings @ embeddings.T)[first, second]
    same = people[first] == people[second]
    assert same.sum() == 10
    # Measured: same person 0.628 and more, others 0.465 and less.
    assert similarity[same].min() > 0.6
    assert similarity[~same].max() < 0.5
