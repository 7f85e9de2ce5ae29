"""One node type more."""

from __future__ import annotations

from typing import Annotated

from libs.nodes.declare import Widget, node
from libs.nodes.sockets import Conditioning


@node("DreamMood", title="Dream Mood", category="dream")
def mood(
    *,
    conditioning: Conditioning,
    brightness: Annotated[float, Widget(min=0.0, max=1.0, step=0.1), "How bright it is."] = 0.5,
) -> Conditioning:
    """Say how bright a dream is."""
    return conditioning.with_extras(brightness=brightness)
