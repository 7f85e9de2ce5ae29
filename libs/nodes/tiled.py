"""Nodes that decode and encode in tiles, for pictures too large for the memory."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import Image, Latent, Vae

_Overlap: TypeAlias = Annotated[
    int, Widget(min=0, max=4096, step=32), "How far tiles reach into each other, in pixels."
]
_Frames: TypeAlias = Annotated[
    int,
    Widget(min=8, max=4096, step=4, advanced=True),
    "For VAEs of videos that work on several frames at once: how many. Others take no notice.",
]
_FramesOverlap: TypeAlias = Annotated[
    int,
    Widget(min=4, max=4096, step=4, advanced=True),
    "For VAEs of videos: how many frames two pieces share. Others take no notice.",
]


@node("VAEDecodeTiled", title="VAE Decode (Tiled)", category="_for_testing")
def decode_tiled(
    *,
    samples: Annotated[Latent, "What to decode."],
    vae: Annotated[Vae, "The VAE of the model that made it."],
    tile_size: Annotated[
        int, Widget(min=64, max=4096, step=32), "Of a tile's sides, in pixels."
    ] = 512,
    overlap: _Overlap = 64,
    temporal_size: _Frames = 64,
    temporal_overlap: _FramesOverlap = 8,
) -> Image:
    """Turn latents into pictures in tiles whose edges are blended."""
    return vae.decode_in_tiles(samples, tile_size, overlap, temporal_size, temporal_overlap)


@node("VAEEncodeTiled", title="VAE Encode (Tiled)", category="_for_testing")
def encode_tiled(
    *,
    pixels: Image,
    vae: Vae,
    tile_size: Annotated[
        int, Widget(min=64, max=4096, step=64), "Of a tile's sides, in pixels."
    ] = 512,
    overlap: _Overlap = 64,
    temporal_size: _Frames = 64,
    temporal_overlap: _FramesOverlap = 8,
) -> Latent:
    """Turn pictures into latents in tiles whose edges are blended."""
    return vae.encode_in_tiles(pixels, tile_size, overlap, temporal_size, temporal_overlap)
