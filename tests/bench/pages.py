"""The two people of the crowd: `python -m tests.bench.pages URL --key KEY`.

Each has the unmodified editor open and presses Run several times; one is cut off meanwhile.
"""

from __future__ import annotations

import argparse
import time

from tests.bench.programs import say
from tests.e2e.browsing import browser
from tests.e2e.crowding import Person, person

RUNS = 4
# In this run the second one is away, from its beginning on and for so long.
CUT_OFF_IN = 1
AWAY_SECONDS = 10.0


def run(url: str, key: str) -> None:
    """Open the editor twice, run the demo's graph in both, and judge what was heard."""
    with browser() as chromium, person(chromium, url) as ada, person(chromium, url, key) as bea:
        people = (ada, bea)
        began = time.monotonic()
        for one in people:
            one.studio.open()
            one.studio.fit()
        say("open", seconds=time.monotonic() - began)
        shown_ms = [ms for number in range(RUNS) for ms in _round(people, number)]
        faults = [one.faults() for one in people]
        errors = [word for one in people for word in (*one.studio.errors, *one.studio.failed)]
        say(
            "shown",
            pictures=len(shown_ms),
            shown_ms=shown_ms,
            cut_off=1,
            strangers=sum(len(strangers) for strangers, _ in faults),
            wrong=sum(len(wrong) for _, wrong in faults),
            errors=len(errors),
            said=[word for pair in faults for words in pair for word in words] + errors,
            frames=sum(len(frames) for one in people for frames in one.sockets),
        )


def _round(people: tuple[Person, Person], number: int) -> list[float]:
    """Let both press Run; return how long each waited for the picture in the node."""
    began, prompt_ids = [], []
    for one in people:
        one.studio.set("KSampler", seed=time.time_ns() % 2**40)
        began.append(time.monotonic())
        prompt_ids.append(one.run())
    bea = people[1]
    if number == CUT_OFF_IN:
        bea.wait_until_told(prompt_ids[1], "execution_start")
        bea.cut_off()
        bea.studio.page.wait_for_timeout(AWAY_SECONDS * 1000)
        bea.come_back()
    waited = []
    for one, since, prompt_id in zip(people, began, prompt_ids, strict=True):
        one.wait_until_shown(prompt_id)
        waited.append((time.monotonic() - since) * 1000)
    # How long somebody was away says nothing about the house.
    return waited if number != CUT_OFF_IN else []


def main() -> None:
    """Read the command line and open the editor."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("url")
    words.add_argument("--key", required=True)
    given = words.parse_args()
    run(given.url, given.key)


if __name__ == "__main__":
    main()
