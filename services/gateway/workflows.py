"""Sealed workflows, opened for their owner and shown in the dialect that is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from libs.core.errors import NotFound, Poisoned, Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.events.base import Sealed
from libs.graph.parse import dialect_of, parse
from libs.graph.render import to_comfy, to_hip35
from libs.graph.schema import Catalogue
from libs.graph.value import Dialect
from libs.sealed.base import Vault

OPENED_AT_ONCE = 16
# Others have their turn after so many.
OPENED_IN_A_ROW = 32

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Workflow:
    """What was handed in, in the clear; empty when its key is destroyed."""

    prompt: Json = field(default_factory=dict)
    extra_data: JsonObject = field(default_factory=dict)


def extra_of(workflow: Workflow, client_id: str) -> JsonObject:
    """Return the extra data of a prompt as ComfyUI shows it: with the client that sent it."""
    named: JsonObject = {"client_id": client_id} if client_id else {}
    return {**workflow.extra_data, **named}


async def opened(vault: Vault, tenant: str, sealed: Sequence[Sealed]) -> list[Workflow]:
    """Open workflows, in their order."""
    found = []
    for value in await opened_objects(vault, tenant, sealed):
        extra_data = value.get("extra_data")
        shown = extra_data if isinstance(extra_data, dict) else {}
        found.append(Workflow(value.get("prompt", {}), shown))
    return found


async def opened_objects(
    vault: Vault, tenant: str, sealed: Sequence[Sealed | None]
) -> list[JsonObject]:
    """Open objects as `opened_object` does, in their order; what lies elsewhere, a few at once."""
    gate = asyncio.Semaphore(OPENED_AT_ONCE)

    async def fetched(item: Sealed) -> JsonObject:
        async with gate:
            return await opened_object(vault, tenant, item)

    far = {
        place: asyncio.create_task(fetched(item))
        for place, item in enumerate(sealed)
        if item is not None and item.artifact is not None
    }
    try:
        found = []
        for place, item in enumerate(sealed):
            # What lies here waits for nothing, and a task for each would cost more than opening it.
            if place % OPENED_IN_A_ROW == 0:
                await asyncio.sleep(0)
            task = far.get(place)
            found.append(await (task or opened_object(vault, tenant, item)))
        return found
    finally:
        for task in far.values():
            task.cancel()


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
        # Most are in it, and parsing all of a long history takes its time.
        if isinstance(prompt, dict) and dialect_of(prompt) == wanted:
            return prompt
        graph = parse(prompt)
    except Refused:
        return prompt
    return to_comfy(graph, catalogue) if wanted == "comfyui" else to_hip35(graph, catalogue)
