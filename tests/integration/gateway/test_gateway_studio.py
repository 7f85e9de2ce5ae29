"""What the editor asks for besides prompts: its own files, small answers, licences."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.nodes.templates import DEMO, TEMPLATES
from services.gateway import editor, main
from tests.integration.gateway.house import House, eventually, open_house
from tests.integration.gateway.test_gateway_walls import new_key, token_of


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> editor.Editor:
    """Give a small editor of our own in the place of the real one."""
    for name, content in {
        "index.html": "<title>An editor</title>",
        "icons.min.css": "a{}",
        "assets/index-1.js": "let a",
        "scripts/app.js": "let b",
        "fonts/a.woff2": "x",
    }.items():
        path = tmp_path / "static" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "secret.txt").write_text("secret")
    found = editor.Editor(tmp_path / "static", "1.2.3")
    monkeypatch.setattr(main, "installed", lambda: found)
    return found


@pytest.mark.usefixtures("installed")
async def test_an_installed_editor_is_served_as_it_is(house: House):
    page = await house.http.get("/")
    assert "An editor" in page.text
    assert page.headers["cache-control"] == "no-store"
    expected = {
        "/assets/index-1.js": ("text/javascript; charset=utf-8", editor.LASTING),
        "/scripts/app.js": ("text/javascript; charset=utf-8", "no-cache"),
        "/fonts/a.woff2": ("font/woff2", "no-cache"),
        "/icons.min.css": ("text/css; charset=utf-8", "no-cache"),
    }
    for path, headers in expected.items():
        answer = await house.http.get(path)
        found = (answer.headers["content-type"], answer.headers["cache-control"])
        assert (answer.status_code, found) == (200, headers), path
    known = {"If-None-Match": (await house.http.get("/scripts/app.js")).headers["etag"]}
    assert (await house.http.get("/scripts/app.js", headers=known)).status_code == 304
    outside = (
        "/user.css",
        "/assets/none.js",
        "/unknown",
        "/assets/..%2f..%2fsecret.txt",
        "/assets",
    )
    for path in outside:
        assert (await house.http.get(path)).status_code == 404, path
    assert "Make a picture" in (await house.http.get("/page")).text


@pytest.mark.usefixtures("installed")
async def test_whoever_has_no_key_is_asked_for_one_before_the_editor(engine: AsyncEngine):
    async with open_house(engine, auth="keys") as house:
        root = await house.http.get("/")
        assert (root.status_code, root.headers["location"]) == (303, "/login")
        cookie = {"Cookie": f"studio_token={token_of(await new_key(engine, 'acme', 'ann'))}"}
        assert "An editor" in (await house.http.get("/", headers=cookie)).text


async def test_without_the_editor_the_page_says_how_to_get_it(engine: AsyncEngine):
    async with open_house(engine, editor=False) as house:
        page = (await house.http.get("/")).text
        assert "hanzo-studio[editor]" in page
        assert (await house.http.get("/assets/index.js")).status_code == 404
        assert "Not installed" in (await house.http.get("/licences")).text


async def test_the_licences_name_the_editor_and_its_source(installed: editor.Editor, house: House):
    page = (await house.http.get("/licences")).text
    assert "General Public License" in page
    assert "https://github.com/Comfy-Org/ComfyUI_frontend/tree/v1.2.3" in page
    assert installed.version in page
    text = await house.http.get("/licences/gpl-3.0.txt")
    assert "GNU GENERAL PUBLIC LICENSE" in text.text


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/i18n", {}),
        ("/api/global_subgraphs", {}),
        ("/node_replacements", {}),
        ("/api/workflow_templates", {}),
        ("/templates/index_logo.json", {}),
        ("/internal/folder_paths", {}),
        ("/internal/files/input", []),
        ("/internal/files/output", []),
        ("/api/experiment/models", []),
    ],
)
async def test_what_there_is_none_of_is_empty(house: House, path: str, answer: Any):
    found = await house.http.get(path)
    assert (found.status_code, found.json()) == (200, answer)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/global_subgraphs/a", 404),
        ("GET", "/experiment/models/none", 404),
        ("GET", "/experiment/models/preview/checkpoints/0/a%2Fb.safetensors", 404),
        ("GET", "/view_metadata/checkpoints?filename=a.safetensors", 404),
        ("GET", "/internal/files/other", 400),
        ("GET", "/docs/NoSuchNode/en.md", 404),
        ("GET", "/templates/no_such.json", 404),
        ("GET", "/templates/no_such-1.webp", 404),
        ("GET", "/templates/sd15-1.png", 404),
        ("GET", "/templates/..%2Fsd15.json", 404),
        ("GET", "/workflow_templates/pack/sd15.json", 404),
        ("POST", "/free", 200),
        ("PATCH", "/internal/logs/subscribe", 200),
        ("POST", "/users", 400),
    ],
)
async def test_every_small_question_has_its_status(
    house: House, method: str, path: str, status: int
):
    assert (await house.http.request(method, path)).status_code == status


@pytest.mark.parametrize("file", ["index.json", "index.ja.json", "index.pt-BR.json"])
async def test_the_templates_are_listed_in_every_language(house: House, file: str):
    listed = (await house.http.get(f"/templates/{file}")).json()
    assert [group["title"] for group in listed] == ["Pictures", "Videos", "Techniques"]
    assert {group["moduleName"] for group in listed} == {"default"}


async def test_each_template_has_a_workflow_and_a_picture(house: House):
    for template in TEMPLATES:
        workflow = (await house.http.get(f"/templates/{template.name}.json")).json()
        assert workflow["nodes"]
        for number in (1, 2):
            answer = await house.http.get(f"/templates/{template.name}-{number}.webp")
            assert answer.headers["content-type"] == "image/webp"
            assert min(Image.open(io.BytesIO(answer.content)).size) >= 256


@pytest.mark.usefixtures("installed")
async def test_a_browser_that_comes_for_the_first_time_is_led_to_the_demo(house: House):
    browser = {"Accept": "text/html,*/*;q=0.8"}
    first = await house.http.get("/", headers=browser)
    assert (first.status_code, first.headers["location"]) == (302, f"/?template={DEMO}")
    assert "An editor" in (await house.http.get(first.headers["location"], headers=browser)).text
    assert "An editor" in (await house.http.get("/", headers=browser)).text
    house.http.cookies.clear()
    assert (await house.http.get("/?workflows=mine", headers=browser)).status_code == 200
    assert (await house.http.get("/")).status_code == 200


async def test_the_editor_is_not_told_to_begin_with_its_own_graph(house: House):
    for name in ("Comfy.TutorialCompleted", "Comfy.Other"):
        await house.http.post(f"/settings/{name}", json=True)
    assert (await house.http.get("/settings")).json() == {"Comfy.Other": True}
    assert (await house.http.get("/settings/Comfy.TutorialCompleted")).json() is True


async def test_a_node_has_a_page_from_our_own_handbook(house: House):
    page = await house.http.get("/docs/KSampler/en.md")
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text.startswith("# KSampler\n")
    assert "steps" in page.text


async def test_model_files_are_listed_with_sizes_and_times(house: House):
    await house.register_worker("demo.safetensors")

    async def listed() -> bool:
        kinds = (await house.http.get("/experiment/models")).json()
        return [kind["name"] for kind in kinds] == ["checkpoints"]

    await eventually(listed)
    files = (await house.http.get("/api/experiment/models/checkpoints")).json()
    assert [(file["name"], file["size"]) for file in files] == [("demo.safetensors", 1)]
