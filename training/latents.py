"""Encodes the training pictures once, shard by shard: `python -m training.latents --help`."""

import argparse
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL

from training.loop import save, say
from training.networks import build_vae
from training.pictures import sample

SHARD_PICTURES: Final = 2048
CHUNK: Final = 64


class Pool(NamedTuple):
    """Latents of unit variance and what each shows."""

    latents: torch.Tensor
    captions: list[str]


def load_codec(path: Path) -> AutoencoderKL:
    """Return the trained codec, with its averaged weights."""
    vae = build_vae()
    vae.load_state_dict(torch.load(path, weights_only=True)["average"])
    return vae.to(memory_format=torch.channels_last).eval()


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: np.ndarray) -> torch.Tensor:
    """Return the mean latent of pictures, as the codec gives it."""
    tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    pictures = tensor.contiguous(memory_format=torch.channels_last)
    mean: torch.Tensor = vae.encode(pictures).latent_dist.mean
    return mean


def shard(vae: AutoencoderKL, index: int) -> Pool:
    """Encode the pictures of one shard."""
    first = index * SHARD_PICTURES
    latents, captions = [], []
    for start in range(first, first + SHARD_PICTURES, CHUNK):
        samples = [sample(seed) for seed in range(start, start + CHUNK)]
        latents.append(encode(vae, np.stack([one.pixels for one in samples])))
        captions += [one.caption for one in samples]
    return Pool(torch.cat(latents), captions)


def load_pool(folder: Path) -> Pool:
    """Read all shards that are there; the scale is that of the first one, so it never moves."""
    paths = sorted(folder.glob("shard-*.pt"))
    shards = [torch.load(path, weights_only=True) for path in paths]
    mean, deviation = statistics(folder)
    latents = torch.cat([one["latents"] for one in shards])
    captions = [caption for one in shards for caption in one["captions"]]
    return Pool((latents - mean) / deviation, captions)


def statistics(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and deviation of each latent channel over the first shard."""
    latents = torch.load(folder / "shard-0000.pt", weights_only=True)["latents"]
    mean = latents.mean(dim=(0, 2, 3), keepdim=True)
    return mean, latents.std(dim=(0, 2, 3), keepdim=True)


def main() -> None:
    """Write the shards that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codec", type=Path, default=Path("build/training/vae.pt"))
    parser.add_argument("--out", type=Path, default=Path("build/training/latents"))
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    vae = load_codec(arguments.codec)
    for index in range(arguments.shards):
        path = arguments.out / f"shard-{index:04}.pt"
        if not path.exists():
            save(path, shard(vae, index)._asdict())
            say(shard=index, pictures=(index + 1) * SHARD_PICTURES)


if __name__ == "__main__":
    main()
