"""What services keep beside the read models: uploads and API keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.store.engine import reading, writing
from libs.store.readmodels import api_keys, uploads
from libs.store.readmodels.uploads import UploadRow
from tests.contract.store.lives import NOON

UPLOAD = UploadRow(
    tenant="acme",
    user_id="ada",
    folder="input",
    subfolder="",
    name="cat.png",
    artifact="inputs/acme/ada/00",
    kid="k1",
    digest="00",
    mime="image/png",
    size_bytes=3,
    created=NOON,
)


async def test_an_upload_is_found_by_its_owner_alone(database):
    async with writing(database) as connection:
        assert await uploads.add(connection, UPLOAD)
    async with reading(database) as connection:
        assert await uploads.find(connection, "acme", "ada", "input", "", "cat.png") == UPLOAD
        for other in (("acme", "bob"), ("other", "ada")):
            assert await uploads.find(connection, *other, "input", "", "cat.png") is None
            assert await uploads.names(connection, *other) == []


async def test_a_taken_name_stays_unless_it_may_be_overwritten(database):
    newer = replace(UPLOAD, artifact="inputs/acme/ada/01", digest="01")
    async with writing(database) as connection:
        await uploads.add(connection, UPLOAD)
        assert not await uploads.add(connection, newer)
        assert await uploads.find(connection, "acme", "ada", "input", "", "cat.png") == UPLOAD
        assert await uploads.add(connection, newer, overwrite=True)
        assert await uploads.find(connection, "acme", "ada", "input", "", "cat.png") == newer


async def test_names_are_listed_with_their_subfolder(database):
    async with writing(database) as connection:
        await uploads.add(connection, UPLOAD)
        await uploads.add(connection, replace(UPLOAD, subfolder="pets", name="dog.png"))
        await uploads.add(connection, replace(UPLOAD, folder="temp"))
        assert await uploads.names(connection, "acme", "ada") == ["cat.png", "pets/dog.png"]


async def test_an_api_key_opens_until_it_is_revoked(database):
    async with writing(database) as connection:
        token = await api_keys.add(connection, tenant="acme", user_id="ada", tier="pro")
    key_id = api_keys.key_id_of(token)
    assert key_id is not None
    async with writing(database) as connection:
        found = await api_keys.find_by_digest(connection, api_keys.digest_of(token))
        assert found is not None
        assert (found.key_id, found.tenant, found.user_id, found.tier) == (
            key_id,
            "acme",
            "ada",
            "pro",
        )
        assert await api_keys.revoke(connection, key_id)
        assert not await api_keys.revoke(connection, key_id)
        assert await api_keys.find_by_digest(connection, api_keys.digest_of(token)) is None
        (row,) = await api_keys.all_keys(connection)
        assert row.revoked is not None


async def test_no_token_is_kept(database):
    async with writing(database) as connection:
        token = await api_keys.add(connection, tenant="acme", user_id="ada", tier="pro")
        (row,) = await api_keys.all_keys(connection)
    secret = token.rpartition("-")[2]
    assert secret not in repr(row)


@pytest.mark.parametrize("place", [9, 15, 25, -1])
def test_a_mistyped_token_is_told_without_asking_anybody(place):
    token, key_id = api_keys.new_token()
    assert api_keys.key_id_of(token) == key_id
    typed = list(token)
    typed[place] = "0" if typed[place] != "0" else "1"
    assert api_keys.key_id_of("".join(typed)) is None


@pytest.mark.parametrize("text", ["", "sk-hanzo-", "sk-hanzo-abc-def", "Bearer x"])
def test_what_is_no_token_of_ours_is_told_apart(text):
    assert api_keys.key_id_of(text) is None
