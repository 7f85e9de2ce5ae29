"""`studio audit`: the archive proven, and the read models built anew from it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from libs.settings import Settings
from libs.telemetry.logs import set_up_logs
from services.commands.console import err, errors_end_with, out, print_json
from services.commands.finding import running_settings

if TYPE_CHECKING:
    from services.recorder.rebuilding import Rebuilt
    from services.recorder.verifying import Check, Verified

NOT_SOUND = 1
NOT_REACHED = 2
# A digest of a large table takes its time, and nobody but us waits for it.
COMMAND_SECONDS = 3600.0
KNOWN = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})\Z")
Tell = Callable[[str, int, int], None]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Prove the archive and the read models. Exit code 0: sound, 1: not sound, "
    "2: wrong use, or a server is not reached.",
)


@app.command("verify")
@errors_end_with(NOT_REACHED)
def verify_command(
    known: Annotated[
        str,
        typer.Option(metavar="SEQ:HASH", help="A tip that an earlier verify told; it must hold."),
    ] = "",
    no_stream: Annotated[
        bool, typer.Option("--no-stream", help="Look at PostgreSQL alone, as for a backup.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the archive is what was archived; name the first row that is not.

    Follows the hash chain from the first event to the last, derives every
    column from the bytes anew, and compares the archive with the NATS stream
    as far back as the stream goes. It only reads, and the house may run
    meanwhile: the one on STUDIO_HOME, or DATABASE_URL and NATS_URL.

    Example: studio audit verify --json
    """
    tip = _tip(known)
    settings = _settings(stream=not no_stream)
    with _progress() as tell:
        verified = asyncio.run(_verify(settings, tip, tell, stream=not no_stream))
    if as_json:
        print_json(_told_verified(verified))
    else:
        _tell_verified(verified)
    raise typer.Exit(0 if verified.sound else NOT_SOUND)


@app.command("rebuild")
@errors_end_with(NOT_REACHED)
def rebuild_command(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the schema that was built, and name it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build all read models anew from the archive, and name the tables that differ.

    Starts with the first event, in a schema of its own inside one
    transaction that is taken back at the end. The house may run meanwhile:
    the one on STUDIO_HOME, or DATABASE_URL.

    Example: studio audit rebuild --json
    """
    settings = _settings(stream=False)
    with _progress() as tell:
        rebuilt = asyncio.run(_rebuild(settings, tell, keep=keep))
    if as_json:
        print_json({"sound": rebuilt.sound, **asdict(rebuilt)})
    else:
        _tell_rebuilt(rebuilt)
    raise typer.Exit(0 if rebuilt.sound else NOT_SOUND)


def _settings(*, stream: bool) -> Settings:
    settings = Settings()
    set_up_logs("audit", settings.log_level)
    if settings.database_url and not stream:
        return settings
    return running_settings(settings)


def _tip(known: str) -> tuple[int, bytes] | None:
    if not known:
        return None
    found = KNOWN.match(known)
    if found is None:
        raise typer.BadParameter(
            "give it as verify tells it: a sequence, a colon, 64 hexadecimal digits",
            param_hint="--known",
        )
    return int(found[1]), bytes.fromhex(found[2])


async def _verify(
    settings: Settings, known: tuple[int, bytes] | None, tell: Tell, *, stream: bool
) -> Verified:
    from libs.bus.jetstream import connect
    from libs.store.engine import make_engine
    from services.recorder.domain.chain import Tip
    from services.recorder.verifying import verify

    engine = make_engine(settings.database_url, command_seconds=COMMAND_SECONDS)
    bus = await connect(settings, "audit") if stream else None
    try:
        return await verify(engine, bus, known=Tip(*known) if known else None, tell=tell)
    finally:
        await engine.dispose()
        if bus is not None:
            await bus.close()


async def _rebuild(settings: Settings, tell: Tell, *, keep: bool) -> Rebuilt:
    from libs.store.engine import make_engine
    from services.recorder.rebuilding import rebuild

    engine = make_engine(settings.database_url, command_seconds=COMMAND_SECONDS)
    try:
        return await rebuild(engine, keep=keep, tell=tell)
    finally:
        await engine.dispose()


@contextmanager
def _progress() -> Iterator[Tell]:
    """Show a bar for each thing that is told of, on a terminal only."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        tasks = {}

        def tell(what: str, done: int, everything: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=everything)
            bars.update(tasks[what], completed=done)

        yield tell


def _told_verified(verified: Verified) -> dict[str, object]:
    return {
        "sound": verified.sound,
        "rows": verified.rows,
        "tip": {"seq": verified.tip.seq, "hash": verified.tip.hash.hex()},
        "checks": [asdict(check) for check in verified.checks],
        "read_models": verified.digests,
    }


def _tell_verified(verified: Verified) -> None:
    for check in verified.checks:
        out.print(f"{check.name:<11} {_verdict(check)}", markup=False, soft_wrap=True)
    out.print(f"{'rows':<11} {verified.rows}")
    out.print(f"{'tip':<11} {verified.tip.seq}:{verified.tip.hash.hex()}", soft_wrap=True)
    if verified.sound:
        out.print("[green]sound[/green]; `studio audit rebuild` proves the read models")
    else:
        out.print("[red]not sound[/red]")


def _verdict(check: Check) -> str:
    if check.skipped:
        return f"not checked: {check.skipped}"
    fault = check.fault
    if fault is None:
        return f"holds, {check.first_seq} to {check.last_seq}"
    place = f"EVENTS {fault.seq} {fault.type or '(type unknown)'}" if fault.seq else "EVENTS"
    return f"BROKEN at {place}: {fault.wrong}; {fault.detail}"


def _tell_rebuilt(rebuilt: Rebuilt) -> None:
    table = Table("table", "", "digest", "first difference", box=None, pad_edge=False)
    for one in rebuilt.tables:
        mark = "[green]equal[/green]" if one.equal else "[red]DIFFERS[/red]"
        table.add_row(one.table, mark, one.rebuilt[:16], one.difference)
    out.print(table)
    out.print(f"{rebuilt.events} events to sequence {rebuilt.seq}, {rebuilt.skipped} in no table")
    if rebuilt.seq != rebuilt.checkpoint:
        out.print(f"the checkpoint is at {rebuilt.checkpoint}; `studio audit verify` tells more")
    if rebuilt.schema:
        advice = f"DROP SCHEMA {rebuilt.schema} CASCADE ends it"
        out.print(f"kept in schema {rebuilt.schema}; {advice}", soft_wrap=True)
    out.print("[green]sound[/green]" if rebuilt.sound else "[red]not sound[/red]")
