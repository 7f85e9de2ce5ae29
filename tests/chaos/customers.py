"""Customers who submit all the time, and retry a lost answer exactly as a careful client would."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import httpx

from tests.chaos import workflows
from tests.chaos.checker.evidence import ACCEPTED, Receipt
from tests.chaos.checker.gathering import Account
from tests.chaos.workflows import Workflow

UNAVAILABLE = 503
NO_ANSWER = 0
POST_SECONDS_MAX = 30.0
RETRY_SECONDS = 0.4
PATIENCE_SECONDS = 150.0
PROBE_SECONDS_MAX = 120.0
POLL_SECONDS = 0.1
AGAIN_SHARE = 0.1
CANCEL_SECONDS_MAX = 3.0
LONG_SCALINGS = (6, 16)
PAINTED_STEPS = (2, 30)

# How many of a hundred submissions are meant to be what.
MIX: Mapping[str, int] = {
    "quick": 59,
    "long": 7,
    "painted": 6,
    "cancelled": 9,
    "blocked picture": 6,
    "rejected": 5,
    "blocked words": 4,
    "dear": 4,
}
SIMPLE: Mapping[str, Callable[[], Workflow]] = {
    "quick": workflows.quick,
    "blocked picture": workflows.blocked_picture,
    "blocked words": workflows.blocked_words,
    "rejected": workflows.rejected,
    "dear": workflows.dear,
}
KEYS = ("Idempotency-Key", "prompt_id", "")
KEY_WEIGHTS = (45, 35, 20)


@dataclass
class Customers:
    """All who submit to one house; every submission leaves a receipt."""

    url: str
    accounts: tuple[Account, ...]
    payer: Account
    random: Random
    receipts: list[Receipt] = field(default_factory=list)
    _api: httpx.AsyncClient | None = None
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def api(self) -> httpx.AsyncClient:
        """Return the one HTTP client of all customers."""
        if self._api is None:
            limits = httpx.Limits(max_connections=200)
            self._api = httpx.AsyncClient(
                base_url=self.url, timeout=POST_SECONDS_MAX, limits=limits
            )
        return self._api

    async def keep_coming(self, pause_seconds: float, has_room: Callable[[], bool]) -> None:
        """Submit one after another, for ever, while the house has room."""
        while True:
            await asyncio.sleep(self.random.expovariate(1 / pause_seconds))
            if has_room():
                task = asyncio.create_task(self._one())
                self._open.add(task)
                task.add_done_callback(self._done)

    async def leave(self) -> None:
        """Wait until nobody waits for an answer any more."""
        while self._open:
            await asyncio.wait(set(self._open))
        if self._api is not None:
            await self._api.aclose()

    async def probe(self) -> Receipt:
        """Submit something quick and wait until the history shows its end."""
        receipt = await self.submit(self.accounts[0], "probe", workflows.quick(), "prompt_id")
        deadline = time.monotonic() + PROBE_SECONDS_MAX
        where = f"/history/{receipt.prompt_id}"
        while time.monotonic() < deadline:
            try:
                answer = await self.api.get(where, headers=self.accounts[0].headers)
                if answer.status_code == ACCEPTED and answer.json():
                    return receipt
            except httpx.HTTPError:
                pass
            await asyncio.sleep(POLL_SECONDS)
        raise TimeoutError(f"{receipt.prompt_id} has no end after {PROBE_SECONDS_MAX:g} s")

    async def submit(self, account: Account, intent: str, graph: Workflow, key_in: str) -> Receipt:
        """Submit, and retry what may be retried until there is an answer."""
        receipt = Receipt(
            client_id=uuid.UUID(int=self.random.getrandbits(128)).hex,
            tenant=account.tenant,
            user=account.user,
            intent=intent,
            keyed=bool(key_in),
            sent_at=time.time(),
        )
        self.receipts.append(receipt)
        body = {"prompt": graph, "client_id": receipt.client_id}
        headers = dict(account.headers)
        key = str(uuid.UUID(int=self.random.getrandbits(128)))
        if key_in == "prompt_id":
            body["prompt_id"] = key
        elif key_in:
            headers[key_in] = key
        await self._until_answered(receipt, body, headers)
        if receipt.keyed and receipt.status == ACCEPTED and self.random.random() < AGAIN_SHARE:
            await self._post(receipt, body, headers)
            await self._until_answered(receipt, body, headers)
        receipt.answered_at = time.time()
        return receipt

    async def _until_answered(
        self, receipt: Receipt, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            await self._post(receipt, body, headers)
            if receipt.status not in (NO_ANSWER, UNAVAILABLE) or not receipt.keyed:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _post(
        self, receipt: Receipt, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> None:
        try:
            answer = await self.api.post("/prompt", json=body, headers=headers)
        except httpx.HTTPError:
            receipt.answers.append(NO_ANSWER)
            return
        receipt.answers.append(answer.status_code)
        if answer.status_code == ACCEPTED:
            receipt.prompt_ids.append(answer.json()["prompt_id"])

    async def _one(self) -> None:
        intent = self.random.choices(list(MIX), list(MIX.values()))[0]
        key_in = self.random.choices(KEYS, KEY_WEIGHTS)[0]
        account = self.payer if intent == "dear" else self.random.choice(self.accounts)
        receipt = await self.submit(account, intent, self._graph(intent), key_in)
        if intent == "cancelled" and receipt.status == ACCEPTED:
            await asyncio.sleep(self.random.uniform(0, CANCEL_SECONDS_MAX))
            await self._cancel(account, receipt.prompt_id)

    def _graph(self, intent: str) -> Workflow:
        if intent in ("long", "cancelled"):
            return workflows.long(self.random.randint(*LONG_SCALINGS))
        if intent == "painted":
            return workflows.painted(self.random.randint(*PAINTED_STEPS))
        return SIMPLE[intent]()

    async def _cancel(self, account: Account, prompt_id: str) -> None:
        """Ask for the end once more if the first wish was lost; it is a wish all the same."""
        for _ in range(2):
            try:
                await self.api.post(f"/api/jobs/{prompt_id}/cancel", headers=account.headers)
            except httpx.HTTPError:
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        task.result()
