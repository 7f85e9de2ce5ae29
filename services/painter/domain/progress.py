"""How far a generation is, out of the steps that single nodes tell of."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.core.jsonvalue import Json, JsonObject

SAMPLER = "sampler"
UPSCALER = "upscaled"


@dataclass
class Progress:
    """The steps of all samplers of a workflow of `images` together."""

    images: int
    _steps: dict[str, tuple[float, float]] = field(default_factory=dict)

    def hear(self, kind: str, data: JsonObject) -> bool:
        """Take a frame of progress in; say whether that moved anything."""
        before = dict(self._steps)
        if kind == "progress":
            self._note(str(data.get("node")), data.get("value"), data.get("max"))
        else:
            nodes = data.get("nodes")
            for node, step in nodes.items() if isinstance(nodes, dict) else ():
                if isinstance(step, dict):
                    self._note(node, step.get("value"), step.get("max"))
        return self._steps != before

    @property
    def told(self) -> JsonObject | None:
        """Return it as callers read it, None before the first step."""
        chosen = {node: step for node, step in self._steps.items() if node.startswith(SAMPLER)}
        chosen = chosen or self._steps
        if not chosen:
            return None
        each = max(most for _, most in chosen.values())
        steps = each * max(self.images, len(chosen))
        done = sum(min(value, most) for value, most in chosen.values())
        return {
            "step": int(done),
            "steps": int(steps),
            "fraction": round(done / steps, 4) if steps else 0.0,
        }

    def _note(self, node: str, value: Json, most: Json) -> None:
        if not node.startswith((SAMPLER, UPSCALER)):
            return
        if isinstance(value, int | float) and isinstance(most, int | float) and most > 1:
            self._steps[node] = (float(value), float(most))
