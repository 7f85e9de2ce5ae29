"""What stands behind the services, in memory: the archive's read models, blobs, and a vault."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.artifacts.base import ArtifactInfo
from libs.artifacts.memory import MemoryArtifacts
from libs.core.errors import Unavailable
from libs.core.jsonvalue import Json
from libs.events.base import Event, Sealed
from libs.events.envelope import Recorded
from libs.store.fold import Fold
from libs.store.readmodels.accounts import (
    BALANCE_FOLD,
    GRANT_FOLD,
    HOLD_FOLD,
    AccountSnapshot,
    HoldRow,
)
from libs.store.readmodels.ledger import postings
from libs.store.readmodels.outputs import OUTPUT_FOLD, FoldedOutput
from libs.store.readmodels.prompt_fold import PROMPT_FOLD
from libs.store.readmodels.prompts import PromptRow
from libs.store.readmodels.workers import WORKER_FOLD
from services.gateway.domain.prompt import Prompt
from services.gateway.domain.story import Owner
from tests.chaos.seeded import clock
from tests.chaos.seeded.wire import Wire

FOLDS: tuple[Fold[Any], ...] = (
    PROMPT_FOLD,
    OUTPUT_FOLD,
    BALANCE_FOLD,
    HOLD_FOLD,
    GRANT_FOLD,
    WORKER_FOLD,
)
UNFINISHED = frozenset({"submitted", "queued", "running", "withdrawn"})


@dataclass
class Models:
    """The read models as PostgreSQL would hold them, and the sequence that they are true at."""

    seq: int = 0
    rows: dict[str, dict[tuple[Any, ...], Any]] = field(default_factory=dict)
    entries: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def apply(self, batch: Sequence[Recorded[Event]]) -> None:
        """Bring everything up to the end of a batch; what a row has seen changes nothing."""
        for recorded in batch:
            for fold in FOLDS:
                self._fold(fold, recorded)
            kind, lines = postings(recorded.event)
            for line in lines:
                self.entries.setdefault((recorded.event_id, line.account, kind), line.amount)
            self.seq = max(self.seq, recorded.seq)

    def of(self, fold: Fold[Any]) -> dict[tuple[Any, ...], Any]:
        """Return the rows of one model by their keys."""
        return self.rows.setdefault(fold.table.name, {})

    @property
    def prompts(self) -> dict[tuple[Any, ...], PromptRow]:
        """Return the rows of all prompts."""
        return self.of(PROMPT_FOLD)

    @property
    def visible(self) -> list[FoldedOutput]:
        """Return what may be served: released, of the attempt that counts."""
        rows: dict[tuple[Any, ...], FoldedOutput] = self.of(OUTPUT_FOLD)
        return [
            row
            for row in rows.values()
            if row.state == "released"
            and (prompt := self.prompts.get((row.tenant, row.prompt_id))) is not None
            and prompt.attempt == row.attempt
        ]

    def _fold(self, fold: Fold[Any], recorded: Recorded[Event]) -> None:
        rows = self.of(fold)
        for key in fold.touch(recorded):
            row = rows.get(key)
            if row is not None and recorded.seq <= row.last_seq:
                continue
            after = fold.evolve(row, key, recorded)
            if after is not None and after is not row:
                object.__setattr__(after, "last_seq", recorded.seq)
                rows[key] = after


@dataclass
class Database:
    """PostgreSQL as everybody shares it; it may be down for a while."""

    models: Models = field(default_factory=Models)
    down_until: float = 0.0

    def require(self) -> None:
        """Raise Unavailable while it is down."""
        if clock.seconds() < self.down_until:
            raise Unavailable("the database is down")


@dataclass(frozen=True)
class MemoryArchive:
    """What the gateway, the scheduler and billing read, over a wire."""

    database: Database
    wire: Wire

    async def recorded_seq(self) -> int:
        """Return the sequence up to which everything is committed."""
        return (await self._models()).seq

    async def start_seq(self) -> int:
        """Return where to begin reading the stream so that no open prompt is missed."""
        models = await self._models()
        rows = models.prompts.values()
        first = min((row.first_seq for row in rows if row.state in UNFINISHED), default=None)
        return min(first or models.seq + 1, models.seq + 1)

    async def submitted_before(self, tenant: str, prompt_id: str) -> Prompt:
        """Return a prompt that the journal may have forgotten."""
        row = (await self._models()).prompts.get((tenant, prompt_id))
        if row is None:
            return Prompt()
        return Prompt(
            body_mac=row.body_mac,
            keyed=row.keyed,
            withdrawn=row.state == "withdrawn",
            cancelled=row.cancel_requested,
            removed=row.hidden,
        )

    async def prompt(self, owner: Owner, prompt_id: str) -> PromptRow | None:
        """Return a prompt of `owner`, in whatever state it is."""
        row = (await self._models()).prompts.get((owner[0], prompt_id))
        return row if row is not None and row.user_id == owner[1] else None

    async def account(self, tenant: str, account: str) -> AccountSnapshot:
        """Return an account as billing remembers it, with the sequence that it is true at."""
        models = await self._models()
        mine: list[HoldRow] = sorted(
            (row for key, row in models.of(HOLD_FOLD).items() if key[:2] == (tenant, account)),
            key=lambda row: row.last_seq,
        )
        balance = models.of(BALANCE_FOLD).get((tenant, account))
        days: dict[str, int] = {}
        for row in mine:
            if row.state in ("held", "captured"):
                days[row.day] = days.get(row.day, 0) + row.images
        grants = [key[2] for key in models.of(GRANT_FOLD) if key[:2] == (tenant, account)]
        return AccountSnapshot(
            seq=models.seq,
            opened=balance is not None,
            balance=balance.balance if balance else 0,
            holds={row.prompt_id: row for row in mine if row.state == "held"},
            settled=tuple(row.prompt_id for row in mine if row.state != "held"),
            grants=tuple(grants),
            images_by_day=days,
        )

    async def _models(self) -> Models:
        await self.wire.reach()
        self.database.require()
        return self.database.models


class WiredArtifacts(MemoryArtifacts):
    """Blobs that all processes share, as one process reaches them."""

    def __init__(self, shared: MemoryArtifacts, wire: Wire) -> None:
        super().__init__(shared._kept)
        self._wire = wire

    async def put(self, key: str, data: bytes, mime: str) -> ArtifactInfo:
        await self._wire.reach()
        return await super().put(key, data, mime)

    async def get(self, key: str) -> bytes:
        await self._wire.reach()
        return await super().get(key)

    async def copy(self, source: str, target: str) -> None:
        await self._wire.reach()
        await super().copy(source, target)


class OpenVault:
    """A vault without secrets, so that the same story has the same bytes."""

    async def seal(self, tenant: str, user: str, value: Json) -> Sealed:
        kid, clear = await self.seal_bytes(tenant, user, json.dumps(value).encode())
        return Sealed(kid=kid, inline=base64.b64encode(clear).decode(), clear_bytes=len(clear))

    async def open(self, tenant: str, sealed: Sealed) -> Json:
        opened: Json = json.loads(base64.b64decode(sealed.inline or ""))
        return opened

    async def seal_bytes(self, tenant: str, user: str, data: bytes) -> tuple[str, bytes]:
        return f"{tenant}-{user}", data

    async def open_bytes(self, tenant: str, kid: str, ciphertext: bytes) -> bytes:
        return ciphertext

    async def mac(self, tenant: str, user: str, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    async def destroy(self, tenant: str, user: str) -> int:
        return 0
