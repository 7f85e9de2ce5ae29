"""Blobs in S3, through boto3 in a bounded pool of threads."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from libs.artifacts.base import ArtifactInfo
from libs.artifacts.keys import RESULT_DAYS, RESULTS
from libs.core.errors import Misconfigured, NotFound, Poisoned, StudioError, Unavailable
from libs.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import LifecycleRuleTypeDef

log = structlog.get_logger(__name__)
T = TypeVar("T")

THREADS = 16
CONNECT_SECONDS = 3
READ_SECONDS = 30
TRIES = 4
DIGEST = "sha256"
LOGIN_CODES = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
MISSING_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
NO_RULES = "NoSuchLifecycleConfiguration"
RESULTS_RULE = "studio-results"
OURS_ALREADY_CODES = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


def connect(settings: Settings, bucket: str = "") -> S3Artifacts:
    """Return the blobs of `bucket`, or of the output bucket when none is named."""
    if not settings.s3_endpoint:
        raise Misconfigured("S3_ENDPOINT is empty: give the address of an S3 server")
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        region_name=settings.s3_region,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=THREADS,
            # Not every S3 server knows the checksums that newer clients add unasked.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # An address without a name of its own for each bucket works everywhere.
            s3={"addressing_style": "path"},
        ),
    )
    return S3Artifacts(client, bucket or settings.s3_output_bucket)


class S3Artifacts:
    """An `Artifacts` in one bucket; every blob carries the sha256 it was put with."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="s3")

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        """Store `data`."""
        digest = hashlib.sha256(data)
        await self._call(
            key,
            partial(
                self._client.put_object,
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType=mime,
                Metadata={DIGEST: digest.hexdigest()},
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
            ),
        )
        return ArtifactInfo(key, len(data), digest.hexdigest(), mime)

    async def get(self, key: str) -> bytes:
        """Return the bytes, checked."""
        data, expected = await self._call(key, partial(self._get, key))
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise Poisoned(
                "the stored bytes are not those that were put",
                key=key,
                expected=expected,
                found=found,
            )
        return data

    async def info(self, key: str) -> ArtifactInfo | None:
        """Return what is known of `key`, or None."""
        try:
            head = await self._call(
                key, partial(self._client.head_object, Bucket=self._bucket, Key=key)
            )
        except NotFound:
            return None
        return ArtifactInfo(
            key, head["ContentLength"], head["Metadata"].get(DIGEST, ""), head["ContentType"]
        )

    async def copy(self, source: str, target: str) -> None:
        """Copy on the server's side, with all that is known of the blob."""
        await self._call(
            source,
            partial(
                self._client.copy_object,
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": source},
                MetadataDirective="COPY",
            ),
        )

    async def delete(self, key: str) -> None:
        """Remove `key` if it is there."""
        await self._call(key, partial(self._client.delete_object, Bucket=self._bucket, Key=key))

    async def provision(self) -> None:
        """Create the bucket if it is missing; Misconfigured when the login does not allow it.

        What is kept for a while only is given an end, where the storage knows such rules.
        """
        try:
            await self._call("", self._make_bucket)
        except Unavailable as error:
            if error.facts.get("reason") in LOGIN_CODES:
                raise Misconfigured(error.message, **error.facts) from error
            raise
        try:
            await self._call("", self._let_results_go)
        except StudioError as error:
            log.warning("results are kept for ever", bucket=self._bucket, reason=str(error))

    async def healthy(self) -> bool:
        """Say whether the bucket is there and ours."""
        try:
            await self._call("", partial(self._client.head_bucket, Bucket=self._bucket))
        except StudioError as error:
            log.warning("s3 trouble", reason=str(error))
            return False
        return True

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False)
        self._client.close()

    def _get(self, key: str) -> tuple[bytes, str]:
        answer = self._client.get_object(Bucket=self._bucket, Key=key)
        return answer["Body"].read(), answer["Metadata"].get(DIGEST, "")

    def _make_bucket(self) -> None:
        try:
            self._client.create_bucket(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) not in OURS_ALREADY_CODES:
                raise
            self._client.head_bucket(Bucket=self._bucket)

    def _let_results_go(self) -> None:
        rules = self._rules()
        if any(rule.get("ID") == RESULTS_RULE for rule in rules):
            return
        ours: LifecycleRuleTypeDef = {
            "ID": RESULTS_RULE,
            "Status": "Enabled",
            "Filter": {"Prefix": RESULTS},
            "Expiration": {"Days": RESULT_DAYS},
        }
        self._client.put_bucket_lifecycle_configuration(
            Bucket=self._bucket, LifecycleConfiguration={"Rules": [*rules, ours]}
        )

    def _rules(self) -> list[LifecycleRuleTypeDef]:
        """Return the rules that an operator made; ours stands beside them."""
        try:
            found = self._client.get_bucket_lifecycle_configuration(Bucket=self._bucket)
        except ClientError as error:
            if _code(error) != NO_RULES:
                raise
            return []
        return cast("list[LifecycleRuleTypeDef]", found["Rules"])

    async def _call(self, key: str, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except ClientError as error:
            raise self._ours(key, _code(error)) from error
        except BotoCoreError as error:
            raise Unavailable(
                "the S3 server is not reached; see S3_ENDPOINT",
                key=key,
                reason=type(error).__name__,
            ) from error

    def _ours(self, key: str, code: str) -> StudioError:
        if code == "NoSuchBucket" or (code in MISSING_CODES and not key):
            return Unavailable(
                "the S3 bucket does not exist", bucket=self._bucket, key=key, reason=code
            )
        if code in MISSING_CODES:
            return NotFound("there is no such artifact", key=key)
        if code in LOGIN_CODES:
            return Unavailable(
                "the S3 server refuses S3_ACCESS_KEY and S3_SECRET_KEY",
                bucket=self._bucket,
                key=key,
                reason=code,
            )
        return Unavailable("the S3 server refused", bucket=self._bucket, key=key, reason=code)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
