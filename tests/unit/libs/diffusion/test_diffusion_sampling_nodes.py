"""Custom sampling, FreeU and tiles on a tiny model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion.patches.freeu import FreeU
from libs.diffusion.values import Latents, Picture
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.noise import Seeded
from libs.sampling.samplers import SAMPLERS, Sampler
from libs.sampling.samplers.euler import lcm_upscale
from libs.sampling.schedules import SCHEDULES
from libs.sampling.sigmas import Row
from libs.sampling.tiles import Tiling, in_tiles
from tests.unit.libs.diffusion import tiny

EMPTY = Latents(torch.zeros(1, 4, 8, 8))


def nobody(value, total, preview=None) -> None: ...


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    path = tiny.written(tmp_path_factory.mktemp("tiny") / "sd1.safetensors", tiny.sd1())
    model, clip, vae = tiny.loader().checkpoint(path)
    return model, clip.encode("a fox"), clip.encode("blurry"), vae


def row(model, steps=3, name="karras") -> Row:
    return Row.of(SCHEDULES[name](model.levels, steps))


def test_a_custom_walk_is_the_same_as_a_usual_one(parts):
    model, positive, negative, _ = parts
    usual = model.sample(
        EMPTY,
        positive=positive,
        negative=negative,
        seed=3,
        steps=3,
        cfg=5.0,
        sampler="euler",
        scheduler="karras",
        on_step=nobody,
    )
    guider = model.guider(positive, negative, 5.0)
    heard = []
    end, picture = guider.sample(
        EMPTY,
        noise=Seeded(3),
        sampler=SAMPLERS["euler"],
        sigmas=row(model),
        on_step=lambda value, total, preview: heard.append((value, total)),
    )
    assert torch.equal(end.samples, usual.samples)
    assert torch.allclose(picture.samples, end.samples, atol=1e-4)
    assert heard == [(1, 3), (2, 3), (3, 3)]


def test_two_halves_of_a_row_are_the_whole(parts):
    model, positive, negative, _ = parts
    guider = model.guider(positive, negative, 5.0)
    sampler = SAMPLERS["euler"]
    whole, _ = guider.sample(
        EMPTY, noise=Seeded(3), sampler=sampler, sigmas=row(model), on_step=nobody
    )
    high, low = row(model).split(1)
    half, picture = guider.sample(
        EMPTY, noise=Seeded(3), sampler=sampler, sigmas=high, on_step=nobody
    )
    assert not torch.allclose(half.samples, picture.samples, atol=0.1)
    end, _ = guider.sample(
        half, noise=Seeded(0, drawn=False), sampler=sampler, sigmas=low, on_step=nobody
    )
    assert torch.allclose(end.samples, whole.samples, atol=1e-4)


def test_nothing_to_walk_is_the_latent_itself(parts):
    model, positive, _, _ = parts
    guider = model.guider(positive)
    same = guider.sample(
        EMPTY, noise=Seeded(3), sampler=SAMPLERS["euler"], sigmas=Row(()), on_step=nobody
    )
    assert same == (EMPTY, EMPTY)


def test_noise_is_added_as_a_walk_would_take_it_away(parts):
    model, *_ = parts
    latent = Latents(torch.full((1, 4, 8, 8), 2.0))
    scale = model.architecture.latent.scale
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    noisy = model.noised(latent, Seeded(3), Row.of([5.0, 2.0]))
    assert torch.allclose(noisy.samples, latent.samples + noise * 3.0 / scale, atol=1e-4)
    assert model.noised(latent, Seeded(3), Row(())) is latent


@pytest.mark.parametrize("kind", ["dual", "nested", "perp_neg"])
def test_three_texts_lead_a_walk(parts, kind):
    model, positive, negative, _ = parts
    if kind == "perp_neg":
        guider = model.perp_neg_guider(positive, negative, negative, 5.0, 1.0)
    else:
        guider = model.dual_guider(positive, negative, negative, 5.0, 3.0, nested=kind == "nested")
    end, _ = guider.sample(
        EMPTY, noise=Seeded(3), sampler=SAMPLERS["euler"], sigmas=row(model), on_step=nobody
    )
    plain, _ = model.guider(positive, negative, 5.0).sample(
        EMPTY, noise=Seeded(3), sampler=SAMPLERS["euler"], sigmas=row(model), on_step=nobody
    )
    assert end.samples.isfinite().all()
    same = torch.allclose(end.samples, plain.samples, atol=1e-3)
    # Where all others are one text, a middle and an orthogonal part change nothing.
    assert same is (kind != "nested")


@pytest.mark.parametrize("name", ["euler_cfg_pp", "dpmpp_2m_sde", "uni_pc", "lcm"])
def test_a_walk_without_a_negative(parts, name):
    model, positive, _, _ = parts
    end, _ = model.guider(positive).sample(
        EMPTY, noise=Seeded(3), sampler=SAMPLERS[name], sigmas=row(model), on_step=nobody
    )
    assert end.samples.isfinite().all()


def test_a_latent_grows_while_it_is_denoised(parts):
    model, positive, _, _ = parts
    growing = Sampler(lcm_upscale).with_options(upscale=2.0, upscale_method="bislerp")
    end, _ = model.guider(positive).sample(
        EMPTY, noise=Seeded(3), sampler=growing, sigmas=row(model, 4), on_step=nobody
    )
    assert end.samples.shape == (1, 4, 16, 16)
    with pytest.raises(Refused):
        model.guider(positive).sample(
            EMPTY,
            noise=Seeded(3),
            sampler=growing.with_options(upscale=1000.0),
            sigmas=row(model, 4),
            on_step=nobody,
        )


@pytest.mark.parametrize("mapped", [False, True])
def test_freeu_changes_the_walk_and_leaves_the_network_as_it_was(parts, mapped):
    model, positive, negative, _ = parts

    def walked(model) -> Any:
        guider = model.guider(positive, negative, 5.0)
        sampler = SAMPLERS["euler"]
        return guider.sample(
            EMPTY, noise=Seeded(3), sampler=sampler, sigmas=row(model), on_step=nobody
        )[0].samples

    before = walked(model)
    assert not torch.allclose(walked(model.freed(1.3, 1.4, 0.9, 0.2, mapped=mapped)), before)
    assert torch.equal(walked(model), before)
    nothing = walked(model.freed(1.0, 1.0, 1.0, 1.0, mapped=mapped))
    assert torch.allclose(nothing, before, atol=1e-3)


def test_freeu_wants_a_unet():
    patch = FreeU(1.0, 1.0, 1.0, 1.0, mapped=True)
    with pytest.raises(Refused), patch.inject(torch.nn.Linear(1, 1)):
        pass


def test_tiles_give_the_whole_where_the_function_knows_no_neighbours():
    batch = torch.randn(2, 3, 40, 56)
    doubled = in_tiles(batch, lambda tile: tile * 2, Tiling(16, 16, 4, 1.0))
    assert torch.allclose(doubled, batch * 2, atol=1e-5)

    def larger(tile) -> Any:
        return tile.repeat_interleave(8, -1).repeat_interleave(8, -2)

    assert torch.allclose(in_tiles(batch, larger, Tiling(16, 16, 4, 8.0)), larger(batch), atol=1e-5)


def test_seams_are_blended_between_tiles():
    batch = torch.zeros(1, 1, 32, 32)
    made = iter(range(1, 1000))
    steps = in_tiles(batch, lambda tile: tile + float(next(made)), Tiling(16, 16, 4, 1.0))
    jumps = (steps[..., 1:] - steps[..., :-1]).abs().max()
    hard = in_tiles(batch, lambda tile: tile + float(next(made)), Tiling(16, 16, 0, 1.0))
    assert jumps < (hard[..., 1:] - hard[..., :-1]).abs().max()


def test_an_overlap_takes_no_more_than_a_quarter_of_a_tile():
    assert Tiling.of_latents(512, 64, 8) == Tiling(64, 64, 8, 8)
    assert Tiling.of_latents(128, 64, 8) == Tiling(16, 16, 4, 8)


def test_a_vae_in_tiles_comes_near_to_the_whole(parts):
    *_, vae = parts
    latent = Latents(torch.randn(1, 4, 24, 24))
    whole, tiles = vae.decode(latent).pixels, vae.decode_in_tiles(latent, 128, 32).pixels
    assert tiles.shape == whole.shape
    assert float((tiles - whole).abs().mean()) < 0.05
    assert torch.allclose(vae.decode_in_tiles(latent, 1024, 64).pixels, whole, atol=1e-6)
    picture = Picture(torch.rand(1, 200, 192, 3))
    encoded = vae.encode_in_tiles(picture, 128, 32).samples
    assert encoded.shape == vae.encode(picture).samples.shape
    with pytest.raises(Refused):
        vae.encode_in_tiles(picture, 128, 64)


def test_what_a_guider_holds_is_counted(parts):
    model, positive, negative, _ = parts
    assert model.guider(positive, negative, 2.0).size_bytes == (
        positive.size_bytes + negative.size_bytes
    )
    assert Conditioning((Entry(torch.zeros(1, 2, 3)),)).size_bytes == 24
