"""Stand-ins for the values that nodes hand to each other: they write down what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


class Recorder:
    """Answers any method with a new recorder of that name, and remembers the call."""

    def __init__(self, name: str = "value", **answers: Any) -> None:
        self.name = name
        self.answers = answers
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)

        def called(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args, kwargs))
            return self.answers.get(name, Recorder(f"{self.name}.{name}"))

        return called


class FakeImage:
    """Two pictures of one colour each."""

    width = 4
    height = 3
    count = 2

    def frames(self) -> list[Any]:
        return [np.full((3, 4, 3), value, np.uint8) for value in (10, 200)]


@dataclass
class FakeContext:
    """A world that keeps what is saved, in memory."""

    loader: Any = field(default_factory=lambda: Recorder("loader"))
    node_id: str = "9"
    prompt: dict[str, Any] = field(default_factory=dict)
    extra_pnginfo: dict[str, Any] = field(default_factory=dict)
    hip_workflow: dict[str, Any] | None = None
    saved: list[Any] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)

    def step(self, value: int, total: int, preview: Any = None) -> None:
        self.steps.append((value, total))

    def weights(self, folder: str, name: str) -> Path:
        return Path(folder) / name

    def read_input(self, name: str) -> bytes:
        return name.encode()

    def save(self, file: Any) -> Any:
        from libs.nodes.context import SavedFile

        self.saved.append(file)
        return SavedFile(filename=f"{len(self.saved)}.png", subfolder="", type=file.folder)
