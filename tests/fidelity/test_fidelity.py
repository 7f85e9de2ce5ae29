"""The same workflow, checkpoint and seed give the picture that ComfyUI gives.

A run of the tests takes one case of each kind; `STUDIO_FIDELITY=all` takes every one.
"""

from __future__ import annotations

import os

import pytest

from tests.fidelity.cases import CHOSEN, cases
from tests.fidelity.measure import Bench, NoCheckpoint

PSNR_DB_MIN = 60.0
LEVELS_MAX = 2
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
    assert measured.psnr_db >= PSNR_DB_MIN
    assert measured.levels_max <= LEVELS_MAX
