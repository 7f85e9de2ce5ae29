"""`studio dead-letters`: what services gave up, and handing one of them in again."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from libs.bus.base import DeadLetter
from libs.core.errors import NotFound, Refused
from libs.events.envelope import rfc3339, unwrap
from libs.settings import Settings
from services.commands.console import out, plain_errors, print_json
from services.commands.finding import running_settings

LETTERS_MAX: Final = 100_000
# Their handlers may meet any event a second time, and change nothing if it was handled.
REPLAYED_BY: Final = ("validator", "moderation", "billing")
INSTEAD: Final = {
    "scheduler": "the run has ended and an end is final; hand the prompt in again",
    "recorder": "the event is archived; `studio audit rebuild` applies it to the read models",
}
Number = Annotated[int, typer.Argument(min=1, help="The number that `list` shows.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]

app = typer.Typer(no_args_is_help=True, help="Look at what was set aside for a person.")


@app.command("list")
@plain_errors
def list_letters(
    most: Annotated[
        int, typer.Option(min=1, max=LETTERS_MAX, help="Show so many of the newest.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the oldest first.

    Example: studio dead-letters list --most 10
    """
    letters = asyncio.run(_kept(most))
    if as_json:
        print_json([_facts(letter) for letter in letters])
        return
    if not letters:
        out.print("nothing was given up")
        return
    table = Table("no", "when", "service", "reason", "tenant", "prompt", "tries", "node", box=None)
    for letter in letters:
        facts = {name: str(value) for name, value in _facts(letter).items()}
        names = ("no", "at", "service", "reason", "tenant", "prompt_id", "attempts")
        node = f"{letter.node_id} {letter.node_type}".strip()
        table.add_row(*(facts[name] for name in names), node)
    out.print(table)


@app.command("show")
@plain_errors
def show(number: Number, as_json: AsJson = False) -> None:
    """Show one dead letter and the event that it is about; what is sealed stays sealed.

    Example: studio dead-letters show 3
    """
    letter = asyncio.run(_one(number))
    facts = _facts(letter) | _content(letter)
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        shown = json.dumps(value, indent=2) if isinstance(value, dict) else str(value)
        out.print(f"{name:<12} {shown}", markup=False, soft_wrap=True)


@app.command("replay")
@plain_errors
def replay(number: Number) -> None:
    """Hand the event to its service once more; if that works, the letter is removed.

    Example: studio dead-letters replay 3
    """
    letter = asyncio.run(_replay(number))
    out.print(f"{letter.service} has handled it; dead letter {number} is removed", markup=False)


async def _kept(most: int) -> list[DeadLetter]:
    from libs.bus.jetstream import connect

    bus = await connect(running_settings(Settings()), "dead-letters")
    try:
        return await bus.kept_letters(most)
    finally:
        await bus.close()


async def _one(number: int) -> DeadLetter:
    return _found(await _kept(LETTERS_MAX), number)


async def _replay(number: int) -> DeadLetter:
    from libs.chassis.resources import open_resources

    letter = await _one(number)
    if letter.service not in REPLAYED_BY:
        raise Refused(
            "this dead letter cannot be replayed",
            service=letter.service,
            instead=INSTEAD.get(letter.service, "look at what it says"),
        )
    async with open_resources(running_settings(Settings()), letter.service) as resources:
        service = importlib.import_module(f"services.{letter.service}.main").build(resources)
        event = unwrap(letter.payload, seq=letter.origin_seq, subject=letter.subject)
        await service.handle(event)
        await resources.bus.drop_letter(number)
    return letter


def _found(letters: list[DeadLetter], number: int) -> DeadLetter:
    for letter in letters:
        if letter.seq == number:
            return letter
    raise NotFound("there is no such dead letter; see `studio dead-letters list`", number=number)


def _facts(letter: DeadLetter) -> dict[str, Any]:
    return {
        "no": letter.seq,
        "at": rfc3339(letter.at) if letter.at else "",
        "service": letter.service,
        "reason": letter.reason,
        "message": letter.message,
        "tenant": letter.tenant,
        "prompt_id": letter.prompt_id,
        "attempts": letter.attempts,
        "node_id": letter.node_id,
        "node_type": letter.node_type,
        "subject": letter.subject,
        "origin_seq": letter.origin_seq,
    }


def _content(letter: DeadLetter) -> dict[str, Any]:
    try:
        event = json.loads(letter.payload)
    except ValueError:
        return {"payload_base64": base64.b64encode(letter.payload).decode()}
    return {"event": event}
