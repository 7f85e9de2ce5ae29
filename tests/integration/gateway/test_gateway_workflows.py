"""The workflows that a user keeps, with versions, sealed in PostgreSQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import reading
from services.gateway import saved
from tests.integration.gateway.house import GRAPH, HIP_GRAPH, House, open_house
from tests.integration.gateway.test_gateway_walls import new_key, token_of

DOCUMENT: dict[str, Any] = {"nodes": [], "links": [], "version": 0.4, "note": "a heron at dawn"}
ABSENT = "0199c6a0-0000-7000-8000-000000000000"


async def keep(house: House, name: str, workflow: Any = DOCUMENT) -> dict[str, Any]:
    answer = await house.http.post("/api/workflows", json={"name": name, "workflow": workflow})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def place(kept: dict[str, Any], rest: str = "") -> str:
    return f"/api/workflows/{kept['id']}{rest}"


def told(answer: httpx.Response) -> tuple[int, str, dict[str, Any]]:
    error = answer.json()["error"]
    return answer.status_code, error["type"], error["extra_info"]


@pytest.mark.covers("P03")
@pytest.mark.parametrize("workflow", [GRAPH, HIP_GRAPH, DOCUMENT], ids=["comfyui", "hip35", "page"])
async def test_a_workflow_of_any_form_is_kept_and_read_as_it_came(house: House, workflow: Any):
    kept = await keep(house, "Heron", workflow)
    read = await house.http.get(place(kept))
    assert read.json() == {**kept, "workflow": workflow}
    assert (kept["name"], kept["version"], read.headers["etag"]) == ("Heron", 1, '"1"')
    assert (await house.http.delete(place(kept))).status_code == 204
    for gone in (place(kept), place(kept, "/versions"), place(kept, "/versions/1")):
        assert (await house.http.get(gone)).status_code == 404
    assert (await house.http.delete(place(kept))).status_code == 404


@pytest.mark.covers("P03")
async def test_each_change_is_a_version_and_an_older_one_comes_back(house: House):
    kept = await keep(house, "Heron")
    renamed = await house.http.put(place(kept), json={"name": "Crane"})
    assert (renamed.json()["version"], renamed.headers["etag"]) == (2, '"2"')
    changed = await house.http.put(place(kept), json={"workflow": GRAPH}, headers={"If-Match": "2"})
    assert (changed.json()["name"], changed.json()["created"]) == ("Crane", kept["created"])
    listed = (await house.http.get(place(kept, "/versions"))).json()["versions"]
    assert [(one["version"], one["name"]) for one in listed] == [
        (3, "Crane"),
        (2, "Crane"),
        (1, "Heron"),
    ]
    assert (await house.http.get(place(kept, "/versions/2"))).json()["workflow"] == DOCUMENT
    restored = await house.http.post(place(kept, "/versions/1/restore"))
    assert (restored.json()["version"], restored.json()["name"]) == (4, "Heron")
    assert (await house.http.get(place(kept))).json()["workflow"] == DOCUMENT
    assert (await house.http.get(place(kept, "/versions/3"))).json()["workflow"] == GRAPH
    for none in ("0", "5", "x", "9" * 20):
        assert (await house.http.get(place(kept, f"/versions/{none}"))).status_code == 404
        assert (await house.http.post(place(kept, f"/versions/{none}/restore"))).status_code == 404


@pytest.mark.covers("P03")
async def test_whoever_is_late_is_told_the_version_and_changes_nothing(house: House):
    kept = await keep(house, "Heron")
    await house.http.put(place(kept), json={"name": "Crane"}, headers={"If-Match": '"1"'})
    late = {"If-Match": '"1"'}
    answers = [
        await house.http.put(place(kept), json={"name": "Stork"}, headers=late),
        await house.http.post(place(kept, "/versions/1/restore"), headers=late),
        await house.http.delete(place(kept), headers=late),
    ]
    expected = {"field": "If-Match", "received": 1, "version": 2}
    assert [told(answer) for answer in answers] == [(412, "version_mismatch", expected)] * 3
    assert (await house.http.get(place(kept))).json()["name"] == "Crane"
    anyhow = await house.http.put(place(kept), json={"name": "Ibis"}, headers={"If-Match": "*"})
    assert anyhow.json()["version"] == 3
    strange = await house.http.put(place(kept), json={"name": "a"}, headers={"If-Match": '"x"'})
    assert told(strange)[:2] == (400, "invalid_version")


@pytest.mark.covers("P03")
async def test_the_list_is_paged_and_searched_by_name(house: House):
    for name in ("Heron", "Crane 100%", "heron at dusk"):
        await keep(house, name)

    async def listed(**query: Any) -> tuple[list[str], Any]:
        found = (await house.http.get("/api/workflows", params=query)).json()
        return [one["name"] for one in found["workflows"]], found["pagination"]

    names, pagination = await listed()
    assert names == ["heron at dusk", "Crane 100%", "Heron"]
    assert pagination == {"offset": 0, "limit": 100, "total": 3, "has_more": False}
    names, pagination = await listed(limit=1, offset=1)
    assert (names, pagination["total"], pagination["has_more"]) == (["Crane 100%"], 3, True)
    assert (await listed(search="HERON"))[0] == ["heron at dusk", "Heron"]
    assert (await listed(search="%"))[0] == ["Crane 100%"]
    for query in ("limit=-1", "offset=x", "search=%00", "search=" + "x" * 251):
        assert (await house.http.get(f"/api/workflows?{query}")).status_code == 400


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 400, "name"),
        ({"name": "a"}, 400, "workflow"),
        ({"name": " ", "workflow": {}}, 400, "name"),
        ({"name": "a\n", "workflow": {}}, 400, "name"),
        ({"name": "x" * 251, "workflow": {}}, 400, "name"),
        ({"name": 1, "workflow": {}}, 400, "name"),
        ({"name": "a", "workflow": []}, 400, "workflow"),
        ({"name": "a", "workflow": {"x": "y" * 1_048_576}}, 413, "the body"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_its_field(
    house: House, body: Any, status: int, field: str
):
    answer = await house.http.post("/api/workflows", json=body)
    assert (answer.status_code, told(answer)[2]["field"]) == (status, field)
    assert (await house.http.put(f"/api/workflows/{ABSENT}", json={})).status_code == 400


@pytest.mark.covers("P03")
async def test_count_bytes_and_versions_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch):
    kept = await keep(house, "Heron")
    monkeypatch.setattr(saved, "COUNT_MAX", 1)
    monkeypatch.setattr(saved, "VERSIONS_MAX", 2)
    body = {"name": "b", "workflow": {}}
    full = await house.http.post("/api/workflows", json=body)
    assert told(full) == (413, "too_many_workflows", {"field": "workflow", "limit": 1})
    for number in range(3):
        await house.http.put(place(kept), json={"name": f"Heron {number}"})
    listed = (await house.http.get(place(kept, "/versions"))).json()["versions"]
    assert [one["version"] for one in listed] == [4, 3]
    monkeypatch.setattr(saved, "BYTES_MAX", 200)
    big = await house.http.put(place(kept), json={"workflow": {"x": "y" * 200}})
    assert told(big)[2]["limit"] == 200
    assert (await house.http.get(place(kept))).json()["version"] == 4


@pytest.mark.covers("P03")
async def test_workflows_are_sealed_and_go_with_the_users_key(house: House, engine: AsyncEngine):
    kept = await keep(house, "Heron")
    async with reading(engine) as connection:
        row = (await connection.execute(text("SELECT * FROM workflow_versions"))).one()
    assert b"dawn" not in row.ciphertext
    await house.vault.destroy("local", "local")
    assert (await house.http.get(place(kept))).status_code == 404
    async with engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO data_keys (kid, tenant, user_id) VALUES (:kid, 'local', 'local')"),
            {"kid": row.kid},
        )
    assert (await house.http.get("/api/workflows")).json()["workflows"] == []
    await keep(house, "New")
    async with reading(engine) as connection:
        names = (await connection.scalars(text("SELECT name FROM workflow_versions"))).all()
    assert list(names) == ["New"]


@pytest.mark.covers("P03", "P14")
async def test_nobody_reaches_the_workflows_of_others(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        mine: dict[str, Any] = {}
        for tenant, user in (("acme", "ann"), ("acme", "bob"), ("other", "ann")):
            key = await new_key(engine, tenant, user)
            house.http.headers["Authorization"] = f"Bearer {token_of(key)}"
            assert (await house.http.get("/api/workflows")).json()["workflows"] == []
            if mine:
                answers = [
                    await house.http.get(place(mine)),
                    await house.http.get(place(mine, "/versions")),
                    await house.http.get(place(mine, "/versions/1")),
                    await house.http.post(place(mine, "/versions/1/restore")),
                    await house.http.put(place(mine), json={"name": "taken"}),
                    await house.http.delete(place(mine)),
                ]
                assert {answer.status_code for answer in answers} == {404}
            else:
                mine = await keep(house, "Heron")
        del house.http.headers["Authorization"]
        assert (await house.http.get("/api/workflows")).status_code == 401


@pytest.mark.covers("P03", "R245")
async def test_an_id_opens_in_the_editor_be_it_of_a_workflow_or_of_a_prompt(house: House):
    house.record()
    house.accept_all()
    graph = {key: node for key, node in GRAPH.items() if key != "1"}
    prompt_id = await house.post(graph=graph)
    kept = [await keep(house, "graph", graph), await keep(house, "page")]
    made = (await house.http.get(f"/api/workflows/{prompt_id}")).json()
    assert (made["id"], made["prompt_id"]) == (prompt_id, prompt_id)
    assert {node["type"] for node in made["workflow"]["nodes"]} == {"EmptyImage", "SaveImage"}
    drawn, page = [
        (await house.http.get(f"/templates/{one['id']}.json", follow_redirects=False)).json()
        for one in kept
    ]
    assert {node["type"] for node in drawn["nodes"]} == {"EmptyImage", "SaveImage"}
    assert page == DOCUMENT
    assert (
        await house.http.put(f"/api/workflows/{prompt_id}", json={"name": "a"})
    ).status_code == 404
    assert (await house.http.get(f"/api/workflows/{ABSENT}")).status_code == 404
