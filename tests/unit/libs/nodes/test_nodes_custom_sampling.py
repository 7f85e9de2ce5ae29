"""What the nodes of custom sampling ask of the values they are given."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from libs.core.errors import Refused
from libs.nodes import custom_sampling, model_sampling, samplers, schedulers, tiled
from libs.sampling.distilled import Distilled
from libs.sampling.levels import AddedFlow, Chain, Continuous, Flow, sigma_max, sigma_min
from libs.sampling.noise import Seeded
from libs.sampling.samplers import SAMPLERS
from libs.sampling.schedules import SCHEDULES
from libs.sampling.sigmas import Row
from tests.unit.libs.nodes.fakes import FakeContext, Recorder

CHAIN = Chain()
# Texts stand in for values here.
walking: Any = custom_sampling
tiling: Any = tiled


class FakeModel(Recorder):
    levels = CHAIN


def leveled(declared, **inputs) -> Any:
    model = FakeModel("model")
    declared(model=model, **inputs)
    ((name, args, _),) = model.calls
    assert name == "with_levels"
    return args[0]


def test_a_basic_schedule_is_the_models_own():
    row: Any = schedulers.basic_scheduler(model=FakeModel(), scheduler="karras", steps=6)
    assert list(row.levels) == SCHEDULES["karras"](CHAIN, 6)
    half: Any = schedulers.basic_scheduler(
        model=FakeModel(), scheduler="karras", steps=6, denoise=0.5
    )
    assert list(half.levels) == SCHEDULES["karras"](CHAIN, 12)[-7:]


def test_schedules_without_a_model_have_stable_diffusions_defaults():
    for declared in (schedulers.karras_scheduler, schedulers.exponential_scheduler):
        row: Any = declared()
        assert len(row.levels) == 21
        assert row.levels[0] == pytest.approx(sigma_max(CHAIN), rel=1e-4)
        assert row.levels[-2] == pytest.approx(sigma_min(CHAIN), rel=1e-4)


def test_rows_are_cut_turned_and_written():
    row: Any = schedulers.manual_sigmas(sigmas="10, 5, 1, 0")
    high, low = schedulers.split_sigmas(sigmas=row, step=1)
    assert (high.levels, low.levels) == ((10.0, 5.0), (5.0, 1.0, 0.0))
    high, low = schedulers.split_sigmas_by_part(sigmas=row, denoise=0.34)
    assert low.levels == (1.0, 0.0)
    assert schedulers.flip_sigmas(sigmas=row).levels[-1] == 10.0
    assert schedulers.set_first_sigma(sigmas=row, sigma=12.0).levels[0] == 12.0
    longer = schedulers.extend_sigmas(sigmas=row, steps=2, end_at_sigma=6.0, spacing="linear")
    assert longer.levels == (10.0, 7.5, 5.0, 1.0, 0.0)


def test_the_level_at_a_part_of_the_course():
    at = partial(schedulers.level_at_part, model=FakeModel())
    assert at(sampling_percent=0.0).sigma_value > 1e8
    highest = at(sampling_percent=0.0, return_actual_sigma=True)
    assert highest.sigma_value == sigma_max(CHAIN)
    lowest = at(sampling_percent=1.0, return_actual_sigma=True)
    assert lowest.sigma_value == sigma_min(CHAIN)


def test_samplers_are_chosen_with_their_options():
    chosen: Any = samplers.select_sampler(sampler_name="uni_pc")
    assert chosen is SAMPLERS["uni_pc"]
    for declared, options in (
        (samplers.euler_ancestral, {"eta": 0.5, "s_noise": 0.9}),
        (samplers.euler_ancestral_cfg_pp, {"eta": 0.5, "s_noise": 0.9}),
        (samplers.dpmpp_2s_ancestral, {"eta": 0.5, "s_noise": 0.9}),
        (samplers.lms, {"order": 2}),
        (samplers.dpm_adaptive, {"order": 2, "rtol": 0.1}),
        (samplers.seeds_2, {"solver_type": "phi_2", "r": 1.0}),
    ):
        stepping: Any = declared(**options)
        assert options.items() <= stepping.walk.keywords.items()


@pytest.mark.parametrize(("device", "on_cpu"), [("gpu", False), ("cpu", True)])
def test_brownian_noise_is_drawn_where_it_is_asked_for(device, on_cpu):
    for stepping in (
        samplers.dpmpp_sde(noise_device=device),
        samplers.dpmpp_2m_sde(solver_type="heun", noise_device=device),
        samplers.dpmpp_3m_sde(noise_device=device),
    ):
        found: Any = stepping
        assert found.walk.keywords["on_cpu"] is on_cpu


def test_an_equation_without_noise_adds_none():
    for inputs in ({"solver_type": "ODE"}, {"solver_type": "ER-SDE", "eta": 0.0}):
        still: Any = samplers.er_sde(**inputs)
        assert still.walk.keywords["s_noise"] == 0.0
        assert still.walk.keywords["noise_scaler"](3.0) == 3.0
    reverse: Any = samplers.er_sde(solver_type="Reverse-time SDE", eta=1.0)
    assert reverse.walk.keywords["noise_scaler"](3.0) == 9.0


def test_sa_solver_is_stochastic_between_two_parts_of_the_course():
    stepping: Any = samplers.sa_solver(model=FakeModel(), eta=0.7)
    tau = stepping.walk.keywords["tau_func"]
    assert tau(CHAIN.sigma_at(0.5)) == 0.7
    assert tau(CHAIN.sigma_at(0.1)) == tau(CHAIN.sigma_at(0.9)) == 0.0


def test_a_second_look_must_lie_ahead():
    with pytest.raises(Refused):
        samplers.dpmpp_sde(r=0.0, noise_device="cpu")


def test_custom_sampling_walks_what_it_is_given():
    both = (Recorder("end"), Recorder("picture"))
    guider = Recorder("guider", sample=both)
    model, context = FakeModel("model", guider=guider), FakeContext()
    row: Any = Row.of([10.0, 0.0])
    given: Any = walking.sample_custom(
        context,
        model=model,
        noise_seed=5,
        add_noise=False,
        cfg=3.0,
        positive="p",
        negative="n",
        sampler="s",
        sigmas=row,
        latent_image="l",
    )
    assert tuple(given) == both
    assert model.calls == [("guider", ("p", "n", 3.0), {})]
    ((_, args, asked),) = guider.calls
    assert args == ("l",)
    assert asked["noise"] == Seeded(5, drawn=False)
    assert (asked["sampler"], asked["sigmas"]) == ("s", row)


def test_advanced_sampling_takes_every_part_from_a_node():
    guider = Recorder("guider", sample=("end", "picture"))
    given: Any = walking.sample_custom_advanced(
        FakeContext(),
        noise=walking.random_noise(noise_seed=9),
        guider=guider,
        sampler="s",
        sigmas="row",
        latent_image="l",
    )
    assert tuple(given) == ("end", "picture")
    assert guider.calls[0][2]["noise"] == Seeded(9)
    assert walking.disable_noise() == Seeded(0, drawn=False)


def test_guiders_are_the_models():
    model = FakeModel("model")
    walking.basic_guider(model=model, conditioning="p")
    walking.cfg_guider(model=model, positive="p", negative="n", cfg=2.0)
    walking.dual_guider(
        model=model,
        cond1="a",
        cond2="b",
        negative="n",
        cfg_conds=2.0,
        cfg_cond2_negative=3.0,
        style="nested",
    )
    walking.perp_neg_guider(
        model=model, positive="p", negative="n", empty_conditioning="e", cfg=2.0, neg_scale=0.5
    )
    walking.add_noise(model=model, noise="x", sigmas="row", latent_image="l")
    assert model.calls == [
        ("guider", ("p",), {}),
        ("guider", ("p", "n", 2.0), {}),
        ("dual_guider", ("a", "b", "n", 2.0, 3.0), {"nested": True}),
        ("perp_neg_guider", ("p", "n", "e", 2.0, 0.5), {}),
        ("noised", ("l", "x", "row"), {}),
    ]


def test_a_chain_predicts_what_it_is_told():
    for sampling, prediction in (("eps", "eps"), ("v_prediction", "v"), ("x0", "x0")):
        levels = leveled(model_sampling.sample_discretely, sampling=sampling, zsnr=True)
        assert (levels.prediction, levels.zero_terminal_snr) == (prediction, True)
        assert sigma_max(levels) > 4000
    assert isinstance(leveled(model_sampling.sample_discretely, sampling="lcm"), Distilled)


def test_continuous_levels_have_their_ends():
    for sampling, levels in (
        ("v_prediction", Continuous(0.002, 120.0, "v")),
        ("eps", Continuous(0.002, 120.0, "eps")),
        ("edm", Continuous(0.002, 120.0, "edm", data=0.5)),
        ("cosmos_rflow", AddedFlow(0.002, 120.0)),
    ):
        assert leveled(model_sampling.sample_continuously, sampling=sampling) == levels
    by_angle = leveled(model_sampling.sample_by_angle, sampling="v_prediction")
    assert by_angle == Continuous(0.03, 500.0, "v", angle=True)
    with pytest.raises(Refused):
        leveled(model_sampling.sample_by_angle, sampling="v_prediction", sigma_min=0.0)


def test_flows_are_shifted():
    assert leveled(model_sampling.sample_as_sd3) == Flow(shift=3.0, multiplier=1000.0)
    assert leveled(model_sampling.sample_as_aura_flow) == Flow(shift=1.73, multiplier=1.0)
    flux = leveled(model_sampling.sample_as_flux)
    assert flux.mu == pytest.approx(1.15)
    assert leveled(model_sampling.sample_as_flux, width=256, height=256).mu == pytest.approx(0.5)


def test_other_guidance_and_freeu_are_asked_of_the_model():
    model = FakeModel("model")
    model_sampling.rescale_guidance(model=model, multiplier=0.5)
    model_sampling.free(model=model)
    model_sampling.free_by_activity(model=model)
    (mixed, _, _), *freed = model.calls
    assert mixed == "with_mix"
    assert freed == [
        ("freed", (1.1, 1.2, 0.9, 0.2), {"mapped": False}),
        ("freed", (1.3, 1.4, 0.9, 0.2), {"mapped": True}),
    ]


def test_tiles_are_given_in_pixels():
    vae = Recorder("vae")
    tiling.decode_tiled(samples="l", vae=vae)
    tiling.encode_tiled(pixels="i", vae=vae, tile_size=256, overlap=32)
    assert [call[:2] for call in vae.calls] == [
        ("decode_in_tiles", ("l", 512, 64, 64, 8)),
        ("encode_in_tiles", ("i", 256, 32, 64, 8)),
    ]
