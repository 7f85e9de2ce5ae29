"""`studio keys`: who may use the API, where the house wants to know."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from libs.core.errors import NotFound
from libs.core.ids import token as checked_token
from libs.settings import Settings
from services.commands.console import out, plain_errors, print_json
from services.commands.finding import running_settings

app = typer.Typer(no_args_is_help=True, help="Make and revoke API keys.")


@app.command("create")
@plain_errors
def create(
    tenant: Annotated[str, typer.Option(help="The organisation.")],
    user: Annotated[str, typer.Option(help="The person or program in it.")],
    tier: Annotated[str, typer.Option(help="free, pro or enterprise.")] = "free",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a program.")] = False,
) -> None:
    """Make an API key; it is shown once and kept only as a digest.

    Example: studio keys create --tenant acme --user ada --tier pro
    """
    checked_token(tenant, "tenant")
    checked_token(user, "user")
    made = asyncio.run(_create(tenant, user, tier))
    if as_json:
        print_json({"token": made, "tenant": tenant, "user": user, "tier": tier})
        return
    out.print(made, markup=False)


@app.command("revoke")
@plain_errors
def revoke(key_id: Annotated[str, typer.Argument(help="The part after sk-hanzo-.")]) -> None:
    """Make a key worthless at once.

    Example: studio keys revoke 4f1c2a
    """
    if not asyncio.run(_revoke(key_id)):
        raise NotFound("there is no such key", key_id=key_id)
    out.print("revoked")


async def _create(tenant: str, user: str, tier: str) -> str:
    from libs.store.engine import make_engine
    from libs.store.readmodels import api_keys

    engine = make_engine(running_settings(Settings()).database_url)
    try:
        async with engine.begin() as connection:
            return await api_keys.add(connection, tenant=tenant, user_id=user, tier=tier)
    finally:
        await engine.dispose()


async def _revoke(key_id: str) -> bool:
    from libs.store.engine import make_engine
    from libs.store.readmodels import api_keys

    engine = make_engine(running_settings(Settings()).database_url)
    try:
        async with engine.begin() as connection:
            return await api_keys.revoke(connection, key_id)
    finally:
        await engine.dispose()
