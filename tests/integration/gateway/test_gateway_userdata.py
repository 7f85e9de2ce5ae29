"""What the editor keeps for its user: settings and files, sealed in PostgreSQL."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import reading, writing
from services.gateway import documents
from tests.integration.gateway.house import House, open_house
from tests.integration.gateway.test_gateway_walls import new_key, token_of

FLOW = '{"nodes": [], "note": "a heron at dawn"}'
SAVED = "/userdata/workflows%2Fa.json"


async def save(house: House, name: str, data: str = FLOW, **query: str) -> httpx.Response:
    return await house.http.post(f"/api/userdata/{name}", content=data, params=query)


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_settings_are_kept_one_by_one_and_together(house: House, prefix: str):
    plain = {"Content-Type": "text/plain"}
    one = f"{prefix}/settings/Comfy.ColorPalette"
    assert (await house.http.get(one)).json() is None
    assert (await house.http.post(one, content='"dark"', headers=plain)).status_code == 200
    assert (await house.http.get(one)).json() == "dark"
    body = b'{"b": [1, 18446744073709551615], "Comfy.ColorPalette": "light"}'
    more = await house.http.post(f"{prefix}/settings", content=body, headers=plain)
    assert (more.status_code, more.content) == (200, b"")
    kept = (await house.http.get(f"{prefix}/settings")).json()
    assert kept == {"Comfy.ColorPalette": "light", "b": [1, 18446744073709551615]}


async def test_a_workflow_is_saved_opened_moved_and_deleted(house: House):
    saved = await save(house, "workflows%2Fa.json", overwrite="false", full_info="true")
    facts = saved.json()
    assert (facts["path"], facts["size"]) == ("workflows/a.json", len(FLOW))
    assert facts["created"] == facts["modified"] > 1_600_000_000_000
    opened = await house.http.get(SAVED)
    assert (opened.text, opened.headers["x-content-type-options"]) == (FLOW, "nosniff")
    assert opened.headers["content-disposition"] == "attachment"
    moved = await house.http.post(f"{SAVED}/move/workflows%2Fsub%2Fmove%2Fb.json?overwrite=false")
    assert moved.json() == "workflows/sub/move/b.json"
    assert (await house.http.get(SAVED)).status_code == 404
    there = "/userdata/workflows%2Fsub%2Fmove%2Fb.json"
    assert (await house.http.post(there, content="2")).json() == "workflows/sub/move/b.json"
    assert (await house.http.get(there)).text == "2"
    assert (await house.http.delete(there)).status_code == 204
    assert (await house.http.delete(there)).status_code == 404


async def test_a_name_that_is_taken_stays_unless_it_is_to_be_overwritten(house: House):
    first = (await save(house, "a.json", full_info="true")).json()
    assert (await save(house, "a.json", "new", overwrite="false")).status_code == 409
    assert (await house.http.get("/userdata/a.json")).text == FLOW
    second = (await save(house, "a.json", "newer", full_info="true")).json()
    assert (second["created"], second["size"]) == (first["created"], 5)
    await save(house, "b.json", "b")
    taken = await house.http.post("/userdata/b.json/move/a.json?overwrite=false")
    assert taken.status_code == 409
    assert (await house.http.post("/userdata/b.json/move/a.json")).status_code == 200
    assert (await house.http.get("/userdata/a.json")).text == "b"
    assert (await save(house, "a.json%2Fc.json")).status_code == 409


async def test_folders_are_listed_in_every_form_that_is_asked_for(house: House):
    for name in ("workflows%2Fa.json", "workflows%2Fsub%2Fb.json", "user.css"):
        await save(house, name, "x")

    async def listed(route: str, **query: str) -> Any:
        return (await house.http.get(route, params=query)).json()

    assert await listed("/userdata", dir="workflows") == ["a.json"]
    both = await listed("/userdata", dir="workflows", recurse="true", split="false")
    assert both == ["a.json", "sub/b.json"]
    parts = await listed("/userdata", dir="workflows", recurse="true", split="true")
    assert parts[1] == ["sub/b.json", "sub", "b.json"]
    full = await listed("/api/userdata", dir="workflows", recurse="true", full_info="true")
    assert [(item["path"], item["size"]) for item in full] == [("a.json", 1), ("sub/b.json", 1)]
    assert (await house.http.get("/userdata")).status_code == 400
    assert (await house.http.get("/userdata?dir=none")).status_code == 404
    found = await listed("/v2/userdata", path="workflows")
    assert [(item["type"], item["path"]) for item in found] == [
        ("directory", "workflows/sub"),
        ("file", "workflows/a.json"),
    ]
    assert set(found[0]) == {"name", "path", "type"}
    assert set(found[1]) == {"name", "path", "type", "size", "modified"}
    assert found[1]["size"] == 1
    assert found[1]["modified"] > 1_600_000_000_000
    style = await house.http.get("/api/userdata/user.css")
    assert style.headers["content-type"].startswith("text/css")


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("..%2Fa.json", 403),
        ("%2Fetc%2Fpasswd", 403),
        ("a%2F..%2F..%2Fb", 403),
        ("a%5Cb", 400),
        ("a%2F%2Fb", 400),
        ("a%00", 400),
        ("%FF", 400),
        ("x" * 251, 400),
        ("a/b", 404),
    ],
)
async def test_names_stay_inside_the_users_own_folder(house: House, name: str, status: int):
    assert (await save(house, name)).status_code == status
    assert (await house.http.get(f"/userdata/{name}")).status_code == status


async def test_files_are_bounded_in_size_and_number(house: House, monkeypatch: pytest.MonkeyPatch):
    big = await save(house, "big", "x" * (documents.FILE_BYTES_MAX + 1))
    assert big.status_code == 413
    assert big.json()["error"]["extra_info"]["limit"] == documents.FILE_BYTES_MAX
    monkeypatch.setattr(documents, "COUNT_MAX", {"file": 1, "setting": 1})
    assert (await save(house, "a")).status_code == 200
    assert (await save(house, "a", "again")).status_code == 200
    assert (await save(house, "b")).status_code == 413
    refused = await house.http.post("/settings", json={"a": 1, "b": 2})
    assert refused.status_code == 413
    assert (await house.http.get("/settings")).json() == {}


async def test_what_is_kept_is_sealed_and_goes_with_the_key(house: House, engine: AsyncEngine):
    await save(house, "a.json")
    await house.http.post("/settings/s", json="a heron at dawn")
    async with reading(engine) as connection:
        kept = (await connection.execute(text("SELECT ciphertext, kid FROM user_documents"))).all()
    assert len(kept) == 2
    assert not any(b"heron" in row.ciphertext for row in kept)
    await house.vault.destroy("local", "local")
    assert (await house.http.get("/userdata/a.json")).status_code == 404
    assert (await house.http.get("/settings")).json() == {}
    async with writing(engine) as connection:
        await connection.execute(
            text("INSERT INTO data_keys (kid, tenant, user_id) VALUES (:kid, 'local', 'local')"),
            {"kid": kept[0].kid},
        )
    assert (await house.http.get("/v2/userdata")).json() == []
    assert (await save(house, "a.json", "new", overwrite="false")).status_code == 200
    assert (await house.http.get("/userdata/a.json")).text == "new"


async def test_nobody_reaches_what_others_keep(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        for user in ("ann", "bob"):
            key = await new_key(engine, "acme", user)
            house.http.headers["Authorization"] = f"Bearer {token_of(key)}"
            assert (await house.http.get(SAVED)).status_code == 404
            assert (await house.http.get("/settings")).json() == {}
            assert (await house.http.post(SAVED, content=user)).status_code == 200
            assert (await house.http.post("/settings/mine", json=user)).status_code == 200
            assert (await house.http.get(SAVED)).text == user
        del house.http.headers["Authorization"]
        assert (await house.http.get("/settings")).status_code == 401
