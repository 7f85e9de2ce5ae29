"""Which models there are to paint with: the fleet's files, joined with the kinds we know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from libs.graph.tiers import DEFAULT_FAMILIES
from services.painter.domain.families import (
    CONTROL_TYPES,
    CONTROL_WORDS,
    FAMILIES,
    UNION_WORDS,
    Family,
    Part,
    kind_of,
)

FOLDERS: Final = (
    *("checkpoints", "diffusion_models", "text_encoders", "vae", "loras", "controlnet"),
    *("ipadapter", "clip_vision", "style_models", "upscale", "depth"),
)
VISION_WORDS: Final = ("vit-h",)
REDUX_WORDS: Final = ("redux",)
# SigLIP, as it is published for Redux.
REDUX_VISION_WORDS: Final = ("sigclip", "384")


@dataclass(frozen=True)
class Fleet:
    """The names of the fleet's model files by folder, and the sizes of checkpoints."""

    files: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    sizes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def named(self, folder: str, *words: str) -> str | None:
        """Return the first file of a folder whose name holds all words."""
        found = (
            name
            for name in self.files.get(folder, ())
            if all(word in name.lower() for word in words)
        )
        return next(found, None)


@dataclass(frozen=True)
class Model:
    """A model that a person may choose; `missing` names what the fleet lacks for it."""

    name: str
    title: str
    family: Family
    folder: str = ""
    file: str = ""
    parts: Mapping[Part, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """Say whether the fleet has all of its files."""
        return bool(self.file) and not self.missing

    @property
    def whole(self) -> bool:
        """Say whether one file holds the model with its text encoders and its VAE."""
        return self.folder == "checkpoints" and self.family.loader[0] != "checkpoint"


def models_of(fleet: Fleet) -> tuple[Model, ...]:
    """Return all models, those that can be used first, in the order of the families."""
    found = [model for family in FAMILIES for model in _of(family, fleet)]
    return tuple(sorted(found, key=lambda model: not model.available))


def allowed(model: Model, patterns: tuple[str, ...] | None) -> bool:
    """Say whether a tier whose models are `patterns` may use the model; None is all of them."""
    if patterns is None:
        return True
    bare = (model.file or model.name).lower().rpartition("/")[2]
    families = [pattern for name in patterns for pattern in DEFAULT_FAMILIES.get(name, ())]
    if not model.file:
        return model.family.name in patterns
    return any(fnmatchcase(bare, pattern) for pattern in families)


def adapter_of(model: Model, fleet: Fleet) -> tuple[str, str] | None:
    """Return the files of IP-Adapter or Redux, and of its vision, that show it an example."""
    if model.family.reference == "redux":
        redux = fleet.named("style_models", *REDUX_WORDS)
        sees = fleet.named("clip_vision", *REDUX_VISION_WORDS)
        return (redux, sees) if redux and sees else None
    if model.family.reference != "adapter":
        return None
    words = model.family.adapter_words
    adapter = fleet.named("ipadapter", *words, "ip-adapter") or fleet.named("ipadapter", *words)
    vision = fleet.named("clip_vision", *VISION_WORDS)
    return (adapter, vision) if adapter and vision else None


def control_of(model: Model, fleet: Fleet, control_type: str) -> tuple[str, bool] | None:
    """Return the ControlNet for a type of control picture, and whether it is one for all types."""
    for family_word in model.family.control_words:
        for word in CONTROL_WORDS[control_type]:
            if name := fleet.named("controlnet", family_word, word):
                return name, False
        for word in UNION_WORDS:
            if name := fleet.named("controlnet", family_word, word):
                return name, True
    return None


def control_types_of(model: Model, fleet: Fleet) -> tuple[str, ...]:
    """Return the types of control pictures that the model can follow here."""
    return tuple(
        kind
        for kind in CONTROL_TYPES
        if control_of(model, fleet, kind) and (kind != "depth" or fleet.files.get("depth"))
    )


def _of(family: Family, fleet: Fleet) -> Iterator[Model]:
    files = [
        (folder, name)
        for folder in family.folders
        for name in fleet.files.get(folder, ())
        if kind_of(name, fleet.sizes.get(name, 0)) is family
    ]
    if not files:
        yield Model(family.name, family.title, family, missing=(_wanted(family),))
    for place, (folder, file) in enumerate(files):
        stem = file.rpartition("/")[2].rpartition(".")[0] or file
        name, title = (family.name, family.title) if place == 0 else (stem, stem)
        whole = folder == "checkpoints" and family.loader[0] != "checkpoint"
        parts = {} if whole else {part: _part(part, fleet) for part in family.parts}
        missing = tuple(f"{p.folder}/{p.words[0]}" for p, there in parts.items() if not there)
        kept = {part: there for part, there in parts.items() if there}
        yield Model(name, title, family, folder, file, kept, missing)


def _part(part: Part, fleet: Fleet) -> str | None:
    if part.words == ("ae",):
        # Two letters are in many names; the file is called so, or ends so.
        names = fleet.files.get(part.folder, ())
        return next((n for n in names if n.lower().rpartition(".")[0].endswith("ae")), None)
    return fleet.named(part.folder, *part.words)


def _wanted(family: Family) -> str:
    return f"{family.folders[0]}/{'-'.join(family.words[0])}"
