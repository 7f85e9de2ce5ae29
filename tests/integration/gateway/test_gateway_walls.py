"""Who may come in, and what nobody else may see or stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.events.prompt import CancelRequested, HistoryRemoved, PromptSubmitted
from libs.store.engine import writing
from libs.store.readmodels import api_keys
from tests.integration.gateway.house import GRAPH, House, fresh_id, open_house
from tests.integration.gateway.test_gateway_files import picture


async def new_key(engine: AsyncEngine, tenant: str, user: str) -> dict[str, str]:
    """Make an API key; return the header that uses it."""
    async with writing(engine) as connection:
        token = await api_keys.add(connection, tenant=tenant, user_id=user, tier="pro")
    return {"Authorization": f"Bearer {token}"}


def token_of(headers: dict[str, str]) -> str:
    """Return the token in a header."""
    return headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def guarded(engine: AsyncEngine) -> AsyncIterator[House]:
    """Give a house in mode `keys`."""
    async with open_house(engine, auth="keys") as house:
        yield house


GUARDED_PATHS = [
    ("GET", path)
    for path in (
        "/prompt",
        "/queue",
        "/history",
        "/history/x",
        "/view?filename=a",
        "/object_info",
        "/nodes",
        "/models",
        "/system_stats",
        "/users",
    )
] + [
    ("POST", path)
    for path in ("/prompt", "/queue", "/history", "/interrupt", "/upload/image", "/upload/mask")
]


@pytest.mark.covers("R183")
@pytest.mark.parametrize(("method", "path"), GUARDED_PATHS)
async def test_nobody_comes_in_without_a_key(guarded: House, method: str, path: str):
    typed = api_keys.new_token()[0]
    for headers in (
        {},
        {"Authorization": "Bearer sk-hanzo-wrong"},
        {"Authorization": f"Bearer {typed}"},
        {"Authorization": "Basic dTpw"},
        {"Authorization": "Bearer"},
    ):
        for prefix in ("", "/api"):
            answer = await guarded.http.request(method, prefix + path, headers=headers)
            assert answer.status_code == 401, (path, headers)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "unauthorized"
            assert answer.json()["node_errors"] == {}


@pytest.mark.covers("R183", "R208")
async def test_a_key_opens_http_and_socket_until_it_is_revoked(guarded: House, engine: AsyncEngine):
    key = await new_key(engine, "acme", "ann")
    token = token_of(key)
    assert (await guarded.http.get("/queue", headers=key)).status_code == 200
    assert (await guarded.http.get(f"/queue?token={token}")).status_code == 200
    cookie = {"Cookie": f"studio_token={token}"}
    assert (await guarded.http.get("/queue", headers=cookie)).status_code == 200
    async with guarded.socket("me", token=token) as client:
        await client.until("status")
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with guarded.socket("me"):
            pass
    assert refused.value.response.status_code == 401
    async with writing(engine) as connection:
        await api_keys.revoke(connection, token.split("-")[2])
    assert (await guarded.http.get("/queue", headers=key)).status_code == 401


async def test_probes_and_the_way_to_the_login_need_no_key(guarded: House):
    assert (await guarded.http.get("/", follow_redirects=True)).status_code == 200
    for path in ("/healthz", "/readyz", "/metrics", "/features"):
        assert (await guarded.http.get(path)).status_code == 200


async def test_a_local_house_checks_a_key_that_is_shown(house: House, engine: AsyncEngine):
    wrong = {"Authorization": f"Bearer {api_keys.new_token()[0]}"}
    assert (await house.http.get("/queue", headers=wrong)).status_code == 401
    other = {"Authorization": "Bearer of-another-product"}
    assert (await house.http.get("/queue", headers=other)).status_code == 200
    key = await new_key(engine, "acme", "ann")
    house.accept_all()
    await house.http.post("/prompt", json={"prompt": GRAPH}, headers=key)
    submitted = await house.submitted()
    assert (submitted.tenant, submitted.event.user_id) == ("acme", "ann")
    assert (submitted.event.account, submitted.event.tier) == ("ann", "pro")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8188"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://["},
        {"Origin": "null"},
    ],
)
async def test_pages_of_other_sites_cannot_use_a_local_house(house: House, headers: dict[str, str]):
    answer = await house.http.post("/prompt", json={"prompt": GRAPH}, headers=headers)
    assert answer.status_code == 403
    assert not house.bus.journal_events()


@pytest.mark.parametrize(("tenant", "user"), [("other", "ann"), ("acme", "bob")])
async def test_tenants_and_users_are_walls(
    guarded: House, engine: AsyncEngine, tenant: str, user: str
):
    ann, stranger = await new_key(engine, "acme", "ann"), await new_key(engine, tenant, user)
    guarded.accept_all()
    chosen = fresh_id()

    async def ask(method: str, path: str, **more: Any) -> Any:
        return await guarded.http.request(method, path, headers=stranger, **more)

    async with (
        guarded.socket("same", token=token_of(ann)) as mine,
        guarded.socket("same", token=token_of(stranger)) as theirs,
    ):
        await mine.until("status")
        await theirs.until("status")
        body = {"prompt": GRAPH, "client_id": "same", "prompt_id": chosen}
        assert (await guarded.http.post("/prompt", json=body, headers=ann)).status_code == 200
        await guarded.lease(chosen, tenant="acme")
        await guarded.start(chosen, tenant="acme")
        await mine.until("execution_start")
        assert (await ask("GET", "/prompt")).json()["exec_info"]["queue_remaining"] == 0
        assert (await ask("GET", "/queue")).json() == {"queue_running": [], "queue_pending": []}
        assert (await ask("GET", f"/api/jobs/{chosen}")).status_code == 404
        await ask("POST", "/interrupt", json={"prompt_id": chosen})
        await ask("POST", "/interrupt")
        await ask("POST", "/queue", json={"clear": True, "delete": [chosen]})
        cancelled = await ask("POST", f"/api/jobs/{chosen}/cancel")
        assert cancelled.json() == {"cancelled": False}
        assert not [e for e in guarded.bus.journal_events() if isinstance(e, CancelRequested)]
        output = await guarded.output(chosen, data=picture())
        await guarded.node_done(chosen, output, tenant="acme")
        await guarded.release(chosen, output, tenant="acme", user="ann")
        await guarded.finished(chosen, tenant="acme")
        await guarded.end(chosen, tenant="acme")
        await mine.until("executing", node=None)
        while not await theirs.silent():
            pass
        assert {frame["type"] for frame in theirs.frames} == {"status"}
    name = {"filename": output.filename}
    assert (await guarded.http.get("/view", params=name, headers=ann)).status_code == 200
    assert (await ask("GET", "/view", params=name)).status_code == 404
    assert (await ask("GET", "/history")).json() == {}
    assert (await ask("GET", f"/api/history?prompt_id={chosen}")).json() == {}
    assert (await ask("GET", "/api/jobs")).json()["jobs"] == []
    await ask("POST", "/history", json={"clear": True, "delete": [chosen]})
    assert not [e for e in guarded.bus.journal_events() if isinstance(e, HistoryRemoved)]
    files = {"image": ("a.png", picture(), "image/png")}
    await guarded.http.post("/upload/image", files=files, headers=ann)
    upload = {"filename": "a.png", "type": "input"}
    assert (await guarded.http.get("/view", params=upload, headers=ann)).status_code == 200
    assert (await ask("GET", "/view", params=upload)).status_code == 404
    assert "a.png" not in (await ask("GET", "/object_info/LoadImage")).text


async def test_another_tenant_may_choose_the_same_id_and_key(guarded: House, engine: AsyncEngine):
    ann, eve = await new_key(engine, "acme", "ann"), await new_key(engine, "evil", "eve")
    guarded.accept_all()
    chosen = fresh_id()
    for headers in (ann, eve):
        body = {"prompt": GRAPH, "prompt_id": chosen}
        answer = await guarded.http.post("/prompt", json=body, headers=headers)
        assert (answer.status_code, answer.json()["prompt_id"]) == (200, chosen)
        keyed = {**headers, "Idempotency-Key": "one"}
        await guarded.http.post("/prompt", json={"prompt": GRAPH}, headers=keyed)
    submitted = [e for e in guarded.bus.journal_events() if isinstance(e, PromptSubmitted)]
    assert len(submitted) == 4
    assert len({event.prompt_id for event in submitted}) == 3
    await guarded.end(chosen, "cancelled", attempt=0, tenant="evil")
    await asyncio.sleep(0.3)
    left = (await guarded.http.get("/prompt", headers=ann)).json()
    assert left["exec_info"]["queue_remaining"] == 2


async def test_a_slow_socket_is_dropped_and_holds_up_nobody(engine: AsyncEngine):
    async with open_house(engine, ws_frames_max=8) as house:
        hub = house.gateway.hub
        slow = hub.join(("local", "local"), "slow")
        async with house.socket("me") as client:
            await client.until("status")
            house.accept_all()
            for _ in range(10):
                await house.post()
            while len(client.frames) < 11:
                await client.next()
        assert slow.reason == "too slow"
        assert await slow.next() is None


async def test_sockets_are_bounded(engine: AsyncEngine):
    async with open_house(engine, ws_sockets_max=1) as house, house.socket("a") as client:
        await client.until("status")
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with house.socket("b"):
                pass
        assert refused.value.response.status_code == 503
        async with house.socket("a") as again:
            await again.until("status")
