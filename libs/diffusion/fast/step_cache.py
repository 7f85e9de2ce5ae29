"""Steps in which most of a network is not computed, since little has changed since the last one.

The first block is always computed. Where its output is near that of the last whole evaluation,
what the deep blocks said then is taken again: of UNets their last but one level (DeepCache, Ma
et al. 2023), of transformers what all later blocks added together (as ParaAttention does it).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from torch import Tensor, nn

from libs.diffusion.architectures.base import Hears
from libs.sampling.control import Call

# Where in the output of a transformer's block the picture stands; the text stands beside it.
PICTURE_AT: Final = {
    "SD3Transformer2DModel": 1,
    "FluxTransformer2DModel": 1,
    "CogVideoXTransformer3DModel": 0,
}
BLOCK_LISTS: Final = ("transformer_blocks", "single_transformer_blocks")
SKIPPED_MAX: Final = 3
Act: TypeAlias = Callable[..., Any]


@dataclass
class Slot:
    """What the last whole evaluation of one kind left behind."""

    first: Tensor | None = None
    kept: dict[int, Any] = field(default_factory=dict)
    skipped: int = 0


@dataclass(frozen=True)
class StepCache:
    """Skips evaluations whose first block changed by less than `threshold`, relatively."""

    threshold: float

    @property
    def key(self) -> Hashable:
        """What tells it from others."""
        return ("step_cache", self.threshold)

    @contextmanager
    def inject(self, network: nn.Module) -> Iterator[Hears | None]:
        """Put shells around the network's blocks; a network without known blocks stays as it is."""
        state = Skipping(self.threshold)
        shells = list(_shells(network, state))
        for blocks, at, shell in shells:
            blocks[at] = shell
        try:
            yield state.hear if shells else None
        finally:
            for blocks, at, shell in shells:
                blocks[at] = shell.block


class Skipping:
    """What is skipped in one course."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.skips = False
        self.skipped = 0
        self._slots: dict[Hashable, Slot] = {}
        self._slot = Slot()
        self._sigma = -1.0
        self._place = 0

    def hear(self, call: Call) -> None:
        """Find what the last evaluation like this one left: the same texts, one level before."""
        self._place = self._place + 1 if call.sigma == self._sigma else 0
        self._sigma = call.sigma
        shapes = (tuple(call.x.shape), tuple(call.context.shape))
        key = (self._place, *shapes, call.positive, tuple(call.control))
        self._slot = self._slots.setdefault(key, Slot())
        self.skips = False

    def decide(self, first: Tensor) -> None:
        """Decide, by what the first block made, whether the others are computed."""
        slot = self._slot
        last = slot.first
        near = last is not None and slot.skipped < SKIPPED_MAX and self._near(first, last)
        self.skips = near
        if near:
            slot.skipped += 1
            self.skipped += 1
        else:
            slot.first, slot.skipped = first, 0

    @property
    def kept(self) -> dict[int, Any]:
        """What the blocks made at the last whole evaluation."""
        return self._slot.kept

    @property
    def first(self) -> Tensor | None:
        """What the first block made at the last whole evaluation."""
        return self._slot.first

    def _near(self, first: Tensor, last: Tensor) -> bool:
        # The one place in a course where the host waits for the device.
        change = (first - last).abs().mean() / last.abs().mean()
        return bool(change < self.threshold)


class Shell(nn.Module):
    """Stands where a block stood, and decides whether it is asked."""

    block: nn.Module

    def __init__(self, block: nn.Module, act: Act) -> None:
        super().__init__()
        self.block = block
        self.train(block.training)
        self._act = act

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the block, or answer for it."""
        return self._act(self.block, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)


Place: TypeAlias = tuple[Any, Any, Shell]


def _shells(network: nn.Module, state: Skipping) -> Iterator[Place]:
    if isinstance(getattr(network, "down_blocks", None), nn.ModuleList):
        yield from _in_unet(network, state)
    elif type(network).__name__ in PICTURE_AT:
        yield from _in_transformer(network, state, PICTURE_AT[type(network).__name__])


def _in_unet(network: Any, state: Skipping) -> Iterator[Place]:
    """Keep all but the highest level: the first block down and the last one up."""
    down, up = network.down_blocks, network.up_blocks
    if len(down) < 2 or network.mid_block is None:
        return

    def first(block: Act, *args: Any, **kwargs: Any) -> Any:
        output = block(*args, **kwargs)
        state.decide(output[0])
        return output

    def kept(number: int) -> Act:
        def act(block: Act, *args: Any, **kwargs: Any) -> Any:
            if not state.skips:
                state.kept[number] = block(*args, **kwargs)
            return state.kept[number]

        return act

    yield down, 0, Shell(down[0], first)
    for at in range(1, len(down)):
        yield down, at, Shell(down[at], kept(at))
    yield _Attribute(network), "mid_block", Shell(network.mid_block, kept(-1))
    for at in range(len(up) - 1):
        yield up, at, Shell(up[at], kept(-2 - at))


class _Attribute:
    """An attribute of a network, addressed like a place in a list."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __setitem__(self, name: str, value: nn.Module) -> None:
        setattr(self._network, name, value)


def _in_transformer(network: Any, state: Skipping, picture: int) -> Iterator[Place]:
    """Keep what all blocks but the first added to the picture."""
    found = [getattr(network, name) for name in BLOCK_LISTS if hasattr(network, name)]
    places = [(blocks, at) for blocks in found for at in range(len(blocks))]
    if len(places) < 2:
        return
    now: list[Tensor] = []

    def first(block: Act, *args: Any, **kwargs: Any) -> Any:
        output = block(*args, **kwargs)
        now[:] = [output[picture]]
        state.decide(output[picture])
        return output

    def middle(block: Act, *args: Any, **kwargs: Any) -> Any:
        return _through(kwargs, picture) if state.skips else block(*args, **kwargs)

    def last(block: Act, *args: Any, **kwargs: Any) -> Any:
        if state.skips:
            seen = now[0] + state.kept[0]
            text = kwargs.get("encoder_hidden_states")
            return (seen, text) if picture == 0 else (text, seen)
        output = block(*args, **kwargs)
        state.kept[0] = output[picture] - now[0]
        return output

    acts = [first, *[middle] * (len(places) - 2), last]
    for (blocks, at), act in zip(places, acts, strict=True):
        yield blocks, at, Shell(blocks[at], act)


def _through(given: dict[str, Any], picture: int) -> tuple[Any, Any]:
    """Return what a block was given, as it would return it."""
    seen, text = given["hidden_states"], given.get("encoder_hidden_states")
    return (seen, text) if picture == 0 else (text, seen)
