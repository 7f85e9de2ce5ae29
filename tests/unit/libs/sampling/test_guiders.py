"""Guidance over three texts, and guidance that keeps the contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from libs.sampling.conditioning import Conditioning, Entry
from libs.sampling.distilled import Distilled
from libs.sampling.guidance import Guided, Seen, linear
from libs.sampling.guiders import Dual, PerpNeg
from libs.sampling.levels import AddedFlow, Chain, Continuous
from libs.sampling.mixing import rescaled

LEVELS = Chain("x0")
X = np.random.default_rng(0).normal(size=(2, 4, 4, 4)).astype(np.float32)


def text(value: float) -> Conditioning:
    """Return a text; the network sees its value as a picture."""
    return Conditioning((Entry(np.full((1, 1, 1), value, np.float32)),))


def seen_by(network) -> Any:
    def guided(positive, negative, cfg) -> Guided:
        return Guided(
            network=network,
            levels=LEVELS,
            positive=text(positive),
            negative=text(negative),
            cfg=cfg,
            extras_of=lambda entry, side: {},
        )

    return guided


def _look(call) -> Any:
    return call.x * 0 + call.context[:, :, :, None]


GUIDED = seen_by(_look)


def value_of(picture) -> float:
    assert np.allclose(picture, picture.flat[0], atol=1e-5)
    return float(picture.flat[0])


def test_two_strengths_lead_from_the_negative_over_the_middle():
    dual = Dual(guided=GUIDED(5.0, 1.0, 1.0), middle=text(2.0), cfg=3.0, cfg_middle=4.0)
    assert value_of(dual(X, 1.0)) == pytest.approx(1 + 4 * (2 - 1) + 3 * (5 - 2))
    picture, without = dual.both(X, 1.0)
    assert value_of(picture) == value_of(dual(X, 1.0))
    assert value_of(without) == pytest.approx(1.0)


def test_nested_pushes_the_upper_two_as_a_whole():
    dual = Dual(
        guided=GUIDED(5.0, 1.0, 1.0), middle=text(2.0), cfg=3.0, cfg_middle=4.0, nested=True
    )
    upper = 2 + 3 * (5 - 2)
    assert value_of(dual(X, 1.0)) == pytest.approx(1 + 4 * (upper - 1))


def test_without_guidance_to_the_middle_the_negative_is_not_looked_at():
    asked = []

    def network(call) -> Any:
        asked.append(sorted({float(value) for value in call.context.reshape(-1)}))
        return _look(call)

    guided = seen_by(network)(5.0, 1.0, 1.0)
    dual = Dual(guided=guided, middle=text(2.0), cfg=3.0, cfg_middle=1.0)
    assert value_of(dual(X, 1.0)) == pytest.approx(2 + 3 * (5 - 2))
    assert asked == [[2.0, 5.0]]
    alone = Dual(guided=guided, middle=text(2.0), cfg=1.0, cfg_middle=1.0)
    assert value_of(alone(X, 1.0)) == pytest.approx(5.0)
    assert asked[1:] == [[5.0]]


def test_a_negative_along_the_positive_pushes_nothing_away():
    guided = GUIDED(5.0, 3.0, 2.0)
    along = PerpNeg(guided=guided, empty=text(1.0), neg_scale=7.0)
    # Uniform pictures all lie along each other.
    assert value_of(along(X, 1.0)) == pytest.approx(1 + 2 * (5 - 1))
    assert value_of(along.both(X, 1.0)[1]) == pytest.approx(1.0)


def test_a_negative_across_the_positive_pushes_fully():
    def network(call) -> Any:
        picture = call.x * 0
        for at, value in enumerate(call.context.reshape(-1)):
            picture[at, :, : int(value)] = 1.0
            picture[at, :, int(value) :] = -1.0 if value == 2 else picture[at, :, int(value) :]
        return picture

    guided = seen_by(network)(4.0, 2.0, 1.0)
    across = PerpNeg(guided=guided, empty=text(0.0), neg_scale=0.5)
    picture = across(X, 1.0)
    # The positive is one everywhere; the negative one above and minus one below.
    assert np.allclose(picture[:, :, :2], 1 - 0.5, atol=1e-5)
    assert np.allclose(picture[:, :, 2:], 1 + 0.5, atol=1e-5)


def test_without_a_negative_what_is_seen_without_text_is_nothing():
    guided = Guided(
        network=_look,
        levels=LEVELS,
        positive=text(5.0),
        negative=Conditioning(()),
        cfg=1.0,
        extras_of=lambda entry, side: {},
    )
    picture, without = guided.both(X, 1.0)
    assert value_of(picture) == pytest.approx(5.0)
    assert value_of(without) == 0.0


def test_rescaled_guidance_has_the_contrast_of_the_text():
    generator = np.random.default_rng(1)
    positive, negative = generator.normal(size=(2, *X.shape)).astype(np.float32)
    sigma = 2.0
    seen = Seen(X, sigma, positive, negative)

    def velocity(picture) -> Any:
        root = (sigma**2 + 1) ** 0.5
        return (X / (sigma**2 + 1) - picture) * root / sigma

    kept = rescaled(1.0)(seen, 7.0)
    for one in range(len(X)):
        wanted = velocity(positive)[one].std(ddof=1)
        assert velocity(kept)[one].std(ddof=1) == pytest.approx(wanted, rel=1e-4)
    assert np.allclose(rescaled(0.0)(seen, 7.0), linear(seen, 7.0), atol=1e-4)
    assert rescaled(0.7)(Seen(X, sigma, positive, None), 1.0) is positive


def test_a_distilled_chain_knows_every_twentieth_step():
    chain, distilled = Chain(), Distilled()
    assert len(distilled.sigmas) == 50
    assert float(distilled.sigmas[-1]) == float(chain.sigmas[999])
    assert distilled.timestep(float(chain.sigmas[999])) == 999
    assert distilled.timestep(float(chain.sigmas[25])) == 19
    assert distilled.sigma(999.0) == pytest.approx(float(chain.sigmas[999]))


def test_a_distilled_network_leaves_what_is_hardly_noisy():
    distilled = Distilled()
    low, high = float(distilled.sigmas[0]), float(distilled.sigmas[-1])
    noise = np.ones_like(X)
    clean = X - noise * high
    assert np.allclose(distilled.denoised(X, noise, high), clean, atol=1e-3)
    time = 190.0
    part = time / (time**2 + 0.25) ** 0.5
    given = distilled.denoised(X, noise, low)
    assert np.allclose(given, (X - low) * part + X * 0.25 / (time**2 + 0.25), atol=1e-6)


def test_the_network_of_karras_predicts_the_other_way():
    levels, sigma, data = Continuous(0.002, 80.0, "edm", data=0.5), 2.0, 0.5
    total = sigma**2 + data**2
    output = np.ones_like(X)
    wanted = X * data**2 / total + sigma * data / total**0.5
    assert np.allclose(levels.denoised(X, output, sigma), wanted, atol=1e-6)


def test_a_flow_whose_noise_is_added_sees_the_blend_and_is_told_its_share_of_noise():
    levels, sigma = AddedFlow(0.002, 80.0), 3.0
    picture, noise = X, np.ones_like(X) * 0.5
    under = levels.noised(picture, noise, sigma, full=True)
    assert levels.timestep(sigma) == pytest.approx(0.75)
    assert levels.sigma(0.75) == pytest.approx(sigma)
    assert levels.sigma(0.999) == 80.0
    blend = 0.25 * picture + 0.75 * noise
    assert np.allclose(levels.network_input(under, sigma), blend, atol=1e-6)
    # A network that knows the way from the blend to the noise gives the picture back.
    way = noise - picture
    assert np.allclose(blend - 0.75 * way, picture, atol=1e-6)
    given = levels.denoised(under, (0.25 * under - picture) / 0.75, sigma)
    assert np.allclose(given, picture, atol=1e-5)
