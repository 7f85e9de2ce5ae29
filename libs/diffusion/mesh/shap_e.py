"""SHAP_E: a network that dreams up a solid from a text or a picture, and one that shapes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import numpy as np
import torch
from accelerate import init_empty_weights
from diffusers import PriorTransformer
from diffusers.pipelines.shap_e.renderer import ShapERenderer
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModel,
)

from libs.core.errors import Refused
from libs.diffusion.loader.diffusers_folder import MODEL_INDEX, DiffusersFolder
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.mesh.walk import walk
from libs.diffusion.placement import Placement
from libs.diffusion.residency import Resident
from libs.diffusion.upscale import OnStep
from libs.diffusion.values import Picture
from libs.diffusion.vision import prepared
from libs.glb import Solid, write_glb
from libs.text.tokenizer import tokenizer

M = TypeVar("M", bound=nn.Module)

PRIOR, RENDERER = "prior", "shap_e_renderer"
TEXT, VISION = "text_encoder", "image_encoder"
START, END, PADDING = 49406, 49407, 0
NAMES_SHOWN: Final = 4
# The model has z upwards, GLB has y.
UPRIGHT: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
COLOURS: Final = ("R", "G", "B")


@dataclass(frozen=True)
class Mesh:
    """MESH: one solid, or several."""

    solids: tuple[Solid, ...]

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        return sum(solid.size_bytes for solid in self.solids)

    def to_glb(self, extras: Mapping[str, Any]) -> list[bytes]:
        """Return a GLB file for each solid; `extras` are told in it."""
        return [write_glb(solid, extras) for solid in self.solids]


@dataclass(frozen=True)
class ShapE:
    """SHAP_E: a folder as diffusers writes it, for texts or for pictures."""

    folder: DiffusersFolder
    shelf: Shelf

    @classmethod
    def at(cls, path: Path, shelf: Shelf) -> Self:
        """Return the model in a folder; raise Refused if it is no Shap-E."""
        folder = folder_of(path)
        missing = [part for part in (PRIOR, RENDERER) if part not in folder.parts]
        if missing or not {TEXT, VISION} & set(folder.parts):
            raise Refused(
                "the folder holds no Shap-E model", folder=folder.path.name, missing=missing
            )
        return cls(folder, shelf)

    def mesh_of_text(
        self, text: str, *, seed: int, steps: int, guidance: float, cells: int, on_step: OnStep
    ) -> Mesh:
        """Return a solid that fits a text."""
        self._require(TEXT, "this Shap-E model works from pictures: use ShapEImageToMesh")
        wanted = self.wanted_by_text(text)
        made = self.made(wanted, seed=seed, steps=steps, guidance=guidance, on_step=on_step)
        return Mesh((self.shaped(made, cells),))

    def mesh_of_picture(
        self, image: Picture, *, seed: int, steps: int, guidance: float, cells: int, on_step: OnStep
    ) -> Mesh:
        """Return a solid for each picture, with what the picture shows."""
        self._require(VISION, "this Shap-E model works from texts: use ShapETextToMesh")
        solids = []
        for number in range(image.count):
            told = _part_of(on_step, number * steps, image.count * steps)
            wanted = self.wanted_by_picture(image.pixels[number : number + 1])
            made = self.made(wanted, seed=seed, steps=steps, guidance=guidance, on_step=told)
            solids.append(self.shaped(made, cells))
        return Mesh(tuple(solids))

    @torch.inference_mode()
    def made(
        self, wanted: Tensor, *, seed: int, steps: int, guidance: float, on_step: OnStep
    ) -> Tensor:
        """Return what the first network dreams up for what is wanted: [1, parts, width]."""
        prior = self._resident(PRIOR, self._prior).get()
        generator = torch.Generator().manual_seed(seed)
        parts, width = prior.config.num_embeddings, prior.config.embedding_dim
        noise = torch.randn((1, parts * width), generator=generator).reshape(1, parts, width)
        sides = [wanted] if guidance == 1 else [torch.zeros_like(wanted), wanted]
        given = torch.cat(sides).to(self.placement.device, self.placement.unet)

        def see(x: Tensor, step: float) -> Tensor:
            batch = x.expand(len(sides), -1, -1).to(self.placement.device, self.placement.unet)
            answer = prior(batch, timestep=step, proj_embedding=given).predicted_image_embedding
            # Its second half says how sure it is, which is not asked for.
            seen: Tensor = answer[..., :width].float().cpu()
            return seen[-1:] if guidance == 1 else seen[:1] + guidance * (seen[1:] - seen[:1])

        return walk(noise, steps, see, on_step)

    @torch.inference_mode()
    def shaped(self, made: Tensor, cells: int) -> Solid:
        """Return the solid, cut out of a grid of so many cells along each side."""
        renderer = self._resident(RENDERER, self._renderer).get()
        device = self.placement.device
        try:
            found = renderer.decode_to_mesh(made.to(device), device, grid_size=cells)
        except ZeroDivisionError as error:
            raise Refused("nothing came of it: the solid is empty", cells=cells) from error
        colours = torch.stack([found.vertex_channels[name] for name in COLOURS], -1)
        upright = found.verts.float().cpu() @ torch.tensor(UPRIGHT).T
        return Solid(
            upright.numpy(),
            colours.float().cpu().clamp(0, 1).numpy(),
            found.faces.cpu().numpy().astype(np.uint32),
        )

    @torch.inference_mode()
    def wanted_by_text(self, text: str) -> Tensor:
        """Return a text as the first network is given it: [1, width]."""
        network = self._resident(TEXT, self._text_encoder).get()
        length = network.config.max_position_embeddings
        ids = [START, *tokenizer()(text)[: length - 2], END]
        padded = torch.tensor([[*ids, *[PADDING] * (length - len(ids))]])
        embeds = network(padded.to(self.placement.device)).text_embeds.float().cpu()
        unit: Tensor = embeds / embeds.norm(dim=-1, keepdim=True)
        return unit * math.sqrt(unit.shape[-1])

    @torch.inference_mode()
    def wanted_by_picture(self, pixels: Tensor) -> Tensor:
        """Return a picture as the first network is given it: [1, patches, width]."""
        network = self._resident(VISION, self._image_encoder).get()
        seen = prepared(pixels, network.config.image_size, cut=True)
        states: Tensor = network(seen.to(self.placement.device)).last_hidden_state
        return states[:, 1:].float().cpu()

    def _require(self, part: str, otherwise: str) -> None:
        if part not in self.folder.parts:
            raise Refused(otherwise, folder=self.folder.path.name)

    @property
    def placement(self) -> Placement:
        """Where it is computed, and in what numbers."""
        return self.shelf.placement

    def _resident(self, part: str, load: Callable[[], M]) -> Resident[M]:
        return self.shelf.resident(self.folder, part, load)

    def _prior(self) -> PriorTransformer:
        config = PriorTransformer.load_config(self.folder.path / PRIOR)
        return self._assembled(
            PRIOR, lambda: PriorTransformer.from_config(config), self.placement.unet
        )

    def _renderer(self) -> ShapERenderer:
        config = ShapERenderer.load_config(self.folder.path / RENDERER)
        renderer = self._assembled(
            RENDERER, lambda: ShapERenderer.from_config(config), torch.float32
        )
        # Each solid is written into these, so they must not be the file's own pages.
        for parameter in renderer.mlp.parameters():
            parameter.data = parameter.data.clone()
        return renderer

    def _text_encoder(self) -> CLIPTextModelWithProjection:
        config = CLIPTextConfig(**self.folder.configs.get(TEXT, {}))
        return self._assembled(
            TEXT, lambda: CLIPTextModelWithProjection(config), self.placement.text
        )

    def _image_encoder(self) -> CLIPVisionModel:
        config = CLIPVisionConfig(**self.folder.configs.get(VISION, {}))
        return self._assembled(VISION, lambda: CLIPVisionModel(config), self.placement.text)

    def _assembled(self, part: str, make: Callable[[], M], dtype: torch.dtype) -> M:
        tensors = self.folder.parts[part].read_under("", dtype)
        # What a network makes itself is kept: tables of places, masks, the corners of a box.
        with init_empty_weights(include_buffers=False):
            network = make()
        return assembled(network, tensors, part)


def _part_of(on_step: OnStep, before: int, whole: int) -> OnStep:
    """Return what tells of a part as of a part of the whole."""

    def told(value: int, total: int, preview: Callable[..., bytes] | None = None) -> None:  # noqa: ARG001
        on_step(before + value, whole, preview)

    return told


def folder_of(path: Path) -> DiffusersFolder:
    """Return the folder that a model lies in; raise Refused if it is none."""
    if path.is_dir() or path.name == MODEL_INDEX:
        found = WeightsFile.open(path)
        if isinstance(found, DiffusersFolder):
            return found
    raise Refused(
        f"Shap-E is read from a folder as diffusers writes it, with its {MODEL_INDEX}",
        file=path.name,
    )


def assembled(network: M, tensors: Mapping[str, Tensor], part: str) -> M:
    """Return the network with the tensors as its weights; raise Refused if they do not fit."""
    own = network.state_dict()
    known = {_known(name, own): tensor for name, tensor in tensors.items()}
    try:
        missing, unexpected = network.load_state_dict(
            {name: tensor for name, tensor in known.items() if name in own},
            strict=False,
            assign=True,
        )
    except RuntimeError as error:
        raise Refused("the weights do not fit their own layout", reason=str(error)) from error
    if missing or unexpected:
        raise Refused(
            "the weights do not fit their own layout", part=part, missing=missing[:NAMES_SHOWN]
        )
    return network.eval().requires_grad_(False)


def _known(name: str, own: Mapping[str, Tensor]) -> str:
    """Return a tensor's name as this version of transformers has it: some lost their prefix."""
    bare = name.partition(".")[2]
    return name if name in own or bare not in own else bare
