"""CogVideoX: a transformer over the patches of a whole video, beside a text that T5 encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.architectures.base import LatentFormat, NetworkWeights
from libs.diffusion.architectures.cogvideo_names import (
    DIFFUSERS_MARK,
    MARK,
    config_of_release,
    transformer_config,
    transformer_from_release,
)
from libs.diffusion.loader.build import build
from libs.diffusion.text import reading
from libs.diffusion.text.reading import Reading
from libs.sampling.conditioning import Entry
from libs.sampling.control import Call, Extras
from libs.sampling.levels import BETA_END, BETA_START, STEPS_TRAINED, Chain

NETWORK_CLASS: Final = "CogVideoXTransformer3DModel"
SCALE_OF_2B: Final = 1.15258426
SCALE: Final = 0.7
SIGNAL_SHIFT_OF_2B: Final = 3.0
SIGNAL_SHIFT: Final = 1.0
TOKENS: Final = 226
CELLS_PER_PATCH: Final = 2
FRAMES_PER_CELL: Final = 4
SECONDS_MAX: Final = 6
FRAMES_PER_SECOND: Final = 8
FRAMES_PER_SECOND_LATER: Final = 16
# What the model that goes on from a picture was told while it was trained.
OFFSET: Final = 2.0


def detect(weights: NetworkWeights) -> CogVideo | None:
    """Return the sizes of the network, None if this is none of this kind."""
    if weights.network_class == NETWORK_CLASS:
        shift = weights.schedule.get("snr_shift_scale")
        return CogVideo(weights.settings, single_file=False, signal_shift=shift)
    if MARK in weights.shapes:
        return CogVideo(config_of_release(weights.shapes), single_file=True)
    if DIFFUSERS_MARK in weights.shapes:
        return CogVideo(transformer_config(weights.shapes), single_file=False)
    return None


@dataclass(frozen=True)
class CogVideo:
    """One size of it; `single_file` says that tensors are named as in its own releases."""

    config: Mapping[str, Any]
    single_file: bool
    signal_shift: float | None = None
    name: str = "cogvideox"
    repeats_text: bool = False
    spatial: frozenset[str] = field(default=frozenset({"concat"}))

    @property
    def is_small(self) -> bool:
        """Say whether it is the 2B model, which was trained otherwise than the others."""
        return not self.config.get("use_rotary_positional_embeddings", False)

    @property
    def is_later(self) -> bool:
        """Say whether it is version 1.5, which takes two frames at a time."""
        return self.config.get("patch_size_t") is not None

    @property
    def takes_picture(self) -> bool:
        """Say whether it goes on from a picture beside the text."""
        return int(self.config["in_channels"]) > self.latent.channels

    @property
    def half(self) -> torch.dtype:
        return torch.float16 if self.is_small else torch.bfloat16

    @property
    def latent(self) -> LatentFormat:
        return LatentFormat(
            int(self.config.get("out_channels") or 16),
            SCALE_OF_2B if self.is_small else SCALE,
            frames=True,
            frames_multiple=int(self.config.get("patch_size_t") or 1),
        )

    @cached_property
    def levels(self) -> Chain:
        """Stable Diffusion's chain with more noise at each step, down to pure noise."""
        shift = self.signal_shift
        if shift is None:
            shift = SIGNAL_SHIFT_OF_2B if self.is_small else SIGNAL_SHIFT
        root = np.linspace(BETA_START**0.5, BETA_END**0.5, STEPS_TRAINED)
        signal = np.cumprod(1 - root**2, dtype=np.float64)
        return Chain("v", zero_terminal_snr=True, signal=signal / (shift + (1 - shift) * signal))

    @property
    def reading(self) -> Reading:
        return reading.COGVIDEOX_LATER if self.is_later else reading.COGVIDEOX

    def build(self, tensors: dict[str, Tensor]) -> CogVideoXTransformer3DModel:
        """Build the network from its tensors, without prefix; raise Refused if they do not fit."""
        named = transformer_from_release(tensors) if self.single_file else tensors
        network = build(lambda: CogVideoXTransformer3DModel.from_config(dict(self.config)), named)
        places = network.patch_embed
        if getattr(places, "pos_embedding", torch.empty(0)).is_meta:
            # Sines are no weights: no file has them, and they were made without memory.
            sizes = (places.sample_height, places.sample_width, places.sample_frames)
            made = places._get_positional_embeddings(*sizes)  # noqa: SLF001
            places.register_buffer("pos_embedding", made, persistent=False)
        return network

    def evaluate(self, network: nn.Module, call: Call) -> Tensor:
        """Ask the network; everything in `call` lies on its device."""
        x = call.x
        if (concat := call.extras.get("concat")) is not None:
            x = torch.cat([x, concat.to(x)], 1)
        frames, rows, columns = x.shape[-3:]
        offset = None
        if self.config.get("ofs_embed_dim"):
            offset = x.new_full((1,), OFFSET)
        angles = None if self.is_small else self._angles(frames, rows, columns, x.device)
        output: Tensor = network(
            hidden_states=x.movedim(2, 1),
            encoder_hidden_states=call.context,
            timestep=call.timestep.long(),
            ofs=offset,
            image_rotary_emb=angles,
            return_dict=False,
        )[0]
        return output.movedim(1, 2)

    def extras(
        self,
        entry: Entry,
        positive: bool,  # noqa: ARG002
        latent: Tensor,
        mask: Tensor | None,  # noqa: ARG002
    ) -> Extras:
        """Return the picture to go on from, where the model takes one."""
        self._require_size(latent)
        tokens = int(self.config.get("max_text_seq_length", TOKENS))
        if entry.context.shape[1] != tokens:
            raise Refused(
                "the text was encoded for another kind of model; load its T5 with CogVideoXLoader",
                tokens=entry.context.shape[1],
                wanted=tokens,
            )
        first = entry.extras.get("first_frame")
        if self.takes_picture:
            return {"concat": self._beside(first, latent)}
        if first is not None:
            raise Refused("this model makes videos out of texts and takes no picture")
        return {}

    def _beside(self, first: Tensor | None, latent: Tensor) -> Tensor:
        """Return what goes beside the frames: the picture at the first, nothing at the others."""
        if first is None:
            return torch.zeros_like(latent)
        video = self.latent.padded(first)
        if video.shape[2:] != latent.shape[2:]:
            raise Refused(
                "the picture was prepared for a video of another size",
                received=list(video.shape[2:]),
                wanted=list(latent.shape[2:]),
            )
        # Version 1.5 was trained on pictures that were scaled the other way round.
        return video / SCALE if self.is_later else self.latent.inward(video)

    def _require_size(self, latent: Tensor) -> None:
        frames, rows, columns = latent.shape[2:]
        if rows % CELLS_PER_PATCH or columns % CELLS_PER_PATCH:
            raise Refused(
                "a side of the video is no multiple of 16 pixels",
                field="height" if rows % CELLS_PER_PATCH else "width",
                received=[columns * 8, rows * 8],
            )
        speed = FRAMES_PER_SECOND_LATER if self.is_later else FRAMES_PER_SECOND
        frames_max = SECONDS_MAX * speed // FRAMES_PER_CELL + 1
        # One more than asked for may have been added to come to whole patches.
        if frames > frames_max + self.latent.frames_multiple - 1:
            raise Refused(
                "this model makes videos of up to 6 seconds",
                field="length",
                received=FRAMES_PER_CELL * (frames - 1) + 1,
                maximum=SECONDS_MAX * speed + 1,
            )
        wanted = (self.config.get("sample_height"), self.config.get("sample_width"))
        if self.config.get("use_learned_positional_embeddings") and (rows, columns) != wanted:
            raise Refused(
                "this model knows one size only", received=[rows, columns], wanted=list(wanted)
            )

    def _angles(
        self, frames: int, rows: int, columns: int, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        sides = (rows // CELLS_PER_PATCH, columns // CELLS_PER_PATCH)
        head = int(self.config["attention_head_dim"])
        if self.is_later:
            return _angles_from_corner(head, frames // self.latent.frames_multiple, sides, device)
        base = (
            int(self.config.get("sample_height", 60)) // CELLS_PER_PATCH,
            int(self.config.get("sample_width", 90)) // CELLS_PER_PATCH,
        )
        return _angles_within(head, frames, sides, base, device)


@lru_cache(maxsize=4)
def _angles_from_corner(
    head: int, frames: int, sides: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the angles of each place, counted from the first corner of the first frame."""
    cosines, sines = get_3d_rotary_pos_embed(
        head, None, sides, frames, grid_type="slice", max_size=sides, device=device
    )
    return cosines, sines


@lru_cache(maxsize=4)
def _angles_within(
    head: int,
    frames: int,
    sides: tuple[int, int],
    base: tuple[int, int],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Return the angles of each place, spread over what the model was trained on."""
    corners = fitted_within(sides, base)
    cosines, sines = get_3d_rotary_pos_embed(head, corners, sides, frames, device=device)
    return cosines, sines


def fitted_within(
    sides: tuple[int, int], base: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the corners of a picture, as large as fits into the middle of `base`."""
    factor = min(base[0] / sides[0], base[1] / sides[1])
    height, width = (round(factor * side) for side in sides)
    top, left = round((base[0] - height) / 2), round((base[1] - width) / 2)
    return (top, left), (top + height, left + width)
