"""Lets packs import modules of ours under the names that they know."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Final, TypeAlias

Offered: TypeAlias = Mapping[str, Sequence[str]]

# What can be imported without torch; a name stands for what all its modules hold.
OFFERED: Final[Offered] = {
    "folder_paths": ("libs.nodes.packs.shims.folders",),
    "nodes": ("libs.nodes.packs.shims.names",),
    "server": ("libs.nodes.packs.shims.server",),
    "comfy_api": (),
    "comfy_api.latest": ("libs.nodes.packs.shims.latest",),
    "comfy_api.latest._io": ("libs.nodes.packs.shims.schema",),
    "comfy_api.latest._ui": ("libs.nodes.packs.shims.shown",),
    "comfy_api.v0_0_2": ("libs.nodes.packs.shims.latest",),
    "comfy": (),
    "comfy.utils": ("libs.nodes.packs.shims.progress",),
    "comfy.model_management": ("libs.nodes.packs.shims.progress",),
    "comfy.samplers": ("libs.nodes.packs.shims.names",),
    "comfy.cli_args": ("libs.nodes.packs.shims.names",),
    "comfy.comfy_types": ("libs.nodes.packs.shims.typing",),
    "comfy.comfy_types.node_typing": ("libs.nodes.packs.shims.typing",),
    "comfy_execution": (),
    "comfy_execution.graph": ("libs.nodes.packs.shims.blocking",),
    "comfy_execution.graph_utils": ("libs.nodes.packs.shims.blocking",),
}


def together(*offers: Offered) -> Offered:
    """Return several offers as one."""
    names = dict.fromkeys(name for offer in offers for name in offer)
    return {name: [one for offer in offers for one in offer.get(name, ())] for name in names}


class Finder(MetaPathFinder, Loader):
    """Finds the modules that are offered, and no other."""

    def __init__(self, offered: Offered) -> None:
        self.offered = offered
        self._packages = {name.rpartition(".")[0] for name in offered}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return how to load a module that is offered."""
        if fullname not in self.offered:
            return None
        return spec_from_loader(fullname, self, is_package=fullname in self._packages)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with what ours hold."""
        for source in self.offered[module.__name__]:
            held = vars(import_module(source))
            vars(module).update({k: v for k, v in held.items() if not k.startswith("__")})

    def begin(self) -> None:
        """Offer the modules from now on, before anything of the same name."""
        if not any(isinstance(one, Finder) for one in sys.meta_path):
            sys.meta_path.insert(0, self)
