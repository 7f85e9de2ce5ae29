"""A model exported for the portable engine: a folder with networks and what they are told.

`models/onnx/<checkpoint's name>/manifest.json` names the networks beside it. The folder stands
for the checkpoint: a graph that names the checkpoint runs on either engine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from libs.core.errors import Refused
from libs.sampling.levels import Chain, Prediction


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tower(_Part):
    """A text encoder: its network and how it is read (its padding, usual layer, final norm)."""

    network: str
    pad: int
    layer: int
    final_norm: bool
    projects: bool


class Manifest(_Part):
    """What lies in the folder, and the numbers around it.

    `time_ids` counts the sizes and scores that the denoiser wants beside a summary of the text;
    `digests` are the sha256 of the files beside it, so that the manifest stands for them all.
    """

    format: Literal[1]
    name: str
    family: str
    channels: int
    scale: float
    shift: float
    time_ids: int
    prediction: Prediction
    zero_terminal_snr: bool
    towers: tuple[Tower, ...]
    denoiser: str
    decoder: str
    encoder: str
    digests: dict[str, str]

    def levels(self) -> Chain:
        """Return the noise levels of the model."""
        return Chain(self.prediction, zero_terminal_snr=self.zero_terminal_snr)

    def networks(self) -> tuple[str, ...]:
        """Return the files that must lie beside the manifest."""
        return (
            *(tower.network for tower in self.towers),
            self.denoiser,
            self.decoder,
            self.encoder,
        )


def read(path: Path) -> Manifest:
    """Return the manifest at `path`; raise Refused if it, or what it names, is not there."""
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise Refused(
            "this is no model exported for the portable engine; `studio models export` makes one",
            file=path.name,
            reason=str(error),
        ) from error
    for name in manifest.networks():
        if "/" in name or "\\" in name or name.startswith("."):
            raise Refused("an exported model names networks beside it only", file=name)
        if not path.with_name(name).is_file():
            raise Refused("the exported model lacks a network", file=name)
    return manifest
