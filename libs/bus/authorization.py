"""The rights of all users in the form of a NATS server's configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from libs.bus.rights import (
    HOUSE,
    OPERATOR,
    PROVISIONER,
    USERS,
    WORKER,
    Rights,
    rights_of,
)
from libs.bus.topology import streams
from libs.core.jsonvalue import JsonObject
from libs.settings import Settings

# Of each kind that a server needs; who has no rights of its own may do everything.
ALL_USERS: Final = (OPERATOR, PROVISIONER, *USERS)
CLUSTER_USERS: Final = tuple(user for user in ALL_USERS if user != HOUSE)
# Who logs in where `studio up` runs the house on a server that it was given.
HOUSE_USERS: Final = (OPERATOR, HOUSE, WORKER)
AUTHORIZATION_FILE: Final = "authorization.conf"
HOUSE_FILE: Final = "authorization.house.conf"
STREAMS_FOLDER: Final = "streams"
MADE_BY: Final = (
    "# Made by `studio provision --write deploy/nats`; change libs/bus/rights.py instead."
)
PASSWORDS: Final = (
    "# Each password is a variable of the server's environment. Use letters and digits, the first\n"
    "# one a letter: the server reads the value as it reads this file."
)


def users(passwords: Mapping[str, str]) -> list[JsonObject]:
    """Return the server's list of users, each with the rights that its name stands for."""
    return [
        {"user": user, "password": password, **_permissions(user)}
        for user, password in passwords.items()
    ]


def files(settings: Settings) -> dict[str, str]:
    """Return the files that stand for streams and rights in a cluster, by their names."""
    plans = {
        f"{STREAMS_FOLDER}/{plan.name}.json": json.dumps(plan.config, indent=2) + "\n"
        for plan in streams(settings)
    }
    return {
        AUTHORIZATION_FILE: authorization(CLUSTER_USERS, password_variable),
        HOUSE_FILE: authorization(HOUSE_USERS, password_variable),
        **plans,
    }


def password_variable(user: str) -> str:
    """Return the variable that holds this user's password where the server runs."""
    return f"NATS_PASSWORD_{user.upper()}"


def login_of(user: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a process gets to log in as `user`, if the environment has the user's password.

    The passwords of the others are taken from it.
    """
    password = environment.get(password_variable(user), "")
    if not password:
        return {}
    others = {password_variable(one): "" for one in ALL_USERS}
    return {**others, "NATS_USER": user, "NATS_PASSWORD": password}


def authorization(users: Sequence[str], variable: Callable[[str], str]) -> str:
    """Return the block of users in the server's own form, passwords by variable."""
    blocks = []
    for user in users:
        shown = json.dumps({"user": user, "password": "", **_permissions(user)}, indent=2)
        # Only a bare word is taken for a variable, and JSON has none.
        shown = shown.replace('"password": ""', f'"password": ${variable(user)}', 1)
        blocks.append("    " + shown.replace("\n", "\n    "))
    return "\n".join(
        [MADE_BY, PASSWORDS, "authorization {", "  users: [", ",\n".join(blocks), "  ]", "}", ""]
    )


def _permissions(user: str) -> JsonObject:
    if user == OPERATOR:
        return {}
    rights: Rights = rights_of(user)
    publish: JsonObject = {"allow": list(rights.publish)}
    if rights.denied:
        publish["deny"] = list(rights.denied)
    return {"permissions": {"publish": publish, "subscribe": {"allow": list(rights.subscribe)}}}
