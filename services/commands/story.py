"""`studio story`: everything that happened to a prompt, a line an event."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

import typer

from libs.core.errors import NotFound
from libs.core.money import dollars_text
from libs.events.base import Event
from libs.events.envelope import Recorded, rfc3339, unwrap
from libs.settings import Settings
from services.commands.console import out, plain_errors, print_json
from services.commands.finding import running_settings

MONEY_FIELDS = ("amount", "needed", "available")
LEFT_OUT = frozenset(
    {"prompt_id", "account", "workflow", "detail", "body_mac", "fingerprint", "ui", "scores"}
)


@plain_errors
def story(
    prompt_id: Annotated[str, typer.Argument(help="The prompt, as POST /prompt answered it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Tell the events of a prompt in their order, with times.

    Example: studio story 0199c6a0-0000-7000-8000-000000000000
    """
    settings = running_settings(Settings())
    asyncio.run(print_story(settings, prompt_id, as_json=as_json))


async def print_story(settings: Settings, prompt_id: str, *, as_json: bool) -> None:
    """Read the archive and print the story; NotFound when there is none."""
    from libs.store.engine import make_engine
    from libs.store.readmodels import event_log

    engine = make_engine(settings.database_url)
    try:
        async with engine.connect() as connection:
            rows = await event_log.story(connection, prompt_id)
    finally:
        await engine.dispose()
    events = [unwrap(row.payload, seq=row.seq, subject=row.subject) for row in rows]
    if not events:
        raise NotFound("no event speaks of that prompt", prompt_id=prompt_id)
    if as_json:
        print_json([json.loads(recorded.payload) | {"seq": recorded.seq} for recorded in events])
        return
    for line in story_lines(events):
        out.print(line, soft_wrap=True)


def story_lines(events: list[Recorded[Event]]) -> list[str]:
    """Return one readable line an event: seconds since the first, owner, event, what it says."""
    first = events[0].time
    return [f"[dim]{rfc3339(first)}  {events[0].correlation_id}[/dim]"] + [
        f"{_since(first, recorded.time):>9}  [cyan]{recorded.event.owner:<11}[/cyan]"
        f"[bold]{type(recorded.event).__name__:<20}[/bold] {_said(recorded.event)}"
        for recorded in events
    ]


def _since(first: datetime, moment: datetime) -> str:
    return f"+{(moment - first).total_seconds():.3f} s"


def _said(event: Event) -> str:
    said = event.model_dump(mode="json", exclude_defaults=True)
    shown = [f"{name}={_short(name, value)}" for name, value in said.items() if _told(name, value)]
    return " ".join(shown).replace("[", r"\[")


def _told(name: str, value: Any) -> bool:
    return name not in LEFT_OUT and value not in ("", None, [], {})


def _short(name: str, value: Any) -> str:
    if name in MONEY_FIELDS and isinstance(value, int):
        return dollars_text(value)
    if name == "outputs" and value and isinstance(value, list) and isinstance(value[0], dict):
        return ",".join(output["filename"] for output in value)
    if isinstance(value, dict):
        return ",".join(f"{key}:{_short(key, inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ",".join(_short(name, inner) for inner in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
