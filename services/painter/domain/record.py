"""What Painter writes into a workflow, so that it finds its pictures and their settings again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.core.jsonvalue import Json, JsonObject

# The key beside the editor's own in `extra_pnginfo`; PNG files carry it as a text chunk.
KEY: Final = "painter"
VERSION: Final = 1


@dataclass(frozen=True)
class Image:
    """One image of a generation: the node that saves it, its size and its seed."""

    node: str
    width: int
    height: int
    seed: int


@dataclass(frozen=True)
class Record:
    """One generation as it was handed in; `source` is the image that it goes on from."""

    kind: str
    settings: JsonObject
    images: tuple[Image, ...]
    source: JsonObject | None = None

    @property
    def document(self) -> JsonObject:
        """Return it as it is written."""
        return {
            "version": VERSION,
            "kind": self.kind,
            "settings": self.settings,
            "images": [
                {
                    "node": image.node,
                    "width": image.width,
                    "height": image.height,
                    "seed": image.seed,
                }
                for image in self.images
            ],
            "source": self.source,
        }


def extra_data_of(record: Record, *, previews: bool) -> JsonObject:
    """Return what travels with the prompt."""
    extra: JsonObject = {"extra_pnginfo": {KEY: record.document}}
    return {**extra, "preview_method": "auto"} if previews else extra


def record_in(extra_data: Json) -> Record | None:
    """Return the record of a prompt; None for one that Painter did not hand in."""
    written = _object(_object(extra_data).get("extra_pnginfo")).get(KEY)
    found = _object(written)
    images, settings = found.get("images"), found.get("settings")
    if found.get("version") != VERSION or not isinstance(images, list):
        return None
    source = found.get("source")
    try:
        return Record(
            kind=str(found["kind"]),
            settings=_object(settings),
            images=tuple(_image(_object(image)) for image in images),
            source=source if isinstance(source, dict) else None,
        )
    except (KeyError, TypeError):
        # A prompt of somebody's own that only calls itself Painter's.
        return None


def _image(image: JsonObject) -> Image:
    return Image(
        str(image["node"]), _whole(image["width"]), _whole(image["height"]), _whole(image["seed"])
    )


def _whole(value: Json) -> int:
    if not isinstance(value, int):
        raise TypeError("no whole number")
    return value


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
