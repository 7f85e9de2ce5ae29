"""The fleet, slot by slot."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from libs.artifacts.keys import schemas_key
from libs.artifacts.memory import MemoryArtifacts
from libs.chassis.packs import NodeTypes
from libs.events.base import SYSTEM_TENANT
from libs.events.worker import NodePack, NodePacksListed, WeightsFile, WeightsListed
from libs.graph.schema_json import to_json
from libs.nodes.registry import schemas
from libs.store.engine import reading
from libs.store.readmodels import workers
from tests.contract.store import lives
from tests.contract.store.lives import apply


async def weights(database) -> dict[str, list[str]]:
    async with reading(database) as connection:
        found = await workers.weights_of_fleet(connection)
    return {folder: [file.name for file in files] for folder, files in found.items()}


async def fleet(database) -> list[tuple[str, str, str]]:
    async with reading(database) as connection:
        rows = await workers.fleet(connection)
    return [(row.slot, row.worker_id, row.state) for row in rows]


def lists(slot: str, worker_id: str, **folders: tuple[str, ...]) -> WeightsListed:
    files = {
        folder: tuple(WeightsFile(name=name, size_bytes=1, modified_ms=2) for name in names)
        for folder, names in folders.items()
    }
    return WeightsListed(worker_id=worker_id, slot=slot, weights=files)


async def test_a_newer_worker_takes_its_slot_and_an_older_one_is_not_heard_any_more(database):
    start = await apply(database, lives.a_worker(), tenant=SYSTEM_TENANT)
    start = await apply(
        database, lives.a_worker(worker_id="worker-2"), start=start, tenant=SYSTEM_TENANT
    )
    await apply(
        database,
        [lists("gpu-0", "worker-1", checkpoints=()), lives.worker_stopped()],
        start=start,
        tenant=SYSTEM_TENANT,
    )
    assert await fleet(database) == [("gpu-0", "worker-2", "up")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}


async def test_the_fleet_has_what_any_of_its_workers_has_each_name_once(database):
    start = await apply(database, lives.a_worker())
    start = await apply(database, lives.a_worker("gpu-1", "worker-2"), start=start)
    await apply(
        database,
        [lists("gpu-1", "worker-2", checkpoints=("a", "demo.safetensors"), loras=("l",))],
        start=start,
    )
    assert await weights(database) == {"checkpoints": ["a", "demo.safetensors"], "loras": ["l"]}


async def test_a_worker_that_left_takes_its_files_along_while_others_are_up(database):
    start = await apply(database, [*lives.a_worker(), *lives.a_worker("gpu-1", "worker-2")])
    await apply(
        database,
        [lists("gpu-1", "worker-2", loras=("l",)), lives.worker_stopped("gpu-1", "worker-2")],
        start=start,
    )
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}


async def test_while_nobody_is_up_the_last_files_are_still_offered(database):
    start = await apply(database, [*lives.a_worker(), lives.worker_stopped()])
    assert await fleet(database) == [("gpu-0", "worker-1", "stopped")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}
    await apply(database, lives.a_worker(worker_id="worker-2")[:1], start=start)
    assert await fleet(database) == [("gpu-0", "worker-2", "up")]
    assert await weights(database) == {"checkpoints": ["demo.safetensors"]}


async def test_node_packs_of_a_slot_stay_until_a_worker_without_any_comes(database):
    packs = (NodePack(name="theirs", types=("Theirs",)), NodePack(name="bad", error="ImportError"))
    listed = NodePacksListed(
        worker_id="worker-1",
        slot="gpu-0",
        packs=packs,
        schemas="schemas/a",
        pages={"theirs": "pages/a"},
    )
    start = await apply(database, [*lives.a_worker(), listed])
    async with reading(database) as connection:
        (row,) = await workers.fleet(connection)
    assert [(one.name, one.types, one.error, one.page) for one in row.packs] == [
        ("theirs", ("Theirs",), "", "pages/a"),
        ("bad", (), "ImportError", ""),
    ]
    assert row.schemas == "schemas/a"
    (again, *_) = lives.a_worker(worker_id="worker-2")
    again = again.model_copy(update={"has_packs": True})
    start = await apply(database, [again], start=start)
    async with reading(database) as connection:
        (row,) = await workers.fleet(connection)
    assert row.schemas == "schemas/a", "the newcomer says next what it has"
    await apply(database, [lives.a_worker(worker_id="worker-3")[0]], start=start)
    async with reading(database) as connection:
        (row,) = await workers.fleet(connection)
    assert (row.packs, row.schemas) == ((), "")


async def test_the_house_knows_the_node_types_of_its_workers_packs(database):
    artifacts = MemoryArtifacts()
    ours = schemas()["ImageInvert"]
    theirs = [replace(ours, type="Theirs"), replace(ours, display_name="not ours")]
    data = json.dumps([to_json(one) for one in theirs]).encode()
    await artifacts.put(schemas_key(data), data, "application/json")
    types = NodeTypes(database, artifacts)
    assert await types.known() == schemas()
    packs = (NodePack(name="theirs", types=("Theirs",)),)
    key = schemas_key(data)
    listed = NodePacksListed(worker_id="worker-1", slot="gpu-0", packs=packs, schemas=key)
    await apply(database, [*lives.a_worker(), listed])
    known = await NodeTypes(database, artifacts).known()
    assert known["Theirs"] == theirs[0]
    assert known["ImageInvert"] == ours, "a pack never replaces a type of the house"


@pytest.mark.parametrize("data", [b"no json", b"[3]", b"{}", None])
async def test_a_description_that_cannot_be_read_leaves_the_others(database, data):
    artifacts = MemoryArtifacts()
    if data is not None:
        await artifacts.put("schemas/a", data, "application/json")
    packs = (NodePack(name="theirs", types=("Theirs",)),)
    listed = NodePacksListed(worker_id="worker-1", slot="gpu-0", packs=packs, schemas="schemas/a")
    await apply(database, [*lives.a_worker(), listed])
    assert await NodeTypes(database, artifacts).known() == schemas()
