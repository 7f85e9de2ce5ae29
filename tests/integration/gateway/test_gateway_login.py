"""A house with keys lets a browser in by a session: hashed, revocable, and of no use elsewhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import websockets
from playwright.async_api import Page, async_playwright
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.store.engine import reading, writing
from libs.store.readmodels import api_keys, sessions
from services.gateway.logins import WRONG_MAX
from tests.integration.gateway.house import GRAPH, House, open_house
from tests.integration.gateway.test_gateway_walls import new_key, token_of

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture
async def guarded(engine: AsyncEngine) -> AsyncIterator[House]:
    """Give a house in mode `keys`."""
    async with open_house(engine, auth="keys") as house:
        yield house


async def log_in(house: House, key: str, **headers: str) -> httpx.Response:
    return await house.http.post("/login", data={"key": key}, headers=headers)


async def key_for(engine: AsyncEngine, user: str = "ann") -> str:
    return token_of(await new_key(engine, "acme", user))


async def test_whoever_is_not_known_is_sent_to_the_login_page(guarded: House):
    root = await guarded.http.get("/")
    assert (root.status_code, root.headers["location"]) == (303, "/login")
    page = await guarded.http.get("/login")
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "API key" in page.text


async def test_a_key_becomes_a_cookie_that_opens_everything_and_is_not_the_key(
    guarded: House, engine: AsyncEngine
):
    guarded.accept_all()
    key = await key_for(engine)
    answer = await log_in(guarded, f" {key} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    token = guarded.http.cookies["studio_token"]
    assert key not in token
    assert sessions.is_session(token)
    async with reading(engine) as connection:
        kept = (await connection.execute(text("SELECT * FROM sessions"))).mappings().one()
    assert kept["digest"] == api_keys.digest_of(token)
    assert token.encode() not in kept["digest"]
    assert "logged in as <b>ann</b> of <b>acme</b>" in (await guarded.http.get("/login")).text
    posted = await guarded.http.post("/prompt", json={"prompt": GRAPH})
    assert posted.status_code == 200
    address = f"{guarded.url.replace('http', 'ws')}/ws"
    async with websockets.connect(
        address, additional_headers={"Cookie": f"studio_token={token}"}
    ) as socket:
        assert '"queue_remaining":1' in str(await socket.recv())
    # A session is a browser's: it is no key.
    guarded.http.cookies.clear()
    bearer = {"Authorization": f"Bearer {token}"}
    assert (await guarded.http.get("/queue", headers=bearer)).status_code == 401


@pytest.mark.parametrize("how", ["it logs out", "its key is revoked", "its time is over"])
async def test_a_session_ends(guarded: House, engine: AsyncEngine, how: str):
    key = await key_for(engine)
    await log_in(guarded, key)
    cookies = {"Cookie": f"studio_token={guarded.http.cookies['studio_token']}"}
    guarded.http.cookies.clear()
    assert (await guarded.http.get("/queue", headers=cookies)).status_code == 200
    if how == "it logs out":
        left = await guarded.http.post("/logout", headers=cookies)
        assert (left.status_code, left.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in left.headers["set-cookie"]
    async with writing(engine) as connection:
        if how == "its key is revoked":
            await api_keys.revoke(connection, str(api_keys.key_id_of(key)))
        elif how == "its time is over":
            await connection.execute(text("UPDATE sessions SET expires = now()"))
    assert (await guarded.http.get("/queue", headers=cookies)).status_code == 401
    assert (await guarded.http.get("/", headers=cookies)).headers["location"] == "/login"
    assert (await log_in(guarded, key)).status_code == (401 if "revoked" in how else 303)


async def test_ended_sessions_are_forgotten_and_one_key_has_a_bounded_number(
    guarded: House, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sessions, "OF_ONE_KEY_MAX", 2)
    key = await key_for(engine)
    tokens = []
    for _ in range(3):
        await log_in(guarded, key)
        tokens.append(guarded.http.cookies["studio_token"])
        guarded.http.cookies.clear()

    async def state_of(token: str) -> int:
        cookie = {"Cookie": f"studio_token={token}"}
        return (await guarded.http.get("/queue", headers=cookie)).status_code

    assert [await state_of(token) for token in tokens] == [401, 200, 200]
    async with writing(engine) as connection:
        await connection.execute(text("UPDATE sessions SET expires = now()"))
    await log_in(guarded, key)
    async with reading(engine) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM sessions")) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_another_site_can_do_nothing_with_the_cookie(
    guarded: House, engine: AsyncEngine, headers: dict[str, str]
):
    guarded.accept_all()
    key = await key_for(engine)
    assert (await log_in(guarded, key, **headers)).status_code == 403
    await log_in(guarded, key)
    body = {"prompt": GRAPH}
    refused = await guarded.http.post("/prompt", json=body, headers=headers)
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "forbidden")
    assert (await guarded.http.post("/logout", headers=headers)).status_code == 403
    own = {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}
    assert (await guarded.http.post("/prompt", json=body, headers=own)).status_code == 200
    # Whoever shows a key is no browser that was led astray.
    bearer = {**headers, "Authorization": f"Bearer {key}"}
    assert (await guarded.http.post("/prompt", json=body, headers=bearer)).status_code == 200
    cookie = f"studio_token={guarded.http.cookies['studio_token']}"
    with pytest.raises(websockets.InvalidStatus) as closed:
        async with websockets.connect(
            f"{guarded.url.replace('http', 'ws')}/ws",
            additional_headers={"Cookie": cookie, **headers},
        ):
            pass
    assert closed.value.response.status_code == 403


async def test_by_https_the_cookie_is_for_https_only(guarded: House, engine: AsyncEngine):
    host = {"Host": "studio.example", "Origin": "https://studio.example"}
    answer = await log_in(guarded, await key_for(engine), **host)
    assert "Secure" in answer.headers["set-cookie"]


async def test_wrong_keys_are_told_plainly_and_slowed_down(guarded: House, engine: AsyncEngine):
    key = await key_for(engine)
    wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
    for number in range(WRONG_MAX):
        answer = await log_in(guarded, ("", "<b>", wrong)[number % 3])
        assert answer.status_code == 401
        assert "not a valid API key" in answer.text
        assert "set-cookie" not in answer.headers
    locked = await log_in(guarded, key)
    assert locked.status_code == 429
    assert 0 < int(locked.headers["retry-after"]) <= 60
    assert "Too many wrong keys" in locked.text
    guarded.gateway.logins._wrong.clear()
    assert (await log_in(guarded, key)).status_code == 303


async def test_a_machine_of_ones_own_has_no_login(house: House):
    assert (await house.http.get("/")).status_code == 200
    for answer in (
        await house.http.get("/login"),
        await log_in(house, "any"),
        await house.http.post("/logout"),
    ):
        assert answer.status_code == 200
        assert "nothing to log in to" in answer.text


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """Give a page of a fresh browser; an error of the page fails the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport={"width": 1200, "height": 800})
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        await browser.close()
        assert errors == []


async def photograph(page: Page, name: str) -> None:
    """Keep pictures of the page at two widths, light and dark, where a person asked for them."""
    folder = os.environ.get("STUDIO_TEST_SCREENSHOTS")
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for width, height in ((1200, 800), (390, 844)):
            await page.set_viewport_size({"width": width, "height": height})
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            if folder:
                await page.screenshot(path=Path(folder) / f"{name}-{scheme}-{width}.png")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
async def test_a_person_logs_in_and_out_in_a_browser(
    guarded: House, engine: AsyncEngine, page: Page
):
    await page.goto(guarded.url)
    assert page.url.endswith("/login")
    await photograph(page, "login")
    await page.get_by_label("API key").fill("sk-hanzo-wrong")
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("alert").wait_for()
    await photograph(page, "login-wrong")
    await page.get_by_label("API key").fill(await key_for(engine))
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(lambda url: not url.endswith("/login"), wait_until="commit")
    assert await page.evaluate("document.cookie") == ""
    assert await page.evaluate("fetch('/queue').then(answer => answer.status)") == 200
    await page.goto(f"{guarded.url}/page")
    await page.get_by_text("Connected. Idle.").wait_for()
    await page.get_by_role("link", name="Log out").click()
    await page.get_by_text("You are logged in as").wait_for()
    await photograph(page, "login-known")
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_label("API key").wait_for()
    await page.goto(guarded.url)
    assert page.url.endswith("/login")
