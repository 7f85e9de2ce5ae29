"""Who may come in, whose everything is, and what there is to choose."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.chassis.answers import Account
from services.painter.answers import Models, Options, Styles
from tests.integration.gateway.test_gateway_walls import new_key, token_of
from tests.integration.painter.studio import Studio, open_studio

PATHS = [
    ("POST", "/api/generate"), ("GET", "/api/generations"), ("GET", "/api/account"),
    ("GET", "/api/models"), ("GET", "/api/prompts"), ("DELETE", "/api/prompts"),
    ("POST", "/api/uploads"), ("POST", "/api/enhance"),
    ("GET", "/api/generations/01990000-0000-7000-8000-000000000000"),
    ("GET", "/api/generations/01990000-0000-7000-8000-000000000000/events"),
    ("GET", "/api/generations/01990000-0000-7000-8000-000000000000/images/0"),
    ("POST", "/api/generations/01990000-0000-7000-8000-000000000000/vary"),
]  # fmt: skip


@pytest.mark.covers("R227")
async def test_nobody_comes_in_without_a_key(guarded: Studio):
    wrong = {"Authorization": "Bearer sk-hanzo-wrong"}
    for method, path, headers in [(*one, h) for one in PATHS for h in ({}, wrong)]:
        answer = await guarded.http.request(
            method, path, headers=headers, json={"prompt": "a fox"} if method == "POST" else None
        )
        assert answer.status_code == 401, (method, path, answer.text)
        assert answer.json()["error"]["type"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
    options = (await guarded.http.get("/api/options", headers=headers)).json()
    assert (options["signed_in"], options["auth"]) == (False, "keys")


@pytest.mark.covers("R227", "P14")
async def test_tenants_and_users_are_walls(guarded: Studio, engine: AsyncEngine):
    guarded.paint_all()
    ada, bob, eve = [
        await new_key(engine, tenant, user)
        for tenant, user in (("acme", "ada"), ("acme", "bob"), ("other", "eve"))
    ]
    answer = await guarded.http.post("/api/generate", json={"prompt": "a fox"}, headers=ada)
    assert answer.status_code == 200, answer.text
    one = f"/api/generations/{answer.json()['generation_id']}"
    assert (await guarded.http.put(f"{one}/favourite", headers=ada)).status_code == 204
    assert (await guarded.http.get(f"{one}/images/0", headers=ada)).status_code == 200
    for stranger in (bob, eve):
        listed = await guarded.http.get("/api/generations", headers=stranger)
        liked = await guarded.http.get("/api/generations?favourites=true", headers=stranger)
        assert listed.json()["generations"] == liked.json()["generations"] == []
        assert (await guarded.http.get("/api/prompts", headers=stranger)).json()["prompts"] == []
        for method, path in (
            *(("GET", ""), ("GET", "/images/0"), ("GET", "/workflow"), ("GET", "/events")),
            *(("DELETE", ""), ("POST", "/cancel"), ("PUT", "/favourite"), ("POST", "/vary")),
        ):
            body: dict[str, Any] | None = {} if path == "/vary" else None
            told = await guarded.http.request(method, one + path, headers=stranger, json=body)
            assert told.status_code == 404, (method, path)
    assert (await guarded.http.get(one, headers=ada)).json()["favourite"] is True


async def test_a_key_becomes_a_cookie_that_is_not_the_key(guarded: Studio, engine: AsyncEngine):
    token = token_of(await new_key(engine, "acme", "ada"))
    wrong = await guarded.http.post("/api/session", json={"token": "sk-hanzo-wrong"})
    assert wrong.status_code == 401
    answer = await guarded.http.post("/api/session", json={"token": token})
    assert answer.status_code == 204, answer.text
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert token not in cookie
    assert (await guarded.http.get("/api/account")).json()["user"] == "ada"
    evil = {"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"}
    body = {"prompt": "a fox"}
    other = await guarded.http.post("/api/generate", json=body, headers=evil)
    assert other.status_code == 403
    assert (await guarded.http.delete("/api/session")).status_code == 204
    guarded.http.cookies.clear()
    assert (await guarded.http.get("/api/account")).status_code == 401


OTHERS = [
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Host": "evil.example"},
    {"Origin": "null"},
]


async def test_a_page_of_another_site_is_refused(studio: Studio):
    for headers in OTHERS:
        for method, path in PATHS:
            told = await studio.http.request(method, path, headers=headers)
            assert told.status_code == 403, (headers, path)


@pytest.mark.covers("R048", "R233", "P04")
async def test_the_choices_are_as_the_document_says(studio: Studio):
    await studio.fleet(checkpoints=("sd_xl_base_1.0.safetensors", "hanzo-demo-64.safetensors"))
    options, account, models, styles = [
        (await studio.http.get(f"/api/{name}")).json()
        for name in ("options", "account", "models", "styles")
    ]
    Options.model_validate(options)
    Account.model_validate(account)
    Models.model_validate(models)
    Styles.model_validate(styles)
    assert options["signed_in"]
    assert options["studio_url"] == studio.house.url
    assert account["tier"] == "owner"
    assert models["default"] == "sdxl"
    usable = {m["name"]: m for m in models["models"] if m["available"] and m["allowed"]}
    assert list(usable) == ["sdxl", "demo"]
    assert "cat" in usable["demo"]["demo"]["objects"]
    missing = [m for m in models["models"] if not m["available"]]
    assert all("missing" in m["note"] for m in missing)


@pytest.mark.covers("R354", "P13")
async def test_models_tell_the_limits_of_the_callers_tier(guarded: Studio, engine: AsyncEngine):
    await guarded.fleet(checkpoints=("sd15.safetensors", "hanzo-demo-64.safetensors"))
    pro = await new_key(engine, "acme", "ada")
    models = (await guarded.http.get("/api/models", headers=pro)).json()["models"]
    assert {m["num_images_max"] for m in models} == {4}
    assert max(m["steps_max"] for m in models) == 50
    account = (await guarded.http.get("/api/account", headers=pro)).json()
    assert account["today"]["images_left"] == 1000


QUERIES = [
    ("/api/generations?limit=0", "limit"),
    ("/api/generations?limit=x", "limit"),
    ("/api/generations?before=x", "before"),
    ("/api/generations?favourites=maybe", "favourites"),
    ("/api/generations?search=" + "x" * 201, "search"),
    ("/api/prompts?limit=1000", "limit"),
]
BODIES = [
    (b"{", "application/json", 400),
    (b"[1]", "application/json", 400),
    (b'{"prompt": "\\ud800"}', "application/json", 400),
    (b'{"prompt": "a", "cfg_scale": NaN}', "application/json", 400),
    (b'{"prompt":' + b"[" * 9_000, "application/json", 400),
    (b"\xff\xfe", "application/json", 400),
    (b"{}", "text/plain", 415),
]


async def test_what_cannot_be_right_is_refused_and_named(studio: Studio):
    for path, field in QUERIES:
        answer = await studio.http.get(path)
        assert answer.status_code == 400, path
        assert answer.json()["error"]["extra_info"]["field"] == field
    for body, label, status in BODIES:
        answer = await studio.http.post(
            "/api/generate", content=body, headers={"Content-Type": label}
        )
        assert answer.status_code == status, body[:40]
        assert answer.json()["error"]["message"]


@pytest.mark.covers("R376")
async def test_a_body_beyond_its_bound_is_refused(engine: AsyncEngine):
    async with open_studio(engine, image_bytes_max=2_000) as studio:
        large = json.dumps({"prompt": "a", "reference_image": "A" * 400_000})
        answer = await studio.http.post(
            "/api/generate", content=large, headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")
        form = await studio.http.post("/api/uploads", files={"image": ("x.png", b"x" * 2_001)})
        assert form.status_code == 413


async def test_a_text_is_told_better_where_a_language_model_is_set_up(engine: AsyncEngine):
    async with open_studio(engine) as studio:
        told = await studio.http.post("/api/enhance", json={"prompt": "a fox"})
        assert (told.status_code, told.json()["error"]["type"]) == (404, "not_configured")

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
        asked.append(json.loads(await reader.readexactly(length)))
        text = json.dumps({"choices": [{"message": {"content": " a red fox at dawn "}}]})
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    asked: list[Any] = []
    server = await asyncio.start_server(answering, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_studio(engine, enhance_url=f"http://127.0.0.1:{port}/v1") as studio:
        told = await studio.http.post("/api/enhance", json={"prompt": "a fox", "style": "anime"})
        assert told.json() == {"prompt": "a red fox at dawn"}
        assert "Anime" in asked[0]["messages"][1]["content"]


async def test_probes_answer_and_the_page_says_how_it_is_built(studio: Studio):
    assert (await studio.http.get("/healthz")).json() == {"status": "ok"}
    assert (await studio.http.get("/readyz")).json() == {"ready": True, "missing": []}
    assert "studio_painter_requests_total" in (await studio.http.get("/metrics")).text
    assert (await studio.http.get("/openapi.json")).json()["openapi"] == "3.1.0"
    page = await studio.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for path in ("/nowhere", "/api/nowhere", "/..%2fmain.py", "/%2e%2e/settings.py", "/x.py"):
        assert (await studio.http.get(path)).status_code == 404


async def test_without_studio_it_says_so(studio: Studio):
    studio.painter.studio.http.base_url = "http://127.0.0.1:9"
    answer = await studio.http.post("/api/generate", json={"prompt": "a fox"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "Studio does not answer" in answer.json()["error"]["message"]
    assert (await studio.http.get("/readyz")).status_code == 503
