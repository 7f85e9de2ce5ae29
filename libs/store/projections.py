"""The read models as one table, for the recorder and for whoever rebuilds them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.fold import Batch
from libs.store.readmodels import accounts, ledger
from libs.store.readmodels.outputs import OUTPUT_FOLD
from libs.store.readmodels.prompt_fold import PROMPT_FOLD
from libs.store.readmodels.workers import WORKER_FOLD

Apply = Callable[[AsyncConnection, Batch], Awaitable[None]]

PROJECTIONS: Final[tuple[Apply, ...]] = (
    PROMPT_FOLD.apply,
    OUTPUT_FOLD.apply,
    ledger.apply,
    accounts.apply,
    WORKER_FOLD.apply,
)


async def apply(connection: AsyncConnection, batch: Batch) -> None:
    """Bring all read models up to the end of a batch."""
    for projection in PROJECTIONS:
        await projection(connection, batch)
