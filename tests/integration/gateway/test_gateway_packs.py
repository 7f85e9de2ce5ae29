"""Node packs of the workers, as clients and the editor see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.artifacts.keys import pages_key
from libs.events.base import SYSTEM_TENANT
from libs.events.worker import NodePack, NodePacksListed, WorkerRegistered
from libs.nodes.packs.pages import bundled
from services.gateway.editor import installed
from tests.integration.gateway.house import House, eventually

PAGE = Path(__file__).resolve().parents[2] / "data/paged_packs/paged_pack/js"


async def test_packs_are_listed_and_their_scripts_are_served(house: House):
    blob = bundled(PAGE)
    await house.artifacts.put(pages_key(blob), blob, "application/zip")
    packs = (
        NodePack(name="paged", types=("PagedWord",)),
        NodePack(name="hangs", error="it was not imported within 60 seconds"),
    )
    about = {"worker_id": "ada", "slot": "a"}
    registered = WorkerRegistered(
        **about, device="cpu", backend="torch", vram_mib=1, has_packs=True
    )
    await house.append(registered, SYSTEM_TENANT)
    await house.append(
        NodePacksListed(**about, packs=packs, pages={"paged": pages_key(blob)}), SYSTEM_TENANT
    )

    async def known() -> bool:
        return bool((await house.http.get("/api/node_packs")).json())

    await eventually(known)
    listed = (await house.http.get("/api/node_packs")).json()
    assert [(one["name"], one["loaded"], one["error"]) for one in listed] == [
        ("paged", True, ""),
        ("hangs", False, "it was not imported within 60 seconds"),
    ]

    async def served() -> bool:
        scripts: list[str] = (await house.http.get("/extensions")).json()
        return scripts == ["/extensions/paged/paged.js"]

    await eventually(served)
    answer = await house.http.get("/extensions/paged/lib/words.mjs")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    same = {"If-None-Match": answer.headers["etag"]}
    again = await house.http.get("/api/extensions/paged/lib/words.mjs", headers=same)
    assert (again.status_code, again.content) == (304, b"")
    for path in ("secrets.py", "..%2Fsecrets.py", "%2Fetc%2Fpasswd", "lib"):
        assert (await house.http.get(f"/extensions/paged/{path}")).status_code == 404


@pytest.mark.skipif(installed() is None, reason="the extra `editor` is not installed")
async def test_the_editor_s_own_scripts_lie_among_those_of_packs(house: House):
    editor = installed()
    assert editor is not None
    name = next((editor.root / "extensions/core").glob("*.js")).name
    answer = await house.http.get(f"/extensions/core/{name}")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
