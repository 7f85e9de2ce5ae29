"""Which part of a graph is executed at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from libs.nodes.declare import Same, Widget, node

SAME = Same("switch")


class Switched(NamedTuple):
    """What was chosen."""

    output: Annotated[object, SAME]


def _chosen(*, switch: bool, on_false: object, on_true: object) -> Sequence[str]:
    if switch:
        return ["on_true"] if on_true is None else []
    return ["on_false"] if on_false is None else []


@node("ComfySwitchNode", title="Switch", category="logic", wants=_chosen, experimental=True)
def switch_node(
    *,
    switch: Annotated[bool, "Which of the two is passed on."],
    on_false: Annotated[object, SAME, Widget(lazy=True), "Passed on while the switch is off."],
    on_true: Annotated[object, SAME, Widget(lazy=True), "Passed on while the switch is on."],
) -> Switched:
    """Pass on one of two inputs; what only the other one needs is not executed."""
    return Switched(on_true if switch else on_false)
