"""Nodes that put latents into batches and take them out again."""

from __future__ import annotations

from typing import Annotated

from libs.nodes.context import Context
from libs.nodes.declare import Choices, Widget, node
from libs.nodes.sockets import BATCH_MAX, SIDE_PIXELS_MAX, Latent

_AMOUNT = Widget(min=1, max=64)


@node("EmptySD3LatentImage", title="EmptySD3LatentImage", category="latent/sd3")
def empty_latent_16(
    context: Context,
    *,
    width: Annotated[
        int, Widget(min=16, max=SIDE_PIXELS_MAX, step=16), "Of the picture, in pixels."
    ] = 1024,
    height: Annotated[
        int, Widget(min=16, max=SIDE_PIXELS_MAX, step=16), "Of the picture, in pixels."
    ] = 1024,
    batch_size: Annotated[int, Widget(min=1, max=BATCH_MAX), "How many pictures."] = 1,
) -> Latent:
    """Make empty latents of 16 channels, for Stable Diffusion 3 and Flux."""
    return context.loader.blank_latent(width=width, height=height, count=batch_size, channels=16)


@node("LoadLatent", title="LoadLatent", category="latent")
def load_latent(
    context: Context, *, latent: Annotated[str, Choices("input"), "A file that was saved."]
) -> Latent:
    """Read latents that were saved."""
    return context.loader.latents(context.read_input(latent))


@node("LatentBatch", title="LatentBatch", category="latent/batch")
def batch_latents(*, samples1: Latent, samples2: Latent) -> Latent:
    """Put two batches into one; each latent keeps its place's noise."""
    return samples1.batched(samples2)


@node("LatentFromBatch", title="Latent From Batch", category="latent/batch")
def latent_from_batch(
    *,
    samples: Latent,
    batch_index: Annotated[int, Widget(min=0, max=63), "The first to take."] = 0,
    length: Annotated[int, _AMOUNT, "How many to take."] = 1,
) -> Latent:
    """Take some latents out of a batch; each comes out as it would among all."""
    return samples.picked(batch_index, length)


@node("RepeatLatentBatch", title="Repeat Latent Batch", category="latent/batch")
def repeat_batch(
    *, samples: Latent, amount: Annotated[int, _AMOUNT, "How many times."] = 1
) -> Latent:
    """Repeat a batch, each time with noise of its own."""
    return samples.repeated(amount)


@node("RebatchLatents", title="Rebatch Latents", category="latent/batch", takes_lists=True)
def rebatch_latents(
    *,
    latents: list[Latent],
    batch_size: Annotated[
        list[int], Widget(min=1, max=BATCH_MAX), "How many are sampled at a time."
    ] = 1,  # type: ignore[assignment]
) -> list[Latent]:
    """Cut latents into batches that are sampled one after the other."""
    return latents[0].rebatched(latents[1:], batch_size[0])
