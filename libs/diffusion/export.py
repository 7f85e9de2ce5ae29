"""A checkpoint of Stable Diffusion's kind, exported for the portable engine.

Sizes, counts and lengths stay free in the exported networks. LoRAs must be merged before.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from libs.core.errors import Refused, Unavailable
from libs.diffusion.architectures.stable_diffusion import StableDiffusion
from libs.diffusion.model import Model
from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.text.clip import Tower
from libs.diffusion.torch_loader import TorchLoader
from libs.diffusion.vae import Vae
from libs.sampling.control import Call
from libs.text.tokenizer import END, START
from libs.weights.exported import MANIFEST

FORMAT: Final = 1
OPSET: Final = 17
CHUNK: Final = 77
SIDE_CELLS: Final = 8
# The two sides of guidance: a batch of one would let the tracer take the size for fixed.
BATCH: Final = 2

Said = Callable[[str, int, int], None]


def export(checkpoint: Path, folder: Path, said: Said = lambda _part, _done, _total: None) -> Path:
    """Write the networks and the manifest to `folder`; return the manifest.

    The folder appears whole or not at all. Raises Refused for a model of another kind, and
    Unavailable without the package onnx.
    """
    if find_spec("onnx") is None:
        raise Unavailable("exporting needs the package onnx: pip install 'hanzo-studio[export]'")
    loader = TorchLoader(Placement.cpu(), ModelCache(1 << 40))
    model, clip, vae = loader.checkpoint(checkpoint)
    kind = model.architecture
    if not isinstance(kind, StableDiffusion) or kind.is_inpainting:
        raise Refused(
            "only Stable Diffusion 1.x, SDXL and its refiner run on the portable engine",
            file=checkpoint.name,
            architecture=kind.name,
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".exporting-") as made:
        place = Path(made) / "whole"
        place.mkdir()
        towers = [tower for tower in clip.towers if isinstance(tower, Tower)]
        parts = _Parts(place, said, total=len(towers) + 3)
        manifest: Mapping[str, Any] = {
            "format": FORMAT,
            "name": checkpoint.name,
            "family": kind.name,
            "channels": kind.latent.channels,
            "scale": kind.latent.scale,
            "shift": kind.latent.shift,
            "time_ids": kind.family.time_ids,
            "prediction": kind.levels.prediction,
            "zero_terminal_snr": kind.levels.zero_terminal_snr,
            "towers": [_tower(parts, tower, at) for at, tower in enumerate(towers)],
            "denoiser": _denoiser(parts, model, kind),
            "decoder": _decoder(parts, vae, kind),
            "encoder": _encoder(parts, vae),
        }
        digests = {file.name: _digest(file) for file in sorted(place.iterdir())}
        (place / MANIFEST).write_text(
            json.dumps({**manifest, "digests": digests}, indent=1), encoding="utf-8"
        )
        if folder.exists():
            shutil.rmtree(folder)
        place.rename(folder)
    return folder / MANIFEST


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _Parts:
    """Writes one network after the other."""

    def __init__(self, folder: Path, said: Said, total: int) -> None:
        self.folder, self.said, self.total, self.done = folder, said, total, 0

    def write(
        self,
        name: str,
        network: nn.Module,
        given: Mapping[str, Tensor],
        outputs: Sequence[str],
        free: Mapping[str, Mapping[int, str]],
    ) -> str:
        """Export a network traced on what is given by name; `free` names sides of any length."""
        self.said(name, self.done, self.total)
        with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
            # The tracer warns of each comparison of sizes; the tests compare the results.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network.eval(),
                tuple(given.values()),
                self.folder / f"{name}.onnx",
                dynamo=False,
                opset_version=OPSET,
                input_names=list(given),
                output_names=list(outputs),
                dynamic_axes={name: dict(sides) for name, sides in free.items()},
            )
        self.done += 1
        self.said(name, self.done, self.total)
        return f"{name}.onnx"


class _Function(nn.Module):
    """A network seen through a function of plain tensors."""

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network, self.function = network, function

    def forward(self, *given: Tensor) -> Any:
        return self.function(self.network, *given)


def _tower(parts: _Parts, tower: Tower, at: int) -> dict[str, Any]:
    network = tower.network.get()
    projects = network.projection is not None

    def states(network: Any, ids: Tensor) -> tuple[Tensor, ...]:
        output = network.text(ids, output_hidden_states=True)
        hidden = torch.stack(output.hidden_states)
        found = (hidden, network.text.final_layer_norm(hidden), output.last_hidden_state)
        return (*found, network.projection(output.last_hidden_state)) if projects else found

    ids = torch.tensor([[START] + [END] * (CHUNK - 1)] * BATCH)
    outputs = ["states", "normed", "last", *(["projected"] if projects else [])]
    chunks = {"states": {1: "chunks"}, "normed": {1: "chunks"}, "last": {0: "chunks"}}
    free: dict[str, dict[int, str]] = {"ids": {0: "chunks"}, **chunks}
    if projects:
        free["projected"] = {0: "chunks"}
    file = parts.write(f"text_{at}", _Function(network, states), {"ids": ids}, outputs, free)
    kind = tower.kind
    return {
        "network": file,
        "pad": kind.pad,
        "layer": kind.layer,
        "final_norm": kind.final_norm,
        "projects": projects,
    }


def _denoiser(parts: _Parts, model: Model, kind: StableDiffusion) -> str:
    extras: dict[str, Tensor] = {}
    if kind.family.time_ids:
        width = kind.shape.summary - kind.family.time_ids * 256
        extras = {
            "text_embeds": torch.zeros(BATCH, width),
            "time_ids": torch.zeros(BATCH, kind.family.time_ids),
        }

    def evaluate(network: Any, x: Tensor, timestep: Tensor, context: Tensor, *more: Tensor) -> Any:
        named = dict(zip(extras, more, strict=True))
        return kind.evaluate(network, Call(x, timestep, context, named))

    given = {
        "x": torch.zeros(BATCH, kind.latent.channels, SIDE_CELLS, 2 * SIDE_CELLS),
        "timestep": torch.ones(BATCH),
        "context": torch.zeros(BATCH, CHUNK, kind.shape.context),
        **extras,
    }
    free: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*given, "output")}
    free["x"] |= {2: "rows", 3: "columns"}
    free["output"] |= {2: "rows", 3: "columns"}
    free["context"] |= {1: "tokens"}
    return parts.write(
        "denoiser", _Function(model.network.get(), evaluate), given, ["output"], free
    )


def _decoder(parts: _Parts, vae: Vae, kind: StableDiffusion) -> str:
    def decode(network: Any, z: Tensor) -> Any:
        return network.decode(z, return_dict=False)[0]

    z = torch.zeros(1, kind.latent.channels, SIDE_CELLS, 2 * SIDE_CELLS)
    free = {"z": {2: "rows", 3: "columns"}, "pixels": {2: "height", 3: "width"}}
    return parts.write("decoder", _Function(vae.network.get(), decode), {"z": z}, ["pixels"], free)


def _encoder(parts: _Parts, vae: Vae) -> str:
    def encode(network: Any, pixels: Tensor) -> Any:
        return network.encode(pixels).latent_dist.mode()

    pixels = torch.zeros(1, 3, SIDE_CELLS * 8, SIDE_CELLS * 16)
    free = {"pixels": {2: "height", 3: "width"}, "z": {2: "rows", 3: "columns"}}
    return parts.write(
        "encoder", _Function(vae.network.get(), encode), {"pixels": pixels}, ["z"], free
    )
