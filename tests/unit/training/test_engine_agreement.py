"""The studio's engine and the trainer's own sampler read the file alike."""

from functools import partial

import numpy as np
import pytest
import torch

from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from training.export import FOLDER, NAME
from training.generate import GUIDANCE, Painter

SHIPPED = FOLDER / f"{NAME}.safetensors"
STEPS = 12


@pytest.mark.parametrize("sentence", ["a fox in the snow", "a red circle on blue"])
def test_the_engine_paints_the_picture_that_the_trainer_saw(sentence):
    torch.set_num_threads(1)
    loader = TorchLoader(Placement.cpu(), ModelCache(1_000_000_000))
    model, clip, vae = loader.checkpoint(SHIPPED)
    sample = partial(
        model.sample,
        positive=clip.encode(sentence),
        negative=clip.encode(""),
        steps=STEPS,
        cfg=GUIDANCE,
        sampler="euler",
        scheduler="normal",
        on_step=lambda *_, **__: None,
    )
    latent = sample(loader.blank_latent(width=64, height=64, count=1), seed=7)
    engine = (vae.decode(latent).pixels[0] * 255).round().numpy()
    trainer = Painter(SHIPPED).paint([sentence], seed=7, steps=STEPS)[0]
    assert np.abs(engine - trainer).max() <= 4
    assert np.abs(engine - trainer).mean() <= 0.2
