"""Every list that a panel shows, behind ten thousand finished prompts."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import asyncpg

from libs.store.readmodels.outputs import OUTPUTS
from libs.store.readmodels.prompts import PROMPTS
from tests.bench.figures import Taken, spread
from tests.bench.ground import Ground
from tests.e2e.houses import House
from tests.e2e.settling import database_url
from tests.e2e.watching import Watcher, submit, tiny_graph

ROWS: Final = 10_000
REQUESTS: Final = 40
DONE: Final = "status=completed,failed,cancelled"
# As ComfyUI's editor, older editors and SDKs ask, at both ends of the list.
LISTS: Final = {
    "queue": "/queue",
    "queue_hip35": "/api/queue",
    "history": "/history?max_items=64",
    "history_deep": "/history?max_items=64&offset=9000",
    "history_hip35": "/api/history",
    "jobs_open": "/api/jobs?status=in_progress,pending&limit=200&offset=0",
    "jobs_panel": f"/api/jobs?{DONE}&limit=200&offset=0",
    "jobs_deep": f"/api/jobs?{DONE}&limit=200&offset=9000",
    "jobs_oldest": f"/api/jobs?{DONE}&limit=64&sort_order=asc",
    "jobs_longest": f"/api/jobs?{DONE}&limit=64&sort_by=execution_duration",
    "jobs_failed": "/api/jobs?status=failed&limit=64",
    "files": "/internal/files/output",
}
# What makes a copy of a row another one, `i` counting them.
PROMPT: Final = {
    "prompt_id": "gen_random_uuid()::text",
    "number": "number + i",
    "submitted_at": "submitted_at - i * interval '1 minute'",
    "started_at": "submitted_at - i * interval '1 minute'",
    "ended_at": "submitted_at - i * interval '1 minute' + (i % 97) * interval '100 ms'",
    "ended_seq": "ended_seq + i",
    "outcome": "CASE WHEN i % 10 = 0 THEN 'failed' ELSE outcome END",
}
OUTPUT: Final = {
    "prompt_id": "fresh.prompt_id",
    "filename": "'copy_' || fresh.number || '_.png'",
}


def measure(ground: Ground) -> Taken:
    """Let one prompt run, copy its rows, and ask for every list many times."""
    house = ground.house()
    with ground.bar("10,000 rows", 1 + len(LISTS)) as step:
        asyncio.run(_fill(database_url(house.home), _one_prompt(house)))
        step()
        figures: dict[str, float] = {}
        for name, path in LISTS.items():
            figures |= spread(_asked(house, path), "ms", f"{name}_")
            step()
        figures["history_whole_ms"] = _asked(house, "/history", requests=1)[0]
    slowest = max(figures[f"{name}_p95_ms"] for name in LISTS)
    ground.forget_house()
    return Taken({"slowest_p95_ms": slowest, "rows": ROWS, **figures})


def _one_prompt(house: House) -> str:
    with house.client() as client, Watcher(house) as watcher:
        prompt_id = submit(client, tiny_graph(1, preview=False), watcher.client_id)
        watcher.until_end(prompt_id)
    return prompt_id


async def _fill(url: str, prompt_id: str) -> None:
    """Copy a finished prompt and its files until there are enough."""
    database = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        names = [column.name for column in PROMPTS.c]
        values = ", ".join(PROMPT.get(name, f'"{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        await database.execute(
            f"INSERT INTO prompts ({columns}) SELECT {values} "
            f"FROM prompts, generate_series(1, {ROWS - 1}) AS i WHERE prompt_id = $1",
            prompt_id,
        )
        names = [column.name for column in OUTPUTS.c]
        values = ", ".join(OUTPUT.get(name, f'outputs."{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        await database.execute(
            f"INSERT INTO outputs ({columns}) SELECT {values} "
            "FROM outputs, prompts AS fresh "
            "WHERE outputs.prompt_id = $1 AND fresh.prompt_id <> $1 AND fresh.state = 'ended' "
            "ON CONFLICT DO NOTHING",
            prompt_id,
        )
        # A database that has grown by itself has been looked over long ago.
        await database.execute("VACUUM ANALYZE prompts, outputs")
    finally:
        await database.close()


def _asked(house: House, path: str, requests: int = REQUESTS) -> list[float]:
    """Return how many milliseconds each of some requests took; the first of all is not counted."""
    taken = []
    with house.client() as client:
        client.get("/prompt").raise_for_status()
        for _ in range(requests):
            began = time.perf_counter()
            client.get(path).raise_for_status()
            taken.append((time.perf_counter() - began) * 1000)
    return taken
