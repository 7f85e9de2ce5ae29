"""From what was asked for to the values in effect, or a refusal that names field and limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from libs.core.errors import Refused
from libs.core.jsonvalue import JsonObject
from services.painter.domain.bodies import SEED_MAX, TEXT_CHARACTERS_MAX, GenerateBody
from services.painter.domain.families import SIDE_1024, Ratio
from services.painter.domain.shelf import (
    Fleet,
    Model,
    adapter_of,
    allowed,
    control_of,
    control_types_of,
)
from services.painter.domain.styles import NONE, Style, negatives, styles

DEFAULT_MODEL: Final = "flux-schnell"
SIDE_PIXELS_MIN: Final = 64
IMAGES_MAX: Final = 4


@dataclass(frozen=True)
class Limits:
    """What the caller's tier allows."""

    tier: str
    side_pixels_max: int
    steps_max: int
    batch_max: int
    models: tuple[str, ...] | None

    @staticmethod
    def of(account: JsonObject) -> Limits:
        """Read them out of an account as Studio tells it."""
        limits = account["limits"]
        if not isinstance(limits, dict):
            raise TypeError("an account has limits")
        models = limits["models"]
        return Limits(
            tier=str(account["tier"]),
            side_pixels_max=int(str(limits["side_pixels_max"])),
            steps_max=int(str(limits["steps_max"])),
            batch_max=int(str(limits["batch_max"])),
            models=tuple(map(str, models)) if isinstance(models, list) else None,
        )


@dataclass(frozen=True)
class Plan:
    """All values in effect; `seeds` has one for each image."""

    model: Model
    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    cfg_scale: float
    seeds: tuple[int, ...]
    style: Style
    control_type: str | None = None
    reference: str | None = None

    @property
    def positive(self) -> str:
        """Return the words that are encoded."""
        return self.style.around(self.prompt)

    @property
    def negative(self) -> str:
        """Return the words that are avoided; a distilled model avoids none."""
        return "" if self.model.family.distilled else self.style.against(self.negative_prompt)

    @property
    def settings(self) -> JsonObject:
        """Return the values as callers are told of them."""
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "model": self.model.name,
            "width": self.width,
            "height": self.height,
            "steps": self.steps,
            "cfg_scale": self.cfg_scale,
            "seed": self.seeds[0],
            "style": self.style.name,
            "num_images": len(self.seeds),
            "reference": self.reference,
            "control_type": self.control_type,
        }


def plan(
    body: GenerateBody, models: Sequence[Model], fleet: Fleet, limits: Limits, drawn: int
) -> Plan:
    """Return what will be painted; `drawn` is the seed of whoever wants none in particular."""
    model = chosen(body.model, models, limits)
    family = model.family
    style = _style(body.style)
    width, height = _size(body, model, limits)
    count = _count(body.num_images, limits)
    negative = body.negative_prompt
    if negative is None:
        negative = negatives().text if family.negative is None else family.negative
    if family.distilled:
        negative = ""
    _require_short("prompt", body.prompt, style.characters, style)
    _require_short("negative_prompt", negative, len(style.negative) + 2, style)
    _require_control(body.control_type, model, fleet)
    reference = None
    if body.reference_image is not None:
        reference = "adapter" if adapter_of(model, fleet) else "start"
    return Plan(
        model=model,
        prompt=body.prompt,
        negative_prompt=negative,
        width=width,
        height=height,
        steps=_steps(body.steps, model, limits),
        cfg_scale=1.0 if family.distilled else _cfg(body.cfg_scale, model),
        seeds=seeds(body.seed, drawn, count),
        style=style,
        control_type=body.control_type,
        reference=reference,
    )


def chosen(name: str | None, models: Sequence[Model], limits: Limits) -> Model:
    """Return the model of that name, or the one for whoever names none."""
    if name is None:
        usable = [m for m in models if m.available and allowed(m, limits.models)]
        preferred = [m for m in usable if m.name == DEFAULT_MODEL]
        if not usable:
            raise _not_possible("model", "No model is here that you may use.", models, limits)
        return (preferred or usable)[0]
    found = next((model for model in models if model.name == name), None)
    if found is None:
        raise Refused(
            f"There is no model called {name[:100]}.",
            kind="unknown_model",
            field="model",
            allowed=_names(models, limits),
        )
    if not found.available:
        files = ", ".join(found.missing)
        words = f"The model {name} is not here: its files are missing ({files})."
        raise _not_possible("model", words, models, limits)
    if not allowed(found, limits.models):
        raise beyond_tier("model", f"The model {name} is not", list(limits.models or ()), limits)
    return found


def seeds(asked: int | None, drawn: int, count: int) -> tuple[int, ...]:
    """Return a seed for each image, one after the other."""
    first = drawn if asked is None or asked < 0 else asked
    return tuple((first + place) % (SEED_MAX + 1) for place in range(count))


def ratios_of(model: Model, limits: Limits) -> tuple[Ratio, ...]:
    """Return the shapes that the tier allows."""
    side = min(limits.side_pixels_max, model.family.side_pixels_max)
    fitting = tuple(r for r in model.family.ratios if max(r[1:]) <= side)
    return fitting if len(fitting) == len(model.family.ratios) else (*_shrunk(side), *fitting)[:8]


def beyond_tier(field: str, subject: str, limit: object, limits: Limits) -> Refused:
    """Refuse what the caller's tier does not allow."""
    return Refused(
        f"{subject} within the {limits.tier} tier: its limit is {limit}.",
        kind="tier_limit_exceeded",
        status=403,
        field=field,
        limit=limit,
        tier=limits.tier,
    )


def _shrunk(side: int) -> tuple[Ratio, ...]:
    return tuple(r for r in SIDE_1024 if max(r[1:]) <= side)


def _names(models: Sequence[Model], limits: Limits) -> list[str]:
    return [m.name for m in models if m.available and allowed(m, limits.models)]


def _not_possible(
    field: str, words: str, models: Sequence[Model] = (), limits: Limits | None = None
) -> Refused:
    facts: Mapping[str, object] = {"allowed": _names(models, limits)} if limits else {}
    return Refused(words, kind="not_possible", status=400, field=field, **facts)


def _style(name: str | None) -> Style:
    found = styles().get(name or NONE)
    if found is None:
        raise Refused(
            f"There is no style called {str(name)[:100]}.",
            kind="unknown_style",
            field="style",
            allowed=list(styles()),
        )
    return found


def _size(body: GenerateBody, model: Model, limits: Limits) -> tuple[int, int]:
    family = model.family
    side_max = limits.side_pixels_max
    width = min(family.width, side_max) if body.width is None else body.width
    height = min(family.height, side_max) if body.height is None else body.height
    if family.paints and body.width is None and body.height is not None:
        width = height
    if family.paints and body.height is None and body.width is not None:
        height = width
    for field, pixels in (("width", width), ("height", height)):
        if pixels % family.multiple:
            raise _invalid(field, f"{field} is a multiple of {family.multiple}", family.multiple)
        if pixels > side_max:
            raise beyond_tier(field, f"A {field} of {pixels} is not", side_max, limits)
        if pixels > family.side_pixels_max:
            most = family.side_pixels_max
            raise _invalid(field, f"{family.title} paints {field}s up to {most}", most)
    if family.paints and width != height:
        raise _invalid("height", f"{family.title} paints squares only", width)
    return width, height


def _steps(asked: int | None, model: Model, limits: Limits) -> int:
    if asked is None:
        return min(model.family.steps, limits.steps_max)
    if asked > limits.steps_max:
        raise beyond_tier("steps", f"{asked} steps are not", limits.steps_max, limits)
    return asked


def _cfg(asked: float | None, model: Model) -> float:
    return model.family.cfg_scale if asked is None else float(asked)


def _count(asked: int | None, limits: Limits) -> int:
    count = 1 if asked is None else asked
    if count > limits.batch_max:
        raise beyond_tier("num_images", f"{count} images at once are not", limits.batch_max, limits)
    return count


def _require_short(field: str, text: str, added: int, style: Style) -> None:
    most = TEXT_CHARACTERS_MAX - added
    if len(text) > most:
        raise _invalid(field, f"With the style {style.name} {field} has {most} characters", most)


def _require_control(kind: str | None, model: Model, fleet: Fleet) -> None:
    if kind is None or kind in control_types_of(model, fleet):
        return
    words = f"{model.title} cannot follow a {kind} picture here: no ControlNet for it is there."
    if control_of(model, fleet, kind):
        words = f"{model.title} cannot follow a {kind} picture here: no depth network is there."
    raise Refused(
        words,
        kind="not_possible",
        field="control_type",
        allowed=list(control_types_of(model, fleet)),
    )


def _invalid(field: str, words: str, limit: int) -> Refused:
    return Refused(
        f"{words} at most." if "characters" in words else f"{words}.",
        kind="invalid_field",
        field=field,
        limit=limit,
    )
