"""Nodes that turn weights files into models."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from libs.nodes.context import Context
from libs.nodes.declare import Choices, node
from libs.nodes.sockets import Clip, Model, Vae


class Checkpoint(NamedTuple):
    """The three parts of a checkpoint."""

    MODEL: Annotated[Model, "Denoises latents."]
    CLIP: Annotated[Clip, "Encodes texts."]
    VAE: Annotated[Vae, "Turns pictures into latents and back."]


@node(
    "CheckpointLoaderSimple",
    title="Load Checkpoint",
    category="loaders",
    search_aliases=("checkpoint", "model", "load model"),
)
def load_checkpoint(
    context: Context,
    *,
    ckpt_name: Annotated[str, Choices("checkpoints"), "The file to load."],
) -> Checkpoint:
    """Load a checkpoint: the diffusion model, its text encoder and its VAE."""
    return Checkpoint(*context.loader.checkpoint(context.weights("checkpoints", ckpt_name)))


@node("VAELoader", title="Load VAE", category="loaders")
def load_vae(
    context: Context,
    *,
    vae_name: Annotated[str, Choices("vae"), "The file to load."],
) -> Vae:
    """Load a VAE from a file of its own, to use in place of a checkpoint's."""
    return context.loader.vae(context.weights("vae", vae_name))
