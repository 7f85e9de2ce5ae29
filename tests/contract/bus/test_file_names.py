"""Names of what is made: every number is given once, whichever worker gives it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.base import Bus
from libs.core.errors import Refused
from libs.nodes.context import OutputFile
from libs.sealed.vault import MemoryVault
from services.gpu_worker.files import Files
from tests.contract.bus.conftest import World

NOON = datetime(2031, 2, 3, 12, 0, 7, tzinfo=UTC)


class Held:
    """The way out of an attempt whose lease is held."""

    def __init__(self, tenant: str) -> None:
        self.tenant, self.prompt_id, self.attempt = tenant, "p1", 1

    async def require(self) -> None:
        pass


def worker(bus: Bus, tenant: str = "acme", user: str = "ann") -> Files:
    artifacts = MemoryArtifacts()
    outlet: Any = Held(tenant)
    nothing: Any = None
    return Files(
        bus, artifacts, MemoryVault(artifacts), nothing, outlet, user, lambda: NOON, nothing
    )


def file(prefix: str, **more: Any) -> OutputFile:
    return OutputFile(data=b"x", extension="png", mime="image/png", filename_prefix=prefix, **more)


async def name(files: Files, prefix: str, **more: Any) -> tuple[str, str]:
    made = await files.save("9", file(prefix, **more))
    return made.subfolder, made.filename


@pytest.mark.covers("R214")
async def test_two_workers_at_once_never_give_the_same_name(bus: Bus, world: World):
    workers = [worker(bus), worker(await world.another("second"))]
    made = await asyncio.gather(*(name(workers[n % 2], "a/b/img") for n in range(24)))
    assert sorted(made) == [("a/b", f"img_{n:05}_.png") for n in range(1, 25)]


async def test_each_tenant_user_folder_and_prefix_counts_by_itself(bus: Bus):
    ann = worker(bus)
    assert await name(ann, "img") == ("", "img_00001_.png")
    assert await name(ann, "img") == ("", "img_00002_.png")
    assert await name(worker(bus), "img") == ("", "img_00003_.png")
    for other in (worker(bus, user="bob"), worker(bus, tenant="else")):
        assert await name(other, "img") == ("", "img_00001_.png")
    assert await name(ann, "img", folder="temp") == ("", "img_00001_.png")
    assert await name(ann, "sub/img") == ("sub", "img_00001_.png")
    assert await name(ann, "im") == ("", "im_00001_.png")


async def test_placeholders_are_filled_in_and_a_prefix_that_leads_out_is_refused(bus: Bus):
    ann = worker(bus)
    facts = {"width": 640, "height": 480, "batch_number": 2}
    made = await name(ann, "%year%-%month%/%width%x%height%_%batch_num%_%second%", **facts)
    assert made == ("2031-02", "640x480_2_07_00001_.png")
    for prefix in ("../img", "/img", "a/../../img"):
        with pytest.raises(Refused) as refused:
            await name(ann, prefix)
        assert refused.value.facts["field"] == "filename_prefix"
