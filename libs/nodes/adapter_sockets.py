"""What runs along the wires of adapters: files of changes, networks that lead, examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from libs.nodes.sockets import (
        Clip,
        ClipVision,
        ClipVisionOutput,
        Conditioning,
        Image,
        Mask,
        Model,
        Vae,
    )


class Lora(Protocol):
    """A file of changes to a model and its text encoder, not applied yet."""

    def applied(
        self, model: Model, clip: Clip | None, strength_model: float, strength_clip: float
    ) -> tuple[Model, Clip | None]:
        """Return both with the changes, each at a strength of its own."""


class ControlNet(Protocol):
    """A network that leads another by what it sees in a picture."""

    def of_type(self, name: str) -> ControlNet:
        """Return it told what its hint is; "auto" tells it nothing."""

    def applied(
        self,
        conditioning: Conditioning,
        image: Image,
        strength: float,
        start: float = 0.0,
        end: float = 1.0,
        vae: Vae | None = None,
        mask: Mask | None = None,
        both_sides: bool = False,
    ) -> Conditioning:
        """Return texts that are led by the picture; `both_sides` leads the negative as well."""

    def applied_to_all(
        self,
        conditionings: tuple[Conditioning, ...],
        image: Image,
        strength: float,
        start: float = 0.0,
        end: float = 1.0,
        vae: Vae | None = None,
        mask: Mask | None = None,
    ) -> tuple[Conditioning, ...]:
        """Return several led by the same picture, so that they share an evaluation."""


class IpAdapter(Protocol):
    """A network that lets a model draw by example."""

    @property
    def sees_by(self) -> str:
        """The size of the CLIP vision network that it was made for: vit-h or vit-bigg."""

    def applied(
        self,
        model: Model,
        clip_vision: ClipVision,
        image: Image,
        weight: float,
        noise: float,
        start: float = 0.0,
        end: float = 1.0,
    ) -> Model:
        """Return the model drawing by example in a part of the course."""


class StyleModel(Protocol):
    """A network that makes words of what was seen in a picture."""

    def applied(
        self,
        conditioning: Conditioning,
        seen: ClipVisionOutput,
        strength: float,
        strength_type: Literal["multiply", "attn_bias"],
    ) -> Conditioning:
        """Return each text with the words of the pictures behind it."""
