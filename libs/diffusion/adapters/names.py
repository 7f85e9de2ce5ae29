"""The many names that published adapters have for the modules of a network.

A name is compared without dots: files write `attn1.to_q` and `attn1_to_q` for the same module.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from libs.diffusion.adapters.joined_names import (
    joined_names,
    partly_joined_names,
    swapped_names,
)
from libs.diffusion.adapters.rows import Rows, halves_swapped
from libs.diffusion.loader.unet_names import single_file_names

NETWORK: Final = -1
MOTION: Final = ".motion_modules."
# The numbers of text encoders, by their names.
TOWERS: Final[Mapping[str, int]] = {"l": 0, "g": 1, "t5xxl": 2}
# Before a module's name, and which network is meant: the diffusion network, or the text
# encoder of that number. Longer ones come first.
PREFIXES: Final[Mapping[str, int]] = {
    "model.diffusion_model.": NETWORK,
    "text_encoders.clip_l.transformer.": 0,
    "text_encoders.clip_g.transformer.": 1,
    "text_encoders.t5xxl.transformer.": 2,
    "lora_transformer_": NETWORK,
    "diffusion_model.": NETWORK,
    "text_encoder_2.": 1,
    "text_encoder_3.": 2,
    "text_encoder.": 0,
    "transformer.": NETWORK,
    "lora_unet_": NETWORK,
    "lycoris_": NETWORK,
    "lora_te1_": 0,
    "lora_te2_": 1,
    "lora_te3_": 2,
    "lora_te_": 0,
    "unet.": NETWORK,
}


@dataclass(frozen=True)
class Piece:
    """A module of ours, and the rows that it has in the published one if those are others."""

    module: str
    rows: Rows | None = None


Names: TypeAlias = Mapping[str, tuple[Piece, ...]]


def addressed(stem: str) -> tuple[int, str]:
    """Return which network a published name means, and the module's name without dots."""
    for prefix, network in PREFIXES.items():
        if stem.startswith(prefix):
            return network, flat(stem.removeprefix(prefix))
    return NETWORK, flat(stem)


def flat(name: str) -> str:
    """Return a name without dots."""
    return name.replace(".", "_")


def network_names(rows: Mapping[str, int]) -> Names:
    """Return the modules of a diffusion network by all names that they are published under.

    `rows` says of each module how many rows its weight has.
    """
    found: dict[str, tuple[Piece, ...]] = {flat(module): (Piece(module),) for module in rows}
    if any(module.startswith("down_blocks.") for module in rows):
        for module, published in single_file_names(rows).items():
            found[flat(published)] = (Piece(module),)
        found |= {flat(_of_motion(module)): (Piece(module),) for module in rows if MOTION in module}
    for published, homes in (*joined_names(rows), *partly_joined_names(rows)):
        found[flat(published)] = tuple(_pieces(homes, rows))
    for published, home in swapped_names(rows):
        found[flat(published)] = (Piece(home, halves_swapped(rows[home])),)
    return found


def _of_motion(module: str) -> str:
    """Return a module of AnimateDiff's motion as its own release names it."""
    named = module.replace(".transformer_blocks.", ".temporal_transformer.transformer_blocks.")
    for place, attention in enumerate(("attn1", "attn2")):
        named = named.replace(f".{attention}.", f".attention_blocks.{place}.")
    return named


def _pieces(homes: Sequence[str], rows: Mapping[str, int]) -> Iterator[Piece]:
    if len(homes) == 1:
        yield Piece(homes[0])
        return
    start = 0
    for home in homes:
        yield Piece(home, slice(start, start + rows[home]))
        start += rows[home]


def tower_numbers(names: Sequence[str]) -> tuple[frozenset[int], ...]:
    """Return the numbers that files may have for each of a model's text encoders.

    One counts them as they lie in the model, another as they lie in the largest of all models.
    """
    taken = {TOWERS[name] for name in names}
    return tuple(frozenset({TOWERS[name], *({at} - taken)}) for at, name in enumerate(names))


def tower_names(modules: Collection[str]) -> Names:
    """Return the modules of a text encoder by all names that they are published under."""
    return {name: (Piece(module),) for module in modules for name in _tower_names(module)}


def _tower_names(module: str) -> Iterator[str]:
    if module == "projection":
        yield "text_projection"
        return
    inner = module.removeprefix("text.").removeprefix("text_model.")
    yield flat(inner)
    yield flat(f"text_model.{inner}")
