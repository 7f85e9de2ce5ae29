"""A context on plain folders: for tests, measurements and work without the house."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePath

from libs.core.errors import NotFound
from libs.core.jsonvalue import JsonObject
from libs.graph.uploads import annotated
from libs.nodes.context import Loader, OutputFile, SavedFile
from libs.nodes.filenames import Facts, counter_of, numbered, place
from libs.nodes.sockets import OnStep
from libs.weights.members import is_folder_model


@dataclass(frozen=True, kw_only=True)
class LocalContext:
    """The world of a node as folders: `models`, `input`, `output` and `temp` under `root`."""

    root: Path
    loader: Loader
    node_id: str = ""
    prompt: JsonObject = field(default_factory=dict)
    extra_pnginfo: JsonObject = field(default_factory=dict)
    hip_workflow: JsonObject | None = None
    on_step: OnStep | None = None
    folders: Mapping[str, str] = field(default_factory=dict)

    def step(self, value: int, total: int, preview: Callable[..., bytes] | None = None) -> None:
        """Report that `value` of `total` steps are done."""
        if self.on_step is not None:
            self.on_step(value, total, preview)

    def weights(self, folder: str, name: str) -> Path:
        """Return where the weights file lies; `folders` renames those that differ."""
        return _inside(self.root / "models" / self.folders.get(folder, folder), name)

    def read_input(self, name: str) -> bytes:
        """Return an uploaded file; `name [output]` and `name [temp]` read those folders."""
        plain, kind = annotated(name)
        return _inside(self.root / kind, plain).read_bytes()

    def save(self, file: OutputFile) -> SavedFile:
        """Keep a file under the next free number."""
        facts = Facts(
            now=datetime.now(UTC),
            width=file.width,
            height=file.height,
            batch_number=file.batch_number,
        )
        subfolder, stem = place(file.filename_prefix, facts)
        folder = self.root / file.folder / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        counter = max((counter_of(path.name, stem) for path in folder.iterdir()), default=0)
        filename = numbered(stem, counter + 1, file.extension)
        (folder / filename).write_bytes(file.data)
        return SavedFile(filename=filename, subfolder=subfolder, type=file.folder)


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    # By the name alone: a link in the folder may well lead to another disk.
    leads_out = PurePath(name).is_absolute() or ".." in PurePath(name).parts
    if leads_out or not (path.is_file() or is_folder_model(path)):
        raise NotFound("there is no such file", folder=folder.name, name=name)
    return path
