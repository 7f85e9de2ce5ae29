"""The read models as one table, for the recorder and for whoever rebuilds them.

A batch is one statement that loads the rows it touches, in whatever table, and one that writes
them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.store.engine import driver
from libs.store.fold import Batch, Fold, insert_sql
from libs.store.readmodels import ledger
from libs.store.readmodels.accounts import BALANCE_FOLD, GRANT_FOLD, HOLD_FOLD
from libs.store.readmodels.outputs import OUTPUT_FOLD
from libs.store.readmodels.prompt_fold import PROMPT_FOLD
from libs.store.readmodels.workers import WORKER_FOLD
from libs.store.text import to_json

FOLDS: Final[tuple[Fold[Any], ...]] = (
    PROMPT_FOLD,
    OUTPUT_FOLD,
    BALANCE_FOLD,
    HOLD_FOLD,
    GRANT_FOLD,
    WORKER_FOLD,
)


def _load() -> str:
    return "SELECT " + ", ".join(fold.load_sql(number) for number, fold in enumerate(FOLDS, 1))


def _save() -> str:
    def steps() -> Iterator[str]:
        for number, fold in enumerate(FOLDS, 1):
            yield f"w{number} AS ({fold.save_sql(number)})"
        entries = insert_sql(ledger.LEDGER_ENTRIES, len(FOLDS) + 1)
        yield f"entries AS ({entries} ON CONFLICT DO NOTHING)"

    return f"WITH {', '.join(steps())} SELECT"


LOAD: Final = _load()
SAVE: Final = _save()


async def apply(connection: AsyncConnection, batch: Batch) -> None:
    """Bring all read models up to the end of a batch; what they have seen changes nothing."""
    touched = [fold.touched(batch) for fold in FOLDS]
    if not any(touched):
        return
    postgres = await driver(connection)
    keys = [fold.keys_json(some) for fold, some in zip(FOLDS, touched, strict=True)]
    stored = await postgres.fetchrow(LOAD, *keys)
    rows = [
        fold.rows_json(fold.after(some, found))
        for fold, some, found in zip(FOLDS, touched, stored, strict=True)
    ]
    await postgres.execute(SAVE, *rows, to_json(ledger.lines(batch)))
