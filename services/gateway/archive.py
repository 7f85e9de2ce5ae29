"""What the gateway reads from PostgreSQL: finished prompts, files, keys, the fleet's lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus.identity import utc_now
from libs.core.ids import account_of
from libs.events.base import Event
from libs.events.envelope import Recorded, read
from libs.events.worker import WeightsFile
from libs.store.engine import reading, writing
from libs.store.readmodels import (
    accounts,
    api_keys,
    checkpoint,
    event_log,
    jobs,
    outputs,
    prompts,
    sessions,
    uploads,
    workers,
)
from libs.store.readmodels.accounts import AccountPage
from libs.store.readmodels.jobs import Choice, JobRow
from libs.store.readmodels.outputs import OutputRow
from libs.store.readmodels.prompts import PromptRow
from libs.store.readmodels.uploads import Folder, UploadRow
from libs.store.readmodels.workers import WorkerRow
from services.gateway.auth import Principal
from services.gateway.domain.prompt import Prompt
from services.gateway.domain.story import Owner


@dataclass(frozen=True)
class Finished:
    """A prompt that has ended, and the files of the attempt that counts."""

    row: PromptRow
    outputs: tuple[OutputRow, ...]


@dataclass(frozen=True)
class Job:
    """A finished prompt as a line of a list, and its released files."""

    row: JobRow
    outputs: tuple[OutputRow, ...]


@dataclass(frozen=True)
class Archive:
    """Queries of one database; every method takes and gives back one connection."""

    database: AsyncEngine

    async def recorded_seq(self) -> int:
        """Return the sequence up to which everything is committed."""
        async with reading(self.database) as connection:
            return await checkpoint.covered_seq(connection)

    async def start_seq(self) -> int:
        """Return where to begin reading the stream so that no open prompt is missed."""
        async with reading(self.database) as connection:
            first_open = await prompts.first_open_seq(connection)
            covered = await checkpoint.covered_seq(connection)
        return min(first_open or covered + 1, covered + 1)

    async def history(
        self,
        owner: Owner,
        *,
        max_items: int,
        offset: int = 0,
        prompt_id: str | None = None,
        before: str | None = None,
    ) -> list[Finished]:
        """Return ended prompts with their released files, oldest first."""
        tenant, user_id = owner
        async with reading(self.database) as connection:
            rows = await prompts.history(
                connection,
                tenant,
                user_id,
                max_items=max_items,
                offset=offset,
                prompt_id=prompt_id,
                before=before,
            )
            found = await outputs.of_prompts(connection, tenant, [row.prompt_id for row in rows])
        return [Finished(row, _released(found[row.prompt_id])) for row in rows]

    async def jobs(
        self, owner: Owner, choice: Choice, *, offset: int, limit: int
    ) -> tuple[list[Job], int]:
        """Return some finished prompts in order, and how many there are in all."""
        if not choice.outcomes:
            return [], 0
        async with reading(self.database) as connection:
            total = await jobs.count(connection, *owner, choice)
            rows = await jobs.page(connection, *owner, choice, offset=offset, limit=limit)
            found = await outputs.of_prompts(connection, owner[0], [r.prompt_id for r in rows])
        return [Job(row, _released(found[row.prompt_id])) for row in rows], total

    async def history_ids(
        self, owner: Owner, items_max: int, *, prompt_id: str | None = None
    ) -> list[str]:
        """Return the ids of the newest ended prompts, or the one asked for if it is there."""
        async with reading(self.database) as connection:
            rows = await prompts.history(
                connection, *owner, max_items=items_max, prompt_id=prompt_id
            )
        return [row.prompt_id for row in rows]

    async def ended_since(
        self, owner: Owner, client_id: str, seq: int, items_max: int
    ) -> list[str]:
        """Return the ids of a client's prompts that ended at a sequence or after it, in order."""
        async with reading(self.database) as connection:
            return await prompts.ended_since(connection, *owner, client_id, seq, items_max)

    async def story(self, tenant: str, prompt_id: str) -> list[Recorded[Event]]:
        """Return the events of a prompt, as they lie in the archive."""
        async with reading(self.database) as connection:
            rows = await event_log.story(connection, prompt_id, tenant=tenant)
        return [
            read(row.payload, seq=row.seq, subject=row.subject)
            for row in rows
            if row.stream == event_log.EVENTS
        ]

    async def prompt(self, owner: Owner, prompt_id: str) -> PromptRow | None:
        """Return a prompt of `owner`, in whatever state it is."""
        async with reading(self.database) as connection:
            row = await prompts.one(connection, owner[0], prompt_id)
        return row if row is not None and row.user_id == owner[1] else None

    async def prompts(self, owner: Owner, prompt_ids: Sequence[str]) -> list[PromptRow]:
        """Return those of some prompts that are `owner`'s, in no order."""
        async with reading(self.database) as connection:
            rows = await prompts.many(connection, owner[0], prompt_ids)
        return [row for row in rows if row.user_id == owner[1]]

    async def output(
        self, owner: Owner, folder: str, subfolder: str, filename: str
    ) -> OutputRow | None:
        """Return the newest released file of that name."""
        async with reading(self.database) as connection:
            return await outputs.find(connection, *owner, folder, subfolder, filename)

    async def outputs_of(self, owner: Owner, prompt_id: str) -> list[OutputRow]:
        """Return the files of a prompt of `owner`, released or not, as they were made."""
        async with reading(self.database) as connection:
            rows = await outputs.of_prompt(connection, owner[0], prompt_id)
        return [row for row in rows if row.user_id == owner[1]]

    async def submitted_before(self, tenant: str, prompt_id: str) -> Prompt:
        """Return a prompt that the journal may have forgotten: it keeps events for days only."""
        async with reading(self.database) as connection:
            row = await prompts.one(connection, tenant, prompt_id)
        if row is None:
            return Prompt()
        return Prompt(
            body_mac=row.body_mac,
            keyed=row.keyed,
            withdrawn=row.state == "withdrawn",
            cancelled=row.cancel_requested,
            removed=row.hidden,
        )

    async def key_holder(self, token: str) -> Principal | None:
        """Return whose API key this is, if it is valid."""
        async with reading(self.database) as connection:
            row = await api_keys.find_by_digest(connection, api_keys.digest_of(token))
        return _principal(row)

    async def session_holder(self, token: str) -> Principal | None:
        """Return whose session this is, if it goes on."""
        async with reading(self.database) as connection:
            row = await sessions.key_of(connection, token, utc_now())
        return _principal(row)

    async def choices(self, owner: Owner) -> dict[str, tuple[str, ...]]:
        """Return the lists that node inputs choose from: the fleet's files, and one's uploads."""
        async with reading(self.database) as connection:
            weights = await workers.weights_of_fleet(connection)
            inputs = await uploads.names(connection, *owner)
        lists = {folder: tuple(file.name for file in files) for folder, files in weights.items()}
        return {**lists, "input": tuple(inputs)}

    async def weights(self) -> dict[str, list[WeightsFile]]:
        """Return the fleet's model files by their kind."""
        async with reading(self.database) as connection:
            return await workers.weights_of_fleet(connection)

    async def account(self, who: Principal) -> AccountPage:
        """Return balance and usage of the caller's account."""
        async with reading(self.database) as connection:
            return await accounts.account_page(connection, who.tenant, who.account, max_items=0)

    async def uploads(self, owner: Owner, folder: str) -> list[str]:
        """Return the names of uploaded files."""
        async with reading(self.database) as connection:
            return await uploads.names(connection, *owner, folder)

    async def output_names(self, owner: Owner, items_max: int) -> list[str]:
        """Return the names of the newest files of finished prompts, the newest first."""
        async with reading(self.database) as connection:
            found = await outputs.newest_names(connection, *owner, "output", items_max)
        return [f"{folder}/{name}" if folder else name for folder, name in found]

    async def fleet(self) -> list[WorkerRow]:
        """Return the newest worker of every slot."""
        async with reading(self.database) as connection:
            return await workers.fleet(connection)

    async def upload(
        self, owner: Owner, folder: Folder, subfolder: str, name: str
    ) -> UploadRow | None:
        """Return an uploaded file."""
        async with reading(self.database) as connection:
            return await uploads.find(connection, *owner, folder, subfolder, name)

    async def add_upload(self, upload: UploadRow, *, overwrite: bool) -> bool:
        """Keep an upload; False when its name is taken and must stay."""
        async with writing(self.database) as connection:
            return await uploads.add(connection, upload, overwrite=overwrite)


def _released(found: Iterable[OutputRow]) -> tuple[OutputRow, ...]:
    return tuple(output for output in found if output.state == "released")


def _principal(row: api_keys.ApiKeyRow | None) -> Principal | None:
    return Principal(row.tenant, row.user_id, account_of(row.user_id), row.tier) if row else None
