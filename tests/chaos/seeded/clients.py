"""Clients of the house: they submit, ask again, ask twice at once, and change their minds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

from libs.bus.identity import prompt_id_of
from libs.core.errors import StudioError
from services.gateway.admission import Admission
from services.gateway.auth import Principal
from services.gateway.commands import Commands
from services.gateway.domain.submission import Submission, read_submission
from tests.chaos.seeded import clock
from tests.chaos.seeded.processes import Process
from tests.chaos.seeded.programs import FORBIDDEN

PATIENCE_SECONDS = 60.0
PAUSE_SECONDS_MAX = 4.0
PEOPLE = (
    Principal("acme", "ada", "ada", "pro"),
    Principal("acme", "bob", "bob", "free"),
    Principal("beta", "eve", "eve", "owner"),
)


class Hung(RuntimeError):
    """A gateway that lives did not answer within the patience of its client."""


@dataclass
class Wish:
    """What one client wants, and what it was told; `answers` in the order in which they came."""

    number: int
    who: Principal
    submission: Submission
    key: str = ""
    copies: int = 1
    at_seconds: float = 0.0
    cancel_after: float | None = None
    answers: list[tuple[float, int, Any]] = field(default_factory=list)
    hung: int = 0

    @property
    def prompt_ids(self) -> set[str]:
        """Return the ids of the prompts that it was told of."""
        told = {body["prompt_id"] for _, status, body in self.answers if status == 200}
        return told | ({self.known_id} if self.known_id else set())

    @property
    def known_id(self) -> str:
        """Return the id that the client knows before it is told."""
        if self.submission.prompt_id:
            return self.submission.prompt_id
        return prompt_id_of(self.who.tenant, f"{self.who.user_id}\n{self.key}") if self.key else ""


def graph(dice: Random, kind: str) -> dict[str, Any]:
    """Return a small workflow: good, wrong, or with a word that is not allowed."""
    image: dict[str, Any] = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
    nodes: dict[str, Any] = {"1": {"class_type": "EmptyImage", "inputs": image}}
    for number in range(2, 2 + dice.choice((1, 1, 2))):
        show = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        nodes[str(number)] = show
    if kind == "wrong":
        nodes["2"] = {"class_type": "NoSuchNode", "inputs": {}}
    if kind == "forbidden":
        nodes["9"] = {"class_type": "CLIPTextEncode", "inputs": {"text": FORBIDDEN}}
    return nodes


def wishes(dice: Random, count: int, seconds: float) -> list[Wish]:
    """Return what the clients of a story want, spread over `seconds`."""
    kinds = ("good",) * 8 + ("wrong", "forbidden")
    made = []
    for number in range(count):
        keyed = dice.random() < 0.6
        body: dict[str, Any] = {"prompt": graph(dice, dice.choice(kinds))}
        if not keyed or dice.random() < 0.5:
            key = f"key-{number}" if keyed else ""
        else:
            key = ""
            body["prompt_id"] = str(UUID(int=dice.getrandbits(128), version=4))
        wish = Wish(
            number=number,
            who=dice.choice(PEOPLE),
            submission=read_submission(body),
            key=key,
            copies=dice.choice((1, 1, 2)) if keyed else 1,
            at_seconds=dice.uniform(0, seconds),
            cancel_after=dice.uniform(0, 6) if dice.random() < 0.15 else None,
        )
        made.append(wish)
    return made


async def pursue(wish: Wish, gateways: Sequence[Process], dice: Random) -> None:
    """Submit, and ask again until there is an answer if the client can ask again."""
    await asyncio.sleep(wish.at_seconds)
    asking = [_ask_until_told(wish, gateways, dice) for _ in range(wish.copies)]
    await asyncio.gather(*asking)
    if wish.cancel_after is not None and wish.prompt_ids:
        await asyncio.sleep(wish.cancel_after)
        await _cancel(wish, dice.choice(gateways))


async def _ask_until_told(wish: Wish, gateways: Sequence[Process], dice: Random) -> None:
    while True:
        await asyncio.sleep(dice.uniform(0, 0.2))
        status, body = await _submit(wish, dice.choice(gateways))
        wish.answers.append((clock.seconds(), status, body))
        if not wish.known_id or status not in (0, 503) or wish.hung > 3:
            return
        await asyncio.sleep(dice.uniform(0.5, PAUSE_SECONDS_MAX))


async def _submit(wish: Wish, gateway: Process) -> tuple[int, Any]:
    """Return status and body; status 0 is a connection that broke."""
    if gateway.face is None:
        return 0, "nobody listens"
    admission: Admission = gateway.face[0]
    task = gateway.spawn(admission.submit(wish.who, wish.submission, wish.key))
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    if not task.done():
        task.cancel()
        wish.hung += 1
        return 0, "no answer"
    if task.cancelled():
        return 0, "the connection broke"
    error = task.exception()
    return (200, task.result()) if error is None else _status(error)


def _status(error: BaseException) -> tuple[int, Any]:
    """Return what the HTTP layer would make of an error; 500 is one that nobody expects."""
    if isinstance(error, StudioError):
        return error.http_status, error.message
    return 500, repr(error)


async def _cancel(wish: Wish, gateway: Process) -> None:
    if gateway.face is None:
        return
    commands: Commands = gateway.face[1]
    for prompt_id in sorted(wish.prompt_ids):
        task = gateway.spawn(commands.cancel(wish.who, prompt_id))
        await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
        if task.done() and not task.cancelled():
            # A cancel that could not be written is the client's to repeat; this one does not.
            task.exception()
