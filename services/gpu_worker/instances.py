"""What nodes keep from one prompt to the next, for types that keep something."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, TypeAlias

INSTANCES_MAX: Final = 1_000
Key: TypeAlias = tuple[str, str, str]


class Instances:
    """Instances by scope, node and type, bounded; the longest unused goes first.

    One that is in use is taken out, so that two prompts at once never share it.
    """

    def __init__(self, count_max: int = INSTANCES_MAX) -> None:
        self.count_max = count_max
        self._kept: OrderedDict[Key, Any] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Key, make: Callable[[], Any]) -> Any:
        """Return what was kept, or a new one."""
        with self._lock:
            if key in self._kept:
                return self._kept.pop(key)
        return make()

    def keep(self, key: Key, instance: Any) -> None:
        """Keep one for the next prompt."""
        with self._lock:
            self._kept[key] = instance
            self._kept.move_to_end(key)
            while len(self._kept) > self.count_max:
                self._kept.popitem(last=False)
