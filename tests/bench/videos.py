"""How long a video takes on a GPU: true shapes, random weights, sampling and decoding.

`python -m tests.bench.videos` measures on the first CUDA device and prints a line for each kind.
The limits are those of an A100; on another card the time is multiplied with what is known of it,
and with nothing known nothing is said to be proven.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLTemporalDecoder,
    MotionAdapter,
    UNet2DConditionModel,
    UNetSpatioTemporalConditionModel,
)
from torch import nn

from libs.diffusion.architectures.stable_diffusion import SD1, StableDiffusion
from libs.diffusion.architectures.stable_video import StableVideo
from libs.diffusion.loader.motion import MotionShape
from libs.diffusion.loader.unet import UnetShape
from libs.diffusion.model import Model
from libs.diffusion.motion import MotionModel
from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache, Resident
from libs.diffusion.vae import Vae
from libs.diffusion.values import Latents
from libs.diffusion.video_vae import TemporalVae
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.levels import Chain

# How many times longer an A100 takes, by what the card's name has in it.
SLOWER: Final[Mapping[str, float]] = {"A100": 1.0, "H100": 3.2, "H200": 3.2}
BYTES_MAX: Final = 2**40
VAE_WIDTHS: Final = (128, 256, 512, 512)
SVD_UNET: Final[Mapping[str, Any]] = {"num_attention_heads": (5, 10, 20, 20)}
SD1_UNET: Final[Mapping[str, Any]] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}
MOTION: Final[Mapping[str, Any]] = {}

Parts = tuple[Model, Vae, Entry]
Make = Callable[[Placement], Parts]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A kind of video at one shape, and how long an A100 may take for it."""

    name: str
    limit_seconds: float
    frames: int
    width: int
    height: int
    steps: int
    cfg: float
    make: Make


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What was measured; `factor` is None on a card that nothing is known of."""

    case: Case
    seconds: float
    peak_gib: float
    factor: float | None

    @property
    def verdict(self) -> str:
        """Whether the limit of an A100 is kept."""
        if self.factor is None:
            return "not proven"
        return "kept" if self.seconds * self.factor < self.case.limit_seconds else "missed"


def measured(case: Case, placement: Placement, factor: float | None) -> Figure:
    """Make the video once to warm up, with one step, and once to measure."""
    model, vae, entry = case.make(placement)
    seconds = 0.0
    for steps in (1, case.steps):
        _settled(placement.device)
        before = time.perf_counter()
        end = model.sample(
            Latents(torch.zeros(case.frames, 4, case.height // 8, case.width // 8)),
            positive=Conditioning((entry,)),
            negative=Conditioning((entry,)),
            seed=1,
            steps=steps,
            cfg=case.cfg,
            sampler="euler",
            scheduler="karras",
            on_step=lambda _value, _total, _preview=None: None,
        )
        assert vae.decode(end).count == case.frames
        _settled(placement.device)
        seconds = time.perf_counter() - before
    peak = torch.cuda.max_memory_allocated() / 2**30 if placement.device.type == "cuda" else 0.0
    return Figure(case=case, seconds=seconds, peak_gib=peak, factor=factor)


def svd(unet: Mapping[str, Any], widths: tuple[int, ...], layers: int = 2) -> Make:
    """Return what makes Stable Video Diffusion of these sizes."""

    def make(placement: Placement) -> Parts:
        cache = ModelCache(BYTES_MAX)
        architecture = StableVideo()
        network = _random(
            cache,
            "unet",
            placement,
            placement.unet,
            lambda: UNetSpatioTemporalConditionModel(**unet),
        )
        decoder = _random(
            cache,
            "vae",
            placement,
            placement.vae,
            lambda: AutoencoderKLTemporalDecoder(
                block_out_channels=widths,
                layers_per_block=layers,
                down_block_types=("DownEncoderBlock2D",) * len(widths),
            ),
        )
        model = _model(network, architecture, placement)
        width = unet.get("cross_attention_dim", 1024)
        return model, TemporalVae(decoder, placement), Entry(torch.randn(1, 1, width))

    return make


def animatediff(unet: Mapping[str, Any], motion: Mapping[str, Any], vae: Mapping[str, Any]) -> Make:
    """Return what makes AnimateDiff on Stable Diffusion 1 of these sizes."""

    def make(placement: Placement) -> Parts:
        cache = ModelCache(BYTES_MAX)
        pictures = _random(
            cache, "unet", placement, placement.unet, lambda: UNet2DConditionModel(**unet)
        )
        module = _random(
            cache, "motion", placement, placement.unet, lambda: MotionAdapter(**motion)
        )
        decoder = _random(cache, "vae", placement, placement.vae, lambda: AutoencoderKL(**vae))
        still = StableDiffusion(SD1, UnetShape.of_settings(unet), Chain())
        shape = MotionShape(
            tuple(unet["block_out_channels"]), unet["layers_per_block"], 32, has_middle=True
        )
        moving = MotionModel(module, shape).applied_to(_model(pictures, still, placement), 16, 4)
        entry = Entry(torch.randn(1, 77, unet["cross_attention_dim"]))
        return moving, Vae(decoder, placement), entry

    return make


def _model(network: Resident[Any], architecture: Any, placement: Placement) -> Model:
    return Model(
        network=network,
        architecture=architecture,
        placement=placement,
        compatibility=0,
        draw_preview=lambda _: b"",
        levels=architecture.levels,
    )


def _random(
    cache: ModelCache, part: str, placement: Placement, dtype: torch.dtype, make: Callable[[], Any]
) -> Resident[Any]:
    def load() -> nn.Module:
        with placement.device:
            network: nn.Module = make()
        return network.to(dtype).eval().requires_grad_(False)

    return Resident(cache, (part, str(placement.device)), load)


def _settled(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def factor_of(card: str) -> float | None:
    """Return how many times longer an A100 takes than the card of this name."""
    return next((factor for name, factor in SLOWER.items() if name in card), None)


CASES: Final = (
    Case(
        name="SVD",
        limit_seconds=30.0,
        frames=14,
        width=1024,
        height=576,
        steps=25,
        cfg=2.5,
        make=svd(SVD_UNET, VAE_WIDTHS),
    ),
    Case(
        name="AnimateDiff",
        limit_seconds=15.0,
        frames=16,
        width=512,
        height=512,
        steps=25,
        cfg=7.5,
        make=animatediff(
            SD1_UNET,
            MOTION,
            {
                "block_out_channels": VAE_WIDTHS,
                "layers_per_block": 2,
                "latent_channels": 4,
                "down_block_types": ("DownEncoderBlock2D",) * 4,
                "up_block_types": ("UpDecoderBlock2D",) * 4,
            },
        ),
    ),
)


def main() -> int:
    """Measure every kind and return 1 if a limit is missed."""
    if not torch.cuda.is_available():
        print("there is no CUDA device: nothing is measured")
        return 2
    card = torch.cuda.get_device_name()
    figures = [measured(case, Placement.cuda(), factor_of(card)) for case in CASES]
    for figure in figures:
        print(
            f"{figure.case.name}: {figure.seconds:.2f} s on {card}, {figure.peak_gib:.1f} GiB; "
            f"limit {figure.case.limit_seconds:.0f} s on an A100: {figure.verdict}"
        )
    return int(any(figure.verdict == "missed" for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
