"""The same workflow, checkpoint and seed give the picture that ComfyUI gives.

A run of the tests takes one case of each kind; `STUDIO_FIDELITY=all` takes every one.
"""

from __future__ import annotations

import os

import pytest
from safetensors.torch import load_file

from tests.fidelity.cases import CHOSEN, cases
from tests.fidelity.checkpoint import FITTED
from tests.fidelity.fitting import fitted
from tests.fidelity.measure import Bench, NoCheckpoint

RUN = tuple(cases()) if os.environ.get("STUDIO_FIDELITY") == "all" else CHOSEN

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    try:
        return Bench(tmp_path_factory.mktemp("fidelity"))
    except NoCheckpoint as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", RUN)
def test_a_picture_is_comfyuis_own(name, bench):
    measured = bench.run(name, cases()[name])
    assert measured.is_comfyuis, measured


@pytest.mark.long
def test_what_was_fitted_once_comes_out_near_on_any_machine():
    known = load_file(FITTED)
    for name, made in fitted().items():
        scale = float(known[name].abs().max())
        assert float((made - known[name]).abs().max()) < 2e-3 * scale
