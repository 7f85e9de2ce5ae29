"""Random valid histories of a house."""

from __future__ import annotations

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
