"""The validator's table of contents."""

from __future__ import annotations

from libs.chassis.fleet import Fleet
from libs.chassis.service import Resources, Service
from libs.events.prompt import PromptSubmitted
from libs.nodes.registry import schemas
from libs.store.engine import reading
from libs.store.readmodels import uploads
from services.validator.handlers import Validator, Weights


def build(resources: Resources) -> Service:
    """Wire the validator on real adapters."""
    fleet = Fleet(resources.database)

    async def weights() -> Weights:
        known = await fleet.weights()
        return known.choices, known.sizes_mib

    async def uploads_of(tenant: str, user_id: str) -> frozenset[str]:
        async with reading(resources.database) as connection:
            return frozenset(await uploads.names(connection, tenant, user_id, "input"))

    validator = Validator(
        journal=resources.bus.journal,
        vault=resources.vault,
        types=schemas(),
        weights=weights,
        uploads=uploads_of,
    )
    return Service(name="validator", reacts={PromptSubmitted: validator.on_prompt_submitted})
