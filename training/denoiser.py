"""Trains the denoiser together with the text encoder: `python -m training.denoiser --help`."""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from training.latents import Pool, load_pool
from training.loop import Training, training_options
from training.networks import TEXT_POSITIONS, build_text_encoder, build_unet
from training.pictures import sample
from training.schedule import alphas_cumprod
from training.tokens import CompactVocabulary, token_ids

SHARE_WITHOUT_TEXT: Final = 0.1
SHARE_WITH_STRANGE_WORDS: Final = 0.12
STRANGE_WORDS: Final = 4
VOCABULARY_PICTURES: Final = 20_000
STEPS: Final = 1000
SHORT_POSITIONS: Final = 24
SHORT_UNTIL: Final = 0.88
SHARE_WITH_ALL_POSITIONS: Final = 0.12


class Feed:
    """Batches: noisy latents, their times, their captions as rows, the answer."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed(seed)
        self.alphas = alphas_cumprod()
        self.reload()
        captions = {sample(number).caption for number in range(VOCABULARY_PICTURES)}
        self.vocabulary = CompactVocabulary(t for ids in token_ids(captions) for t in ids)

    def seed(self, seed: int) -> None:
        """Start the dice anew."""
        self.rng = np.random.default_rng(seed)
        self.noise = torch.Generator().manual_seed(seed)

    def reload(self) -> None:
        """Read the pool again, which may have grown."""
        self.pool: Pool = load_pool(self.folder)
        self.tokens = token_ids(self.pool.captions)

    def rows(self, index: int) -> list[int]:
        """Return one caption as rows, now and then empty or with words nobody knows."""
        if self.rng.random() < SHARE_WITHOUT_TEXT:
            return self.vocabulary.line([])
        rows = [self.vocabulary.row(token) for token in self.tokens[index]]
        if self.rng.random() < SHARE_WITH_STRANGE_WORDS:
            for _ in range(self.rng.integers(1, STRANGE_WORDS + 1)):
                rows.insert(int(self.rng.integers(0, len(rows) + 1)), self.vocabulary.unknown)
        return self.vocabulary.line(rows)

    def positions(self, progress: float) -> int:
        """Return how many text positions to use: mostly few, for speed; all of them towards the end."""
        if progress > SHORT_UNTIL or self.rng.random() < SHARE_WITH_ALL_POSITIONS:
            return TEXT_POSITIONS
        return SHORT_POSITIONS

    def batch(self, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return noisy latents, times, rows, and the velocity to be predicted."""
        chosen = self.rng.integers(0, len(self.pool.captions), size)
        clean = self.pool.latents[torch.from_numpy(chosen)]
        rows = torch.tensor([self.rows(int(index)) for index in chosen])
        # One time from each of `size` equal slices: the same mean, much less variance.
        slices = torch.rand(size, generator=self.noise) + torch.arange(size)
        times = (slices / size * STEPS).long().clamp(0, STEPS - 1)
        noise = torch.randn(clean.shape, generator=self.noise)
        signal = self.alphas[times].sqrt().view(-1, 1, 1, 1)
        spread = (1 - self.alphas[times]).sqrt().view(-1, 1, 1, 1)
        noisy = (signal * clean + spread * noise).contiguous(memory_format=torch.channels_last)
        return noisy, times, rows, signal * noise - spread * clean


class Pair(nn.Module):
    """The two networks that learn together."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.unet = build_unet().to(memory_format=torch.channels_last)
        self.text = build_text_encoder(words)

    def forward(self, noisy: torch.Tensor, times: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Predict the velocity."""
        context = self.text(rows).last_hidden_state
        velocity: torch.Tensor = self.unet(noisy, times, context).sample
        return velocity


def train(arguments: argparse.Namespace) -> None:
    """Train until the minutes are used up."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    feed = Feed(arguments.latents, arguments.seed)
    pair = Pair(feed.vocabulary.size).to(arguments.device)
    training = Training(pair, arguments)
    # A resumed run must not see the batches of the first one again.
    feed.seed(arguments.seed + training.step)

    def loss_of(_: int, progress: float) -> tuple[torch.Tensor, float]:
        noisy, times, rows, answer = (
            tensor.to(arguments.device) for tensor in feed.batch(arguments.batch)
        )
        rows = rows[:, : feed.positions(progress)]
        loss = functional.mse_loss(pair(noisy, times, rows), answer)
        return loss, loss.item()

    training.run(loss_of, {"known": feed.vocabulary.known}, saved=feed.reload)


def main() -> None:
    """Read the command line and train."""
    parser = training_options(__doc__, minutes=90, lr=1.2e-3)
    parser.add_argument("--latents", type=Path, default=Path("build/training/latents"))
    parser.add_argument("--out", type=Path, default=Path("build/training/denoiser.pt"))
    train(parser.parse_args())


if __name__ == "__main__":
    main()
