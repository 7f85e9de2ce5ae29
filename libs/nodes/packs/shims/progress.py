"""`comfy.utils` and `comfy.model_management`, as far as they tell of progress and ask for stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from libs.nodes.context import Interrupted
from libs.nodes.packs.present import present

InterruptProcessingException = Interrupted


class ProgressBar:
    """Tells how far the node is that makes it."""

    def __init__(self, total: int, node_id: str | None = None) -> None:
        self.total = total
        self.current = 0
        self._present = present()

    def update_absolute(self, value: int, total: int | None = None, preview: Any = None) -> None:
        """Tell that so many steps are done; a preview is not shown."""
        if total is not None:
            self.total = total
        self.current = min(int(value), int(self.total))
        if self._present is not None:
            self._present.step(self.current, int(self.total))

    def update(self, value: int) -> None:
        """Tell that so many more steps are done."""
        self.update_absolute(self.current + value)


def throw_exception_if_processing_interrupted() -> None:
    """Raise what ends the run if it was stopped."""
    now = present()
    if now is not None:
        now.look()


def processing_interrupted() -> bool:
    """Say whether the run was stopped."""
    try:
        throw_exception_if_processing_interrupted()
    except Interrupted:
        return True
    return False


def set_progress_bar_global_hook(function: Callable[..., object]) -> None:
    """Take a hook that nobody calls: progress goes to the client."""
