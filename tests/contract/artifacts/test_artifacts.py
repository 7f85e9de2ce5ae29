"""One suite for all blob stores: what holds in memory holds on a real S3 server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from libs.artifacts.base import ArtifactInfo, Artifacts
from libs.artifacts.memory import MemoryArtifacts
from libs.artifacts.s3 import S3Artifacts, connect
from libs.chassis.embedded.s3 import S3Access, client
from libs.core.errors import Misconfigured, NotFound, Poisoned, Unavailable
from libs.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import LifecycleRuleTypeDef

PNG = b"\x89PNG" + bytes(range(256)) * 8
KEY = "outputs/acme/ada/p-1/1/0-0"


@dataclass
class Subject:
    """A store under test, and how to spoil what it keeps."""

    artifacts: Artifacts
    spoil: Callable[[str], None]


def s3_settings_for(access: S3Access, bucket: str, **changes) -> Settings:
    values = {
        "s3_endpoint": access.endpoint,
        "s3_access_key": access.access_key,
        "s3_secret_key": SecretStr(access.secret_key),
        "s3_region": access.region,
        "s3_output_bucket": bucket,
    }
    return Settings.model_validate(values | changes)


@pytest.fixture(params=["memory", "s3"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "memory":
        memory = MemoryArtifacts()
        yield Subject(memory, memory.spoil)
        return
    access: S3Access = request.getfixturevalue("s3_settings")
    bucket: str = request.getfixturevalue("bucket")
    stored = connect(s3_settings_for(access, bucket))
    await stored.provision()

    def spoil(key: str) -> None:
        s3 = client(access)
        found = s3.get_object(Bucket=bucket, Key=key)
        data = found["Body"].read()
        s3.put_object(Bucket=bucket, Key=key, Body=data[:-1] + b"?", Metadata=found["Metadata"])

    yield Subject(stored, spoil)
    stored.close()


@pytest.fixture
def artifacts(subject: Subject) -> Artifacts:
    return subject.artifacts


@pytest.mark.covers("R260")
async def test_what_is_put_comes_back(artifacts: Artifacts):
    info = await artifacts.put(KEY, PNG, "image/png")
    assert info == ArtifactInfo(KEY, len(PNG), hashlib.sha256(PNG).hexdigest(), "image/png")
    assert await artifacts.get(KEY) == PNG
    assert await artifacts.info(KEY) == info


async def test_an_empty_blob_is_a_blob(artifacts: Artifacts):
    await artifacts.put(KEY, b"", "application/json")
    assert await artifacts.get(KEY) == b""
    info = await artifacts.info(KEY)
    assert info is not None
    assert info.size_bytes == 0


async def test_a_missing_blob_is_not_found(artifacts: Artifacts):
    assert await artifacts.info("inputs/acme/ada/none") is None
    with pytest.raises(NotFound):
        await artifacts.get("inputs/acme/ada/none")
    with pytest.raises(NotFound):
        await artifacts.copy("inputs/acme/ada/none", KEY)


async def test_putting_the_same_again_changes_nothing(artifacts: Artifacts):
    first = await artifacts.put(KEY, PNG, "image/png")
    assert await artifacts.put(KEY, PNG, "image/png") == first
    assert await artifacts.get(KEY) == PNG


async def test_the_last_put_wins(artifacts: Artifacts):
    await artifacts.put(KEY, b"old", "text/plain")
    await artifacts.put(KEY, b"new", "text/plain")
    assert await artifacts.get(KEY) == b"new"


async def test_a_copy_keeps_type_and_digest(artifacts: Artifacts):
    original = await artifacts.put("quarantine/acme/p-1/1/0-0", PNG, "image/png")
    await artifacts.copy(original.key, KEY)
    copied = await artifacts.info(KEY)
    assert copied == ArtifactInfo(KEY, original.size_bytes, original.sha256, "image/png")
    assert await artifacts.get(KEY) == PNG


async def test_deleting_is_final_and_may_be_repeated(artifacts: Artifacts):
    await artifacts.put(KEY, PNG, "image/png")
    await artifacts.delete(KEY)
    await artifacts.delete(KEY)
    assert await artifacts.info(KEY) is None


async def test_a_copy_outlives_its_original(artifacts: Artifacts):
    await artifacts.put("quarantine/a/p/1/0-0", PNG, "image/png")
    await artifacts.copy("quarantine/a/p/1/0-0", KEY)
    await artifacts.delete("quarantine/a/p/1/0-0")
    assert await artifacts.get(KEY) == PNG


async def test_spoilt_bytes_are_never_served(subject: Subject):
    await subject.artifacts.put(KEY, PNG, "image/png")
    await asyncio.to_thread(subject.spoil, KEY)
    with pytest.raises(Poisoned):
        await subject.artifacts.get(KEY)


async def test_many_at_once_do_not_mix(artifacts: Artifacts):
    blobs = {f"inputs/acme/ada/{number}": bytes([number]) * 1000 for number in range(64)}
    await asyncio.gather(*(artifacts.put(key, data, "a/b") for key, data in blobs.items()))
    found = await asyncio.gather(*(artifacts.get(key) for key in blobs))
    assert found == list(blobs.values())


async def test_provisioning_twice_loses_nothing(artifacts: Artifacts):
    await artifacts.put(KEY, PNG, "image/png")
    await artifacts.provision()
    assert await artifacts.get(KEY) == PNG
    assert await artifacts.healthy()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=4096))
def test_any_bytes_come_back_from_memory(data: bytes):
    async def round_trip() -> bytes:
        artifacts = MemoryArtifacts()
        await artifacts.put(KEY, data, "application/octet-stream")
        return await artifacts.get(KEY)

    assert asyncio.run(round_trip()) == data


@pytest.fixture
async def unmade(s3_settings: S3Access, bucket: str) -> AsyncIterator[S3Artifacts]:
    artifacts = connect(s3_settings_for(s3_settings, bucket))
    yield artifacts
    artifacts.close()


async def test_a_missing_bucket_is_named(unmade: S3Artifacts, bucket: str):
    assert not await unmade.healthy()
    with pytest.raises(Unavailable, match=bucket):
        await unmade.put(KEY, PNG, "image/png")
    with pytest.raises(Unavailable, match=bucket):
        await unmade.get(KEY)


async def test_a_wrong_secret_is_told_apart(s3_settings: S3Access, bucket: str):
    wrong = connect(s3_settings_for(s3_settings, bucket, s3_secret_key=SecretStr("wrong" * 8)))
    assert not await wrong.healthy()
    with pytest.raises(Misconfigured, match="S3_SECRET_KEY"):
        await wrong.provision()
    with pytest.raises(Unavailable, match="S3_SECRET_KEY"):
        await wrong.get(KEY)
    wrong.close()


async def test_a_server_that_is_not_there_is_unavailable(s3_settings: S3Access, bucket: str):
    nowhere = connect(s3_settings_for(s3_settings, bucket, s3_endpoint="http://127.0.0.1:9"))
    assert not await nowhere.healthy()
    with pytest.raises(Unavailable, match="S3_ENDPOINT"):
        await nowhere.put(KEY, PNG, "image/png")
    nowhere.close()


def test_without_an_endpoint_nothing_starts():
    with pytest.raises(Misconfigured, match="S3_ENDPOINT"):
        connect(Settings(s3_endpoint=""))


async def test_results_of_nodes_go_by_themselves_and_an_operators_rules_stay(
    s3_settings: S3Access, bucket: str
) -> None:
    s3 = client(s3_settings)
    s3.create_bucket(Bucket=bucket)
    theirs: LifecycleRuleTypeDef = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 3},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [theirs]})
    stored = connect(s3_settings_for(s3_settings, bucket))
    await stored.provision()
    await stored.provision()
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert [(rule["ID"], rule["Filter"]["Prefix"]) for rule in rules] == [
        ("theirs", "logs/"),
        ("studio-results", "results/"),
    ]
