"""Node packs in the engine: what they may import, and what the agent is told of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

import structlog

from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schema_json import to_json
from libs.nodes.declare import NodeType
from libs.nodes.packs.finder import OFFERED, Offered, together
from libs.nodes.packs.loading import GROUP, Watch, are_there, load_packs
from libs.nodes.packs.surroundings import kept
from libs.nodes.registry import load
from services.gpu_worker.frames import BLOBS_MAX
from services.gpu_worker.importing import LEFT_OUT

log = structlog.get_logger(__name__)

FOLDER: Final = "STUDIO_ENGINE_NODE_PACKS"
WITH_TORCH: Final[Offered] = {
    "node_helpers": ("libs.diffusion.offered.tensors",),
    "comfy.utils": ("libs.diffusion.offered.tensors",),
    "comfy.model_management": ("libs.diffusion.offered.devices",),
}
# Of what fits into one frame, one blob describes the node types.
PAGES_MAX: Final = BLOBS_MAX - 1
Types = Mapping[str, NodeType[..., Any]]


@dataclass(frozen=True)
class Packed:
    """All node types of an engine, and what is said of its packs: neither fact nor blob without.

    `digest` changes with the code of the packs: workers with other code share no results.
    """

    types: Types
    facts: JsonObject = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()
    digest: str = ""


def packed(folder: Path | None = None, begins: Callable[[str], None] | None = None) -> Packed:
    """Return the node types of the house and of its packs; packs are imported, with torch.

    `begins` is told the name of each pack before it is imported.
    """
    folder = folder or _folder()
    own = load()
    if not are_there(folder):
        return Packed(own)
    from libs.diffusion.offered.exchange import TorchExchange

    watch = Watch(begins or (lambda _name: None), _kept, json.loads(os.environ.get(LEFT_OUT, "{}")))
    packs = load_packs(folder, together(OFFERED, WITH_TORCH), TorchExchange(), own, watch)
    theirs = {name: found for pack in packs for name, found in pack.types.items()}
    facts = [
        {"name": pack.name, "types": sorted(pack.types), "error": pack.error} for pack in packs
    ]
    paged = [pack for pack in packs if pack.page]
    for pack in paged[PAGES_MAX:]:
        log.warning("node_pack_page_not_served", pack=pack.name, pages_maximum=PAGES_MAX)
    schemas = json.dumps([to_json(found.schema) for found in theirs.values()], sort_keys=True)
    return Packed(
        MappingProxyType({**own, **theirs}),
        {
            "packs": cast("Json", facts),
            "pages": [pack.name for pack in paged[:PAGES_MAX]],
        },
        (schemas.encode(), *(pack.page for pack in paged[:PAGES_MAX])),
        _digest(folder, schemas),
    )


@contextmanager
def _kept(pack: str) -> Iterator[None]:
    """Let a pack be imported, and put back what it changed of the process and of torch."""
    from libs.diffusion.offered.guarding import SPACES, computing_kept

    with computing_kept(), kept(pack, SPACES):
        yield


def _digest(folder: Path | None, schemas: str) -> str:
    found = hashlib.sha256(schemas.encode())
    for path in sorted(folder.rglob("*.py")) if folder is not None and folder.is_dir() else ():
        found.update(path.read_bytes())
    for plugged in entry_points(group=GROUP):
        found.update(f"{plugged.value} {plugged.dist.version if plugged.dist else ''}".encode())
    return found.hexdigest()


def _folder() -> Path | None:
    told = os.environ.get(FOLDER, "")
    return Path(told) if told else None
