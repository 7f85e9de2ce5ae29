"""GET /api/account: who the caller is to us, what the tier allows, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.jsonvalue import JsonObject
from libs.core.money import credits_of
from libs.events.envelope import rfc3339
from libs.graph.tiers import Tier, tier_named
from libs.store.readmodels.accounts import AccountPage
from services.gateway.gateway import Gateway
from services.gateway.openapi import account as told
from services.gateway.routes.table import Route


@dataclass(frozen=True)
class AccountRoutes:
    """The caller's own account; nobody sees another's."""

    gateway: Gateway

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (Route("GET", "/account", self.account, told.ACCOUNT, bare=False),)

    async def account(self, request: Request) -> Response:
        """Return who is asking, the limits of the tier, the balance, and what today has used."""
        who = await self.gateway.who(request)
        tier = tier_named(who.tier)
        page = await self.gateway.archive.account(who)
        now = self.gateway.now().astimezone(UTC)
        return JSONResponse(
            {
                "tenant": who.tenant,
                "user": who.user_id,
                "tier": tier.name,
                "limits": _limits(tier),
                "balance_credits": credits_of(page.balance),
                "held_credits": credits_of(page.held),
                "today": _today(tier, page, now),
            }
        )


def _limits(tier: Tier) -> JsonObject:
    return {
        "generations_per_day": tier.generations_per_day,
        "side_pixels_max": tier.resolution_side_pixels_max,
        "steps_max": tier.steps_max,
        "batch_max": tier.batch_max,
        "models": list(tier.models) if tier.models is not None else None,
    }


def _today(tier: Tier, page: AccountPage, now: datetime) -> JsonObject:
    images = sum(day.images for day in page.usage if day.day == now.date().isoformat())
    limit = tier.generations_per_day
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return {
        "images": images,
        "images_left": None if limit is None else max(0, limit - images),
        "resets_at": rfc3339(tomorrow),
    }
