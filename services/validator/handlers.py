"""The validator's hands: open a submission, judge it, and say so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from libs.core.errors import Poisoned
from libs.core.jsonvalue import Json, JsonObject
from libs.decider import Folds, Journal, transact
from libs.events.base import subject
from libs.events.envelope import Recorded
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptRejected, PromptValidated, WeightsNeed, WorkEstimate
from libs.graph.check_node import Judge
from libs.graph.schema import Catalogue, NodeSchema
from libs.graph.tiers import tier_named
from libs.nodes.engines import ANY_ENGINE
from libs.nodes.registry import schemas
from libs.sealed.base import Vault
from services.validator.domain import answer
from services.validator.domain.answer import GiveVerdict
from services.validator.domain.verdict import Accepted, RefusedPrompt, verdict

# Names by folder, and sizes in MiB by folder and name.
Weights = tuple[Mapping[str, tuple[str, ...]], Mapping[str, int]]


@dataclass
class Unread(Container[str]):
    """Stands for files that were not read: it has every file, and notes which was asked for."""

    asked: set[str] = field(default_factory=set)

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return True


@dataclass(frozen=True)
class Validator:
    """Every dependency is a field; every reaction is a method."""

    journal: Journal
    vault: Vault
    types: Callable[[], Awaitable[Mapping[str, NodeSchema]]]
    weights: Callable[[], Awaitable[Weights]]
    files: Callable[[str, str, Iterable[str]], Awaitable[frozenset[str]]]
    asks: Judge | None = None
    folds: Folds[bool] = field(default_factory=Folds)

    async def on_prompt_submitted(self, recorded: Recorded[PromptSubmitted]) -> None:
        """Judge a submission."""
        event = recorded.event
        workflow = await self.vault.open(recorded.tenant, event.workflow)
        if not isinstance(workflow, dict):
            raise Poisoned("a sealed workflow is no object", prompt_id=event.prompt_id)
        reached = await self._judge(recorded, workflow)
        said = (
            await self._rejected(recorded, reached)
            if isinstance(reached, RefusedPrompt)
            else await self._validated(recorded, reached)
        )
        await transact(
            self.journal,
            answer,
            subject(recorded.tenant, "verdict", event.prompt_id),
            GiveVerdict(said),
            recorded.cause(),
            folds=self.folds,
            fresh=True,
        )

    async def _judge(
        self, recorded: Recorded[PromptSubmitted], workflow: JsonObject
    ) -> Accepted | RefusedPrompt:
        """Reach a verdict; the user's files are read only for a graph that names some."""
        choices, sizes_mib = await self.weights()
        judge = partial(
            verdict,
            workflow.get("prompt"),
            Catalogue(await self.types(), choices),
            tier_named(recorded.event.tier),
            _targets(workflow.get("targets")),
            weight_sizes=sizes_mib,
            engine=_engine(workflow.get("extra_data")),
            judge=self.asks,
        )
        unread = Unread()
        reached = judge(known_files=unread)
        if not unread.asked:
            return reached
        user = recorded.event.user_id
        return judge(known_files=await self.files(recorded.tenant, user, unread.asked))

    async def _rejected(
        self, recorded: Recorded[PromptSubmitted], reached: RefusedPrompt
    ) -> PromptRejected:
        detail: JsonObject = {"error": reached.error, "node_errors": reached.node_errors}
        user = recorded.event.user_id
        return PromptRejected(
            prompt_id=recorded.event.prompt_id,
            status=reached.status,
            code=reached.code,
            detail=await self.vault.seal(recorded.tenant, user, detail),
        )

    async def _validated(
        self, recorded: Recorded[PromptSubmitted], reached: Accepted
    ) -> PromptValidated:
        event = recorded.event
        skipped = reached.node_errors
        return PromptValidated(
            prompt_id=event.prompt_id,
            account=event.account,
            tier=event.tier,
            outputs=reached.outputs,
            nodes=len(reached.graph.nodes),
            needs=tuple(WeightsNeed(folder=n.folder, name=n.name) for n in reached.needs),
            vram_mib=reached.vram_mib,
            engines=reached.engines,
            node_types=_from_packs(reached),
            estimate=WorkEstimate(
                megapixel_steps=reached.work.megapixel_steps,
                images=reached.work.images,
                steps=reached.work.steps,
            ),
            node_errors=await self.vault.seal(recorded.tenant, event.user_id, skipped)
            if skipped
            else None,
        )


def _from_packs(reached: Accepted) -> tuple[str, ...]:
    """Return the node types that only workers with the right packs know."""
    used = {node.type for node in reached.graph.nodes.values()}
    return tuple(sorted(used - schemas().keys()))


def _engine(extra_data: Json) -> str:
    wish = extra_data.get("engine") if isinstance(extra_data, dict) else None
    return wish if isinstance(wish, str) else ANY_ENGINE


def _targets(value: Json) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not value:
        return None
    return tuple(cast("list[str]", [target for target in value if isinstance(target, str)]))
