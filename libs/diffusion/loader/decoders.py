"""VAEs out of files: in checkpoints, alone, and in diffusers folders."""

from __future__ import annotations

from diffusers import AutoencoderKL

from libs.core.errors import Refused
from libs.diffusion.loader import cogvideo_vae, spatiotemporal, vae
from libs.diffusion.loader.build import build
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.shelf import Shelf
from libs.diffusion.vae import Vae
from libs.diffusion.video_vae import TemporalVae, VideoVae


def vae_in(shelf: Shelf, file: WeightsFile) -> Vae:
    """Return the VAE in a file; that there is none is told when it is first used."""
    found = cogvideo_vae.place_in(file.shapes)
    if found is not None:
        return VideoVae(
            shelf.resident(file, "vae", lambda: cogvideo_vae.build_vae(file, found, shelf)),
            shelf.placement,
        )
    prefix = vae.prefix_in(file.shapes)
    if prefix is not None and spatiotemporal.is_vae(file.under(prefix)):
        network = shelf.resident(
            file,
            "vae",
            lambda: spatiotemporal.build_vae(file.read_under(prefix, shelf.placement.vae)),
        )
        return TemporalVae(network, shelf.placement)

    def load() -> AutoencoderKL:
        if prefix is None:
            raise Refused("the file holds no VAE in a layout that is read", file=file.path.name)
        tensors = file.read_under(prefix, shelf.placement.vae)
        if vae.MARK in tensors:
            return vae.build_vae(tensors)
        config = file.configs.get("vae") or vae.diffusers_config(file.under(prefix))
        return build(lambda: AutoencoderKL.from_config(dict(config)), tensors)

    network = shelf.resident(file, "vae", load)
    return Vae(network, shelf.placement, meanwhile=shelf.levers.decodes_meanwhile)
