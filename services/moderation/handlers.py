"""Moderation's hands: hear of a valid prompt and of each finished output node."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from libs import glb
from libs.artifacts.base import Artifacts
from libs.artifacts.keys import output_key
from libs.core.errors import Poisoned
from libs.decider import Folds, Journal, transact
from libs.events.base import PromptKey, subject
from libs.events.envelope import Recorded
from libs.events.execution import NodeFinished, Output
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptValidated
from libs.sealed.base import Vault
from services.moderation.classifiers import PictureClassifier
from services.moderation.domain import policy
from services.moderation.domain.policy import JudgeOutput, JudgeText, Moderated, category_of
from services.moderation.domain.text import Blocklist, texts_asked_for

# Everything else is no output that people look at, as latents are.
SEEN = ("image/", "video/", glb.MIME)
USERS_REMEMBERED_MAX = 10_000
# Each may hold 64 KiB of sealed workflow, so only those that wait for their verdict are kept.
SUBMISSIONS_KEPT_MAX = 256


@dataclass(frozen=True)
class Moderation:
    """Every dependency is a field; every reaction is a method."""

    journal: Journal
    artifacts: Artifacts
    vault: Vault
    classifier: PictureClassifier
    blocklist: Blocklist
    thresholds: Mapping[str, float]
    folds: Folds[Moderated] = field(default_factory=Folds)
    users: OrderedDict[PromptKey, str] = field(default_factory=OrderedDict)
    submissions: OrderedDict[PromptKey, PromptSubmitted] = field(default_factory=OrderedDict)

    async def on_prompt_submitted(self, recorded: Recorded[PromptSubmitted]) -> None:
        """Keep the submission at hand until its verdict, which comes soon."""
        self.submissions[recorded.tenant, recorded.event.prompt_id] = recorded.event
        while len(self.submissions) > SUBMISSIONS_KEPT_MAX:
            self.submissions.popitem(last=False)

    async def on_prompt_validated(self, recorded: Recorded[PromptValidated]) -> None:
        """Hold the words of the graph against the blocklist."""
        prompt_id = recorded.event.prompt_id
        submitted = await self._submission(recorded.tenant, prompt_id)
        workflow = await self.vault.open(recorded.tenant, submitted.workflow)
        graph = workflow.get("prompt") if isinstance(workflow, dict) else None
        found = (self.blocklist.category_of(text) for text in texts_asked_for(graph))
        await transact(
            self.journal,
            policy,
            subject(recorded.tenant, "clearance", prompt_id),
            JudgeText(
                prompt_id=prompt_id,
                category=next((category for category in found if category), None),
                policy=self.blocklist.policy,
            ),
            recorded.cause(),
            folds=self.folds,
            fresh=True,
        )

    async def on_node_finished(self, recorded: Recorded[NodeFinished]) -> None:
        """Look at every output of the node; what may be seen moves out of quarantine."""
        for output in recorded.event.outputs:
            await self._judge(recorded, output)

    async def _judge(self, recorded: Recorded[NodeFinished], output: Output) -> None:
        event = recorded.event
        user = await self._user_of(recorded.tenant, event.prompt_id)
        seen = output.mime.startswith(SEEN)
        data = await self.artifacts.get(output.artifact) if seen else b""
        released = output_key(
            recorded.tenant,
            user,
            event.prompt_id,
            event.attempt,
            output.artifact.rpartition("/")[2],
        )
        command = JudgeOutput(
            prompt_id=event.prompt_id,
            attempt=event.attempt,
            node_id=event.node_id,
            index=output.index,
            artifact=released,
            sha256=output.sha256,
            seen=seen,
            scores=await self.classifier.scores(data, output.mime) if seen else {},
            thresholds=self.thresholds,
            classifier=self.classifier.name if seen else "",
        )
        if category_of(command) is None:
            # It comes first, so that what is said to be released can be served; and of what is
            # seen the very bytes that were looked at.
            if seen:
                await self.artifacts.put(released, data, output.mime)
            else:
                await self.artifacts.copy(output.artifact, released)
        await transact(
            self.journal,
            policy,
            subject(recorded.tenant, "release", event.prompt_id),
            command,
            recorded.cause(),
            folds=self.folds,
            fresh=True,
        )

    async def _user_of(self, tenant: str, prompt_id: str) -> str:
        known = self.users.get((tenant, prompt_id))
        return known or (await self._submission(tenant, prompt_id)).user_id

    async def _submission(self, tenant: str, prompt_id: str) -> PromptSubmitted:
        kept = self.submissions.pop((tenant, prompt_id), None)
        if kept is not None:
            self._remember(tenant, kept)
            return kept
        loaded = await self.journal.load(subject(tenant, "prompt", prompt_id))
        for recorded in loaded.events:
            if isinstance(recorded.event, PromptSubmitted):
                self._remember(tenant, recorded.event)
                return recorded.event
        raise Poisoned("news of a prompt that was never submitted", prompt_id=prompt_id)

    def _remember(self, tenant: str, submitted: PromptSubmitted) -> None:
        self.users[tenant, submitted.prompt_id] = submitted.user_id
        while len(self.users) > USERS_REMEMBERED_MAX:
            self.users.popitem(last=False)
