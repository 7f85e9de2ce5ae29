"""The one ask of the house: a worker asks for a lease."""

from __future__ import annotations

from libs.events.base import Wire
from libs.events.prompt import PromptSubmitted
from libs.events.run import LeaseGranted
from libs.events.verdict import PromptValidated

LEASE_SUBJECT = "ask.v1.lease"


class KnownAttempt(Wire):
    """An attempt whose lease the worker has, or had until a moment ago."""

    tenant: str = ""
    prompt_id: str
    attempt: int


class LeaseAsk(Wire):
    """What the worker has to offer. Asked again while it holds a lease, it gets that lease.

    `done_*` names the attempt that it finished last, whose lease it does not mean any more; nor
    does it mean those of the `known` attempts, which it executes or finished lately. `beside_*`
    is what the runs take among which the next one would be executed. `node_types` are those that
    its packs bring.
    """

    worker_id: str
    slot: str
    backend: str
    vram_total_mib: int
    vram_free_mib: int
    weights: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()
    done_prompt_id: str = ""
    done_attempt: int = 0
    known: tuple[KnownAttempt, ...] = ()
    beside: int = 0
    beside_vram_mib: int = 0
    beside_weights: tuple[str, ...] = ()


class LeaseAnswer(Wire):
    """A lease with all that is needed to execute it, or nothing for now."""

    tenant: str = ""
    lease: LeaseGranted | None = None
    submitted: PromptSubmitted | None = None
    validated: PromptValidated | None = None
    traceparent: str = ""
    causation_id: str = ""
