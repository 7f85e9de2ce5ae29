"""What a pack's function returned, as the executor of the house knows it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.schema import NodeSchema
from libs.graph.value import Link
from libs.nodes.context import OUTPUT_BYTES_MAX, Context, Folder, OutputFile
from libs.nodes.declare import Shown
from libs.nodes.expansion import Blocked, Expanded
from libs.nodes.packs.border import Border
from libs.nodes.packs.inputs import as_json
from libs.nodes.packs.present import Present, shared_room
from libs.nodes.packs.sniffing import mime_of, size_of

KEPT: Final = frozenset({"output", "temp"})
COUNTER: Final = re.compile(r"_\d{5,}_?$")
NAME: Final = "filename"


@dataclass(frozen=True)
class Returned:
    """Takes apart what one call returned."""

    schema: NodeSchema
    border: Border
    present: Present

    def read(self, value: Any) -> Any:
        """Return it as values, `Shown`, or `Expanded`."""
        if not isinstance(value, Mapping):
            return self._values(value)
        result = value.get("result", ())
        ui = self._shown(value.get("ui"))
        nodes = value.get("expand")
        if nodes is not None:
            links = result if isinstance(result, Blocked) else self._values(result, links=True)
            return Expanded(self.border.taken_within(nodes), links, ui)
        values = self._values(result)
        return values if ui is None else Shown(values, ui)

    def _values(self, value: Any, *, links: bool = False) -> Any:
        outputs = self.schema.outputs
        if isinstance(value, Blocked):
            return value
        if value is None:
            value = ()
        elif not isinstance(value, list | tuple):
            value = (value,)
        if len(value) < len(outputs) and value:
            raise Refused(
                "the node returned fewer values than it has outputs",
                returned=len(value),
                outputs=len(outputs),
            )
        # A node that shows something and returns nothing has nothing on its wires.
        values = [*value[: len(outputs)], *[None] * (len(outputs) - len(value))]
        pairs = zip(values, outputs, strict=True)
        return tuple(
            [self.border.taken(each, out.type) for each in one]
            if out.is_list and isinstance(one, list | tuple) and not (links and _is_link(one))
            else (one if links and _is_link(one) else self.border.taken(one, out.type))
            for one, out in pairs
        )

    def _shown(self, ui: object) -> JsonObject | None:
        if ui is None:
            return None
        if not isinstance(ui, Mapping):
            raise Refused("what the node shows is no dictionary", received=type(ui).__name__)
        return {str(name): self._kept(value) for name, value in ui.items()}

    def _kept(self, value: object) -> Json:
        """Return what is shown, its files handed to the house."""
        if isinstance(value, list | tuple):
            return [self._kept(one) for one in value]
        if not isinstance(value, Mapping):
            return as_json(value)
        if NAME in value and str(value.get("type", "output")) in KEPT:
            return self._saved(value)
        return as_json(value)

    def _saved(self, told: Mapping[str, Any]) -> Json:
        folder = cast("Folder", str(told.get("type", "output")))
        path = self._path(folder, str(told.get("subfolder") or ""), str(told[NAME]))
        size = path.stat().st_size
        if size > OUTPUT_BYTES_MAX:
            raise Refused("the file is too large", size=size, maximum=OUTPUT_BYTES_MAX)
        data = path.read_bytes()
        mime = mime_of(data, path.name)
        width, height = size_of(data, mime)
        prefix = Path(str(told.get("subfolder") or ""), COUNTER.sub("", path.stem) or "file")
        context = cast("Context", self.present.context)
        saved = context.save(
            OutputFile(
                data=data,
                extension=path.suffix.lstrip(".").lower() or "bin",
                mime=mime,
                filename_prefix=prefix.as_posix().replace("%", ""),
                folder=folder,
                width=width,
                height=height,
            )
        )
        path.unlink()
        more = {str(name): as_json(one) for name, one in told.items() if name != "fullpath"}
        return {**more, **saved.as_json()}

    def _path(self, folder: Folder, subfolder: str, name: str) -> Path:
        """Return the file that the pack names, in its room or in that of all packs."""
        for room in (self.present.room, shared_room()):
            root = room.folder(folder).resolve()
            path = (root / subfolder / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                return path
        raise Refused(
            "the node shows a file that it did not write to its folder",
            folder=folder,
            filename=name[:200],
        )


def _is_link(value: object) -> bool:
    """Say whether an output of an expansion stands for what another node puts out."""
    if isinstance(value, Link):
        return True
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int | str)
    )
