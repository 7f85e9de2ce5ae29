"""What clients are told of the caller's account."""

from __future__ import annotations

from typing import Final

from libs.chassis.answers import Account
from services.gateway.openapi.words import Answer, Doc

ACCOUNT: Final = Doc("account", {200: Answer("The account.", (Account,))})
