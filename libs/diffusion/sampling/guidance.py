"""Guidance: what the network sees with the text, pushed away from what it sees with the other.

`Guided` is the `denoise` that samplers call. The whole of it is float32 but for the network
itself, whose output becomes float32 before anything is computed from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from libs.diffusion.conditioning import Area, Conditioning, Entry
from libs.diffusion.sampling.areas import clipped, weights, with_twins
from libs.diffusion.sampling.parameterisation import Parameterisation

# So that a place where no text counts divides zero by something.
NOTHING = 1e-37

Extras = Mapping[str, Tensor]


@dataclass(frozen=True)
class Call:
    """One evaluation of the network: [entries * batch] latents, their texts and extras."""

    x: Tensor
    timestep: Tensor
    context: Tensor
    extras: Extras


Network = Callable[[Call], Tensor]
# Told by the entry, and whether it stands on the positive side.
ExtrasOf = Callable[[Entry, bool], Extras]


@dataclass(frozen=True)
class Job:
    """An entry to evaluate, for the side (0 negative or the only one, then positive)."""

    side: int
    entry: Entry
    positive: bool


@dataclass(frozen=True, kw_only=True)
class Guided:
    """Denoises with guidance over lists of encoded texts."""

    network: Network
    levels: Parameterisation
    positive: Conditioning
    negative: Conditioning
    cfg: float
    extras_of: ExtrasOf

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the picture seen in `x` at the noise level `sigma`."""
        if math.isclose(self.cfg, 1.0):
            return self._seen(x, sigma, [list(self.positive.entries)])[0]
        sides = [
            with_twins(self.negative.entries, self.positive.entries),
            with_twins(self.positive.entries, self.negative.entries),
        ]
        without, with_text = self._seen(x, sigma, sides)
        return without + (with_text - without) * self.cfg

    def _seen(self, x: Tensor, sigma: Tensor, sides: Sequence[Sequence[Entry]]) -> list[Tensor]:
        sums = [torch.zeros_like(x) for _ in sides]
        counts = [torch.full_like(x, NOTHING) for _ in sides]
        for area, jobs in self._jobs(sigma, sides).items():
            rectangle = clipped(area, x)
            if rectangle.is_empty:
                continue
            place = (
                ...,
                slice(rectangle.y, rectangle.y + rectangle.height),
                slice(rectangle.x, rectangle.x + rectangle.width),
            )
            outputs = self._evaluate(x[place], sigma, jobs)
            for job, output in zip(jobs, outputs, strict=True):
                weight = weights(rectangle, x, job.entry.strength)
                sums[job.side][place] += output * weight
                counts[job.side][place] += weight
        return [total / count for total, count in zip(sums, counts, strict=True)]

    def _jobs(
        self, sigma: Tensor, sides: Sequence[Sequence[Entry]]
    ) -> dict[Area | None, list[Job]]:
        by_area: dict[Area | None, list[Job]] = {}
        for side, entries in enumerate(sides):
            for entry in entries:
                if self._counts(entry, float(sigma)):
                    by_area.setdefault(entry.area, []).append(
                        Job(side, entry, positive=side == len(sides) - 1)
                    )
        return by_area

    def _counts(self, entry: Entry, sigma: float) -> bool:
        return self.levels.sigma_at(entry.end) <= sigma <= self.levels.sigma_at(entry.start)

    def _evaluate(self, x: Tensor, sigma: Tensor, jobs: Sequence[Job]) -> Sequence[Tensor]:
        """Evaluate all jobs over the same place in one batch."""
        batch = x.shape[0]
        tokens = math.lcm(*(job.entry.context.shape[1] for job in jobs))
        context = torch.cat([_repeated(job.entry.context, batch, tokens) for job in jobs])
        many = torch.cat([x] * len(jobs))
        extras = [self.extras_of(job.entry, job.positive) for job in jobs]
        call = Call(
            x=self.levels.network_input(many, sigma),
            timestep=self.levels.timestep(sigma.reshape(1)).float().repeat(len(many)),
            context=context,
            extras={
                name: torch.cat([extra[name].repeat(batch, 1) for extra in extras])
                for name in extras[0]
            },
        )
        output = self.network(call).float()
        return self.levels.denoised(many, output, sigma).chunk(len(jobs))


def _repeated(context: Tensor, batch: int, tokens: int) -> Tensor:
    """Repeat a text to a common length: padding with zeros would change what it says."""
    return context.repeat(batch, tokens // context.shape[1], 1)
