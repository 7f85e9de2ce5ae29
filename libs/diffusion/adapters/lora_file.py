"""A file of changes: which modules it changes, found in the names of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from libs.diffusion.adapters.names import addressed
from libs.diffusion.loader.file import WeightsFile

# How a tensor's name ends, in the ways of kohya, LyCORIS, diffusers and PEFT, and what it is.
ENDINGS: Final[Mapping[str, str]] = {
    ".lora_up.weight": "lora_up",
    ".lora_down.weight": "lora_down",
    ".lora_mid.weight": "lora_mid",
    ".lora_B.weight": "lora_up",
    ".lora_A.weight": "lora_down",
    ".lora_B.default.weight": "lora_up",
    ".lora_A.default.weight": "lora_down",
    ".lora.up.weight": "lora_up",
    ".lora.down.weight": "lora_down",
    "_lora.up.weight": "lora_up",
    "_lora.down.weight": "lora_down",
    ".lora_linear_layer.up.weight": "lora_up",
    ".lora_linear_layer.down.weight": "lora_down",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector.default.weight": "magnitude",
    ".dora_scale": "dora_scale",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
    **{f".hada_{part}": f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{part}": f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")},
    ".lokr_t2": "lokr_t2",
}
WRAPPER: Final = "base_model.model."


@dataclass(frozen=True)
class Group:
    """The tensors that together change one module: their names in the file by what they are."""

    stem: str
    network: int
    module: str
    tensors: Mapping[str, str]


@dataclass(frozen=True)
class LoraFile:
    """What a file of changes holds, known from the names alone."""

    file: WeightsFile

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The changes, one per module."""
        return self._read[0]

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """The tensors that are parts of no change that is known here."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[tuple[Group, ...], tuple[str, ...]]:
        found: dict[str, dict[str, str]] = {}
        unread = []
        for name in self.file.shapes:
            ending = next((ending for ending in ENDINGS if name.endswith(ending)), None)
            if ending is None:
                unread.append(name)
                continue
            stem = _stem(name.removesuffix(ending), old=ending.startswith("_"))
            found.setdefault(stem, {})[ENDINGS[ending]] = name
        groups = (Group(stem, *addressed(stem), tensors) for stem, tensors in found.items())
        return tuple(groups), tuple(unread)


def _stem(stem: str, *, old: bool) -> str:
    """Return the published name of a module; `old` files name the layers of its processor."""
    stem = stem.removeprefix(WRAPPER).replace(".processor", "")
    return f"{stem}.0" if old and stem.endswith(".to_out") else stem
