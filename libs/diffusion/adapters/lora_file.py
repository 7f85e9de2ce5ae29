"""A file of changes: which modules it changes, found in the names of its tensors."""

from __future__ import annotations

import re
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
    ".lora.up.weight": "lora_up",
    ".lora.down.weight": "lora_down",
    "_lora.up.weight": "lora_up",
    "_lora.down.weight": "lora_down",
    ".lora_B": "lora_up",
    ".lora_A": "lora_down",
    ".lora_B.bias": "diff_b",
    ".lora_linear_layer.up.weight": "lora_up",
    ".lora_linear_layer.down.weight": "lora_down",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".dora_scale": "dora_scale",
    ".alpha": "alpha",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".w_norm": "diff",
    ".b_norm": "diff_b",
    **{f".hada_{part}": f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")},
    **{f".lokr_{part}": f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")},
    ".lokr_t2": "lokr_t2",
    ".oft_blocks": "oft_blocks",
    ".rescale": "rescale",
    **{f".{part}.weight": part for part in ("a1", "a2", "b1", "b2")},
    ".set_weight": "set",
    # The norms of Flux, beside a LoRA of everything else.
    ".scale": "set",
}
# PEFT may write the name that an adapter was given in training.
GIVEN_NAME: Final = re.compile(
    r"\.(lora_A|lora_B|lora_magnitude_vector)\.(?!weight$|bias$)[^.]+\.weight$"
)
# How XLabs names Flux: first what the picture passes through, then the text.
XLABS: Final = re.compile(
    r"(?P<block>(?:double|single)_blocks\.\d+\.)processor\.(?P<layer>(?:qkv|proj)_lora[12]?)"
    r"\.(?P<side>down|up)\.weight"
)
XLABS_LAYERS: Final[Mapping[str, str]] = {
    "qkv_lora1": "img_attn.qkv",
    "qkv_lora2": "txt_attn.qkv",
    "proj_lora1": "img_attn.proj",
    "proj_lora2": "txt_attn.proj",
    "qkv_lora": "linear1_qkv",
    "proj_lora": "linear2",
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
            usual = _usual(name)
            ending = next((ending for ending in ENDINGS if usual.endswith(ending)), None)
            if ending is None:
                unread.append(name)
                continue
            stem = _stem(usual.removesuffix(ending), old=ending.startswith("_"))
            found.setdefault(stem, {})[ENDINGS[ending]] = name
        groups = (Group(stem, *addressed(stem), tensors) for stem, tensors in found.items())
        return tuple(groups), tuple(unread)


def _usual(name: str) -> str:
    """Return a tensor's name in a way that most files have."""
    found = XLABS.fullmatch(name.removeprefix("diffusion_model."))
    if found is not None:
        return f"{found['block']}{XLABS_LAYERS[found['layer']]}.lora_{found['side']}.weight"
    return GIVEN_NAME.sub(r".\1.weight", name)


def _stem(stem: str, *, old: bool) -> str:
    """Return the published name of a module; `old` files name the layers of its processor."""
    stem = stem.replace(WRAPPER, "").replace(".processor", "")
    return f"{stem}.0" if old and stem.endswith(".to_out") else stem
