"""Files out and in: released pictures, uploads, and paths that lead elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.integration.gateway.house import House, eventually, open_house


def picture(form: str = "PNG", size: tuple[int, int] = (8, 6), color: Any = (255, 0, 0)) -> bytes:
    """Return a small picture."""
    out = io.BytesIO()
    Image.new("RGBA" if len(color) == 4 else "RGB", size, color).save(out, form)
    return out.getvalue()


async def made(house: House, data: bytes, **more: Any) -> str:
    """Let a prompt make one file; return its name once it is in the history."""
    house.accept_all()
    prompt_id = await house.post()
    output = await house.run(prompt_id, data, **more)

    async def ended() -> bool:
        return bool((await house.http.get(f"/history/{prompt_id}")).json())

    await eventually(ended)
    return output.filename


async def upload(house: House, data: bytes, name: str = "a.png", **fields: str) -> Any:
    """Upload a picture; return the whole answer."""
    files = {"image": (name, data, "application/octet-stream")}
    return await house.http.post("/upload/image", files=files, data=fields)


@pytest.mark.covers("R202", "R206", "R207")
@pytest.mark.parametrize(
    ("form", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
async def test_a_released_picture_is_served_byte_for_byte(house: House, form: str, mime: str):
    data = picture(form)
    name = await made(house, data, mime=mime, filename=f"x y [1].{form.lower()}")
    for path in ("/view", "/api/view"):
        answer = await house.http.get(path, params={"filename": name})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == mime
        assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()
        assert answer.headers["content-disposition"] == f'filename="{name}"'
        assert answer.headers["x-content-type-options"] == "nosniff"
    tag = answer.headers["etag"]
    again = await house.http.get(
        "/view", params={"filename": f"{name} [output]"}, headers={"If-None-Match": tag}
    )
    assert again.status_code == 304


@pytest.mark.covers("R002")
@pytest.mark.parametrize("mime", ["video/mp4", "video/webm", "image/gif"])
async def test_a_film_is_served_whole_and_in_the_parts_that_players_ask_for(
    house: House, mime: str
):
    data = bytes(range(256)) * 4
    name = await made(house, data, mime=mime, filename=f"film.{mime[6:]}")

    async def asked(span: str, **headers: str) -> Any:
        headers = {"Range": span, **headers}
        return await house.http.get("/view", params={"filename": name}, headers=headers)

    whole = await house.http.get("/view", params={"filename": name})
    assert (whole.status_code, whole.content) == (200, data)
    for header, told in (
        ("content-type", mime),
        ("accept-ranges", "bytes"),
        ("content-disposition", f'filename="{name}"'),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ):
        assert whole.headers[header] == told
    part = await asked("bytes=10-19")
    assert (part.status_code, part.content) == (206, data[10:20])
    assert part.headers["content-range"] == "bytes 10-19/1024"
    assert part.headers["content-type"] == mime
    assert (await asked("bytes=1000-")).content == data[1000:]
    assert (await asked("bytes=-24")).content == data[1000:]
    assert (await asked("bytes=0-99999")).headers["content-range"] == "bytes 0-1023/1024"
    beyond = await asked("bytes=1024-")
    assert (beyond.status_code, beyond.content) == (416, b"")
    assert beyond.headers["content-range"] == "bytes */1024"
    for odd in ("bytes=0-1,5-6", "bytes=-", "bytes=9-1", "pages=1-2"):
        assert (await asked(odd)).status_code == 200
    assert (await asked("bytes=0-1", **{"If-Range": '"old"'})).status_code == 200


async def test_a_gif_is_shown_smaller_and_not_uploaded(house: House):
    name = await made(house, picture("GIF"), mime="image/gif", filename="a.gif")
    answer = await house.http.get("/view", params={"filename": name, "preview": "webp;80"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    assert (await upload(house, picture("GIF"), "a.gif")).status_code == 415


@pytest.mark.covers("R204", "R205")
async def test_subfolder_and_type_are_part_of_the_name(house: House):
    name = await made(house, picture(), subfolder="a/b", folder="temp")

    async def status(**params: str) -> int:
        return (await house.http.get("/view", params={"filename": name, **params})).status_code

    assert await status(subfolder="a/b", type="temp") == 200
    assert await status(subfolder="a//b/", type="temp") == 200
    assert await status(subfolder="a/b") == 404
    assert await status(type="temp") == 404
    assert await status(subfolder="a/b", type="input") == 404
    assert await status(subfolder="a/b", type="models") == 400


@pytest.mark.covers("R203", "R204", "R205", "R378")
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("filename=", 400),
        ("filename=/etc/passwd", 400),
        ("filename=%2Fetc%2Fpasswd", 400),
        ("filename=../secret.png", 400),
        ("filename=%2e%2e%2fsecret.png", 400),
        ("filename=a/../../b.png", 400),
        ("filename=..%5C..%5Cb.png", 400),
        ("filename=%5C%5Cserver%5Cb.png", 400),
        ("filename=a%00.png", 400),
        ("filename=a.png&subfolder=..", 403),
        ("filename=a.png&subfolder=a/../../b", 403),
        ("filename=a.png&subfolder=/etc", 403),
        ("filename=a.png&subfolder=%2e%2e%2f", 403),
        ("filename=a.png&subfolder=C:%5C", 403),
        ("filename=a.png&subfolder=a%00b", 403),
        ("filename=a.png&type=..", 400),
        ("filename=a.png&channel=x", 400),
        ("filename=%252e%252e%252fb.png", 404),
        ("filename=a.png", 404),
        ("filename=" + "a" * 5_000, 400),
    ],
)
async def test_paths_that_lead_elsewhere_are_refused(house: House, query: str, status: int):
    answer = await house.http.get(f"/view?{query}")
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "node_errors"}


async def test_a_picture_can_be_seen_smaller_or_by_channel(house: House):
    name = await made(house, picture("PNG", color=(255, 0, 0, 128)))

    async def seen(**params: str) -> Image.Image:
        answer = await house.http.get("/view", params={"filename": name, **params})
        assert answer.status_code == 200
        image = Image.open(io.BytesIO(answer.content))
        assert answer.headers["content-type"] == f"image/{str(image.format).lower()}"
        return image

    assert (await seen(preview="webp;80")).format == "WEBP"
    assert (await seen(preview="jpeg;nonsense")).format == "JPEG"
    assert (await seen(preview="")).format == "WEBP"
    assert (await seen(channel="rgb")).mode == "RGB"
    alpha = await seen(channel="a")
    assert alpha.getpixel((0, 0)) == (0, 0, 0, 128)


async def test_what_is_no_picture_is_never_shown_inline(house: House):
    page = b"<script>alert(1)</script>"
    name = await made(house, page, mime="text/html", filename="x.html")
    answer = await house.http.get("/view", params={"filename": name})
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    preview = await house.http.get("/view", params={"filename": name, "preview": "webp"})
    assert preview.status_code == 415


@pytest.mark.covers("R003")
async def test_a_mesh_is_served_as_what_it_is(house: House):
    name = await made(house, b"glTF", mime="model/gltf-binary", filename="x.glb")
    answer = await house.http.get("/view", params={"filename": name})
    assert answer.headers["content-type"] == "model/gltf-binary"
    assert answer.content == b"glTF"
    assert "sandbox" in answer.headers["content-security-policy"]


async def test_a_picture_that_is_not_released_is_not_there(house: House):
    house.accept_all()
    prompt_id = await house.post()
    await house.lease(prompt_id)
    await house.start(prompt_id)
    output = await house.output(prompt_id, data=picture())
    await house.node_done(prompt_id, output)
    await asyncio.sleep(0.3)
    for params in (
        {"filename": output.filename},
        {"filename": output.artifact},
        {"filename": output.artifact.rpartition("/")[2], "subfolder": "quarantine"},
    ):
        assert (await house.http.get("/view", params=params)).status_code == 404


@pytest.mark.covers("R377", "P05")
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_an_upload_is_sealed_listed_and_served_to_its_owner(house: House, form: str):
    data = picture(form)
    answer = await upload(house, data, "my picture.png", subfolder="a/b")
    assert answer.json() == {"name": "my picture.png", "subfolder": "a/b", "type": "input"}
    params = {"filename": "my picture.png", "subfolder": "a/b", "type": "input"}
    seen = await house.http.get("/view", params=params)
    assert seen.content == data
    assert seen.headers["content-type"] == f"image/{form.lower()}"
    (key,) = [key for key in house.artifacts._kept if key.startswith("inputs/local/local/")]
    assert data not in await house.artifacts.get(key)
    listed = (await house.http.get("/object_info/LoadImage")).text
    assert "a/b/my picture.png" in listed


async def test_an_upload_of_a_taken_name_gets_a_number_unless_it_is_the_same(house: House):
    red, blue = picture(), picture(color=(0, 0, 255))

    async def name(data: bytes, **fields: str) -> str:
        return str((await upload(house, data, **fields)).json()["name"])

    assert await name(red) == "a.png"
    assert await name(red) == "a.png"
    assert await name(blue) == "a (1).png"
    assert await name(blue) == "a (1).png"
    assert await name(picture(color=(0, 255, 0)), overwrite="true") == "a.png"
    seen = await house.http.get("/view", params={"filename": "a.png", "type": "input"})
    assert seen.content == picture(color=(0, 255, 0))
    assert await name(red, type="temp") == "a.png"


@pytest.mark.covers("R377")
@pytest.mark.parametrize(
    "data",
    [
        picture("GIF"),
        picture("BMP"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<html></html>",
        b"",
        picture()[:20],
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
    ],
)
async def test_what_is_no_png_jpeg_or_webp_is_refused_whatever_its_name(house: House, data: bytes):
    answer = await upload(house, data, "a.png")
    assert answer.status_code == 415
    assert answer.json()["error"]["extra_info"]["field"] == "image"


@pytest.mark.covers("R376", "P05")
async def test_uploads_are_bounded_in_bytes_and_pixels(engine: AsyncEngine):
    async with open_house(engine, upload_bytes_max=100_000, upload_pixels_max=100) as house:
        exact = picture() + b"\0" * (100_000 - len(picture()))
        assert (await upload(house, exact)).status_code == 200
        beyond = await upload(house, exact + b"\0")
        assert beyond.status_code == 413
        assert beyond.json()["error"]["extra_info"]["limit"] == 100_000
        assert (await upload(house, exact * 3)).status_code == 413
        assert (await upload(house, picture(size=(11, 10)))).status_code == 413


@pytest.mark.covers("R376")
def test_the_limit_of_an_upload_is_twenty_mebibytes():
    from services.gateway.settings import GatewaySettings

    assert GatewaySettings().upload_bytes_max == 20 * 1024 * 1024


@pytest.mark.covers("R378")
@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("../a.png", {}, 400),
        ("/etc/a.png", {}, 400),
        ("a\\b.png", {}, 400),
        ("a.png", {"subfolder": "../b"}, 403),
        ("a.png", {"subfolder": "/b"}, 403),
        ("a.png", {"type": "output"}, 400),
        ("a.png", {"type": "models"}, 400),
        ("a" * 300 + ".png", {}, 400),
    ],
)
async def test_uploads_stay_in_their_folder(
    house: House, name: str, fields: dict[str, str], status: int
):
    assert (await upload(house, picture(), name, **fields)).status_code == status


@pytest.mark.covers("R184")
@pytest.mark.parametrize("path", ["/upload/image", "/api/upload/image", "/upload/mask"])
@pytest.mark.parametrize("label", ["", "application/json", "text/plain", "multipart/mixed"])
async def test_what_is_no_form_is_refused_by_its_label(house: House, path: str, label: str):
    headers = {"Content-Type": label} if label else {}
    answer = await house.http.post(path, content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]["extra_info"]["field"] == "Content-Type"


async def test_broken_forms_are_refused(house: House):
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    for headers, body in (
        ({"Content-Type": "multipart/form-data"}, b"abc"),
        (multipart, b"abc"),
        (multipart, b"--x\r\n\r\n--x--"),
        (multipart, b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n'),
    ):
        answer = await house.http.post("/upload/image", content=body, headers=headers)
        assert answer.status_code == 400, (body, answer.text)
        assert "error" in answer.json()


@pytest.mark.covers("P05")
async def test_a_mask_is_laid_onto_its_original_and_the_texts_stay(house: House):
    texts = PngInfo()
    texts.add_text("prompt", "{}")
    out = io.BytesIO()
    Image.new("RGB", (8, 6), (255, 0, 0)).save(out, "PNG", pnginfo=texts)
    await upload(house, out.getvalue())
    reference = {"filename": "a.png", "subfolder": "", "type": "input"}
    answer = await house.http.post(
        "/upload/mask",
        files={"image": ("masked.png", picture(color=(0, 0, 0, 7)), "image/png")},
        data={"original_ref": json.dumps(reference)},
    )
    assert answer.json()["name"] == "masked.png"
    seen = await house.http.get("/view", params={"filename": "masked.png", "type": "input"})
    image = Image.open(io.BytesIO(seen.content))
    assert image.getpixel((0, 0)) == (255, 0, 0, 7)
    assert image.info["prompt"] == "{}"
    for original_ref in ("", "{", "[]", '{"filename": "../a"}'):
        bad = await house.http.post(
            "/upload/mask",
            files={"image": ("m.png", picture(), "image/png")},
            data={"original_ref": original_ref},
        )
        assert bad.status_code == 400
