"""`comfy_api.latest`: what packs of the newer protocol import."""

from __future__ import annotations

from typing import Any, Final

from libs.core.errors import Refused
from libs.nodes.packs.present import present
from libs.nodes.packs.shims import schema as io
from libs.nodes.packs.shims import shown as ui

IO: Final = io
UI: Final = ui


class ComfyExtension:
    """What a pack's `comfy_entrypoint` returns."""

    async def on_load(self) -> None:
        """Prepare, when the pack was imported."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the classes of the pack."""
        raise NotImplementedError


class _Progress:
    """Tells how far the node is that runs."""

    def set_progress(self, value: float, max_value: float, **_: Any) -> None:
        """Tell that so much of it is done."""
        now = present()
        if now is not None:
            now.step(int(value), int(max_value))


class _ProgressLater(_Progress):
    async def set_progress(  # type: ignore[override]
        self, value: float, max_value: float, **_: Any
    ) -> None:
        super().set_progress(value, max_value)


class ComfyAPI:
    """What a node may ask the engine for while it runs."""

    def __init__(self) -> None:
        self.execution = _ProgressLater()


class ComfyAPISync:
    """The same for functions that do not wait."""

    def __init__(self) -> None:
        self.execution = _Progress()


class _Annotations:
    """Names of types of values, which annotations alone need."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any


class _NotOffered:
    """Values that this engine has no form of for packs: films, and solids in files."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Refused("packs are given no such values here", received=name)


Input: Final = _Annotations()
InputImpl: Final = _NotOffered()
Types: Final = _NotOffered()
