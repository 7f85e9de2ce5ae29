"""The loader that nodes are given: files become models, numbers become fresh values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from diffusers import MotionAdapter

from libs.core.errors import Refused
from libs.core.profiles import EXACT
from libs.diffusion import control, pictures
from libs.diffusion.adapters.blend import completed
from libs.diffusion.adapters.lora import Lora
from libs.diffusion.architectures.cogvideo import CogVideo
from libs.diffusion.control.controlnet import ControlNet
from libs.diffusion.fast.graphs import Graphs
from libs.diffusion.fast.levers import DeviceFacts, Levers, choose
from libs.diffusion.ip_adapter.adapter import IpAdapter
from libs.diffusion.ip_adapter.network import build_ip_network, layer_numbers
from libs.diffusion.loader import motion
from libs.diffusion.loader.decoders import vae_in
from libs.diffusion.loader.encoders import clip_alone, clip_from, clip_in
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.models import model_in
from libs.diffusion.loader.seeing import vision_in
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.loader.tiny_vae import tiny_vae_at
from libs.diffusion.mesh.shap_e import ShapE
from libs.diffusion.model import Model
from libs.diffusion.motion import MotionModel
from libs.diffusion.placement import Placement
from libs.diffusion.precision import DEFAULT
from libs.diffusion.preprocess.preprocessors import Preprocessors
from libs.diffusion.residency import ModelCache
from libs.diffusion.saving import files
from libs.diffusion.saving.extraction import Extraction, LoraKind
from libs.diffusion.style_model import StyleModel, build_style, require_style
from libs.diffusion.text.clip import Clip
from libs.diffusion.upscale import UpscaleModel, build_upscaler
from libs.diffusion.vae import Vae
from libs.diffusion.values import (
    LATENT_CHANNELS,
    PIXELS_PER_CELL,
    Latents,
    Mask,
    Picture,
    latents_from,
)
from libs.diffusion.video_vae import VIDEO_CHANNELS, frames_in
from libs.diffusion.vision import ClipVision
from libs.media.frames import Pixels
from libs.sampling.noise import COMPATIBILITY_REFERENCE
from libs.sampling.turns import Turns


@dataclass(frozen=True)
class TorchLoader:
    """Makes values on torch. Networks are read when first used, and shared while they fit.

    `compatibility` is the number of the newest ComfyUI pull request whose numbers are followed,
    and `profile` says whether runs must repeat their bytes; those that need not may be computed
    beside each other, by `turns`, and replayed out of `graphs`.
    """

    placement: Placement
    cache: ModelCache
    compatibility: int = COMPATIBILITY_REFERENCE
    profile: str = EXACT
    turns: Turns | None = field(default=None, compare=False)
    graphs: Graphs | None = field(default=None, compare=False)

    @property
    def shelf(self) -> Shelf:
        """Where the networks lie."""
        return Shelf(self.placement, self.cache, self.compatibility, self.levers)

    @cached_property
    def levers(self) -> Levers:
        """What the profile does on the device."""
        levers = choose(self.profile, DeviceFacts.of(self.placement.device))
        if self.profile == EXACT:
            return levers
        if self.graphs is not None:
            levers = levers.replaying(self.graphs)
        return levers if self.turns is None else levers.beside(self.turns)

    def as_profile(self, profile: str) -> TorchLoader:
        """Return a loader of another profile over the same cache."""
        return self if profile == self.profile else replace(self, profile=profile)

    def checkpoint(self, path: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of a checkpoint file, or of a diffusers folder."""
        file = WeightsFile.open(path)
        decoder = vae_in(self.shelf, file)
        model = model_in(self.shelf, file, decoder)
        return model, clip_in(self.shelf, file, model.architecture.reading), decoder

    def image_checkpoint(self, path: Path) -> tuple[Model, ClipVision, Vae]:
        """Return the three parts of a checkpoint that takes a picture in place of a text."""
        file = WeightsFile.open(path)
        decoder = vae_in(self.shelf, file)
        return model_in(self.shelf, file, decoder), vision_in(self.shelf, file), decoder

    def video_model(self, model: Path, text_encoder: Path, vae: Path) -> tuple[Model, Clip, Vae]:
        """Return the three parts of CogVideoX, out of a file for each."""
        decoder = vae_in(self.shelf, WeightsFile.open(vae))
        network = model_in(self.shelf, WeightsFile.open(model), decoder)
        if not isinstance(network.architecture, CogVideo):
            raise Refused("the file holds no CogVideoX", file=model.name)
        wanted = network.architecture.reading
        return network, clip_alone(self.shelf, WeightsFile.open(text_encoder), wanted), decoder

    def diffusion_model(self, path: Path, weight_format: str = DEFAULT) -> Model:
        """Return the diffusion model that a file holds alone."""
        return model_in(self.shelf, WeightsFile.open(path), weight_format=weight_format)

    def text_encoders(self, paths: Sequence[Path], family: str, device: str = "default") -> Clip:
        """Return text encoders that lie in files of their own, as a family reads them."""
        place = None if device == "default" else torch.device(device)
        return clip_from(self.shelf, [WeightsFile.open(path) for path in paths], family, place)

    def vae(self, path: Path) -> Vae:
        """Return the VAE in a file of its own, or in a checkpoint, or a tiny one in two files."""
        return tiny_vae_at(self.shelf, path) or vae_in(self.shelf, WeightsFile.open(path))

    def clip_vision(self, path: Path) -> ClipVision:
        """Return the vision network in a file of its own, or in a checkpoint."""
        return vision_in(self.shelf, WeightsFile.open(path))

    def motion_model(self, path: Path) -> MotionModel:
        """Return the motion module in a file."""
        file = WeightsFile.open(path)
        shape = motion.MotionShape.of(file.shapes)

        def load() -> MotionAdapter:
            names = motion.motion_names(file.shapes)
            return motion.build_motion(shape, file.read(names, self.placement.unet))

        return MotionModel(self.shelf.resident(file, "motion", load), shape)

    def lora(self, path: Path) -> Lora:
        """Return the changes in a file."""
        return Lora.of(WeightsFile.open(path))

    def control_net(self, path: Path, model: Model | None = None) -> ControlNet:
        """Return the ControlNet in a file; one stored as a difference needs its model."""
        file = WeightsFile.open(path)
        kind = control.detect(file.shapes)
        placement = self.placement
        if placement.unet is not torch.float32:
            placement = replace(placement, unet=kind.half)
        network = self.shelf.resident(
            file,
            "controlnet",
            lambda: kind.build(file.read_under("", placement.unet)),
            blank=lambda: kind.build(file.blank_under("")),
        )
        if control.DIFFERENCE in file.shapes:
            if model is None:
                raise Refused(
                    "the ControlNet is stored as a difference to a model: load it with "
                    "DiffControlNetLoader",
                    file=path.name,
                )
            network = completed(network, model.network)
        return ControlNet(network, kind, placement)

    def ip_adapter(self, path: Path) -> IpAdapter:
        """Return the IP-Adapter in a file."""
        file = WeightsFile.open(path)
        layer_numbers(file.shapes)
        network = self.shelf.resident(
            file,
            "ip_adapter",
            lambda: build_ip_network(file.read_under("", self.placement.unet)),
            blank=lambda: build_ip_network(file.blank_under("")),
        )
        return IpAdapter(network)

    def style_model(self, path: Path) -> StyleModel:
        """Return the style model in a file."""
        file = WeightsFile.open(path)
        require_style(file.shapes)
        network = self.shelf.resident(
            file,
            "style",
            lambda: build_style(file.read_under("", torch.float32)),
            blank=lambda: build_style(file.blank_under("")),
        )
        return StyleModel(network)

    def upscale_model(self, path: Path) -> UpscaleModel:
        """Return the network in a file."""
        file = WeightsFile.open(path)
        network = self.shelf.resident(
            file, "upscale", lambda: build_upscaler(file.read_under("", torch.float32))
        )
        return UpscaleModel(network, self.placement)

    def shap_e(self, path: Path) -> ShapE:
        """Return the Shap-E model in a folder."""
        return ShapE.at(path, self.shelf)

    def model_file(
        self,
        model: Model,
        clip: Clip | None,
        vae: Vae | None,
        about: Mapping[str, str],
        bytes_max: int,
    ) -> bytes:
        """Return a file of a diffusion model and what is beside it, with texts in its head."""
        return files.model_file(model, clip, vae, about, bytes_max)

    def encoder_files(
        self, clip: Clip, about: Mapping[str, str], bytes_max: int
    ) -> Mapping[str, bytes]:
        """Return a file for each text encoder, by the name that such files have."""
        return files.encoder_files(clip, about, bytes_max)

    def vae_file(self, vae: Vae, about: Mapping[str, str], bytes_max: int) -> bytes:
        """Return a file of a VAE alone."""
        return files.vae_file(vae, about, bytes_max)

    def lora_file(
        self,
        model: Model | None,
        clip: Clip | None,
        about: Mapping[str, str],
        bytes_max: int,
        *,
        rank: int,
        kind: LoraKind,
        with_biases: bool,
    ) -> bytes:
        """Return a LoRA of the differences of a model and of its text encoders."""
        return Extraction(rank, kind, with_biases).file(model, clip, about, bytes_max)

    @property
    def preprocessors(self) -> Preprocessors:
        """What makes control pictures."""
        return Preprocessors(self.shelf)

    def picture(self, data: bytes) -> tuple[Picture, Mask]:
        """Return the pictures in an image file, and the mask in its alpha channel."""
        return pictures.decode_picture(data)

    def picture_mask(self, data: bytes, channel: str) -> Mask:
        """Return one channel of an image file as a mask."""
        return pictures.decode_mask(data, channel)

    def pictures(self, frames: Sequence[Pixels]) -> Picture:
        """Return frames as pictures."""
        return pictures.picture_of(frames)

    def blank_mask(self, *, width: int, height: int, value: float) -> Mask:
        """Return a mask of one value."""
        return Mask(torch.full((1, height, width), value))

    def blank_image(self, *, width: int, height: int, count: int, color: int) -> Picture:
        """Return pictures of one colour, given as 0xRRGGBB."""
        return pictures.blank_picture(width=width, height=height, count=count, color=color)

    def blank_latent(
        self, *, width: int, height: int, count: int, channels: int = LATENT_CHANNELS
    ) -> Latents:
        """Return empty latents for pictures of that size in pixels."""
        rows, columns = height // PIXELS_PER_CELL, width // PIXELS_PER_CELL
        return Latents(torch.zeros(count, channels, rows, columns))

    def blank_video(self, *, width: int, height: int, length: int) -> Latents:
        """Return an empty latent of a video of so many frames."""
        rows, columns = height // PIXELS_PER_CELL, width // PIXELS_PER_CELL
        return Latents(torch.zeros(1, VIDEO_CHANNELS, frames_in(length), rows, columns))

    def latents(self, data: bytes) -> Latents:
        """Return the latents in a file that was saved."""
        return latents_from(data)

    def free(self) -> None:
        """Let go of all networks; values that point at them load them again when used."""
        self.cache.free()
