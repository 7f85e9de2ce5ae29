"""What a run of chaos came to: figures per fault, totals, and the stories of what went wrong."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tests.chaos.checker.ends import fenced
from tests.chaos.checker.evidence import (
    ACCEPTED,
    Breach,
    Event,
    Evidence,
    Key,
    Receipt,
    end_of,
    of_type,
)
from tests.chaos.course import Course

NOT_TOLD = frozenset({"workflow", "detail", "ui", "fingerprint", "software", "weights"})
STORIES_MAX = 10
BREACHES_SHOWN_MAX = 50


@dataclass
class Line:
    """The figures of one fault over all of its strikes."""

    fault: str
    times: int = 0
    prompts: int = 0
    ended: int = 0
    lost: int = 0
    doubled: int = 0
    misbilled: int = 0
    recovered: list[float] = field(default_factory=list)
    slowest_seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Return the line for programs."""
        return {
            "fault": self.fault,
            "times": self.times,
            "prompts": self.prompts,
            "ended": self.ended,
            "lost": self.lost,
            "doubled": self.doubled,
            "misbilled": self.misbilled,
            "recover_p50_seconds": round(median(self.recovered), 2) if self.recovered else None,
            "recover_max_seconds": round(max(self.recovered), 2) if self.recovered else None,
            "slowest_prompt_seconds": round(self.slowest_seconds, 2),
        }


@dataclass(frozen=True)
class Report:
    """A run, judged."""

    course: Course
    evidence: Evidence
    breaches: Sequence[Breach]

    @property
    def clean(self) -> bool:
        """Say whether every promise was kept and every fault recovered from."""
        return not self.breaches and not any(strike.trouble for strike in self.course.strikes)

    def facts(self) -> dict[str, Any]:
        """Return everything for programs."""
        return {
            "seed": self.course.plan.seed,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
            "load_seconds": round(self.course.load_seconds, 1),
            "quiet_seconds": round(self.course.quiet_seconds, 1),
            "clean": self.clean,
            "totals": self.totals(),
            "faults": [line.facts() for line in self.lines()],
            "strikes": [vars(strike) for strike in self.course.strikes],
            "breaches": [str(breach) for breach in self.breaches],
        }

    def totals(self) -> dict[str, Any]:
        """Return the figures of the whole run."""
        receipts = self.evidence.receipts
        statuses = Counter(receipt.status for receipt in receipts)
        ends = [end for story in self.evidence.stories.values() if (end := end_of(story))]
        leases = Counter(e.type for story in self.evidence.stories.values() for e in story)
        kinds = Counter(breach.kind for breach in self.breaches)
        return {
            "strikes": len(self.course.strikes),
            "submissions": len(receipts),
            "accepted": sum(bool(of_type(s, "RunQueued")) for s in self.evidence.stories.values()),
            "ended": len(ends),
            "outcomes": dict(Counter(end.data["outcome"] for end in ends).most_common()),
            "answers": {str(status): count for status, count in sorted(statuses.items())},
            "lost_answers_retried": sum(
                receipt.keyed and 0 in receipt.answers for receipt in receipts
            ),
            "leases_expired": leases["LeaseExpired"],
            "words_of_lost_leases": len(fenced(self.evidence)),
            "events": len(self.evidence.archive),
            "blobs": len(self.evidence.blobs),
            "files_served_and_compared": sum(map(len, self.evidence.shown.values())),
            "forbidden_looks": len(self.evidence.glimpses),
            **{kind: kinds[kind] for kind in ("lost", "doubled", "misbilled", "broken")},
        }

    def lines(self) -> list[Line]:
        """Return one line per fault, in the order of their names."""
        wrong: dict[str, Counter[Key]] = {"lost": Counter(), "doubled": Counter()}
        wrong["misbilled"] = Counter()
        for breach in self.breaches:
            if breach.kind in wrong:
                wrong[breach.kind][breach.prompt] += 1
        spans = [_span(receipt, self.evidence) for receipt in self.evidence.receipts]
        lines = {strike.fault: Line(strike.fault) for strike in self.course.strikes}
        for strike in self.course.strikes:
            line = lines[strike.fault]
            line.times += 1
            if strike.recovered_seconds is not None:
                line.recovered.append(strike.recovered_seconds)
            for span in spans:
                if span.began <= strike.over and span.over >= strike.began:
                    line.prompts += 1
                    line.ended += span.ended
                    line.lost += bool(wrong["lost"][span.key])
                    line.doubled += bool(wrong["doubled"][span.key])
                    line.misbilled += bool(wrong["misbilled"][span.key])
                    line.slowest_seconds = max(line.slowest_seconds, span.over - span.began)
        return [lines[name] for name in sorted(lines)]


@dataclass(frozen=True)
class _Span:
    key: Key
    began: float
    over: float
    ended: bool


def _span(receipt: Receipt, evidence: Evidence) -> _Span:
    """Return from when to when a submission was on its way; a lost one stopped at its last event.

    Refused ones end with their answer.
    """
    key = (receipt.tenant, receipt.prompt_id)
    story = evidence.stories.get(key, ())
    end = end_of(story)
    last = end or next(reversed(story), None)
    over = receipt.answered_at if last is None else last.time.timestamp()
    ended = end is not None or receipt.status != ACCEPTED
    return _Span(key, receipt.sent_at, max(over, receipt.sent_at), ended)


def shown(report: Report) -> RenderableType:
    """Return what a person reads."""
    totals = report.totals()
    parts: list[RenderableType] = [_table(report)]
    outcomes = ", ".join(f"{count} {name}" for name, count in totals["outcomes"].items())
    parts.append(
        Text(
            f"{totals['strikes']} faults in {report.course.load_seconds:.0f} s, "
            f"{totals['submissions']} submissions, {totals['accepted']} accepted, "
            f"{totals['ended']} ended ({outcomes}); {totals['lost_answers_retried']} lost answers "
            f"retried, {totals['leases_expired']} leases expired; {totals['events']} events, "
            f"{totals['files_served_and_compared']} files compared, "
            f"{totals['forbidden_looks']} forbidden looks; seed {report.course.plan.seed}"
        )
    )
    parts.extend(
        Text(f"{strike.fault}: {strike.trouble}", style="red")
        for strike in report.course.strikes
        if strike.trouble
    )
    verdict = "{lost} lost, {doubled} doubled, {misbilled} mis-billed, {broken} otherwise broken"
    style = "bold green" if report.clean else "bold red"
    parts.append(Text(verdict.format(**totals), style=style))
    return Group(*parts)


def _table(report: Report) -> Table:
    table = Table(title="Chaos", title_justify="left")
    table.add_column("fault", no_wrap=True)
    for name in ("times", "prompts", "ended", "lost", "doubled", "mis-billed"):
        table.add_column(name, justify="right")
    table.add_column("recover p50", justify="right", no_wrap=True)
    table.add_column("max", justify="right", no_wrap=True)
    table.add_column("slowest", justify="right", no_wrap=True)
    for line in report.lines():
        facts = line.facts()
        numbers = ("times", "prompts", "ended", "lost", "doubled", "misbilled")
        seconds = ("recover_p50_seconds", "recover_max_seconds", "slowest_prompt_seconds")
        table.add_row(
            line.fault,
            *(str(facts[name]) for name in numbers),
            *("-" if facts[name] is None else f"{facts[name]:.1f} s" for name in seconds),
        )
    return table


def tell_stories(report: Report, console: Console) -> None:
    """Print what is broken, and the whole story of the prompts that it is about."""
    for breach in report.breaches[:BREACHES_SHOWN_MAX]:
        console.print(Text(str(breach), style="red"))
    if len(report.breaches) > BREACHES_SHOWN_MAX:
        console.print(f"... and {len(report.breaches) - BREACHES_SHOWN_MAX} more")
    prompts = dict.fromkeys(breach.prompt for breach in report.breaches if breach.prompt[1])
    for key in list(prompts)[:STORIES_MAX]:
        console.print(Text(f"\n{key[0]}/{key[1]}", style="bold"))
        for receipt in report.evidence.receipts:
            if (receipt.tenant, receipt.prompt_id) == key:
                console.print(f"  {receipt.intent}, keyed {receipt.keyed}: {receipt.answers}")
        for event in report.evidence.stories.get(key, ()):
            console.print(Text(f"  {_line(event)}"[:400]))


def told_events(report: Report) -> Iterator[str]:
    """Return a line per event of the whole run, without what is sealed."""
    for event in report.evidence.events:
        yield f"{event.tenant}/{event.prompt_id or '-'} {_line(event)}"


def _line(event: Event) -> str:
    facts = {name: value for name, value in event.data.items() if name not in NOT_TOLD}
    return f"{event.seq:6} {event.time:%H:%M:%S.%f} {event.type} {json.dumps(facts)}"
