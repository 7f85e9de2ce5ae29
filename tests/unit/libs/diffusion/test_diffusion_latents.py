"""Latents are put together, taken apart, cut, turned, laid over and calculated with."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from safetensors.torch import save

from libs.core.errors import Refused
from libs.diffusion.latent_forms import FORMS
from libs.diffusion.noise import TorchNoise
from libs.diffusion.picture import Picture
from libs.diffusion.values import Latents, Mask, latents_from
from libs.nodes.registry import load
from libs.sampling.noise import COMPATIBILITY_REFERENCE
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.nodes.fakes import FakeContext

TYPES: Any = load()


def numbered(count: int = 1, rows: int = 8, columns: int = 8, channels: int = 4) -> Latents:
    total = count * channels * rows * columns
    return Latents(torch.arange(total).float().reshape(count, channels, rows, columns))


def random(*shape: int, seed: int = 0) -> Latents:
    return Latents(torch.randn(shape, generator=torch.Generator().manual_seed(seed)))


def asked(name: str, **inputs: Any) -> Any:
    return TYPES[name](**inputs)


@pytest.mark.covers("R102")
@pytest.mark.parametrize(
    ("name", "channels"), [("EmptyLatentImage", 4), ("EmptySD3LatentImage", 16)]
)
def test_empty_latents_have_the_channels_of_their_models(name, channels):
    made = TYPES[name](FakeContext(loader=tiny.loader()), width=64, height=128, batch_size=3)
    assert made.samples.shape == (3, channels, 16, 8)
    assert not made.samples.any()


def test_saved_latents_come_back():
    latent = random(2, 16, 4, 6)
    saved = latent.to_bytes({"prompt": "{}"})
    context = FakeContext(loader=tiny.loader())
    context.read_input = lambda name: saved if name == "a.latent" else b""  # type: ignore[method-assign]
    assert torch.equal(TYPES["LoadLatent"](context, latent="a.latent").samples, latent.samples)


def test_old_files_hold_what_the_network_computes_with():
    samples = torch.randn(1, 4, 4, 4)
    old = latents_from(save({"latent_tensor": samples}))
    assert torch.allclose(old.samples, samples / 0.18215)


@pytest.mark.parametrize("data", [b"", b"text", save({"other": torch.zeros(1)})])
def test_other_files_are_no_latents(data):
    with pytest.raises(Refused):
        latents_from(data)


def test_batches_are_joined_and_each_place_keeps_its_noise():
    first, second = numbered(2), random(1, 4, 16, 16)
    both = asked("LatentBatch", samples1=first, samples2=second)
    assert both.samples.shape == (3, 4, 8, 8)
    assert torch.equal(both.samples[:2], first.samples)
    wanted = torch.nn.functional.interpolate(second.samples, size=(8, 8), mode="bilinear")
    assert torch.allclose(both.samples[2:], wanted)
    assert both.batch_index == (0, 1, 0)


def test_a_latent_out_of_a_batch_has_the_noise_it_had_in_it():
    batch = Latents(torch.zeros(4, 4, 8, 8))
    some = asked("LatentFromBatch", samples=batch, batch_index=2, length=9)
    assert (some.count, some.batch_index) == (2, (2, 3))
    noise = TorchNoise(COMPATIBILITY_REFERENCE)
    whole = torch.randn(4, 4, 8, 8, generator=torch.manual_seed(5))
    one_by_one = noise.starting(some.samples, 5, some.batch_index)
    generator = torch.manual_seed(5)
    places = [torch.randn(1, 4, 8, 8, generator=generator) for _ in range(4)]
    assert torch.equal(one_by_one, torch.cat(places[2:]))
    assert torch.equal(noise.starting(batch.samples, 5), whole)


def test_a_mask_follows_the_latents_that_are_taken():
    masks = torch.rand(4, 8, 8)
    batch = Latents(torch.zeros(4, 4, 8, 8), Mask(masks))
    some = asked("LatentFromBatch", samples=batch, batch_index=1, length=2)
    assert torch.equal(some.mask.values, masks[1:3])
    one = Latents(torch.zeros(4, 4, 8, 8), Mask(masks[:1]))
    kept = one.picked(3, 1).mask
    assert kept is not None
    assert torch.equal(kept.values, masks[:1])


def test_a_repeated_batch_has_noise_of_its_own_each_time():
    batch = numbered(2).picked(0, 2)
    many = asked("RepeatLatentBatch", samples=batch, amount=3)
    assert many.count == 6
    assert torch.equal(many.samples[2:4], batch.samples)
    assert many.batch_index == (0, 1, 2, 3, 4, 5)
    assert asked("RepeatLatentBatch", samples=numbered(2), amount=3).batch_index is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"width": 32, "height": 16, "x": 16, "y": 8}, (slice(1, 3), slice(2, 6))),
        # Eight cells of each side remain, wherever the cut is asked to begin.
        ({"width": 512, "height": 512, "x": 4096, "y": 0}, (slice(0, 12), slice(8, 16))),
    ],
)
def test_a_rectangle_is_cut_in_pixels(given, wanted):
    latent = numbered(1, 12, 16)
    cut = asked("LatentCrop", samples=latent, **given)
    assert torch.equal(cut.samples, latent.samples[:, :, *wanted])


def test_latents_are_mirrored_and_turned():
    latent = numbered(1, 2, 3, 1)
    rows = latent.samples[0, 0].tolist()
    flip = {
        name: asked("LatentFlip", samples=latent, flip_method=name).samples[0, 0].tolist()
        for name in ("x-axis: vertically", "y-axis: horizontally")
    }
    assert flip["x-axis: vertically"] == rows[::-1]
    assert flip["y-axis: horizontally"] == [row[::-1] for row in rows]
    clockwise = asked("LatentRotate", samples=latent, rotation="90 degrees").samples[0, 0]
    assert clockwise.tolist() == [[3, 0], [4, 1], [5, 2]]
    same = latent
    for _ in range(4):
        same = asked("LatentRotate", samples=same, rotation="90 degrees")
    assert torch.equal(same.samples, latent.samples)
    half = asked("LatentRotate", samples=latent, rotation="180 degrees").samples[0, 0].tolist()
    assert half == [row[::-1] for row in rows[::-1]]


def test_latents_grow_by_a_factor():
    grown = asked(
        "LatentUpscaleBy", samples=numbered(), upscale_method="nearest-exact", scale_by=1.5
    )
    assert grown.samples.shape == (1, 4, 12, 12)


def test_latents_are_laid_over_others_with_soft_inner_edges():
    onto, over = Latents(torch.zeros(1, 4, 16, 16)), Latents(torch.ones(1, 4, 8, 8))
    hard = asked("LatentComposite", samples_to=onto, samples_from=over, x=32, y=0, feather=0)
    assert torch.equal(hard.samples[..., 0:8, 4:12], over.samples)
    assert float(hard.samples.sum()) == 4 * 64
    soft = asked("LatentComposite", samples_to=onto, samples_from=over, x=32, y=0, feather=32)
    row = soft.samples[0, 0, 0, 4:12].tolist()
    # The upper edge is the picture's own and stays hard.
    assert row == [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert soft.samples[0, 0, :8, 8].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    assert not onto.samples.any()


def test_latents_that_stick_out_are_cut():
    onto, over = Latents(torch.zeros(1, 4, 8, 8)), Latents(torch.ones(1, 4, 8, 8))
    made = asked("LatentComposite", samples_to=onto, samples_from=over, x=32, y=48, feather=0)
    assert float(made.samples.sum()) == 4 * 2 * 4


def test_latents_are_put_in_through_a_mask():
    onto, source = Latents(torch.zeros(2, 4, 8, 8)), Latents(torch.ones(1, 4, 4, 4))
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    made = asked(
        "LatentCompositeMasked", destination=onto, source=source, x=32, y=0,
        resize_source=False, mask=Mask(mask),
    )  # fmt: skip
    assert made.count == 2
    assert torch.equal(made.samples[..., :4, 6:8], torch.ones(2, 4, 4, 2))
    assert float(made.samples.sum()) == 2 * 4 * 8
    whole = asked("LatentCompositeMasked", destination=onto, source=source, resize_source=True)
    assert bool((whole.samples == 1).all())


def test_a_mask_that_lies_outside_changes_nothing():
    onto, source = numbered(), Latents(torch.ones(1, 4, 4, 4))
    made = asked("LatentCompositeMasked", destination=onto, source=source, x=64, y=0, mask=None)
    assert torch.equal(made.samples, onto.samples)


def test_latents_are_calculated_with():
    a, b = random(2, 4, 8, 8), random(1, 4, 8, 8, seed=1)
    assert torch.equal(asked("LatentAdd", samples1=a, samples2=b).samples, a.samples + b.samples)
    assert torch.equal(
        asked("LatentSubtract", samples1=a, samples2=b).samples, a.samples - b.samples
    )
    assert torch.equal(asked("LatentMultiply", samples=a, multiplier=-2.0).samples, a.samples * -2)
    blend = asked("LatentBlend", samples1=a, samples2=random(2, 4, 8, 8, seed=2), blend_factor=0.25)
    wanted = a.samples * 0.25 + random(2, 4, 8, 8, seed=2).samples * 0.75
    assert torch.allclose(blend.samples, wanted)


def test_interpolated_latents_keep_their_length():
    a = Latents(torch.tensor([3.0, 0.0]).reshape(1, 2, 1, 1))
    b = Latents(torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1))
    made = asked("LatentInterpolate", samples1=a, samples2=b, ratio=0.5).samples.flatten().tolist()
    # Half-way between both directions, and half-way between both lengths.
    assert made == pytest.approx([2.0 * math.sqrt(0.5), 2.0 * math.sqrt(0.5)])
    nothing = Latents(torch.zeros(1, 2, 1, 1))
    assert (
        asked("LatentInterpolate", samples1=a, samples2=nothing, ratio=1.0).samples.isfinite().all()
    )


def test_latents_of_videos_are_scaled_frame_by_frame():
    video = random(1, 4, 3, 8, 8)
    grown = video.scaled_by("bilinear", 2.0)
    assert grown.samples.shape == (1, 4, 3, 16, 16)
    for frame in range(3):
        alone = Latents(video.samples[:, :, frame]).scaled_by("bilinear", 2.0)
        assert torch.equal(grown.samples[:, :, frame], alone.samples)


def test_batches_are_cut_anew_and_each_place_keeps_its_noise():
    first = Latents(torch.zeros(3, 4, 8, 8))
    second = Latents(torch.ones(2, 4, 8, 8), Mask(torch.zeros(1, 64, 64)))
    other = Latents(torch.ones(1, 4, 4, 4))
    made = asked("RebatchLatents", latents=[first, second, other], batch_size=[2])
    assert [one.count for one in made] == [2, 2, 1, 1]
    assert [one.batch_index for one in made] == [(0, 1), (2, 3), (4,), (5,)]
    assert made[1].samples[:, 0, 0, 0].tolist() == [0.0, 1.0]
    # Where one has a mask, the others may be painted everywhere.
    assert made[0].mask is not None
    assert bool((made[0].mask.values == 1).all())
    assert made[1].mask.values[:, 0, 0].tolist() == [1.0, 0.0]


def test_pictures_are_cut_into_batches():
    first, second = (Picture(torch.full((2, 4, 4, 3), value)) for value in (0.25, 0.75))
    made = asked("RebatchImages", images=[first, second], batch_size=[3])
    assert [one.count for one in made] == [3, 1]
    assert made[0].pixels[:, 0, 0, 0].tolist() == [0.25, 0.25, 0.75]


def test_texts_can_weigh_less_and_say_nothing():
    from libs.sampling.conditioning import Conditioning, Entry

    text = Conditioning((Entry(torch.ones(1, 77, 8), torch.ones(1, 8)),))
    zero = asked("ConditioningZeroOut", conditioning=text).entries[0]
    assert not zero.context.any()
    assert not zero.pooled.any()
    less = asked("ConditioningSetAreaStrength", conditioning=text, strength=0.25).entries[0]
    assert less.strength == 0.25
    share = asked(
        "ConditioningSetAreaPercentage", conditioning=text, width=0.5, height=1.0, x=0.5, y=0.0,
        strength=1.0,
    ).entries[0].area  # fmt: skip
    assert (share.width, share.height, share.x, share.y) == (0.5, 1.0, 0.5, 0.0)


def test_the_latents_of_playground_have_a_mean_and_a_deviation_for_each_channel(tmp_path):
    form = FORMS["playground_2.5"]
    wire = torch.randn(2, 4, 3, 3)
    mean = torch.tensor([-1.6574, 1.886, -1.383, 2.5155])[:, None, None]
    deviation = torch.tensor([8.4927, 5.9022, 6.5498, 5.2299])[:, None, None]
    assert torch.allclose(form.inward(wire), (wire - mean) * 0.5 / deviation)
    assert torch.allclose(form.outward(form.inward(wire)), wire, atol=1e-5)
    made = tiny.loader().checkpoint(tiny.written(tmp_path / "m.safetensors", tiny.sdxl()))[0]
    model = load()["ModelSamplingContinuousEDM"](model=made, sampling="edm_playground_v2.5")
    started = model.start(Latents(wire)).latent
    assert torch.allclose(started, form.inward(wire))
    assert torch.allclose(model.ended(started, Latents(wire)).samples, wire, atol=1e-5)
    assert model.draw_preview(started).startswith(b"\xff\xd8")
