"""MODEL: a diffusion network with what it was trained to predict, and how it is patched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from libs.diffusion.adapters.blend import SharesByBlock, blended
from libs.diffusion.architectures.base import (
    Architecture,
    Hears,
    LatentFormat,
    NetworkPatch,
    joins_runs,
    moved,
)
from libs.diffusion.control.controlnet import Lead
from libs.diffusion.fast.levers import Levers
from libs.diffusion.latent_forms import FORMS
from libs.diffusion.noise import TorchNoise, entry_in_cells, mask_in_cells
from libs.diffusion.patches.freeu import FreeU
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.scaling import scale
from libs.diffusion.values import Latents
from libs.sampling import frames
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call, Extras
from libs.sampling.guidance import Guided, Mix, Network, linear
from libs.sampling.guider import Leading
from libs.sampling.joining import likeness
from libs.sampling.levels import Levels
from libs.sampling.masks import MaskAt, differential
from libs.sampling.run import Start
from libs.sampling.turns import Turns

# Draws what is seen, and may be given what finds tiny decoders.
DrawPreview = Callable[..., bytes]


class OnStep(Protocol):
    """Hears of each step; a preview is only drawn if somebody asks for it."""

    def __call__(self, value: int, total: int, preview: Callable[..., bytes] | None = None) -> None:
        """Report that `value` of `total` steps are done."""


@dataclass(frozen=True)
class Model(Leading):
    """MODEL: a network, where it is computed, how it samples, and how previews are drawn."""

    network: Resident[nn.Module]
    architecture: Architecture
    placement: Placement
    compatibility: int
    draw_preview: DrawPreview
    levels: Levels
    mix: Mix = linear
    patches: tuple[NetworkPatch, ...] = ()
    mask_at: MaskAt | None = None
    levers: Levers = field(default_factory=Levers)
    other_latent: LatentFormat | None = None

    @property
    def latent(self) -> LatentFormat:
        """What its latents look like."""
        return self.other_latent or self.architecture.latent

    @property
    def family(self) -> str:
        """The kind of network."""
        return self.architecture.name

    def with_levels(self, levels: Levels) -> Model:
        """Return it sampling at other levels, or told to predict something else."""
        return replace(self, levels=levels)

    def with_latents(self, kind: str) -> Model:
        """Return it over latents of another scale, by the name of the model that has those."""
        form, usual, draw = FORMS[kind], self.architecture.latent, self.draw_preview

        def redrawn(seen: Tensor, *tiny: object) -> bytes:
            return draw(usual.inward(form.outward(seen)), *tiny)

        return replace(self, other_latent=form, draw_preview=redrawn)

    def painting_gradually(self, strength: float) -> Model:
        """Return it painting white places of a mask from the start, grey ones only later."""
        return replace(self, mask_at=differential(strength))

    def with_mix(self, mix: Mix) -> Model:
        """Return it guided in another way."""
        return replace(self, mix=mix)

    def guided_by_frame(self, course: frames.Course, lowest: float) -> Model:
        """Return it guided more from frame to frame, or most in the middle."""
        return self.with_mix(frames.by_frame(course, lowest))

    def blended(self, other: Model, shares: SharesByBlock) -> Model:
        """Return it with its weights blended with another's."""
        return replace(self, network=blended(self.network, other.network, shares))

    def patched(self, patch: NetworkPatch) -> Model:
        """Return it with a change to how its network computes."""
        return replace(self, patches=(*self.patches, patch))

    def freed(self, b1: float, b2: float, s1: float, s2: float, *, mapped: bool) -> Model:
        """Return it with what comes up through its UNet strengthened (FreeU)."""
        return self.patched(FreeU(b1, b2, s1, s2, mapped))

    def start(self, latent: Latents) -> Start:
        """Return a wire latent as a course starts from it: scaled, and on the device."""
        form = self.latent
        samples = form.padded(form.fitted(latent.samples)).to(self.placement.device)
        # An empty latent is no picture of grey: it is nothing, which no scale changes.
        if samples.count_nonzero():
            samples = form.inward(samples)
        mask = None
        if latent.mask is not None:
            mask = mask_in_cells(latent.mask.values.to(self.placement.device), samples)
        noise = TorchNoise(self.compatibility)
        return Start(
            latent=samples,
            mask=mask,
            noise=noise,
            batch_index=latent.batch_index,
            resize=lambda batch, method, size: scale(batch, method, size, "disabled"),
            mask_at=self.mask_at,
        )

    def ended(self, end: Tensor, began: Latents) -> Latents:
        """Return the end of a course as a wire latent."""
        form = self.latent
        added = end.shape[2] - form.fitted(began.samples).shape[2] if form.frames else 0
        return replace(began, samples=form.outward(end[:, :, added:] if added else end).cpu())

    def in_cells(self, conditioning: Conditioning, latent: Tensor) -> Conditioning:
        """Return texts on the device, with their masks in the cells of a latent.

        Once, and not with every step: a copy to the device waits for all that it computes.
        """
        device = self.placement.device

        def placed(entry: Entry) -> Entry:
            lent = tuple(
                one.over(self.network) if isinstance(one, Lead) else one for one in entry.control
            )
            entry = replace(entry, context=entry.context.to(device), control=lent)
            return entry_in_cells(entry, latent)

        return conditioning.each(placed)

    @contextmanager
    def guided(
        self,
        latent: Tensor,
        positive: Conditioning,
        negative: Conditioning,
        cfg: float,
        mask: Tensor | None = None,
    ) -> Iterator[Guided]:
        """Lend a denoiser over the patched network; the patches are taken back at the end.

        `mask` is what of the latent may be painted, which some networks are told.
        """
        device = self.placement.device

        def extras_of(entry: Entry, side: bool) -> Extras:
            return moved(self.architecture.extras(entry, side, latent, mask), device)

        with torch.inference_mode(), self.evaluated() as network:
            yield Guided(
                network=network,
                levels=self.levels,
                positive=self.in_cells(positive, latent),
                negative=self.in_cells(negative, latent),
                cfg=cfg,
                extras_of=extras_of,
                mix=self.mix,
                repeats_text=self.architecture.repeats_text,
                spatial=self.architecture.spatial,
            )

    @contextmanager
    def evaluated(self) -> Iterator[Network]:
        """Lend the patched network as a function."""
        network = self.network.get()
        patches = (*self.patches, *self.levers.patches)
        turns = self.levers.turns
        if turns is not None and not patches:
            yield self._beside_others(network, turns)
            return
        # A patched network is this course's own: in between it lets no other run compute.
        hearers: list[Hears] = []

        def evaluate(call: Call) -> Tensor:
            placed = self._placed(call)
            for hear in hearers:
                hear(placed)
            return answer(placed)

        with ExitStack() as stack:
            stack.enter_context(self.levers.pulled(network))
            given = [stack.enter_context(patch.inject(network)) for patch in patches]
            hearers.extend(hear for hear in given if hear is not None)
            answer = self.levers.replayed(
                network,
                self.placement.device,
                patches,
                partial(self.architecture.evaluate, network),
            )
            yield evaluate

    def _beside_others(self, network: nn.Module, turns: Turns) -> Network:
        """Return the network as a function that may be asked together with other runs."""

        def answer(call: Call) -> Tensor:
            # For each evaluation: which kernels attend is said for the whole process.
            with self.levers.pulled(network):
                return self.architecture.evaluate(network, call)

        def evaluate(call: Call) -> Tensor:
            placed = self._placed(call)
            alike = likeness(placed) if joins_runs(self.architecture) else None
            key = None if alike is None else (id(network), alike)
            return cast("Tensor", turns.evaluate(key, placed, answer))

        return evaluate

    def _placed(self, call: Call) -> Call:
        """Return a call on the device, in the numbers that the network computes in."""
        device, dtype = self.placement.device, self.placement.unet
        return replace(
            call,
            x=call.x.to(dtype),
            timestep=call.timestep.to(device),
            context=call.context.to(device, dtype),
            extras=moved(call.extras, device),
        )
