"""Tiny VAEs: read from the files that people download, for previews and in place of a VAE."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from libs.diffusion.architectures import flux, sd3, stable_diffusion
from libs.diffusion.loader.models import Preview
from libs.diffusion.loader.tiny_vae import FORMS, named_for
from libs.diffusion.placement import Placement
from libs.diffusion.values import Latents, Picture
from tests.unit.libs.diffusion import tiny

WIDTH = 8


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [conv(WIDTH, WIDTH), nn.ReLU(), conv(WIDTH, WIDTH), nn.ReLU(), conv(WIDTH, WIDTH)]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


def conv(inputs: int, outputs: int, **more) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, **more)


def blocks(count: int) -> list[nn.Module]:
    return [Block() for _ in range(count)]


def published_decoder(channels: int) -> nn.Sequential:
    """Return the decoder with its layers as the files of its author count them."""
    layers = [Clamp(), conv(channels, WIDTH), nn.ReLU()]
    for _ in range(3):
        layers += [*blocks(3), nn.Upsample(scale_factor=2), conv(WIDTH, WIDTH, bias=False)]
    return nn.Sequential(*layers, *blocks(1), conv(WIDTH, 3))


def published_encoder(channels: int) -> nn.Sequential:
    layers = [conv(3, WIDTH), *blocks(1)]
    for _ in range(3):
        layers += [conv(WIDTH, WIDTH, stride=2, bias=False), *blocks(3)]
    return nn.Sequential(*layers, conv(WIDTH, channels))


def put(folder: Path, name: str, channels: int = 4) -> tuple[nn.Sequential, nn.Sequential]:
    """Write both halves of a tiny VAE, and return them."""
    torch.manual_seed(7)
    halves = published_decoder(channels), published_encoder(channels)
    for half, network in zip(("decoder", "encoder"), halves, strict=True):
        path = folder / f"{name}_{half}.safetensors"
        tiny.written(path, network.state_dict(), torch.float32)
    return halves


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)


def preview_of(latent=stable_diffusion.SD1) -> Preview:
    form = FORMS["taesd"] if latent is stable_diffusion.SD1 else latent
    return Preview(None, form, Placement.cpu())


@pytest.mark.parametrize("name", FORMS)
def test_a_tiny_vae_computes_as_its_author_wrote_it(tmp_path, name):
    form = FORMS[name]
    decoder, encoder = put(tmp_path, name, form.channels)
    vae = tiny.loader().vae(tmp_path / f"{name}_decoder.safetensors")
    wire = torch.randn(2, form.channels, 3, 4)
    with torch.no_grad():
        wanted = decoder((wire - form.shift) * form.scale).clamp(0, 1).movedim(1, -1)
        assert torch.allclose(vae.decode(Latents(wire)).pixels, wanted, atol=1e-6)
        picture = torch.rand(1, 16, 24, 3)
        latent = encoder(picture.movedim(-1, 1)) / form.scale + form.shift
    assert torch.allclose(vae.encode(Picture(picture)).samples, latent, atol=1e-5)


def test_each_kind_of_latents_has_the_tiny_vae_that_was_made_for_it():
    families = stable_diffusion.SD1, stable_diffusion.SDXL
    scales = [family.latent_scale for family in families]
    assert [FORMS[name].scale for name in ("taesd", "taesdxl")] == scales
    assert (named_for(sd3.LATENT), named_for(flux.LATENT)) == ("taesd3", "taef1")


def test_a_preview_shows_what_the_tiny_decoder_makes_of_the_latent(tmp_path):
    decoder, _ = put(tmp_path, "taesd")
    seen = torch.randn(2, 4, 8, 6)
    drawn = pixels(preview_of().draw(seen, {"taesd": tmp_path / "taesd_decoder.safetensors"}.get))
    with torch.no_grad():
        wanted = decoder(seen[:1])[0].clamp(0, 1).movedim(0, -1).numpy() * 255
    assert drawn.shape == wanted.shape == (64, 48, 3)
    assert np.abs(drawn - wanted).mean() < 3


def test_a_preview_of_a_large_picture_has_512_pixels_a_side_at_most(tmp_path):
    put(tmp_path, "taesd")
    find = {"taesd": tmp_path / "taesd_decoder.safetensors"}.get
    assert pixels(preview_of().draw(torch.randn(1, 4, 96, 72), find)).shape == (512, 384, 3)


def test_without_a_tiny_decoder_that_can_be_read_a_preview_is_drawn_as_before(tmp_path):
    seen = torch.randn(1, 4, 8, 8)
    usual = preview_of().draw(seen)
    assert preview_of().draw(seen, lambda _: None) == usual
    broken = tiny.written(tmp_path / "taesd_decoder.safetensors", {"other": torch.zeros(3)})
    assert preview_of().draw(seen, lambda _: broken) == usual
    unknown = preview_of(FORMS["taesd"].__class__(5, 0.5))
    assert unknown.draw(torch.randn(1, 5, 8, 8), lambda _: broken)


def test_a_step_is_drawn_with_the_tiny_decoder_and_the_picture_stays_the_same(tmp_path):
    put(tmp_path, "taesd")
    parts = tiny.loader().checkpoint(tiny.written(tmp_path / "model.safetensors", tiny.sd1()))
    text = parts[1].encode("a tree")
    find = {"taesd": tmp_path / "taesd_decoder.safetensors"}.get

    def sample(on_step: Any) -> Tensor:
        end: Latents = parts[0].sample(
            Latents(torch.zeros(1, 4, 8, 8)), positive=text, negative=text, seed=1, steps=2, cfg=2.0,
            sampler="euler", scheduler="normal", on_step=on_step,
        )  # fmt: skip
        return end.samples

    drawn: list[tuple[bytes, bytes]] = []
    end = sample(lambda _at, _of, preview: drawn.append((preview(find), preview())))
    assert torch.equal(end, sample(tiny.no_step))
    assert [pixels(one).shape for pair in drawn for one in pair] == [(64, 64, 3)] * 4
    assert all(tiny_one != usual for tiny_one, usual in drawn)
