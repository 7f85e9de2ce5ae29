"""What both trainings share: the learning rate, the averaged weights, the clock, the save file."""

import argparse
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

SAY_EVERY_STEPS: Final = 100
SAVE_MINUTES: Final = 4.0
GRADIENT_NORM_MAX: Final = 1.0


def learning_rate(progress: float, peak: float, warm: float = 0.03) -> float:
    """Return the rate after a share of the training: a short ramp, half a cosine, two percent."""
    if progress < warm:
        return peak * progress / warm
    rest = min(1.0, (progress - warm) / (1 - warm))
    return peak * (0.02 + 0.49 * (1 + math.cos(math.pi * rest)))


class Average:
    """The exponential moving average of a network's weights."""

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float = 0.999) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.steps = 0
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take one step towards the present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        present = [parameter.detach() for parameter in self.parameters]
        torch._foreach_lerp_(self.values, present, 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange average and weights; doing it twice changes nothing."""
        for parameter, value in zip(self.parameters, self.values, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(value)
            value.copy_(kept)


class Clock:
    """Minutes used of a budget, those of earlier runs included."""

    def __init__(self, budget_minutes: float, used_before_minutes: float = 0.0) -> None:
        self.budget_minutes = budget_minutes
        self.used_before_minutes = used_before_minutes
        self.started_seconds = time.monotonic()

    def used_minutes(self) -> float:
        """Return the minutes used so far."""
        return self.used_before_minutes + (time.monotonic() - self.started_seconds) / 60

    def progress(self) -> float:
        """Return the used share of the budget."""
        return self.used_minutes() / self.budget_minutes


class Training:
    """One network on its way: it can be stopped at any time and resumed from its save file."""

    def __init__(self, network: nn.Module, arguments: argparse.Namespace) -> None:
        self.network = network
        self.out: Path = arguments.out
        self.peak: float = arguments.lr
        self.batch: int = arguments.batch
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.trained, lr=self.peak, betas=(0.9, 0.99), weight_decay=1e-2, fused=True
        )
        self.step = 0
        self.clock = Clock(arguments.minutes)
        self.average = Average(self.trained)
        if arguments.resume and self.out.exists():
            self._resume()

    def run(
        self,
        loss_of: Callable[[int, float], tuple[torch.Tensor, float]],
        facts: dict[str, Any],
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """Train until the minutes are used up; `loss_of` gives the loss and the figure to show."""
        figures: list[float] = []
        saved_minutes = self.clock.used_minutes()
        while self.clock.progress() < 1:
            loss, figure = loss_of(self.step, self.clock.progress())
            self._descend(loss)
            figures.append(figure)
            if self.step % SAY_EVERY_STEPS == 0:
                self._say(float(np.mean(figures[-SAY_EVERY_STEPS:])))
            if self.clock.used_minutes() - saved_minutes > SAVE_MINUTES:
                saved_minutes = self.clock.used_minutes()
                self._save(facts | {"figure": float(np.mean(figures[-400:]))})
                saved()
        self._save(facts | {"figure": float(np.mean(figures[-400:]))})

    def _descend(self, loss: torch.Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.clock.progress(), self.peak)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.trained, GRADIENT_NORM_MAX)
        self.optimiser.step()
        self.average.update()
        self.step += 1

    def _say(self, figure: float) -> None:
        minutes = self.clock.used_minutes()
        say(step=self.step, minutes=minutes, figure=figure, seen=self.step * self.batch)

    def _save(self, facts: dict[str, Any]) -> None:
        weights = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.average.swap()
        state = {
            "step": self.step,
            "minutes": self.clock.used_minutes(),
            "batch": self.batch,
            "weights": weights,
            "average": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        save(self.out, facts | state)
        self.average.swap()

    def _resume(self) -> None:
        state = torch.load(self.out, weights_only=True)
        self.network.load_state_dict(state["average"])
        self.average = Average(self.trained)
        self.network.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step = self.average.steps = state["step"]
        self.clock = Clock(self.clock.budget_minutes, state["minutes"])


def training_options(
    description: str | None, *, minutes: float, lr: float
) -> argparse.ArgumentParser:
    """Return a parser with the options that every training has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--minutes", type=float, default=minutes, help="budget, resumes included")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from --out if it exists")
    return parser


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a save file so that a crash leaves the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    torch.save(state, half)
    half.replace(path)


def say(**facts: object) -> None:
    """Print one line of progress."""
    shown = (f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in facts.items())
    print(*shown, flush=True)
