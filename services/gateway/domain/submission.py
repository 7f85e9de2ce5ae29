"""What a client hands in with POST /prompt, read field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT, PROFILES
from libs.graph.literals import flaw
from libs.graph.parse import parse
from libs.graph.refusal import GraphRefused, problem, shown
from libs.graph.value import Dialect
from libs.nodes.engines import ANY_ENGINE, ENGINES

CLIENT_ID_CHARACTERS_MAX: Final = 200
KEY_CHARACTERS_MAX: Final = 255
TARGETS_MAX: Final = 500
PRIORITY_MAX: Final = 2.0**53
NUMERAL: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?\Z")
# Other companies' credentials that the editor sends along; they are none of our business.
FOREIGN_SECRETS: Final = ("auth_token_comfy_org", "api_key_comfy_org")
PREVIEW_METHODS: Final = frozenset({"none", "auto", "latent2rgb", "taesd", "default"})


@dataclass(frozen=True)
class Submission:
    """A submission as it was meant; `body` is what makes it the same or another one."""

    prompt: Json
    extra_data: JsonObject
    targets: tuple[str, ...]
    dialect: Dialect
    client_id: str = ""
    prompt_id: str | None = None
    front: bool = False
    priority: float | None = None

    @property
    def preview_method(self) -> str | None:
        """Return the kind of previews that the client asks for, if it asks."""
        method = self.extra_data.get("preview_method")
        return method if isinstance(method, str) and method in PREVIEW_METHODS else None

    @property
    def workflow_id(self) -> str:
        """Return the id of the document that the workflow was made from, if an editor sent it."""
        found: Json = self.extra_data
        for name in ("extra_pnginfo", "workflow", "id"):
            found = found.get(name) if isinstance(found, dict) else None
        return str(found) if is_canonical_uuid(found) else ""

    @property
    def body(self) -> JsonObject:
        """Return what a second submission under the same id must repeat."""
        return {
            "prompt": self.prompt,
            "extra_data": self.extra_data,
            "targets": list(self.targets),
            "client_id": self.client_id,
        }

    def workflow(self, create_time_ms: int) -> JsonObject:
        """Return what is sealed and handed to the validator and the worker."""
        return {
            "prompt": self.prompt,
            "extra_data": {**self.extra_data, "create_time": create_time_ms},
            "targets": list(self.targets),
        }


def read_submission(body: Json, usage_source: str = "") -> Submission:
    """Read the body of POST /prompt; raise GraphRefused naming the field that is wrong."""
    if not isinstance(body, dict):
        raise refused("invalid_json", "The body must be a JSON object", "body")
    prompt_id = _prompt_id(body.get("prompt_id"))
    prompt = body.get("prompt")
    if prompt is None:
        raise GraphRefused(
            problem("no_prompt", "No prompt provided", "No prompt provided", field="prompt")
        )
    return Submission(
        prompt=prompt,
        extra_data=_extra_data(body.get("extra_data"), usage_source),
        targets=_targets(body.get("partial_execution_targets")),
        dialect=parse(prompt).dialect,
        client_id=client_id(body.get("client_id")),
        prompt_id=prompt_id,
        front=flag(body.get("front"), "front"),
        priority=_priority(body.get("number")),
    )


def client_id(value: Json) -> str:
    """Return the id under which a client listens."""
    if value is None:
        return ""
    usable = isinstance(value, str) and len(value) <= CLIENT_ID_CHARACTERS_MAX
    if not usable or not str(value).isprintable():
        raise refused(
            "invalid_client_id",
            f"client_id must be a text of at most {CLIENT_ID_CHARACTERS_MAX} characters",
            "client_id",
            value,
        )
    return str(value)


def flag(value: Json, field: str) -> bool:
    """Return yes or no; clients of the field also say it with 1 and 0."""
    if value is None or value in (0, 1):
        return bool(value)
    raise refused("invalid_flag", f"{field} must be true or false", field, value)


def idempotency_key(value: str) -> str:
    """Return the key under which a caller may submit again and meet the same prompt."""
    if len(value) > KEY_CHARACTERS_MAX or not value.isprintable() or not value.isascii():
        raise refused(
            "invalid_idempotency_key",
            f"Idempotency-Key must be at most {KEY_CHARACTERS_MAX} printable ASCII characters",
            "Idempotency-Key",
        )
    return value


def refused(kind: str, message: str, field: str, received: Json = None) -> GraphRefused:
    """Build the refusal of one field."""
    extra: JsonObject = {"field": field}
    if received is not None and flaw(received) is None:
        extra["received_value"] = shown(received)
    return GraphRefused(problem(kind, message, field, **extra))


def _prompt_id(value: Json) -> str | None:
    if value is None:
        return None
    if not is_canonical_uuid(value):
        raise refused("invalid_prompt_id", "prompt_id must be a valid UUID", "prompt_id", value)
    return str(value)


def _extra_data(value: Json, usage_source: str) -> JsonObject:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise refused("invalid_extra_data", "extra_data must be an object", "extra_data", value)
    if found := flaw(value):
        raise refused("invalid_extra_data", f"extra_data {found}", "extra_data")
    kept = {name: item for name, item in value.items() if name not in FOREIGN_SECRETS}
    _require_known(kept, "engine", ANY_ENGINE, (ANY_ENGINE, *ENGINES))
    _require_known(kept, "profile", EXACT, PROFILES)
    if usage_source and "comfy_usage_source" not in kept:
        kept["comfy_usage_source"] = usage_source[:CLIENT_ID_CHARACTERS_MAX]
    return kept


def _require_known(given: JsonObject, name: str, default: str, known: tuple[str, ...]) -> None:
    if given.get(name, default) not in known:
        message = f"{name} must be one of {', '.join(known)}"
        raise refused(f"invalid_{name}", message, f"extra_data.{name}", given[name])


def _targets(value: Json) -> tuple[str, ...]:
    if value is None:
        return ()
    if value == []:
        # Whoever names no output wants none, and is not charged for all of them.
        raise GraphRefused(problem("prompt_no_outputs", "Prompt has no outputs", ""))
    usable = isinstance(value, list) and len(value) <= TARGETS_MAX
    if not isinstance(value, list) or not usable or flaw(value) is not None:
        raise _bad_targets()
    targets = tuple(item for item in value if isinstance(item, str))
    if len(targets) != len(value):
        raise _bad_targets()
    return targets


def _bad_targets() -> GraphRefused:
    return refused(
        "invalid_targets",
        f"partial_execution_targets must be a list of at most {TARGETS_MAX} node ids",
        "partial_execution_targets",
    )


def _priority(value: Json) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        value = _number_in(value)
    usable = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared as it came: beyond this, a float would no longer be the number that was sent.
    if not isinstance(value, int | float) or not usable or not abs(value) <= PRIORITY_MAX:
        raise refused(
            "invalid_number",
            f"number must be between -{PRIORITY_MAX:.0f} and {PRIORITY_MAX:.0f}",
            "number",
        )
    return float(value)


def _number_in(text: str) -> Json:
    return float(text) if NUMERAL.match(text) else None
