"""Results of nodes are kept sealed for other workers, and trouble there is never a run's."""

from __future__ import annotations

from unittest.mock import ANY

from libs.artifacts.base import ArtifactInfo
from libs.artifacts.keys import result_key
from libs.artifacts.memory import MemoryArtifacts
from libs.core.errors import Unavailable
from libs.sealed.vault import MemoryVault
from services.gpu_worker import kept
from services.gpu_worker.kept import KeptResults


async def test_what_one_worker_kept_another_one_fetches() -> None:
    artifacts = MemoryArtifacts()
    vault = MemoryVault(artifacts)
    first, second = (KeptResults(artifacts, vault, "acme", "ada") for _ in range(2))
    first.keep("d1", b"a picture\nof two lines")
    await first.settled()
    assert await second.known(["d0", "d1"]) == {"d1": ANY}
    assert await second.fetch("d1") == b"a picture\nof two lines"


async def test_it_lies_sealed_and_belongs_to_its_person_alone() -> None:
    artifacts = MemoryArtifacts()
    vault = MemoryVault(artifacts)
    results = KeptResults(artifacts, vault, "acme", "ada")
    results.keep("d1", b"secret words")
    await results.settled()
    assert b"secret" not in await artifacts.get(result_key("acme", "ada", "d1"))
    for tenant, user in (("acme", "bob"), ("other", "ada")):
        others = KeptResults(artifacts, vault, tenant, user)
        assert await others.known(["d1"]) == {}
        assert await others.fetch("d1") is None


async def test_it_is_gone_with_the_key_of_its_person() -> None:
    artifacts = MemoryArtifacts()
    vault = MemoryVault(artifacts)
    results = KeptResults(artifacts, vault, "acme", "ada")
    results.keep("d1", b"secret words")
    await results.settled()
    await vault.destroy("acme", "ada")
    assert await results.fetch("d1") is None


class Down(MemoryArtifacts):
    """A storage that does not answer."""

    async def get(self, key: str) -> bytes:
        raise Unavailable("down", key=key)

    async def info(self, key: str) -> ArtifactInfo | None:
        raise Unavailable("down", key=key)

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        raise Unavailable("down", key=key, mime=mime, size_bytes=len(data))


async def test_a_storage_that_is_down_is_a_miss() -> None:
    results = KeptResults(Down(), MemoryVault(MemoryArtifacts()), "acme", "ada")
    results.keep("d1", b"words")
    await results.settled()
    assert await results.known(["d1"]) == {}
    assert await results.fetch("d1") is None


async def test_more_than_can_be_put_at_once_is_not_kept() -> None:
    artifacts = MemoryArtifacts()
    results = KeptResults(artifacts, MemoryVault(artifacts), "acme", "ada")
    names = [f"d{number}" for number in range(kept.UNDER_WAY_MAX + 3)]
    for name in names:
        results.keep(name, b"words")
    await results.settled()
    assert await results.known(names) == dict.fromkeys(names[: kept.UNDER_WAY_MAX], ANY)
