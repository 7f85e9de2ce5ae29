"""The three servers as containers, for whoever has an engine and wants the images of production.

STUDIO_TEST_SERVERS=containers asks for them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from libs.chassis.embedded.s3 import S3Access
from libs.core.errors import Misconfigured

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import WaitStrategy

VARIABLE: Final = "STUDIO_TEST_SERVERS"
START_SECONDS_MAX: Final = 120
USER: Final = "studio"
# Nobody but the tests of one session ever reaches these servers.
PASSWORD: Final = "only-for-tests"
DATABASE: Final = "studio"

Kind = Literal["embedded", "containers"]


@dataclass(frozen=True)
class Ready:
    """The fact that a container is waited for: a line of its log, or a path that answers 200."""

    line: str = ""
    times: int = 1
    path: str = ""


@dataclass(frozen=True)
class Container:
    """A server as an image, and what it is started with."""

    image: str
    port: int
    ready: Ready
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


NATS: Final = Container(
    image="nats:2.15-alpine",
    port=4222,
    ready=Ready(line="Server is ready"),
    command=("-c", "/etc/studio/nats.conf"),
    files={
        "/etc/studio/nats.conf": json.dumps(
            {
                "listen": "0.0.0.0:4222",
                "max_payload": 1024 * 1024,
                "authorization": {"user": USER, "password": PASSWORD},
                "jetstream": {"store_dir": "/data", "sync_interval": "always"},
            }
        )
    },
)
POSTGRES: Final = Container(
    image="postgres:18-alpine",
    port=5432,
    # The first time it is ready only for the scripts that make the database.
    ready=Ready(line="database system is ready to accept connections", times=2),
    command=("postgres", "-c", "max_connections=200"),
    environment={
        "POSTGRES_USER": USER,
        "POSTGRES_PASSWORD": PASSWORD,
        "POSTGRES_DB": DATABASE,
        "POSTGRES_INITDB_ARGS": "--locale=C --encoding=UTF8",
    },
)
S3: Final = Container(
    image="chrislusf/seaweedfs:4.48",
    port=8333,
    ready=Ready(path="/healthz"),
    command=(
        "server",
        "-dir=/data",
        "-ip.bind=0.0.0.0",
        "-master.volumeSizeLimitMB=256",
        "-volume.max=0",
        "-s3",
        "-s3.port=8333",
        # A bucket that is missing must be missed, as on the servers of a cluster.
        "-s3.autoCreateBucket=false",
        "-s3.config=/etc/studio/s3.json",
    ),
    files={
        "/etc/studio/s3.json": json.dumps(
            {
                "identities": [
                    {
                        "name": USER,
                        "credentials": [{"accessKey": USER, "secretKey": PASSWORD}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    },
)


def kind_of_servers() -> Kind:
    """Return which servers tests start; Misconfigured for a kind that there is not."""
    match os.environ.get(VARIABLE, "embedded"):
        case "" | "embedded":
            return "embedded"
        case "containers":
            return "containers"
        case other:
            raise Misconfigured(f"{VARIABLE} must be embedded or containers", received=other)


def nats_url_at(address: str) -> str:
    """Return the URL of the NATS container that listens at `address`."""
    return f"nats://{USER}:{PASSWORD}@{address}"


def database_url_at(address: str) -> str:
    """Return the URL of the PostgreSQL container that listens at `address`."""
    return f"postgresql+asyncpg://{USER}:{PASSWORD}@{address}/{DATABASE}"


def s3_access_at(address: str) -> S3Access:
    """Return how to speak to the S3 container that listens at `address`."""
    return S3Access(endpoint=f"http://{address}", access_key=USER, secret_key=PASSWORD)


@contextmanager
def running(container: Container) -> Iterator[str]:
    """Run a container until the block ends; give the address that its port is reached at."""
    from docker.errors import DockerException

    try:
        started = built(container).start()
    except DockerException as error:
        raise Misconfigured(
            f"{VARIABLE}=containers needs a container engine, and none answers; start Docker or "
            f"Podman (DOCKER_HOST says where), unset {VARIABLE} to use embedded servers, or name "
            "servers with NATS_URL, DATABASE_URL and S3_ENDPOINT",
            image=container.image,
            reason=str(error),
        ) from error
    try:
        host, port = started.get_container_host_ip(), started.get_exposed_port(container.port)
        yield f"{host}:{port}"
    finally:
        started.stop()


def built(container: Container, engine_version: str | None = None) -> DockerContainer:
    """Return a container as testcontainers wants it, not started.

    An engine is asked for its version, unless `engine_version` says it.
    """
    from testcontainers.core.container import DockerContainer

    options = {"version": engine_version} if engine_version else {}
    made = DockerContainer(container.image, docker_client_kw=options)
    made.with_exposed_ports(container.port).waiting_for(_wait_for(container))
    if container.command:
        made.with_command(list(container.command))
    for name, value in container.environment.items():
        made.with_env(name, value)
    for path, text in container.files.items():
        made.with_copy_into_container(text.encode(), path)
    return made


def _wait_for(container: Container) -> WaitStrategy:
    from testcontainers.core.wait_strategies import HttpWaitStrategy, LogMessageWaitStrategy

    ready = container.ready
    strategy: WaitStrategy = (
        HttpWaitStrategy(container.port, ready.path)
        if ready.path
        else LogMessageWaitStrategy(ready.line, times=ready.times)
    )
    return strategy.with_startup_timeout(START_SECONDS_MAX)
