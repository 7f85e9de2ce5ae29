"""What there is to choose: options, models, styles; and what the caller has left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.core.errors import Refused, Unauthorized
from libs.core.jsonvalue import Json, JsonObject
from services.painter.domain.bodies import IMAGES_MAX, SEED_MAX, TEXT_CHARACTERS_MAX
from services.painter.domain.families import CONTROL_TYPES
from services.painter.domain.maps import COST_CREDITS, COST_IMAGES, lacking
from services.painter.domain.plan import SIDE_PIXELS_MIN, Limits, chosen, ratios_of
from services.painter.domain.shelf import (
    Fleet,
    Model,
    adapter_of,
    allowed,
    control_of,
    control_types_of,
    models_of,
)
from services.painter.domain.styles import Style, negatives, styles
from services.painter.painter import Painter
from services.painter.routes.table import Route

CARD: Final = Path(__file__).parents[3] / "libs" / "weights" / "demo" / "card.json"
TOLD: Final = ("shapes", "colours", "objects", "scenes", "sentences")


@dataclass(frozen=True)
class ChoiceRoutes:
    """Small answers that a page begins with."""

    painter: Painter

    def routes(self) -> Iterable[Route]:
        """Return the table of this file."""
        return (
            Route("GET", "/api/options", self.options),
            Route("GET", "/api/account", self.account),
            Route("GET", "/api/models", self.models),
            Route("GET", "/api/styles", self.styles),
        )

    async def options(self, request: Request) -> Response:
        """Return what this Painter can do, and whether the caller is signed in."""
        caller, settings = self.painter.who(request), self.painter.settings
        try:
            known = await self.painter.knowing.caller(caller, anew=True)
        except Unauthorized:
            known = None
        previews = known is not None and self.painter.generations.shows_previews(known.owner.tenant)
        told: JsonObject = {
            "auth": "local" if known is not None and known.owner.tenant == "local" else "keys",
            "signed_in": known is not None,
            "studio_url": self.painter.studio_place(request),
            "features": {
                "enhance": self.painter.enhancing.is_there,
                "previews": previews,
                "prompt_history": settings.prompts_kept_max > 0,
                "image_urls": settings.fetch_urls,
            },
            "limits": {
                "prompt_characters_max": TEXT_CHARACTERS_MAX,
                "num_images_max": IMAGES_MAX,
                "image_bytes_max": settings.image_bytes_max,
                "seed_max": SEED_MAX,
            },
            "control_types": list(CONTROL_TYPES),
            "control_map": {"cost_credits": COST_CREDITS, "images": COST_IMAGES},
            "negatives": {"version": negatives().version, "text": negatives().text},
        }
        return JSONResponse(told)

    async def account(self, request: Request) -> Response:
        """Return tier, limits, balance, and what today has used, as Studio says it."""
        known = await self.painter.knowing.caller(self.painter.who(request), anew=True)
        return JSONResponse(known.account)

    async def models(self, request: Request) -> Response:
        """Return every model with its limits for the caller, usable ones first."""
        caller = self.painter.who(request)
        limits = (await self.painter.knowing.caller(caller)).limits
        fleet = await self.painter.knowing.fleet(caller)
        found = models_of(fleet)
        listed = [_model(model, fleet, limits) for model in found]
        listed.sort(key=lambda one: not (one["available"] and one["allowed"]))
        return JSONResponse({"default": _default(found, limits), "models": listed})

    async def styles(self, request: Request) -> Response:
        """Return every style with its words."""
        self.painter.who(request)
        return JSONResponse({"styles": [_style(style) for style in styles().values()]})


def _default(models: Sequence[Model], limits: Limits) -> str | None:
    try:
        return chosen(None, models, limits).name
    except Refused:
        return None


def _model(model: Model, fleet: Fleet, limits: Limits) -> JsonObject:
    family = model.family
    may = allowed(model, limits.models)
    side_max = min(family.side_pixels_max, limits.side_pixels_max)
    reference = "adapter" if adapter_of(model, fleet) else "start"
    kinds: list[Json] = list(control_types_of(model, fleet))
    return {
        "name": model.name,
        "title": model.title,
        "family": family.name,
        "available": model.available,
        "allowed": may,
        "note": _note(model, limits, may=may),
        "demo": _demo() if family.name == "demo" else None,
        "width": min(family.width, side_max),
        "height": min(family.height, side_max),
        "side_pixels_min": SIDE_PIXELS_MIN,
        "side_pixels_max": side_max,
        "multiple": family.multiple,
        "ratios": [
            {"name": name, "width": width, "height": height}
            for name, width, height in ratios_of(model, limits)
        ],
        "steps": min(family.steps, limits.steps_max),
        "steps_max": limits.steps_max,
        "cfg_scale": family.cfg_scale,
        "negative": not family.distilled,
        "num_images_max": min(IMAGES_MAX, limits.batch_max),
        "reference": reference,
        "control_types": kinds,
        "control_notes": _control_notes(model, fleet),
        "inpaint": True,
    }


def _note(model: Model, limits: Limits, *, may: bool) -> str:
    if not model.available:
        return f"Its files are missing: {', '.join(model.missing)}."
    return "" if may else f"The {limits.tier} tier does not include it."


def _control_notes(model: Model, fleet: Fleet) -> JsonObject:
    """Return what is missing for types of control pictures that have a ControlNet here."""
    wanted = (kind for kind in CONTROL_TYPES if control_of(model, fleet, kind))
    return {kind: words for kind in wanted if (words := lacking(kind, fleet))}


def _style(style: Style) -> JsonObject:
    lora: JsonObject | None = None
    if style.lora is not None:
        lora = {"words": list(style.lora.words), "strength": style.lora.strength}
    return {
        "name": style.name,
        "title": style.title,
        "description": style.description,
        "positive": style.positive,
        "negative": style.negative,
        "lora": lora,
    }


@cache
def _demo() -> JsonObject | None:
    """Return what the demo model can draw, as its card says."""
    try:
        knows = orjson.loads(CARD.read_bytes())["knows"]
    except FileNotFoundError:
        return None
    return {name: knows.get(name, []) for name in TOLD}
