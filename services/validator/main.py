"""The validator's table of contents."""

from __future__ import annotations

from libs.chassis.fleet import Fleet
from libs.chassis.packs import NodeTypes
from libs.chassis.service import Resources, Service
from libs.events.prompt import PromptSubmitted
from libs.nodes.judging import judge_of
from libs.nodes.registry import load
from services.validator.files import PostgresFiles
from services.validator.handlers import Validator, Weights


def build(resources: Resources) -> Service:
    """Wire the validator on real adapters."""
    fleet = Fleet(resources.database)

    async def weights() -> Weights:
        known = await fleet.weights()
        return known.choices, known.sizes_mib

    validator = Validator(
        journal=resources.bus.journal,
        vault=resources.vault,
        types=NodeTypes(resources.database, resources.artifacts).known,
        weights=weights,
        files=PostgresFiles(resources.database).known,
        asks=judge_of(load()),
    )
    return Service(name="validator", reacts={PromptSubmitted: validator.on_prompt_submitted})
