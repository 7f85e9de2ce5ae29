"""The loader that nodes are given: files become models, numbers become fresh values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import AutoencoderKL, MotionAdapter
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from libs.core.errors import Refused
from libs.diffusion import control, pictures, previews
from libs.diffusion.adapters.blend import completed
from libs.diffusion.adapters.lora import Lora
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import Architecture, LatentFormat, NetworkWeights
from libs.diffusion.control.controlnet import ControlNet
from libs.diffusion.loader import motion, spatiotemporal, text, vae, vision
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.text import TowerPlace
from libs.diffusion.model import Model
from libs.diffusion.motion import MotionModel
from libs.diffusion.placement import Placement
from libs.diffusion.precision import DEFAULT, stored
from libs.diffusion.preprocess.preprocessors import Preprocessors
from libs.diffusion.residency import ModelCache, Resident
from libs.diffusion.text.clip import Clip, Tower
from libs.diffusion.text.tower import TowerNetwork
from libs.diffusion.upscale import UpscaleModel, build_compact
from libs.diffusion.vae import Vae
from libs.diffusion.values import LATENT_CHANNELS, PIXELS_PER_CELL, Latents, Mask, Picture
from libs.diffusion.video_vae import TemporalVae
from libs.diffusion.vision import ClipVision
from libs.sampling.noise import COMPATIBILITY_REFERENCE

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class TorchLoader:
    """Makes values on torch. Networks are read when first used, and shared while they fit.

    `compatibility` is the number of the newest ComfyUI pull request whose numbers are followed.
    """

    placement: Placement
    cache: ModelCache
    compatibility: int = COMPATIBILITY_REFERENCE

    def checkpoint(self, path: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of a checkpoint file."""
        file = WeightsFile.open(path)
        architecture = detect(NetworkWeights.of(file.shapes))
        decoder = self._vae(file, vae.PREFIX)
        model = self._model(file, architecture, Preview(decoder, architecture.latent))
        places = text.towers_in(file.shapes)
        if not places:
            raise Refused("the checkpoint holds no text encoder", file=path.name)
        towers = tuple(
            Tower(architecture.tower_kind(place.open_clip), self._tower_of(file, place))
            for place in places
        )
        return model, Clip(towers), decoder

    def _model(self, file: WeightsFile, architecture: Architecture, preview: Preview) -> Model:
        prefix = NetworkWeights.of(file.shapes).prefix

        def load() -> nn.Module:
            return architecture.build(file.read_under(prefix, self.placement.unet))

        def blank() -> nn.Module:
            return architecture.build(file.blank_under(prefix))

        return Model(
            network=self._resident(file, "unet", load, blank, self.placement.storage),
            architecture=architecture,
            placement=self.placement,
            compatibility=self.compatibility,
            draw_preview=preview.draw,
            levels=architecture.levels,
        )

    def image_checkpoint(self, path: Path) -> tuple[Model, ClipVision, Vae]:
        """Return the three parts of a checkpoint that takes a picture in place of a text."""
        file = WeightsFile.open(path)
        architecture = detect(NetworkWeights.of(file.shapes))
        decoder = self._vae(file, vae.prefix_in(file.shapes))
        model = self._model(file, architecture, Preview(decoder, architecture.latent))
        return model, self._vision_of(file), decoder

    def vae(self, path: Path) -> Vae:
        """Return the VAE in a file of its own, or in a checkpoint."""
        file = WeightsFile.open(path)
        prefix = vae.prefix_in(file.shapes)
        return self._vae(file, prefix)

    def clip_vision(self, path: Path) -> ClipVision:
        """Return the vision network in a file of its own, or in a checkpoint."""
        return self._vision_of(WeightsFile.open(path))

    def motion_model(self, path: Path) -> MotionModel:
        """Return the motion module in a file."""
        file = WeightsFile.open(path)
        shape = motion.MotionShape.of(file.shapes)

        def load() -> MotionAdapter:
            names = motion.motion_names(file.shapes)
            return motion.build_motion(shape, file.read(names, self.placement.unet))

        return MotionModel(self._resident(file, "motion", load), shape)

    def lora(self, path: Path) -> Lora:
        """Return the changes in a file."""
        return Lora.of(WeightsFile.open(path))

    def control_net(self, path: Path, model: Model | None = None) -> ControlNet:
        """Return the ControlNet in a file; one stored as a difference needs its model."""
        file = WeightsFile.open(path)
        kind = control.detect(file.shapes)
        network = self._resident(
            file,
            "controlnet",
            lambda: kind.build(file.read_under("", self.placement.unet)),
            lambda: kind.build(file.blank_under("")),
        )
        if control.DIFFERENCE in file.shapes:
            if model is None:
                raise Refused(
                    "the ControlNet is stored as a difference to a model: load it with "
                    "DiffControlNetLoader",
                    file=path.name,
                )
            network = completed(network, model.network)
        return ControlNet(network, kind, self.placement)

    def upscale_model(self, path: Path) -> UpscaleModel:
        """Return the network in a file."""
        file = WeightsFile.open(path)
        network = self._resident(
            file, "upscale", lambda: build_compact(file.read_under("", torch.float32))
        )
        return UpscaleModel(network, self.placement)

    @property
    def preprocessors(self) -> Preprocessors:
        """What makes control pictures."""
        return Preprocessors(self.placement, self.cache)

    def picture(self, data: bytes) -> tuple[Picture, Mask]:
        """Return the pictures in an image file, and the mask in its alpha channel."""
        return pictures.decode_picture(data)

    def blank_image(self, *, width: int, height: int, count: int, color: int) -> Picture:
        """Return pictures of one colour, given as 0xRRGGBB."""
        return pictures.blank_picture(width=width, height=height, count=count, color=color)

    def blank_latent(self, *, width: int, height: int, count: int) -> Latents:
        """Return empty latents for pictures of that size in pixels."""
        rows, columns = height // PIXELS_PER_CELL, width // PIXELS_PER_CELL
        return Latents(torch.zeros(count, LATENT_CHANNELS, rows, columns))

    def free(self) -> None:
        """Let go of all networks; values that point at them load them again when used."""
        self.cache.free()

    def _resident(
        self,
        file: WeightsFile,
        part: str,
        load: Callable[[], M],
        blank: Callable[[], M] | None = None,
        storage: str = DEFAULT,
    ) -> Resident[M]:
        device = self.placement.device
        key = (*file.key, storage, part, str(device))
        return Resident(self.cache, key, lambda: stored(load(), storage), device, blank)

    def _tower_of(self, file: WeightsFile, place: TowerPlace) -> Resident[TowerNetwork]:
        return self._resident(
            file,
            place.prefix,
            lambda: text.build_tower(place, file.read_under(place.prefix, self.placement.text)),
            lambda: text.build_tower(place, file.blank_under(place.prefix)),
        )

    def _vision_of(self, file: WeightsFile) -> ClipVision:
        place = vision.vision_in(file.shapes)
        if place is None:
            raise Refused("the file holds no CLIP vision network", file=file.path.name)

        def load() -> CLIPVisionModelWithProjection:
            names = [name for name in file.shapes if place.holds(name)]
            tensors = file.read(names, self.placement.text)
            named = {name.removeprefix(place.prefix): held for name, held in tensors.items()}
            return vision.build_vision(place, named)

        return ClipVision(self._resident(file, "clip_vision", load))

    def _vae(self, file: WeightsFile, prefix: str) -> Vae:
        if spatiotemporal.is_vae(file.under(prefix)):
            network = self._resident(
                file,
                "vae",
                lambda: spatiotemporal.build_vae(file.read_under(prefix, self.placement.vae)),
            )
            return TemporalVae(network, self.placement)
        return Vae(self._vae_of(file, prefix), self.placement)

    def _vae_of(self, file: WeightsFile, prefix: str) -> Resident[AutoencoderKL]:
        def load() -> AutoencoderKL:
            tensors = file.read_under(prefix, self.placement.vae)
            if vae.MARK not in tensors:
                raise Refused(
                    "the file holds no VAE in the layout of single files", file=file.path.name
                )
            return vae.build_vae(tensors)

        return self._resident(file, "vae", load)


@dataclass(frozen=True)
class Preview:
    """Draws latents of a checkpoint; its map to RGB is fitted when the first is drawn."""

    vae: Vae
    latent: LatentFormat

    def draw(self, seen: Tensor) -> bytes:
        """Return a JPEG of the first latent."""
        return previews.draw(self.projection, seen)

    @cached_property
    def projection(self) -> Tensor:
        """The linear map from latents to RGB."""
        return previews.fit_projection(self.vae.decoded, self.latent)
