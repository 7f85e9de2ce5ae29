"""Stable Diffusion 3 and Flux: what the product computes is what the networks compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from torch.nn import functional

from libs.core.errors import Refused
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import NetworkWeights
from libs.diffusion.architectures.flux_names import flux_from_single_file
from libs.diffusion.architectures.sd3_names import sd3_from_single_file
from libs.diffusion.values import Latents, Mask
from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.control import Call
from tests.unit.libs.diffusion import layouts, tiny

SHAPES = {
    "sd3": (layouts.SD3, layouts.sd3, layouts.sd3_tensors),
    "sd35_medium": (layouts.SD35_MEDIUM, layouts.sd3, layouts.sd3_tensors),
    "sd35_large": (layouts.SD35_LARGE, layouts.sd3, layouts.sd3_tensors),
    "flux_schnell": (layouts.FLUX, layouts.flux, layouts.flux_tensors),
    "flux_dev": (layouts.FLUX_DEV, layouts.flux, layouts.flux_tensors),
}


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def loaded(tmp_path, network, tensors) -> Any:
    path = tiny.written(tmp_path / "tiny.safetensors", tensors(network))
    return tiny.loader().diffusion_model(path)


def detected(tensors) -> Any:
    return detect(NetworkWeights.of({name: tuple(t.shape) for name, t in tensors.items()}))


@pytest.mark.covers("R129", "R133", "R134", "R136")
@pytest.mark.parametrize("kind", SHAPES)
def test_a_single_file_becomes_the_network_it_was_made_of(tmp_path, kind):
    config, make, tensors = SHAPES[kind]
    network = make(config)
    model = loaded(tmp_path, network, tensors)
    theirs = network.state_dict()
    ours = model.network.get().state_dict()
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.allclose(ours[name], tensor, atol=2e-4), name
    assert model.architecture.name == kind.partition("_")[0].replace("sd35", "sd3") or kind


@pytest.mark.parametrize("kind", ["sd3", "sd35_medium", "sd35_large"])
def test_names_become_those_that_diffusers_gives_stable_diffusion_3(kind):
    config, make, tensors = SHAPES[kind]
    file = {n.removeprefix(layouts.PREFIX): t for n, t in tensors(make(config)).items()}
    ours = sd3_from_single_file(file)
    theirs = convert_sd3_transformer_checkpoint_to_diffusers(dict(file))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_names_become_those_that_diffusers_gives_flux():
    """Diffusers knows one width alone: every row is numbered there, and has one column."""
    wider = 3072 // 64
    file = {
        name: torch.arange(tensor.shape[0] * (1 if "norm" in name else wider)).float()
        for name, tensor in layouts.flux_tensors(layouts.flux()).items()
    }
    theirs = convert_flux_transformer_checkpoint_to_diffusers(dict(file))
    ours = flux_from_single_file(file)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


@pytest.mark.parametrize(
    ("config", "name", "beside"),
    [
        (layouts.FLUX, "flux_schnell", 0),
        (layouts.FLUX_DEV, "flux_dev", 0),
        (layouts.FLUX_DEV | {"in_channels": 384}, "flux_fill", 80),
        (layouts.FLUX_DEV | {"in_channels": 128}, "flux_control", 16),
    ],
)
def test_variants_of_flux_are_told_by_their_tensors(config, name, beside):
    found = detected(layouts.flux_tensors(layouts.flux(config), layouts.PREFIX))
    assert (found.name, found.beside) == (name, beside)


def test_a_flux_that_takes_something_unknown_is_refused():
    strange = layouts.flux(layouts.FLUX_DEV | {"in_channels": 72})
    with pytest.raises(Refused, match="not known here"):
        detected(layouts.flux_tensors(strange))


@pytest.mark.covers("R136")
def test_levels_are_those_of_rectified_flow():
    sd3 = detected(layouts.sd3_tensors(layouts.sd3())).levels
    dev = detected(layouts.flux_tensors(layouts.flux())).levels
    schnell = detected(layouts.flux_tensors(layouts.flux(layouts.FLUX))).levels
    for part in (0.25, 0.5, 0.9):
        time = 1 - part
        assert sd3.sigma_at(part) == pytest.approx(3 * time / (1 + 2 * time))
        assert dev.sigma_at(part) == pytest.approx(
            2.718281828**1.15 / (2.718281828**1.15 + 1 / time - 1)
        )
        assert schnell.sigma_at(part) == pytest.approx(time)
    assert sd3.timestep(0.5) == 500.0
    assert dev.timestep(0.5) == schnell.timestep(0.5) == 0.5
    x, noise = numbers(1, 16, 4, 4), numbers(1, 16, 4, 4, seed=1)
    assert torch.equal(sd3.noised(x, noise, 0.25, full=False), 0.25 * noise + 0.75 * x)
    # The network says how to go from the noise to the picture, at any level.
    assert torch.allclose(sd3.denoised(0.25 * noise + 0.75 * x, noise - x, 0.25), x, atol=1e-6)


@pytest.mark.covers("R129")
@pytest.mark.parametrize("kind", ["sd3", "sd35_medium"])
def test_stable_diffusion_3_is_asked_as_it_was_trained(tmp_path, kind):
    config, make, tensors = SHAPES[kind]
    network = make(config)
    model = loaded(tmp_path, network, tensors)
    # Seven rows are no whole patches: the picture goes on at its other side.
    x, context, pooled = numbers(2, 16, 7, 8), numbers(2, 20, 4096), numbers(2, 192)
    call = Call(x, torch.tensor([400.0, 400.0]), context, {"pooled": pooled})
    wrapped = torch.cat([x, x[:, :, :1]], 2)
    with torch.inference_mode():
        ours = model.architecture.evaluate(model.network.get(), call)
        theirs = network(wrapped, context, pooled, call.timestep, return_dict=False)[0]
    assert torch.allclose(ours, theirs[:, :, :7], atol=1e-5)
    assert theirs.std() > 0.01


def flux_reference(network, x, context, pooled, timestep, guidance) -> torch.Tensor:
    """Ask diffusers' network in diffusers' own way, written out anew."""
    rows, columns = x.shape[-2:]
    cells = functional.unfold(x.float(), 2, stride=2).transpose(1, 2)
    ids = torch.stack(
        [
            torch.zeros(rows // 2 * columns // 2),
            torch.arange(rows // 2).repeat_interleave(columns // 2),
            torch.arange(columns // 2).repeat(rows // 2),
        ],
        -1,
    ).float()
    out = network(
        cells,
        context,
        pooled,
        timestep,
        ids,
        torch.zeros(context.shape[1], 3),
        guidance,
        return_dict=False,
    )[0]
    return functional.fold(out.transpose(1, 2), (rows, columns), 2, stride=2)


@pytest.mark.covers("R133", "R134")
@pytest.mark.parametrize("guidance", [None, 3.5, 1.0])
def test_flux_is_asked_as_it_was_trained(tmp_path, guidance):
    network = layouts.flux(layouts.FLUX if guidance is None else layouts.FLUX_DEV)
    model = loaded(tmp_path, network, layouts.flux_tensors)
    x, context, pooled = numbers(2, 16, 6, 8), numbers(2, 20, 4096), numbers(2, 64)
    extras = {"pooled": pooled}
    told = None if guidance is None else torch.full((2,), guidance)
    if told is not None:
        extras["guidance"] = told
    time = torch.tensor([0.4, 0.4])
    with torch.inference_mode():
        ours = model.architecture.evaluate(model.network.get(), Call(x, time, context, extras))
        theirs = flux_reference(network, x, context, pooled, time, told)
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert theirs.std() > 0.01


def test_flux_without_guidance_is_not_flux_with_none_of_it(tmp_path):
    model = loaded(tmp_path, layouts.flux(), layouts.flux_tensors)
    x, context, pooled = numbers(1, 16, 4, 4), numbers(1, 9, 4096), numbers(1, 64)
    entry, time = Entry(context, pooled), torch.tensor([0.4])

    def asked(conditioning: Entry) -> Any:
        extras = model.architecture.extras(conditioning, True, x, None)
        with torch.inference_mode():
            return model.architecture.evaluate(
                model.network.get(), Call(x, time, context, dict(extras))
            )

    usual = asked(entry)
    assert torch.equal(usual, asked(entry.with_extras(guidance=3.5)))
    disabled, zero = asked(entry.with_extras(guidance=None)), asked(entry.with_extras(guidance=0.0))
    assert not torch.allclose(usual, disabled)
    assert not torch.allclose(zero, disabled)


def sample(model, text: Conditioning, latent: Latents, **changed: Any) -> Any:
    given = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler": "euler", "scheduler": "simple"}
    return model.sample(
        latent, positive=text, negative=text, on_step=tiny.no_step, **(given | changed)
    ).samples


def test_two_euler_steps_are_those_of_the_formula(tmp_path):
    network = layouts.flux()
    model = loaded(tmp_path, network, layouts.flux_tensors)
    context, pooled = numbers(1, 9, 4096), numbers(1, 64)
    text = Conditioning((Entry(context, pooled),))
    ours = sample(model, text, Latents(torch.zeros(1, 4, 4, 4)))
    shifted = 2.718281828**1.15 / (2.718281828**1.15 + 1)
    x = torch.randn(1, 16, 4, 4, generator=torch.manual_seed(1))
    with torch.inference_mode():
        for here, there in ((1.0, shifted), (shifted, 0.0)):
            time = torch.tensor([here])
            velocity = flux_reference(network, x, context, pooled, time, torch.tensor([3.5]))
            x = x + (there - here) * velocity
    assert torch.allclose(ours, x / 0.3611 + 0.1159, atol=1e-4)


@pytest.mark.covers("R130")
def test_flux_paints_no_more_than_2048_pixels_a_side(tmp_path):
    model = loaded(tmp_path, layouts.flux(), layouts.flux_tensors)
    text = Conditioning((Entry(numbers(1, 9, 4096), numbers(1, 64)),))
    with pytest.raises(Refused, match="2048") as refused:
        sample(model, text, Latents(torch.zeros(1, 16, 4, 257)))
    assert refused.value.facts["field"] == "width"
    assert model.architecture.extras(text.entries[0], True, torch.zeros(1, 16, 256, 256), None)


def test_stable_diffusion_3_places_no_more_than_it_was_trained_on(tmp_path):
    model = loaded(tmp_path, layouts.sd3(), layouts.sd3_tensors)
    text = Conditioning((Entry(numbers(1, 9, 4096), numbers(1, 192)),))
    with pytest.raises(Refused, match="larger"):
        sample(model, text, Latents(torch.zeros(1, 16, 33, 4)))


@pytest.mark.parametrize("kind", ["sd3", "flux_dev"])
def test_texts_of_different_lengths_are_not_stretched(tmp_path, kind):
    config, make, tensors = SHAPES[kind]
    model = loaded(tmp_path, make(config), tensors)
    width = config["pooled_projection_dim"]
    long = Conditioning((Entry(numbers(1, 6, 4096), numbers(1, width)),))
    short = Conditioning((Entry(numbers(1, 4, 4096, seed=2), numbers(1, width, seed=3)),))
    latent = Latents(torch.zeros(1, 16, 4, 4))
    both = model.sample(
        latent, positive=long, negative=short, seed=1, steps=1, cfg=3.0, sampler="euler",
        scheduler="simple", on_step=tiny.no_step,
    ).samples  # fmt: skip
    alone = [sample(model, text, latent, steps=1) for text in (long, short)]
    assert torch.allclose(both, alone[1] + 3.0 * (alone[0] - alone[1]), atol=1e-4)


def test_flux_fill_sees_the_mask_pixel_by_pixel_and_what_lies_around(tmp_path):
    network = layouts.flux(layouts.FLUX_DEV | {"in_channels": 384})
    model = loaded(tmp_path, network, layouts.flux_tensors)
    mask = (numbers(1, 32, 32) > 0).float()
    around = Latents(numbers(1, 16, 4, 4))
    text = Conditioning((Entry(numbers(1, 9, 4096), numbers(1, 64)),)).around(around, Mask(mask))
    concat = model.architecture.extras(text.entries[0], True, torch.zeros(1, 16, 4, 4), None)[
        "concat"
    ]
    assert torch.allclose(concat[:, :16], (around.samples - 0.1159) * 0.3611)
    for row in range(8):
        for column in range(8):
            wanted = mask[:, row::8, column::8]
            assert torch.equal(concat[:, 16 + 8 * row + column], wanted)
    end = sample(model, text, Latents(torch.zeros(1, 16, 4, 4)))
    other = sample(model, text.around(around, Mask(1 - mask)), Latents(torch.zeros(1, 16, 4, 4)))
    assert end.isfinite().all()
    assert not torch.allclose(end, other)


def test_flux_control_follows_the_drawing(tmp_path):
    network = layouts.flux(layouts.FLUX_DEV | {"in_channels": 128})
    model = loaded(tmp_path, network, layouts.flux_tensors)
    text = Conditioning((Entry(numbers(1, 9, 4096), numbers(1, 64)),))
    drawing = Latents(numbers(1, 16, 4, 4))
    concat = model.architecture.extras(
        text.around(drawing).entries[0], True, torch.zeros(1, 16, 4, 4), None
    )["concat"]
    assert torch.allclose(concat, (drawing.samples - 0.1159) * 0.3611)


@pytest.mark.parametrize(("name", "step"), [("fp8_e4m3fn", 2**-3), ("fp8_e5m2", 2**-2)])
def test_weights_in_eight_bits_take_a_quarter_and_stay_near(tmp_path, name, step):
    path = tiny.written(tmp_path / "tiny.safetensors", layouts.flux_tensors(layouts.flux()))
    loader = tiny.loader()
    whole, narrow = loader.diffusion_model(path), loader.diffusion_model(path, name)
    wide = dict(whole.network.get().named_parameters())
    for parameter, value in narrow.network.get().named_parameters():
        if value.ndim == 2:
            assert value.nbytes * 4 == wide[parameter].nbytes, parameter
        error = (value.float() - wide[parameter]).abs()
        assert (error <= wide[parameter].abs() * step + 0.02).all(), parameter
    text = Conditioning((Entry(numbers(1, 9, 4096), numbers(1, 64)),))
    ends = [sample(model, text, Latents(torch.zeros(1, 16, 4, 4))) for model in (whole, narrow)]
    assert 0 < (ends[0] - ends[1]).abs().max() < ends[0].abs().max()


def test_an_unknown_number_format_is_refused(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", layouts.flux_tensors(layouts.flux()))
    with pytest.raises(Refused, match="number format"):
        tiny.loader().diffusion_model(path, "int1")


def test_a_model_without_vae_is_previewed_in_false_colours(tmp_path):
    model = loaded(tmp_path, layouts.flux(), layouts.flux_tensors)
    assert model.draw_preview(numbers(1, 16, 4, 4)).startswith(b"\xff\xd8")
