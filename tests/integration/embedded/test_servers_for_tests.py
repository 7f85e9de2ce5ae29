"""The fixtures that other tests stand on."""

from __future__ import annotations

import asyncpg
import pytest

from libs.chassis.embedded.s3 import S3Access, client
from libs.settings import Settings


async def test_a_fresh_database_is_empty_and_reachable(fresh_database: str) -> None:
    connection = await asyncpg.connect(fresh_database.replace("+asyncpg", "", 1))
    tables = await connection.fetchval(
        "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    )
    await connection.close()
    assert tables == 0


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_has_a_bucket_name_of_its_own(
    s3_settings: S3Access, bucket: str, turn: int
) -> None:
    s3 = client(s3_settings)
    assert bucket not in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"x" * turn)
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x" * turn


def test_all_servers_are_in_the_settings(
    studio_settings: Settings, nats_url: str, fresh_database: str, s3_settings: S3Access
) -> None:
    assert studio_settings.nats_url == nats_url
    assert studio_settings.database_url == fresh_database
    assert studio_settings.s3_endpoint == s3_settings.endpoint
