"""The validator's answer to a submission."""

from __future__ import annotations

from libs.events.base import PromptScoped, Sealed, Wire


class WeightsNeed(Wire):
    """A file that the graph names, by its folder and name."""

    folder: str
    name: str


class WorkEstimate(Wire):
    """What the graph asks of a machine; the price is made from it."""

    megapixel_steps: float
    images: int
    steps: int


class VerdictEvent(PromptScoped):
    """Owned by the validator."""

    owner = "validator"
    kind = "verdict"


class PromptValidated(VerdictEvent):
    """The graph can be executed; `outputs` are the output nodes that will be.

    `node_errors` seals the errors of outputs that are skipped, when only some are valid.
    `engines` names those that may execute it, any if empty; `node_types` those of its node types
    that only workers with the right packs know.
    """

    account: str
    tier: str
    outputs: tuple[str, ...]
    nodes: int
    needs: tuple[WeightsNeed, ...] = ()
    vram_mib: int = 0
    estimate: WorkEstimate
    node_errors: Sealed | None = None
    engines: tuple[str, ...] = ()
    node_types: tuple[str, ...] = ()


class PromptRejected(VerdictEvent):
    """The graph cannot be executed; `detail` seals `{error, node_errors}` as the client sees it."""

    status: int
    code: str
    detail: Sealed


VerdictEvents = PromptValidated | PromptRejected
