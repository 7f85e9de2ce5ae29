"""From a body to a prompt in Studio's queue: plan, keep the pictures, build, hand in."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError
from uuid_utils import uuid7

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import JsonObject
from services.painter import metrics
from services.painter.caller import Caller
from services.painter.domain.bodies import GenerateBody, InpaintBody, VaryBody
from services.painter.domain.building import Built, Pictures, build, build_upscale
from services.painter.domain.plan import Plan, beyond_tier, plan
from services.painter.domain.record import Image, Record, extra_data_of
from services.painter.domain.shelf import Fleet, models_of
from services.painter.domain.telling import Seen
from services.painter.errors import invalid
from services.painter.generations import Generations
from services.painter.keeping import Keeping
from services.painter.knowing import Knowing, Known
from services.painter.pictures import Pictures as Kept
from services.painter.studio import Studio
from services.painter.watching import client_id_of

# Changing this value would give every idempotency key a new generation.
NAMESPACE: Final = uuid.UUID("5b1e6c0a-3035-5e1b-9a53-35c0de003035")
# Short enough to be read out, and more than anybody will ever draw.
DRAWN_SEEDS: Final = 2**32
KEY_CHARACTERS_MAX: Final = 255
UPSCALED_TIMES: Final = 2
AGAIN: Final = (
    *("prompt", "negative_prompt", "model", "width", "height", "steps", "cfg_scale"),
    *("seed", "style", "num_images"),
)


@dataclass(frozen=True)
class Making:
    """Every dependency is a field."""

    studio: Studio
    knowing: Knowing
    kept: Kept
    keeping: Keeping
    generations: Generations

    async def generate(self, caller: Caller, body: GenerateBody, key: str) -> Seen:
        """Hand in what `POST /api/generate` asks for."""
        known, fleet = await self._known(caller)
        made = plan(body, models_of(fleet), fleet, known.limits, _drawn(known, key))
        pictures = Pictures(
            reference=await self._picture(caller, "reference_image", body.reference_image),
            control=await self._picture(caller, "control_image", body.control_image),
        )
        built = build(made, fleet, pictures)
        await self.keeping.remember(known.owner, body.prompt, body.negative_prompt or "")
        return await self._submit(caller, known, key, _record("generate", made, built), built)

    async def vary(self, caller: Caller, generation_id: str, body: VaryBody, key: str) -> Seen:
        """Hand in more pictures like one."""
        source, file = await self._source(caller, generation_id, body.image)
        again = _again(source, body)
        pictures = Pictures(source=file, denoise=body.strength)
        return await self._go_on(caller, "vary", source, body.image, again, pictures, key)

    async def inpaint(
        self, caller: Caller, generation_id: str, body: InpaintBody, key: str
    ) -> Seen:
        """Hand in a picture with a part of it to be painted anew."""
        source, file = await self._source(caller, generation_id, body.image)
        again = _again(source, body)
        mask = await self._picture(caller, "mask", body.mask)
        pictures = Pictures(source=file, mask=mask, denoise="inpaint")
        return await self._go_on(caller, "inpaint", source, body.image, again, pictures, key)

    async def upscale(self, caller: Caller, generation_id: str, index: int, key: str) -> Seen:
        """Hand in a picture to be made larger."""
        source, file = await self._source(caller, generation_id, index)
        known, fleet = await self._known(caller)
        image = source.record.images[index]
        width, height = image.width * UPSCALED_TIMES, image.height * UPSCALED_TIMES
        most = known.limits.side_pixels_max
        if max(width, height) > most:
            raise beyond_tier("image", f"{width} x {height} pixels are not", most, known.limits)
        built = build_upscale(file, fleet.named("upscale"), width, height)
        settings = {**source.record.settings, "num_images": 1, "seed": image.seed}
        settings |= {"width": width, "height": height, "steps": 0}
        images = (Image("save", width, height, image.seed),)
        record = Record("upscale", settings, images, _from(source, index))
        return await self._submit(caller, known, key, record, built)

    async def _go_on(
        self,
        caller: Caller,
        kind: str,
        source: Seen,
        index: int,
        again: GenerateBody,
        pictures: Pictures,
        key: str,
    ) -> Seen:
        known, fleet = await self._known(caller)
        made = plan(again, models_of(fleet), fleet, known.limits, _drawn(known, key))
        built = build(made, fleet, pictures)
        record = replace(_record(kind, made, built), source=_from(source, index))
        return await self._submit(caller, known, key, record, built)

    async def _submit(
        self, caller: Caller, known: Known, key: str, record: Record, built: Built
    ) -> Seen:
        prompt_id = _prompt_id(known, key)
        previews = self.generations.shows_previews(known.owner.tenant)
        body: JsonObject = {
            "prompt": dict(built.workflow),
            "prompt_id": prompt_id,
            "client_id": client_id_of(prompt_id),
            "extra_data": extra_data_of(record, previews=previews),
        }
        await self.studio.hand_in(caller, prompt_id, body, keyed=bool(key))
        metrics.GENERATED.labels(record.kind).inc()
        try:
            return await self.generations.one(caller, prompt_id)
        except NotFound:
            # Cancelled in this very moment.
            return Seen(prompt_id, record, "cancelled", "")

    async def _source(self, caller: Caller, generation_id: str, index: int) -> tuple[Seen, str]:
        found = await self.generations.one(caller, generation_id)
        file = found.file(index)
        if file is None:
            raise NotFound("This generation has no such image.", field="image")
        folder = f"{file['subfolder']}/" if file["subfolder"] else ""
        return found, f"{folder}{file['filename']} [{file['type']}]"

    async def _picture(self, caller: Caller, field: str, text: str | None) -> str | None:
        return None if text is None else await self.kept.keep(caller, field, text)

    async def _known(self, caller: Caller) -> tuple[Known, Fleet]:
        # The caller first: who has no key learns nothing of the fleet.
        known = await self.knowing.caller(caller)
        return known, await self.knowing.fleet(caller)


def idempotency_key(text: str) -> str:
    """Return the key under which a caller may ask again and meet the same generation."""
    if len(text) > KEY_CHARACTERS_MAX or not text.isprintable() or not text.isascii():
        words = f"Idempotency-Key has at most {KEY_CHARACTERS_MAX} printable ASCII characters."
        raise invalid("Idempotency-Key", words, limit=KEY_CHARACTERS_MAX)
    return text


def _record(kind: str, made: Plan, built: Built) -> Record:
    images = tuple(
        Image(node, built.width, built.height, seed)
        for node, seed in zip(built.savers, made.seeds, strict=True)
    )
    return Record(kind, made.settings, images)


def _from(source: Seen, index: int) -> JsonObject:
    return {"generation_id": source.prompt_id, "index": index}


def _again(source: Seen, body: VaryBody | InpaintBody) -> GenerateBody:
    """Return the settings of a generation as a body, with what is asked for anew."""
    kind = source.record.kind
    if kind == "upscale":
        raise Refused(
            "An enlarged picture cannot be painted on; go on from the one it was made of.",
            kind="not_possible",
            field="generation_id",
        )
    settings = {name: source.record.settings.get(name) for name in AGAIN}
    settings |= {"seed": body.seed, "num_images": body.num_images}
    if body.prompt is not None:
        settings["prompt"] = body.prompt
    try:
        return GenerateBody.model_validate(settings)
    except ValidationError as error:
        # Whoever hands a prompt in at Studio may write into it what only looks like ours.
        raise Refused(
            "The settings of this generation are no settings of ours; begin anew.",
            kind="not_possible",
            field="generation_id",
        ) from error


def _prompt_id(known: Known, key: str) -> str:
    if not key:
        return str(uuid7())
    return str(uuid.uuid5(NAMESPACE, _named(known, key)))


def _drawn(known: Known, key: str) -> int:
    """Draw a seed; whoever asks again under a key draws the same one."""
    if not key:
        return secrets.randbelow(DRAWN_SEEDS)
    digest = hashlib.sha256(_named(known, key).encode()).digest()
    return int.from_bytes(digest[:8]) % DRAWN_SEEDS


def _named(known: Known, key: str) -> str:
    # Tenants and users are tokens and hold no line break, so no two give the same text.
    return f"{known.owner.tenant}\n{known.owner.user}\n{key}"
