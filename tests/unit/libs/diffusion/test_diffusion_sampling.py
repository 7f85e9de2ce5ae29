"""Schedules and samplers are the formulas they are named after."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from scipy.stats import beta

from libs.core.errors import Refused
from libs.diffusion.sampling.course import Course, starts_from_pure_noise
from libs.diffusion.sampling.noise import COMPATIBILITY_CPU_NOISE, StepNoise, starting_noise
from libs.diffusion.sampling.parameterisation import Parameterisation
from libs.diffusion.sampling.samplers import SAMPLERS
from libs.diffusion.sampling.schedules import SCHEDULES
from libs.nodes.sockets import SamplerName, SchedulerName

LEVELS = Parameterisation()
TABLE = LEVELS.sigmas.double()
SIGMAS = torch.tensor([10.0, 4.0, 1.5, 0.6, 0.0])
CPU = torch.device("cpu")


def noise_of(seed=0) -> Any:
    return StepNoise(seed, CPU, 0)


def towards(target) -> Any:
    """Return a denoiser that always sees the same picture: every step is then known exactly."""
    return lambda x, sigma: torch.full_like(x, target)


def course(**changed) -> Any:
    given: dict[str, Any] = {
        "seed": 1,
        "steps": 10,
        "cfg": 7.0,
        "sampler": "euler",
        "scheduler": "normal",
    }
    return Course(**(given | changed))


def test_the_nodes_offer_exactly_what_is_implemented():
    assert get_args(SamplerName) == tuple(SAMPLERS)
    assert get_args(SchedulerName) == tuple(SCHEDULES)


def test_the_table_of_levels_is_the_scaled_linear_chain():
    levels, product = [], 1.0
    for step in range(1000):
        root = math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * step / 999
        product *= 1 - root**2
        levels.append(math.sqrt((1 - product) / product))
    assert torch.allclose(TABLE, torch.tensor(levels, dtype=torch.float64), rtol=2e-6)
    assert float(LEVELS.sigma_max) == pytest.approx(14.6146, abs=1e-4)
    assert float(LEVELS.sigma_min) == pytest.approx(0.0292, abs=1e-4)


def test_a_timestep_is_the_nearest_trained_one():
    for step in (0, 1, 500, 998, 999):
        level = LEVELS.sigmas[step]
        assert int(LEVELS.timestep(level * 1.0001)) == step
        assert float(LEVELS.sigma(torch.tensor(float(step)))) == pytest.approx(float(level))


def test_parts_of_the_course_are_levels():
    assert LEVELS.sigma_at(0.0) > 1e8
    assert LEVELS.sigma_at(1.0) == 0.0
    assert LEVELS.sigma_at(0.5) == pytest.approx(float(TABLE[499] * TABLE[500]) ** 0.5, rel=1e-5)


@pytest.mark.covers("R108")
@pytest.mark.parametrize("steps", [1, 2, 10, 30])
def test_karras_is_its_formula(steps):
    low, high = float(TABLE[0]) ** (1 / 7), float(TABLE[-1]) ** (1 / 7)
    ramp = [step / (steps - 1) if steps > 1 else 0.0 for step in range(steps)]
    wanted = [*((high + share * (low - high)) ** 7 for share in ramp), 0.0]
    given = SCHEDULES["karras"](LEVELS, steps)
    assert given.tolist() == pytest.approx(wanted, rel=2e-5)


@pytest.mark.parametrize("steps", [2, 7, 20, 50])
def test_exponential_is_even_in_the_logarithm(steps):
    given = SCHEDULES["exponential"](LEVELS, steps)
    logs = given[:-1].log()
    assert torch.allclose(logs.diff(), logs.diff()[0].expand(steps - 1), atol=1e-5)
    assert given[0] == pytest.approx(float(TABLE[-1]), rel=1e-5)


def test_normal_and_sgm_uniform_are_even_in_the_trained_steps():
    nine = [999 - number * 999 / 9 for number in range(10)]
    for name, wanted in (
        ("normal", nine),
        ("sgm_uniform", [999 - number * 999 / 10 for number in range(10)]),
    ):
        given = SCHEDULES[name](LEVELS, 10)
        levels = [float(LEVELS.sigma(torch.tensor(step))) for step in wanted] + [0.0]
        assert given.tolist() == pytest.approx(levels, rel=1e-4)


def test_simple_takes_every_nth_level():
    given = SCHEDULES["simple"](LEVELS, 7)
    wanted = [TABLE[-(1 + int(step * (1000 / 7)))] for step in range(7)] + [0.0]
    assert given.tolist() == pytest.approx([float(level) for level in wanted])


def test_ddim_uniform_may_hold_more_levels_than_steps():
    given = SCHEDULES["ddim_uniform"](LEVELS, 6)
    wanted = [0.0, *(float(TABLE[at]) for at in range(1, 1000, 166))][::-1]
    assert given.tolist() == pytest.approx(wanted)
    assert len(given) == 6 + 2


def test_beta_follows_its_distribution_without_repeating():
    given = SCHEDULES["beta"](LEVELS, 10)
    at = [round(float(beta.ppf(1 - number / 10, 0.6, 0.6)) * 999) for number in range(10)]
    assert given.tolist() == pytest.approx([float(TABLE[step]) for step in at] + [0.0])
    assert len(SCHEDULES["beta"](LEVELS, 900)) < 901


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 3, 20, 200])
def test_every_schedule_falls_from_the_top_to_zero(name, steps):
    given = SCHEDULES[name](LEVELS, steps)
    assert given[-1] == 0
    assert bool((given.diff() < 0).all())
    assert float(given[0]) <= float(LEVELS.sigma_max) * (1 + 1e-5)
    assert bool(given.isfinite().all())


def test_the_levels_of_a_chain_rescaled_to_end_in_noise():
    rescaled = Parameterisation("v", zero_terminal_snr=True)
    assert float(rescaled.sigma_max) == pytest.approx(4518.76, rel=1e-3)
    assert float(rescaled.sigma_min) == pytest.approx(float(LEVELS.sigma_min), rel=1e-5)


def test_v_prediction_is_turned_into_the_picture():
    clean, noise, sigma = torch.randn(2, 4, 3, 3), torch.randn(2, 4, 3, 3), torch.tensor(2.5)
    root = (1 + sigma**2) ** 0.5
    velocity = (noise - sigma * clean) / root
    noisy = clean + sigma * noise
    seen = Parameterisation("v").denoised(noisy, velocity, sigma)
    assert torch.allclose(seen, clean, atol=1e-5)
    assert torch.allclose(Parameterisation().denoised(noisy, noise, sigma), clean, atol=1e-5)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_arrives_at_the_picture_it_sees(name):
    x = torch.full((1, 4, 2, 2), 12.0)
    end = SAMPLERS[name].walk(towards(2.0), x, SIGMAS, noise_of())
    assert torch.allclose(end, torch.full_like(x, 2.0), atol=1e-5)


@pytest.mark.parametrize("name", ["euler", "ddim"])
def test_euler_follows_the_slope(name):
    x = torch.full((1, 1, 1, 1), 12.0, dtype=torch.float64)
    row = SIGMAS[:-1].double()
    given = SAMPLERS[name].walk(lambda x, sigma: 0.3 * x, x, row, noise_of())
    wanted = 12.0
    for here, there in zip(row.tolist(), row.tolist()[1:], strict=False):
        wanted += 0.7 * wanted / here * (there - here)
    assert float(given) == pytest.approx(wanted)


@pytest.mark.covers("R107")
def test_euler_ancestral_steps_too_far_and_adds_noise():
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    row = SIGMAS[:-1].double()
    given = SAMPLERS["euler_ancestral"].walk(lambda x, sigma: 0.3 * x, x, row, noise_of(7))
    noise, wanted = noise_of(7), x
    for here, there in zip(row.tolist(), row.tolist()[1:], strict=False):
        up = min(there, math.sqrt(there**2 * (here**2 - there**2) / here**2))
        down = math.sqrt(there**2 - up**2)
        wanted = wanted + 0.7 * wanted / here * (down - here) + noise.draw(x) * up
    assert torch.allclose(given, wanted)


@pytest.mark.covers("R107")
def test_ancestral_noise_is_the_seeds_own_stream():
    like = torch.zeros(2, 4, 3, 3)
    drawn = noise_of(5)
    known = torch.Generator().manual_seed(5)
    for _ in range(3):
        assert torch.equal(drawn.draw(like), torch.randn(like.shape, generator=known))
    later = StepNoise(5, CPU, COMPATIBILITY_CPU_NOISE).draw(like)
    assert torch.equal(later, starting_noise(like, 6))


def test_heun_and_dpm_2_are_of_second_order():
    """Halving the step must divide the error by about four; Euler's by two."""
    exact = 12.0 * (1.0 / 10.0) ** 0.7

    def error(name, steps) -> Any:
        row = torch.linspace(10.0, 1.0, steps + 1, dtype=torch.float64)
        x = torch.full((1, 1, 1, 1), 12.0, dtype=torch.float64)
        end = SAMPLERS[name].walk(lambda x, sigma: 0.3 * x, x, row, noise_of())
        return abs(float(end) - exact)

    for name, least, most in (("euler", 1.6, 2.4), ("heun", 3.2, 5.0), ("dpm_2", 3.2, 5.0)):
        assert least < error(name, 40) / error(name, 80) < most


def test_dpmpp_2m_is_its_formula():
    row, x = SIGMAS.double(), torch.full((1, 1, 1, 1), 12.0, dtype=torch.float64)
    given = SAMPLERS["dpmpp_2m"].walk(lambda x, sigma: 0.3 * x + 0.1, x, row, noise_of())
    wanted, before = 12.0, None
    for at, (here, there) in enumerate(zip(row.tolist(), row.tolist()[1:], strict=False)):
        seen = 0.3 * wanted + 0.1
        if there == 0:
            wanted = seen
            break
        stride = math.log(here / there)
        expected = seen
        if before is not None:
            last = math.log(float(row[at - 1]) / here)
            expected = seen + (seen - before) * stride / (2 * last)
        wanted = there / here * wanted - math.expm1(-stride) * expected
        before = seen
    assert float(given) == pytest.approx(wanted)


def test_lcm_puts_the_picture_under_fresh_noise():
    x = torch.randn(1, 4, 3, 3)
    given = SAMPLERS["lcm"].walk(lambda x, sigma: 0.3 * x, x, SIGMAS, noise_of(3))
    noise, wanted = noise_of(3), x
    for there in SIGMAS[1:]:
        wanted = 0.3 * wanted
        if there > 0:
            wanted = wanted + noise.draw(x) * there
    assert torch.allclose(given, wanted)


def test_starting_noise_is_drawn_for_the_whole_batch_and_for_any_seed():
    like = torch.zeros(3, 4, 8, 8)
    known = torch.randn(like.shape, generator=torch.manual_seed(42))
    assert torch.equal(starting_noise(like, 42), known)
    assert starting_noise(like, 2**64 - 1).isfinite().all()


@pytest.mark.covers("R103")
def test_less_denoise_walks_the_end_of_a_longer_course():
    whole = course(steps=20).sigmas(LEVELS)
    half = course(steps=10, denoise=0.5).sigmas(LEVELS)
    assert torch.equal(half, whole[-11:])
    assert not starts_from_pure_noise(LEVELS, half[0])
    assert starts_from_pure_noise(LEVELS, whole[0])
    assert len(course(denoise=0.0).sigmas(LEVELS)) == 0


@pytest.mark.covers("R103")
def test_two_stages_walk_one_course():
    whole = course(steps=8).sigmas(LEVELS)
    first = course(steps=8, last_step=5, keep_noise=True).sigmas(LEVELS)
    second = course(steps=8, first_step=5).sigmas(LEVELS)
    assert torch.equal(torch.cat([first, second[1:]]), whole)
    assert course(steps=8, last_step=5).sigmas(LEVELS)[-1] == 0
    assert len(course(steps=8, first_step=8).sigmas(LEVELS)) == 0


def test_samplers_that_look_twice_leave_the_penultimate_level_out():
    given = course(sampler="dpm_2", steps=6).sigmas(LEVELS)
    full = SCHEDULES["normal"](LEVELS, 7)
    assert torch.equal(given, torch.cat([full[:-2], full[-1:]]))


def test_what_cannot_be_laid_out_is_refused_with_the_field():
    for changed, field in (
        ({"sampler": "warp"}, "sampler_name"),
        ({"scheduler": "warp"}, "scheduler"),
        ({"denoise": 1e-9}, "denoise"),
    ):
        with pytest.raises(Refused) as refused:
            course(**changed).sigmas(LEVELS)
        assert refused.value.facts["field"] == field
