"""Makes pictures with an exported checkpoint: the file is read back by diffusers' own converters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from numpy.typing import NDArray
from safetensors.torch import load_file
from transformers import CLIPTextModel

from libs.text.tokenizer import END, START
from training.export import LATENT_SCALE
from training.ldm import TEXT
from training.networks import build_text_encoder, build_unet, build_vae
from training.schedule import alphas_cumprod
from training.tokens import TOKENS, framed, token_ids

STEPS: Final = 24
GUIDANCE: Final = 4.5


class Painter:
    """The three networks of a checkpoint file, ready to draw."""

    def __init__(self, checkpoint: Path) -> None:
        tensors = {name: value.float() for name, value in load_file(checkpoint).items()}
        self.unet = _loaded_unet(tensors)
        self.vae = _loaded_vae(tensors)
        self.text = _loaded_text(tensors)
        self.alphas = alphas_cumprod()

    def context(self, sentences: Sequence[str]) -> torch.Tensor:
        """Return what the text encoder makes of sentences."""
        lines = [framed(ids, START, END) for ids in token_ids(sentences)]
        hidden: torch.Tensor = self.text(torch.tensor(lines)).last_hidden_state
        return hidden

    @torch.no_grad()
    def paint(
        self, sentences: Sequence[str], seed: int, steps: int = STEPS, guidance: float = GUIDANCE
    ) -> NDArray[np.uint8]:
        """Paint one picture a sentence, by Euler steps over evenly spread times."""
        context = torch.cat([self.context([""] * len(sentences)), self.context(sentences)])
        generator = torch.Generator().manual_seed(seed)
        latent = torch.randn((len(sentences), 4, 8, 8), generator=generator)
        times = torch.linspace(999, 0, steps).round().long()
        for now, after in zip(times, [*times[1:], None], strict=True):
            signal, spread = self.alphas[now].sqrt(), (1 - self.alphas[now]).sqrt()
            velocity = self.unet(torch.cat([latent, latent]), now, context).sample
            plain, asked = velocity.chunk(2)
            velocity = plain + guidance * (asked - plain)
            clean = signal * latent - spread * velocity
            noise = spread * latent + signal * velocity
            if after is None:
                latent = clean
            else:
                latent = self.alphas[after].sqrt() * clean + (1 - self.alphas[after]).sqrt() * noise
        pictures = self.vae.decode(latent / LATENT_SCALE).sample.clamp(-1, 1)
        pixels: NDArray[np.uint8] = (
            ((pictures.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().numpy()
        )
        return pixels


def _loaded_unet(tensors: dict[str, torch.Tensor]) -> UNet2DConditionModel:
    unet = build_unet()
    unet.load_state_dict(convert_ldm_unet_checkpoint(dict(tensors), dict(unet.config)))
    return unet.eval()


def _loaded_vae(tensors: dict[str, torch.Tensor]) -> AutoencoderKL:
    vae = build_vae()
    vae.load_state_dict(convert_ldm_vae_checkpoint(dict(tensors), dict(vae.config)))
    return vae.eval()


def _loaded_text(tensors: dict[str, torch.Tensor]) -> CLIPTextModel:
    text = build_text_encoder(TOKENS)
    prefix = (
        TEXT
        if any(k.startswith("text_model.") for k in text.state_dict())
        else f"{TEXT}text_model."
    )
    named = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(TEXT)}
    text.load_state_dict(named)
    return text.eval()
