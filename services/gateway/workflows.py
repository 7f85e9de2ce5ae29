"""Sealed workflows, opened for their owner and shown in the dialect that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from libs.core.errors import NotFound, Poisoned, Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.events.base import Sealed
from libs.graph.parse import parse
from libs.graph.render import to_comfy, to_hip35
from libs.graph.schema import Catalogue
from libs.graph.value import Dialect
from libs.sealed.base import Vault

OPENED_AT_ONCE = 16

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Workflow:
    """What was handed in, in the clear; empty when its key is destroyed."""

    prompt: Json = field(default_factory=dict)
    extra_data: JsonObject = field(default_factory=dict)


async def opened(vault: Vault, tenant: str, sealed: Sequence[Sealed]) -> list[Workflow]:
    """Open workflows, a few at once, in their order."""
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def one(item: Sealed) -> Workflow:
        async with gate:
            value = await opened_object(vault, tenant, item)
        extra_data = value.get("extra_data")
        return Workflow(value.get("prompt", {}), extra_data if isinstance(extra_data, dict) else {})

    return list(await asyncio.gather(*(one(item) for item in sealed)))


async def opened_object(vault: Vault, tenant: str, sealed: Sealed | None) -> JsonObject:
    """Open one sealed object; what was erased, or cannot be read, is shown as empty."""
    if sealed is None:
        return {}
    try:
        value = await vault.open(tenant, sealed)
    except NotFound:
        return {}
    except Poisoned as error:
        log.warning("not_unsealed", tenant=tenant, error=str(error))
        return {}
    return value if isinstance(value, dict) else {}


def in_dialect(prompt: Json, wanted: Dialect, catalogue: Catalogue) -> Json:
    """Return a workflow in the wanted dialect; one that is in it already stays as it came."""
    try:
        graph = parse(prompt)
    except Refused:
        return prompt
    if graph.dialect == wanted:
        return prompt
    return to_comfy(graph, catalogue) if wanted == "comfyui" else to_hip35(graph, catalogue)
