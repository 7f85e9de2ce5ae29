"""Models that repaint are told what to paint and what lies around it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from libs.diffusion.values import Latents, Mask, Picture
from libs.nodes.registry import load
from libs.sampling.conditioning import Conditioning, Entry
from tests.unit.libs.diffusion import tiny

TYPES: Any = load()


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Any:
    torch.manual_seed(11)
    tensors = tiny.sd1() | tiny.unet_tensors({**tiny.SD1_UNET, "in_channels": 9})
    path = tiny.written(tmp_path_factory.mktemp("inpaint") / "tiny.safetensors", tensors)
    return tiny.loader().checkpoint(path)


def beside(parts, text: Conditioning, latent: Latents) -> Any:
    """Return what goes to the network beside the latent."""
    start = parts[0].start(latent)
    given = parts[0].architecture.extras(text.entries[0], True, start.latent, start.mask)
    return given["concat"]


def sample(parts, latent: Latents, text: Conditioning, scheduler: str = "normal") -> Any:
    return parts[0].sample(
        latent, positive=text, negative=text, seed=1, steps=2, cfg=1.0, sampler="euler",
        scheduler=scheduler, on_step=tiny.no_step,
    ).samples  # fmt: skip


def plain() -> Conditioning:
    return Conditioning((Entry(random(1, 77, 64)),))


def conditioned(parts, pixels: Picture, mask: Mask, *, noise_mask: bool = True) -> Any:
    node = TYPES["InpaintModelConditioning"]
    return node(
        positive=plain(), negative=plain(), vae=parts[2], pixels=pixels, mask=mask,
        noise_mask=noise_mask,
    )  # fmt: skip


def test_without_mask_everything_is_painted_over_grey(parts):
    concat = beside(parts, plain(), Latents(random(2, 4, 8, 8)))
    assert (concat[:, 0] == 1).all()
    # These are grey pixels in the latents that the published networks were trained with.
    for channel, value in enumerate((0.8223, -0.6876, 0.6364, 0.1380)):
        assert torch.allclose(concat[:, 1 + channel], torch.tensor(value))


def test_the_masked_latent_itself_is_shown_where_no_picture_was_given(parts):
    samples, mask = random(1, 4, 8, 8), (random(1, 64, 64) > 0.5).float()
    concat = beside(parts, plain(), Latents(samples, Mask(mask)))
    cells = functional.interpolate(mask[:, None], size=(8, 8), mode="bilinear")
    assert torch.equal(concat[:, :1], cells.round())
    assert torch.allclose(concat[:, 1:], samples * 0.18215)


def test_the_node_shows_the_picture_with_its_hole(parts):
    pixels, mask = random(1, 70, 64, 3), torch.zeros(1, 70, 64)
    mask[:, 20:40, 16:48] = 1
    told = conditioned(parts, Picture(pixels), Mask(mask))
    concat = beside(parts, told.positive, told.latent)
    # Cut to whole cells from the middle; the hole is grey before it is encoded.
    cut = pixels[:, 3:67].clone()
    cut[:, 17:37, 16:48] = 0.5
    with torch.no_grad():
        around = parts[2].network.get().encode(cut.movedim(-1, 1) * 2 - 1).latent_dist.mode()
    assert torch.allclose(concat[:, 1:], around * 0.18215, atol=1e-4)
    cells = functional.interpolate(mask[:, None], size=(8, 8), mode="bilinear")
    assert set(concat[:, :1].unique().tolist()) == {0.0, 1.0}
    assert (concat[:, :1] - cells).abs().max() <= 0.5
    with torch.no_grad():
        whole = pixels[:, 3:67].movedim(-1, 1) * 2 - 1
        encoded = parts[2].network.get().encode(whole).latent_dist.mode()
    assert torch.allclose(told.latent.samples, encoded, atol=1e-5)


@pytest.mark.parametrize("kept", [True, False])
def test_the_noise_mask_keeps_what_lies_outside(parts, kept):
    pixels, mask = random(1, 64, 64, 3), torch.zeros(1, 64, 64)
    mask[:, :32] = 1
    told = conditioned(parts, Picture(pixels), Mask(mask), noise_mask=kept)
    end = sample(parts, told.latent, told.positive)
    same = torch.isclose(end[:, :, 6:], told.latent.samples[:, :, 6:], atol=1e-4).all()
    assert bool(same) is kept


def test_the_mask_and_the_picture_reach_the_network(parts):
    pixels = random(1, 64, 64, 3)
    left, right = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
    left[..., :32], right[..., 32:] = 1, 1
    ends = [
        sample(parts, Latents(torch.zeros(1, 4, 8, 8)), told.positive)
        for told in (
            conditioned(parts, Picture(pixels), Mask(left)),
            conditioned(parts, Picture(pixels), Mask(right)),
            conditioned(parts, Picture(1 - pixels), Mask(left)),
        )
    ]
    assert not torch.allclose(ends[0], ends[1])
    assert not torch.allclose(ends[0], ends[2])


def test_a_picture_of_another_size_is_fitted(parts):
    told = conditioned(parts, Picture(random(1, 64, 64, 3)), Mask(random(1, 32, 32)))
    concat = beside(parts, told.positive, Latents(torch.zeros(3, 4, 6, 10)))
    assert concat.shape == (3, 5, 6, 10)


def test_a_followed_picture_starts_from_nothing(parts):
    pixels = Picture(random(1, 64, 64, 3))
    told = TYPES["InstructPixToPixConditioning"](
        positive=plain(), negative=plain(), vae=parts[2], pixels=pixels
    )
    assert told.latent.samples.shape == (1, 4, 8, 8)
    assert not told.latent.samples.any()
    shown = told.positive.entries[0].extras["inpaint"]
    assert shown.mask is None
    assert torch.equal(shown.around, parts[2].encode(pixels).samples)


def test_a_text_counts_where_its_mask_is_white(parts):
    """Two texts under masks that complete each other are each seen in their own half."""
    first, second = plain(), Conditioning((Entry(random(1, 77, 64, seed=2) * 5),))
    left = torch.zeros(1, 64, 64)
    left[..., :32] = 1
    both = first.painted(Mask(left), 1.0, bounded=False).combined(
        second.painted(Mask(1 - left), 1.0, bounded=False)
    )
    latent = Latents(random(1, 4, 8, 8))
    seen = {}
    for name, text in (("first", first), ("second", second), ("both", both)):
        with parts[0].guided(latent.samples, text, text, 1.0) as guided:
            seen[name] = guided(latent.samples, 5.0)
    assert torch.allclose(seen["both"][..., :4], seen["first"][..., :4], atol=1e-5)
    assert torch.allclose(seen["both"][..., 4:], seen["second"][..., 4:], atol=1e-5)
    assert not torch.allclose(seen["first"], seen["second"], atol=1e-2)


def test_a_bounded_mask_is_looked_at_alone(parts):
    mask = torch.zeros(1, 64, 64)
    mask[:, 16:48, 16:64] = 1
    text = plain().painted(Mask(mask), 1.0, bounded=True)
    latent = random(1, 4, 8, 8)
    with torch.inference_mode(), parts[0].guided(latent, text, text, 1.0) as guided:
        seen = guided(latent, 5.0)
        with parts[0].guided(latent, plain(), plain(), 1.0) as whole:
            cut = whole(latent[..., 2:6, 2:8], 5.0)
    assert torch.allclose(seen[..., 2:6, 2:8], cut, atol=1e-5)
    outside = seen.clone()
    outside[..., 2:6, 2:8] = 0
    assert not outside.any()


def test_grey_places_of_a_mask_are_painted_only_towards_the_end(parts):
    """A place that opens late stays nearer to what was there than one that opens at once."""
    model = parts[0]
    samples = random(1, 4, 8, 8)
    plain_mask, grey = torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.6)
    gradual = TYPES["DifferentialDiffusion"](model=model, strength=1.0)

    def moved(one: Any, mask: torch.Tensor) -> float:
        end = sample((one, *parts[1:]), Latents(samples, Mask(mask)), plain(), "sgm_uniform")
        return float((end - samples).abs().mean())

    assert moved(gradual, plain_mask) == pytest.approx(moved(model, plain_mask), rel=1e-4)
    assert moved(gradual, torch.zeros(1, 8, 8)) == pytest.approx(0.0, abs=1e-5)
    assert 0 < moved(gradual, grey) < moved(gradual, plain_mask)
    assert model.mask_at is None
