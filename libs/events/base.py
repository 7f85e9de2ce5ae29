"""What all events share: an owner, a kind, a subject, a version."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict

SUBJECT_PREFIX = "evt.v1"
SYSTEM_TENANT = "_sys"
# Tenant and prompt id: another tenant may have chosen the same id.
PromptKey: TypeAlias = tuple[str, str]


class Wire(BaseModel):
    """A frozen value that crosses a process border; readers ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")


class Sealed(Wire):
    """Ciphertext under the data key `kid`: inline base64, or an artifact when it is large.

    The clear form is known to the gateway, the validator, moderation and the worker only.
    """

    kid: str
    inline: str | None = None
    artifact: str | None = None
    clear_bytes: int = 0


class Event(Wire):
    """A kept fact in the past tense; the class name is the name on the wire.

    `owner` is the one service that may write it, `kind` the token in its subject.
    """

    owner: ClassVar[str]
    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def subject_id(self) -> str:
        """Return the id of the aggregate that this event belongs to."""
        raise TypeError(f"{type(self).__name__} does not say which aggregate it belongs to")

    @property
    def correlation_id(self) -> str:
        """Return the prompt that this event is part of the story of, or an empty string."""
        return ""


class PromptScoped(Event):
    """An event whose aggregate is one prompt's part of the story."""

    prompt_id: str

    @property
    def subject_id(self) -> str:
        return self.prompt_id

    @property
    def correlation_id(self) -> str:
        return self.prompt_id


class Unreadable(Event):
    """Stands for bytes on the stream that are no event we know, in readers that must skip none.

    It is never written; `name` is the wire name that the bytes claim, if they claim one.
    """

    owner = ""
    kind = ""

    name: str = ""
    reason: str


def subject_of(tenant: str, event: Event) -> str:
    """Return the subject that `event` is written to."""
    return f"{SUBJECT_PREFIX}.{tenant}.{event.kind}.{event.subject_id}"


def subject(tenant: str, kind: str, aggregate_id: str) -> str:
    """Return the subject of one aggregate; `*` is allowed in any place for a filter."""
    return f"{SUBJECT_PREFIX}.{tenant}.{kind}.{aggregate_id}"
