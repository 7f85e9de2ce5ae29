"""Random valid histories of a house."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

from libs.events.base import Event
from tests.contract.store.lives import LIVES, a_worker, granted, prompt_id, worker_stopped


@st.composite
def histories(draw: st.DrawFn, prompts_max: int = 8) -> list[Event]:
    """Give a valid history: some users' prompts, each life in its order, all interleaved."""
    kinds = draw(st.lists(st.sampled_from(LIVES), min_size=1, max_size=prompts_max))
    users = [draw(st.sampled_from(("ada", "bob"))) for _ in kinds]
    lives: list[Sequence[Event]] = [
        life(prompt_id(number), user, number=number + 1)
        for number, (life, user) in enumerate(zip(kinds, users, strict=True))
    ]
    lives.append([granted("ada"), granted("bob"), granted("ada", 5, "gift")])
    lives.append([*a_worker(), worker_stopped(), *a_worker(worker_id="worker-2")])
    waiting = [list(life) for life in lives]
    history: list[Event] = []
    while waiting:
        place = draw(st.integers(0, len(waiting) - 1))
        history.append(waiting[place].pop(0))
        if not waiting[place]:
            waiting.pop(place)
    return history


def wild_log(*, prompts: int, seed: int, open_at_once: int = 40) -> list[Event]:
    """Return a long valid history of every kind of life, with so many prompts open at a time."""
    chance = random.Random(seed)
    users = [f"user-{number}" for number in range(12)]
    history: list[Event] = [*(granted(user) for user in users), *a_worker()]
    coming = iter(range(prompts))
    waiting: list[list[Event]] = []
    while True:
        while len(waiting) < open_at_once and (number := next(coming, None)) is not None:
            life = chance.choice(LIVES)
            waiting.append(list(life(prompt_id(number), chance.choice(users), number=number + 1)))
        if not waiting:
            return history
        lot = chance.choice(waiting)
        history.append(lot.pop(0))
        if not lot:
            waiting.remove(lot)
