"""Tell one story, or many: `python -m tests.chaos.seeded 17`, `... 0 1000`."""

from __future__ import annotations

import sys

from tests.chaos.seeded.checker import breaches
from tests.chaos.seeded.story import tell

USAGE = "usage: python -m tests.chaos.seeded SEED [AFTER_THE_LAST_SEED]"


def main(arguments: list[str]) -> int:
    """Print each story's digest and what it broke; the whole tale of a single one."""
    if not 1 <= len(arguments) <= 2 or not all(text.isdigit() for text in arguments):
        print(USAGE, file=sys.stderr)
        return 2
    first = int(arguments[0])
    last = int(arguments[1]) if len(arguments) > 1 else first + 1
    broken: list[int] = []
    for seed in range(first, last):
        told = tell(seed)
        found = breaches(told)
        events = len(told.recorded)
        print(
            f"seed {seed}: {events} events, {told.digest[:16]}, {len(found)} breaches", flush=True
        )
        if last - first == 1:
            print("\n".join(told.tale))
        for breach in found:
            print(f"  {breach}")
        broken += [seed] if found else []
    print(f"{last - first - len(broken)} of {last - first} stories hold" + _which(broken))
    return 1 if broken else 0


def _which(broken: list[int]) -> str:
    return f"; broken: {' '.join(map(str, broken))}" if broken else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
