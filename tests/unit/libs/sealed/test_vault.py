"""What every vault promises."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.artifacts.memory import MemoryArtifacts
from libs.core.errors import NotFound, Poisoned
from libs.events.base import Sealed
from libs.sealed.base import INLINE_BYTES_MAX
from libs.sealed.vault import MemoryVault

WORKFLOW = {"prompt": {"6": {"inputs": {"text": "a zebrafish in a lighthouse"}}}, "seed": 2**64 - 1}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


async def test_a_value_comes_back_as_it_was_sealed_and_is_nowhere_in_the_clear(safe):
    sealed = await safe.vault.seal("acme", "ada", WORKFLOW)
    assert sealed.inline is not None
    assert b"zebrafish" not in base64.b64decode(sealed.inline)
    assert "zebrafish" not in sealed.model_dump_json()
    assert await safe.vault.open("acme", sealed) == WORKFLOW


@given(JSON)
async def test_any_json_comes_back(value):
    vault = MemoryVault(MemoryArtifacts())
    assert await vault.open("acme", await vault.seal("acme", "ada", value)) == value


async def test_half_a_surrogate_pair_comes_back(safe):
    value = json.loads('"\\ud83d"')
    assert await safe.vault.open("acme", await safe.vault.seal("acme", "ada", value)) == value


async def test_a_large_value_goes_to_the_artifacts_sealed(safe):
    value = "zebrafish " * (INLINE_BYTES_MAX // 10)
    sealed = await safe.vault.seal("acme", "ada", value)
    assert sealed.inline is None
    assert sealed.artifact is not None
    assert sealed.artifact.startswith("workflows/acme/")
    assert b"zebrafish" not in await safe.artifacts.get(sealed.artifact)
    assert sealed.clear_bytes == len(value) + 2
    assert await safe.vault.open("acme", sealed) == value


@pytest.mark.parametrize("size_bytes", [0, 1, 3 * 1024 * 1024])
async def test_a_blob_comes_back(safe, size_bytes):
    data = b"\x89" * size_bytes
    kid, ciphertext = await safe.vault.seal_bytes("acme", "ada", data)
    assert ciphertext != data
    assert await safe.vault.open_bytes("acme", kid, ciphertext) == data


async def test_one_user_has_one_key_however_many_ask_at_first(safe):
    sealed = await asyncio.gather(*(safe.vault.seal("acme", "ada", n) for n in range(20)))
    assert len({one.kid for one in sealed}) == 1


async def test_users_and_tenants_have_keys_of_their_own(safe):
    owners = [("acme", "ada"), ("acme", "bob"), ("other", "ada")]
    kids = {(await safe.vault.seal(tenant, user, 1)).kid for tenant, user in owners}
    assert len(kids) == 3


async def test_another_tenant_cannot_open_it(safe):
    sealed = await safe.vault.seal("acme", "ada", WORKFLOW)
    with pytest.raises(NotFound):
        await safe.vault.open("other", sealed)


async def test_a_value_under_another_key_does_not_open(safe):
    of_ada = await safe.vault.seal("acme", "ada", 1)
    of_bob = await safe.vault.seal("acme", "bob", 2)
    with pytest.raises(Poisoned):
        await safe.vault.open("acme", of_ada.model_copy(update={"kid": of_bob.kid}))


@pytest.mark.parametrize("place", [0, 5, 20, -1])
async def test_a_single_changed_byte_does_not_open(safe, place):
    kid, ciphertext = await safe.vault.seal_bytes("acme", "ada", b"picture")
    changed = bytearray(ciphertext)
    changed[place] ^= 1
    with pytest.raises(Poisoned):
        await safe.vault.open_bytes("acme", kid, bytes(changed))


@pytest.mark.parametrize("inline", ["", "AQ==", "no base64 at all!"])
async def test_what_is_no_ciphertext_is_poison(safe, inline):
    kid = (await safe.vault.seal("acme", "ada", 1)).kid
    with pytest.raises(Poisoned):
        await safe.vault.open("acme", Sealed(kid=kid, inline=inline))


async def test_a_key_that_never_was_is_not_found(safe):
    with pytest.raises(NotFound) as raised:
        await safe.vault.open("acme", Sealed(kid="nobody", inline=""))
    assert raised.value.kind == "not_found"


async def test_an_erased_person_is_unreadable_for_ever_and_others_are_not(safe):
    of_ada = await safe.vault.seal("acme", "ada", WORKFLOW)
    large = await safe.vault.seal("acme", "ada", "x" * 2 * INLINE_BYTES_MAX)
    of_bob = await safe.vault.seal("acme", "bob", 2)
    assert await safe.vault.destroy("acme", "ada") == 1
    assert await safe.vault.destroy("acme", "ada") == 0
    for sealed in (of_ada, large):
        with pytest.raises(NotFound) as raised:
            await safe.vault.open("acme", sealed)
        assert raised.value.kind == "erased"
    assert await safe.vault.open("acme", of_bob) == 2


async def test_after_an_erasure_a_new_key_begins(safe):
    before = await safe.vault.seal("acme", "ada", 1)
    await safe.vault.destroy("acme", "ada")
    after = await safe.vault.seal("acme", "ada", 2)
    assert after.kid != before.kid
    assert await safe.vault.open("acme", after) == 2


async def test_a_keyed_digest_compares_but_only_for_the_same_person(safe):
    once, again = [await safe.vault.mac("acme", "ada", b"body") for _ in range(2)]
    assert once == again
    assert await safe.vault.mac("acme", "ada", b"other body") != once
    assert await safe.vault.mac("acme", "bob", b"body") != once
    assert await safe.vault.mac("other", "ada", b"body") != once
    await safe.vault.destroy("acme", "ada")
    assert await safe.vault.mac("acme", "ada", b"body") != once
