"""LORA: a file of changes, fitted to a model and its text encoder at strengths of their own."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar, cast

import structlog
import torch
from torch import Tensor, nn
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.adapters import changes
from libs.diffusion.adapters.altering import Step, altered
from libs.diffusion.adapters.lora_file import Group, LoraFile
from libs.diffusion.adapters.names import NETWORK, Piece, network_names, tower_names, tower_numbers
from libs.diffusion.adapters.rows import Rows, counted
from libs.diffusion.architectures.base import Architecture
from libs.diffusion.architectures.flux import Flux
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.model import Model
from libs.diffusion.packed.amended import Factors
from libs.diffusion.residency import Resident
from libs.diffusion.text.clip import Clip, T5Tower, Tower

M = TypeVar("M", bound=nn.Module)
log = structlog.get_logger(__name__)

NAMES_SHOWN: Final = 4
# What text encoders are kept in wherever they compute.
TEXT_STORED: Final = torch.float16
# The first layer of Flux, which some files give more to look at.
WIDENED: Final = "x_embedder"


@dataclass(frozen=True)
class Fitted:
    """The changes of a file that belong to one network, and the pieces they belong to."""

    pairs: tuple[tuple[Group, Piece], ...]
    groups: frozenset[str]


@dataclass(frozen=True)
class LoraAlteration:
    """The changes of a file to one network, at a strength."""

    file: WeightsFile
    fitted: Fitted
    strength: float

    @property
    def key(self) -> Hashable:
        return *self.file.key, self.strength

    def steps(self) -> Mapping[str, Sequence[Step]]:
        """Read the file; its tensors live until the weights are made."""
        names = {name for group, _ in self.fitted.pairs for name in group.tensors.values()}
        tensors = self.file.read(sorted(names), torch.float32)
        steps: dict[str, list[Step]] = {}
        for group, piece in self.fitted.pairs:
            parts = {part: tensors[name] for part, name in group.tensors.items()}
            if len(parts.keys() - {changes.BIAS}):
                step = WeightStep(parts, self.strength, piece.rows, inputs_of(parts, piece))
                steps.setdefault(f"{piece.module}.weight", []).append(step)
            if changes.BIAS in parts:
                bias = partial(self._bias, parts=parts, rows=piece.rows)
                steps.setdefault(f"{piece.module}.bias", []).append(bias)
        return steps

    def _bias(self, bias: Tensor, *, parts: changes.Parts, rows: Rows | None) -> Tensor:
        return changes.biased(bias, _placed(parts, bias), self.strength, rows)


@dataclass(frozen=True, eq=False)
class WeightStep:
    """A change to one weight, at a strength; a narrower weight becomes `inputs` wide first."""

    parts: changes.Parts
    strength: float
    rows: Rows | None
    inputs: int = 0

    def __call__(self, weight: Tensor) -> Tensor:
        """Return the new weight."""
        missing = self.inputs - weight.shape[-1] if self.inputs else 0
        weight = functional.pad(weight, (0, missing)) if missing > 0 else weight
        return changes.changed(weight, _placed(self.parts, weight), self.strength, self.rows)

    def factors(self) -> Factors | None:
        """Return what is added as a product, where it is no more than that."""
        return None if self.inputs else changes.factors(self.parts, self.strength, self.rows)


def inputs_of(parts: Mapping[str, Tensor], piece: Piece) -> int:
    """Return how many inputs a change wants the first layer of Flux to have; 0 for other layers."""
    wide = piece.module == WIDENED and "lora_down" in parts
    return int(parts["lora_down"].shape[1]) if wide else 0


def _placed(parts: changes.Parts, like: Tensor) -> changes.Parts:
    return {part: tensor.to(like.device) for part, tensor in parts.items()}


@dataclass(frozen=True)
class Lora:
    """LORA: a file of changes that is not applied to anything yet."""

    contents: LoraFile

    @classmethod
    def of(cls, file: WeightsFile) -> Lora:
        """Return what the file changes; raise Refused if it changes nothing."""
        contents = LoraFile(file)
        if not contents.groups:
            raise Refused(
                "the file holds no LoRA, LoHa, LoKr, DoRA, OFT, BOFT or GLoRA",
                file=file.path.name,
                first=contents.unread[:NAMES_SHOWN],
            )
        return cls(contents)

    @property
    def size_bytes(self) -> int:
        """What it takes in memory: nothing, until it is applied."""
        return 0

    def applied(
        self, model: Model, clip: Clip | None, strength_model: float, strength_clip: float
    ) -> tuple[Model, Clip | None]:
        """Return both with the changes; a strength of 0 leaves the value that it is given."""
        fitted = self._fitted(model.network, frozenset({NETWORK}))
        used = fitted.groups
        network = self._altered(model.network, fitted, strength_model)
        if network is not model.network:
            model = replace(model, network=network, architecture=self._seeing(model, fitted))
        if clip is not None:
            towers: list[Tower | T5Tower] = []
            numbers = tower_numbers([tower.name for tower in clip.towers])
            for tower, may_have in zip(clip.towers, numbers, strict=True):
                fitted = self._fitted(tower.network, may_have)
                used |= fitted.groups
                network = self._altered(tower.network, fitted, strength_clip, TEXT_STORED)
                towers.append(replace(tower, network=cast("Any", network)))
            clip = replace(clip, towers=tuple(towers))
        self._report(used, with_text=clip is not None)
        return model, clip

    def _seeing(self, model: Model, fitted: Fitted) -> Architecture:
        """Return the kind of network: files of Flux Canny and Depth make it see a drawing."""
        kind, shapes = model.architecture, self.contents.file.shapes
        downs = (
            shapes[group.tensors["lora_down"]]
            for group, piece in fitted.pairs
            if piece.module == WIDENED and "lora_down" in group.tensors
        )
        inputs = next((shape[1] for shape in downs), 0)
        return kind.seeing(inputs) if isinstance(kind, Flux) and inputs else kind

    def _fitted(self, network: Resident[nn.Module], numbers: frozenset[int]) -> Fitted:
        """Return the changes that belong to a network; raise Refused if they are of other sizes.

        Files may count it as any of the `numbers`.
        """
        groups = [group for group in self.contents.groups if group.network in numbers]
        if not groups:
            return Fitted((), frozenset())
        sizes = dict(network.outline().named_parameters())
        rows = {name.rpartition(".")[0]: weight.shape[0] for name, weight in sizes.items()}
        names = network_names(rows) if NETWORK in numbers else tower_names(rows)
        pairs = tuple((group, piece) for group in groups for piece in names.get(group.module, ()))
        for group, piece in pairs:
            self._require_fitting(group, piece, sizes.get(f"{piece.module}.weight"))
        return Fitted(pairs, frozenset(group.stem for group, _ in pairs))

    def _require_fitting(self, group: Group, piece: Piece, weight: Tensor | None) -> None:
        change = self._change_size(group, piece)
        if weight is None or change is None:
            return
        wider = piece.module == WIDENED and change % len(weight) == 0 and change > weight.numel()
        if change != weight.numel() and not wider:
            raise Refused(
                "the LoRA was made for another kind of model: its sizes are others",
                file=self.contents.file.path.name,
                module=group.stem,
                model_numbers=weight.numel(),
                lora_numbers=change,
            )

    def _change_size(self, group: Group, piece: Piece) -> int | None:
        """Return how many numbers a LoRA changes; other kinds are measured when they are made."""
        if not {"lora_up", "lora_down"} <= group.tensors.keys():
            return None
        shapes = self.contents.file.shapes
        up, down = (shapes[group.tensors[part]] for part in ("lora_up", "lora_down"))
        rows = counted(piece.rows, up[0])
        core = shapes[group.tensors["lora_mid"]][2:] if "lora_mid" in group.tensors else ()
        return rows * math.prod((*down[1:], *core))

    def _altered(
        self,
        network: Resident[M],
        fitted: Fitted,
        strength: float,
        stored: torch.dtype | None = None,
    ) -> Resident[M]:
        if not fitted.pairs or not strength:
            return network
        change = LoraAlteration(self.contents.file, fitted, strength)
        return altered(network, change, stored)

    def _report(self, used: frozenset[str], *, with_text: bool) -> None:
        """Refuse a file of which nothing fits; say what of a fitting one does not."""
        wanted = [
            group.stem for group in self.contents.groups if with_text or group.network == NETWORK
        ]
        left = [stem for stem in wanted if stem not in used]
        name = self.contents.file.path.name
        if wanted and not used:
            raise Refused(
                "the LoRA was made for another kind of model: no module of it is in this one",
                file=name,
                first=left[:NAMES_SHOWN],
            )
        unknown = (*left, *self.contents.unread)
        if unknown:
            log.warning(
                "lora.modules_unknown", file=name, count=len(unknown), first=unknown[:NAMES_SHOWN]
            )
