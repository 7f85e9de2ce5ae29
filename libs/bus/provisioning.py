"""Makes the server's streams what the plan says, and never weakens what is there."""

from __future__ import annotations

from typing import cast

import structlog

from libs.bus.connection import ApiError, Connection
from libs.bus.topology import StreamPlan
from libs.core.errors import Misconfigured
from libs.core.jsonvalue import Json, JsonObject

log = structlog.get_logger(__name__)

NO_STREAM = 10059
NAME_TAKEN = 10058
NO_ROOM = frozenset({10023, 10028, 10047})
# What cannot be changed on a stream that exists.
FIXED = ("retention", "storage")
# More of these keeps more; the server writes "no limit" as 0 or -1.
KEEPING = ("max_age", "max_bytes", "max_msg_size", "num_replicas", "duplicate_window")
LIMITLESS = float("inf")


async def provision(connection: Connection, plans: tuple[StreamPlan, ...]) -> None:
    """Create what is missing and strengthen what is weaker than planned."""
    for plan in plans:
        found = await _found(connection, plan)
        if found is None:
            await _create(connection, plan)
            found = await _found(connection, plan) or plan.config
        merged = strengthened(plan, found)
        if merged != found:
            await _change(connection, "UPDATE", plan, merged)
            log.info("stream strengthened", stream=plan.name)


def strengthened(plan: StreamPlan, found: JsonObject) -> JsonObject:
    """Return `found` with all that the plan asks for; raise Misconfigured if it asks for less."""
    merged: JsonObject = dict(found)
    for name, wanted in plan.config.items():
        existing = found.get(name)
        if name in FIXED and existing != wanted:
            raise Misconfigured(
                f"stream {plan.name} exists with another {name}; remove it by hand or use "
                "another NATS account",
                found=existing,
                wanted=wanted,
            )
        if name in KEEPING:
            merged[name] = _most(plan, name, existing, wanted)
        elif name == "subjects":
            merged[name] = _union(existing, wanted)
        else:
            merged[name] = wanted
    # The server leaves out what is false.
    return {
        name: value
        for name, value in merged.items()
        if name in found or value not in (False, None, 0, "none")
    }


def _most(plan: StreamPlan, name: str, existing: Json, wanted: Json) -> Json:
    if _amount(name, existing) <= _amount(name, wanted):
        return wanted
    setting = plan.settings.get(name)
    if setting:
        raise Misconfigured(
            f"{setting} asks for less than stream {plan.name} keeps now; raise it, or lower the "
            f"stream's {name} by hand",
            found=existing,
            wanted=wanted,
        )
    return existing


def _amount(name: str, value: Json) -> float:
    amount = float(cast("float", value or 0))
    limitless = name not in ("num_replicas", "duplicate_window") and amount <= 0
    return LIMITLESS if limitless else amount


def _union(existing: Json, wanted: Json) -> Json:
    known = list(cast("list[Json]", existing or []))
    return known + [subject for subject in cast("list[Json]", wanted) if subject not in known]


async def _found(connection: Connection, plan: StreamPlan) -> JsonObject | None:
    try:
        info = await connection.api(f"STREAM.INFO.{plan.name}")
    except ApiError as error:
        if error.err_code == NO_STREAM:
            return None
        raise
    return cast("JsonObject", info["config"])


async def _create(connection: Connection, plan: StreamPlan) -> None:
    try:
        await _change(connection, "CREATE", plan, plan.config)
        log.info("stream created", stream=plan.name)
    except ApiError as error:
        # Another process was faster, perhaps with other settings; what it made is looked at next.
        if error.err_code != NAME_TAKEN:
            raise


async def _change(connection: Connection, verb: str, plan: StreamPlan, config: JsonObject) -> None:
    try:
        await connection.api(f"STREAM.{verb}.{plan.name}", config, seconds=15)
    except ApiError as error:
        if error.err_code not in NO_ROOM:
            raise
        setting = plan.settings.get("max_bytes", "JetStream's max_file_store")
        raise Misconfigured(
            f"the NATS server has no room for stream {plan.name}; change {setting}",
            max_bytes=config.get("max_bytes"),
            description=error.description,
        ) from error
