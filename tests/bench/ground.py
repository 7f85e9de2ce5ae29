"""What measures stand on: one house for all that share it, a folder, and progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from rich.progress import Progress

from tests.e2e.houses import House, house

# No account runs dry while it is measured.
GIVEN = {"STUDIO_BILLING_WELCOME_CREDITS": "10000000"}


@dataclass
class Ground:
    """Gives measures a house that is started once, and stops all that was started."""

    folder: Path
    progress: Progress
    split: bool = False
    _stack: ExitStack = field(default_factory=ExitStack)
    _house: House | None = None
    _houses: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget_house()

    def house(self) -> House:
        """Return the shared house, started when it is first asked for."""
        if self._house is None:
            self._houses += 1
            with self.bar("starting a house", None):
                new = self.new_house(f"shared-{self._houses}")
                self._house = self._stack.enter_context(new)
        return self._house

    def forget_house(self) -> None:
        """Stop the shared house; whoever asks next gets a new one."""
        self._house = None
        self._stack.close()

    @contextmanager
    def new_house(self, name: str) -> Iterator[House]:
        """Run a house in a folder of its own until the block ends."""
        options = ("--split",) if self.split else ()
        with house(self.folder / name, *options, **GIVEN) as new:
            yield new

    @contextmanager
    def bar(self, what: str, total: int | None) -> Iterator[Callable[[], None]]:
        """Show how far a measure is; call what is given after each part."""
        task = self.progress.add_task(what, total=total)
        try:
            yield lambda: self.progress.advance(task)
        finally:
            self.progress.remove_task(task)
