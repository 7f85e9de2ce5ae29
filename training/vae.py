"""Trains the picture codec: `python -m training.vae --help`."""

import argparse
import math
from pathlib import Path
from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL

from training.loop import Training, training_options
from training.networks import build_vae
from training.pictures import sample

FIRST_SEED: Final = 10_000_000
LATENT_NOISE: Final = 0.1


def batch(step: int, size: int) -> torch.Tensor:
    """Return the pictures of one step, in -1..1."""
    first = FIRST_SEED + step * size
    pixels = np.stack([sample(seed).pixels for seed in range(first, first + size)])
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return tensor.contiguous(memory_format=torch.channels_last)


def reconstruction_loss(error: torch.Tensor) -> torch.Tensor:
    """Punish wrong colours and, for sharpness, wrong edges."""
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 2 * error.pow(2).mean() + 0.5 * (across + down)


def step_loss(
    vae: AutoencoderKL, pictures: torch.Tensor, decoder_only: bool
) -> tuple[torch.Tensor, float]:
    """Return the loss of one batch and its PSNR."""
    with torch.set_grad_enabled(not decoder_only):
        latent = vae.encode(pictures).latent_dist
    noisy = latent.mean + LATENT_NOISE * torch.randn_like(latent.mean)
    error = vae.decode(noisy).sample - pictures
    loss = reconstruction_loss(error)
    if not decoder_only:
        # Latents stay small and certain, without the sampling that would slow learning down.
        loss = loss + 1e-3 * latent.mean.pow(2).mean()
        loss = loss + 1e-3 * (latent.logvar + 5).pow(2).mean()
    return loss, 10 * math.log10(4 / error.detach().pow(2).mean().item())


def train(arguments: argparse.Namespace) -> None:
    """Train until the minutes are used up."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    vae = build_vae().to(arguments.device, memory_format=torch.channels_last)
    if arguments.decoder_only:
        vae.load_state_dict(torch.load(arguments.start, weights_only=True)["average"])
        for name, parameter in vae.named_parameters():
            parameter.requires_grad_(name.startswith(("decoder", "post_quant")))

    def loss_of(step: int, _: float) -> tuple[torch.Tensor, float]:
        pictures = batch(step, arguments.batch).to(arguments.device)
        return step_loss(vae, pictures, arguments.decoder_only)

    Training(vae, arguments).run(loss_of, {})


def main() -> None:
    """Read the command line and train."""
    parser = training_options(__doc__, minutes=15, lr=1e-3)
    parser.set_defaults(batch=8)
    parser.add_argument("--out", type=Path, default=Path("build/training/vae.pt"))
    parser.add_argument("--start", type=Path, help="the codec to refine, with --decoder-only")
    parser.add_argument("--decoder-only", action="store_true", help="keep the latents as they are")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
