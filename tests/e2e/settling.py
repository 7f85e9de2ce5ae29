"""The independent checker: reads only the public API and PostgreSQL, and believes nobody."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import text

from libs.store.engine import make_engine

ENDINGS = {"CreditsCaptured", "CreditsReleased"}


@dataclass
class Report:
    """What was found wrong, by kind; empty is good."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misbilled: list[str] = field(default_factory=list)
    foreign_outputs: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.misbilled or self.foreign_outputs)


def database_url(home: Path) -> str:
    """Return where the house on `home` keeps its tables."""
    told = json.loads((home / "run" / "house.json").read_text())
    return str(told["addresses"]["database_url"])


def archived(home: Path | str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Return kind and facts of every archived event, by prompt and in order."""
    return asyncio.run(_events(home if isinstance(home, str) else database_url(home)))


def check(home: Path | str, accepted: list[str]) -> Report:
    """Check every accepted prompt: one end, one charge iff it succeeded, no foreign output.

    `home` is a house's folder, or the URL of the database that it was given.
    """
    events = archived(home)
    report = Report()
    for prompt_id in accepted:
        story = events.get(prompt_id, [])
        ends = [event for kind, event in story if kind == "RunEnded"]
        if not ends:
            report.lost.append(prompt_id)
            continue
        if len(ends) > 1 or sum(kind == "RunQueued" for kind, _ in story) != 1:
            report.doubled.append(prompt_id)
        report.outcomes[ends[0]["outcome"]] += 1
        _check_money(prompt_id, ends[0]["outcome"], story, report)
        _check_outputs(prompt_id, ends[0], story, report)
    return report


def ended(home: Path | str, accepted: list[str]) -> bool:
    """Say whether every prompt has its end and its money is settled."""
    events = archived(home)
    return all(
        {"RunEnded"} <= {kind for kind, _ in events.get(prompt_id, [])}
        and ENDINGS & {kind for kind, _ in events.get(prompt_id, [])}
        for prompt_id in accepted
    )


def _check_money(
    prompt_id: str, outcome: str, story: list[tuple[str, dict[str, Any]]], report: Report
) -> None:
    counts = Counter(kind for kind, _ in story)
    wanted = (1, 1, 0) if outcome == "succeeded" else (1, 0, 1)
    have = (counts["CreditsHeld"], counts["CreditsCaptured"], counts["CreditsReleased"])
    if have != wanted:
        report.misbilled.append(f"{prompt_id} {outcome} held/captured/released={have}")


def _check_outputs(
    prompt_id: str,
    end: dict[str, Any],
    story: list[tuple[str, dict[str, Any]]],
    report: Report,
) -> None:
    if end["outcome"] != "succeeded":
        return
    finished = [e for kind, e in story if kind == "ExecutionFinished"]
    if not any(event["attempt"] == end["attempt"] for event in finished):
        report.foreign_outputs.append(f"{prompt_id} ended with an attempt that did not finish")


async def _events(url: str) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    engine = make_engine(url)
    try:
        async with engine.connect() as connection:
            rows = await connection.execute(
                text("SELECT correlation_id, payload FROM event_log ORDER BY seq")
            )
            stories: dict[str, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
            for prompt_id, payload in rows:
                try:
                    body = json.loads(payload)
                except ValueError:
                    continue  # The archive keeps every byte, those that nobody can read too.
                stories[prompt_id].append((body["type"].rpartition(".")[2], body["data"]))
            return stories
    finally:
        await engine.dispose()
