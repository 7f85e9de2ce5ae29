"""Sampling, decoding, previews and upscaling on small random networks."""

from __future__ import annotations

import inspect
import io
from typing import Any

import pytest
import torch
from PIL import Image

from libs.core.errors import Refused
from libs.diffusion import model, torch_loader, upscale, vae, values
from libs.diffusion.determinism import digest, fingerprint, pinned_environment
from libs.diffusion.placement import Placement
from libs.diffusion.text import clip
from libs.diffusion.upscale import TILE_PIXELS, CompactNetwork, build_compact, tiles_of
from libs.diffusion.vae import grown
from libs.diffusion.values import Latents, Mask, Picture
from libs.nodes import context, sockets
from libs.sampling import conditioning
from libs.sampling.sizes import whole_cells
from tests.unit.libs.diffusion import tiny


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("sd1") / "tiny.safetensors", tiny.sd1())
    return tiny.loader().checkpoint(path)


def sample(parts, latent=None, on_step=tiny.no_step, text="a fox", **changed) -> Any:
    given = {"seed": 1, "steps": 3, "cfg": 5.0, "sampler": "euler", "scheduler": "normal"}
    return (
        parts[0]
        .sample(
            latent or Latents(torch.zeros(1, 4, 8, 8)),
            positive=parts[1].encode(text),
            negative=parts[1].encode(""),
            on_step=on_step,
            **(given | changed),
        )
        .samples
    )


@pytest.mark.parametrize(
    ("socket", "value"),
    [
        (sockets.Model, model.Model),
        (sockets.Clip, clip.Clip),
        (sockets.Vae, vae.Vae),
        (sockets.Conditioning, conditioning.Conditioning),
        (sockets.Latent, values.Latents),
        (sockets.Image, values.Picture),
        (sockets.Mask, values.Mask),
        (sockets.UpscaleModel, upscale.UpscaleModel),
        (context.Loader, torch_loader.TorchLoader),
    ],
)
def test_a_value_has_all_that_its_socket_promises(socket, value):
    for name, promised in vars(socket).items():
        if name.startswith("_"):
            continue
        if isinstance(promised, property):
            held = name in getattr(value, "__dataclass_fields__", {})
            assert held or isinstance(inspect.getattr_static(value, name), property)
            continue
        theirs = inspect.signature(promised).parameters.values()
        ours = inspect.signature(getattr(value, name)).parameters.values()
        assert [(p.name, p.kind, p.default) for p in ours] == [
            (p.name, p.kind, p.default) for p in theirs
        ]


@pytest.mark.covers("R103")
def test_each_input_of_the_sampler_changes_the_latent(parts):
    plain = sample(parts)
    assert torch.equal(plain, sample(parts)), "the same inputs give the same latent"
    for changed in (
        {"seed": 2},
        {"steps": 4},
        {"cfg": 2.0},
        {"sampler": "euler_ancestral"},
        {"scheduler": "karras"},
        {"denoise": 0.5},
        {"text": "a boat"},
        {"latent": Latents(torch.ones(1, 4, 8, 8))},
    ):
        assert not torch.allclose(plain, sample(parts, **changed)), changed


def test_a_text_bound_to_a_place_outside_the_picture_does_not_count(parts):
    text = parts[1].encode("a fox")
    outside = text.within(width=64, height=64, x=512, y=0, strength=1.0)
    placed = [
        parts[0].sample(
            Latents(torch.zeros(1, 4, 8, 8)), positive=positive, negative=parts[1].encode(""),
            seed=1, steps=2, cfg=5.0, sampler="euler", scheduler="normal", on_step=tiny.no_step,
        ).samples
        for positive in (text, text.combined(outside))
    ]  # fmt: skip
    assert torch.allclose(placed[0], placed[1], atol=1e-4)


def test_no_denoise_leaves_the_latent_as_it_is(parts):
    latent = Latents(torch.randn(1, 4, 8, 8))
    assert sample(parts, latent, denoise=0.0) is latent.samples


def test_what_is_not_masked_stays(parts):
    mask = torch.zeros(1, 64, 64)
    mask[:, :, 32:] = 1.0
    latent = Latents(torch.randn(1, 4, 8, 8), Mask(mask))
    end = sample(parts, latent)
    assert torch.allclose(end[..., :3], latent.samples[..., :3], atol=1e-4)
    assert not torch.allclose(end[..., 5:], latent.samples[..., 5:], atol=1e-2)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "heun", "dpm_2", "lcm"])
def test_every_step_is_heard_of_once_and_in_order(parts, sampler):
    heard = []
    sample(parts, on_step=lambda done, total, preview: heard.append((done, total)), sampler=sampler)
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_a_step_that_raises_stops_the_sampler(parts):
    def stop(value, total, preview=None) -> Any:
        raise context.Interrupted("cancelled")

    with pytest.raises(context.Interrupted):
        sample(parts, on_step=stop)


def test_a_preview_is_a_jpeg_and_changes_nothing(parts):
    drawn = []
    end = sample(parts, on_step=lambda done, total, preview: drawn.append(preview()))
    assert torch.equal(end, sample(parts))
    picture = Image.open(io.BytesIO(drawn[-1]))
    assert picture.format == "JPEG"
    assert picture.size == (64, 64)


@pytest.mark.covers("R104")
def test_a_latent_is_decoded_to_pictures_eight_times_as_large(parts):
    picture = parts[2].decode(Latents(torch.randn(2, 4, 4, 6)))
    assert picture.pixels.shape == (2, 32, 48, 3)
    assert float(picture.pixels.min()) >= 0.0
    assert float(picture.pixels.max()) <= 1.0


def test_a_picture_does_not_depend_on_its_neighbours(parts):
    latents = torch.randn(3, 4, 4, 4)
    together = parts[2].decode(Latents(latents)).pixels
    alone = parts[2].decode(Latents(latents[1:2])).pixels
    assert torch.equal(together[1:2], alone)


def test_a_picture_is_encoded_from_its_middle(parts):
    picture = Picture(torch.rand(1, 21, 35, 3))
    middle = Picture(picture.pixels[:, 2:18, 1:33])
    encoded = parts[2].encode(picture).samples
    assert encoded.shape == (1, 4, 2, 4)
    assert torch.equal(encoded, parts[2].encode(middle).samples)
    assert whole_cells(torch.zeros(1, 3, 16, 24)).shape == (1, 3, 16, 24)


def test_inpainting_empties_the_masked_part_and_grows_it(parts):
    mask = torch.zeros(1, 32, 32)
    mask[:, 12:20, 12:20] = 1.0
    picture = Picture(torch.rand(1, 32, 32, 3))
    latent = parts[2].encode_around(picture, Mask(mask), 6)
    grey = picture.pixels.clone()
    grey[:, 12:20, 12:20] = 0.5
    assert torch.allclose(latent.samples, parts[2].encode(Picture(grey)).samples, atol=1e-6)
    assert int(latent.mask.values.sum()) == 13 * 13
    assert torch.equal(grown(mask[:, None], 0), mask[:, None])


def compact_tensors(width=8, convolutions=3, factor=4) -> Any:
    torch.manual_seed(0)
    return CompactNetwork(width, convolutions, factor).state_dict()


def test_an_upscaler_is_read_off_its_tensors():
    network = build_compact(compact_tensors())
    assert (network.factor, network.reach, len(network.body)) == (4, 3, 5)
    with pytest.raises(Refused, match="only upscalers of ESRGAN"):
        build_compact({"model.0.weight": torch.zeros(3, 3, 3, 3)})


def test_tiles_give_what_the_whole_picture_gives(tmp_path):
    path = tiny.written(tmp_path / "x4.safetensors", compact_tensors(), torch.float32)
    upscaler = tiny.loader().upscale_model(path)
    picture = Picture(torch.rand(1, TILE_PIXELS + 40, 70, 3))
    heard = []
    larger = upscaler.upscale(
        picture, lambda done, total, preview=None: heard.append((done, total))
    )
    whole = upscaler.network.get()(picture.pixels.movedim(-1, 1)).clamp(0, 1).movedim(1, -1)
    assert larger.pixels.shape == (1, 4 * (TILE_PIXELS + 40), 280, 3)
    assert torch.allclose(larger.pixels, whole, atol=1e-5)
    assert heard == [(1, 2), (2, 2)]
    assert len(list(tiles_of(10, 10, 3))) == 1


def test_a_fingerprint_names_what_the_bytes_depend_on():
    facts = fingerprint({"a.safetensors": "abc"}, Placement.cpu(), 0)
    assert facts["weights/a.safetensors"] == "abc"
    assert facts["dtype"] == "float32/float32/float32"
    assert {"torch", "diffusers", "threads", "device", "cpu", "compatibility"} <= facts.keys()
    assert digest(facts) == digest(dict(reversed(facts.items())))
    assert digest(facts) != digest(facts | {"threads": "99"})
    assert pinned_environment(2)["OMP_NUM_THREADS"] == "2"
