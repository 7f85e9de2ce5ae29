"""`folder_paths`: the folders that packs know, each node with some of its own."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Final, SupportsIndex, cast

from libs import weights
from libs.core.errors import NotFound, Refused
from libs.nodes.packs.present import Kind, Present, present, room
from libs.weights.folder import FOLDERS, ModelFolder, builtin_files

MODELS: Final = "STUDIO_ENGINE_MODELS"
# Names of folders there that have another one here.
ALIASES: Final = {"upscale_models": "upscale", "animatediff_models": "motion"}
KINDS: Final = ("output", "temp", "input")

supported_pt_extensions: set[str] = {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors"}
# Outside an engine there is no such folder.
models_dir = os.environ.get(MODELS) or os.path.join(os.sep, "no", "models")
base_path = os.path.dirname(models_dir)
extension_mimetypes_cache: dict[str, str] = {"webp": "image"}


class FileList(list[str]):
    """File names in a folder: as an input's list it is the folder itself, files to come included."""

    def __init__(self, names: Iterable[str] = (), folder: str | None = None) -> None:
        super().__init__(names)
        self.folder = folder

    def __radd__(self, other: list[str]) -> list[str]:
        return [*other, *self]

    def append(self, name: str) -> None:
        """Add a name: it is a list of its own from then on."""
        self.folder = None
        super().append(name)

    def insert(self, index: SupportsIndex, name: str) -> None:
        """Add a name somewhere: it is a list of its own from then on."""
        self.folder = None
        super().insert(index, name)


class _Folders(dict[str, tuple[list[str], set[str]]]):
    """Where files of each kind lie; made as a pack asks for one."""

    def __missing__(self, name: str) -> tuple[list[str], set[str]]:
        self[name] = ([os.path.join(models_dir, folder_of(name))], set(supported_pt_extensions))
        return self[name]


def folder_of(folder_name: str) -> str:
    """Return what a folder of models is called here."""
    return ALIASES.get(folder_name, folder_name)


folder_names_and_paths = _Folders()
for _name in (*FOLDERS, *ALIASES):
    folder_names_and_paths.__missing__(_name)


def get_output_directory() -> str:
    """Return where the node may write files to be kept."""
    return str(room().folder("output"))


def get_temp_directory() -> str:
    """Return where the node may write files to be shown."""
    return str(room().folder("temp"))


def get_input_directory() -> str:
    """Return where the uploads that the node names are brought to."""
    return str(room().folder("input"))


def get_user_directory() -> str:
    """Return a folder that is the node's own."""
    return str(room().folder("user"))


def get_directory_by_type(type_name: str) -> str | None:
    """Return one of the three folders; None for another name."""
    return str(room().folder(cast("Kind", type_name))) if type_name in KINDS else None


def get_folder_paths(folder_name: str) -> list[str]:
    """Return where files of a kind lie."""
    return list(folder_names_and_paths[folder_name][0])


def add_model_folder_path(
    folder_name: str, full_folder_path: str, is_default: bool = False
) -> None:
    """Let a kind of files lie in one more folder of the worker's disk."""
    paths = folder_names_and_paths[folder_name][0]
    if full_folder_path not in paths:
        paths.insert(0 if is_default else len(paths), full_folder_path)


def get_filename_list(folder_name: str) -> FileList:
    """Return the names of the files of a kind."""
    folder = folder_of(folder_name)
    if folder in FOLDERS:
        return FileList(_inventory().get(folder, ()), folder)
    paths, suffixes = folder_names_and_paths[folder_name]
    found = [name for path in paths for name in recursive_search(path)[0]]
    return FileList(sorted(filter_files_extensions(found, suffixes)))


def get_full_path(folder_name: str, filename: str) -> str | None:
    """Return where a file lies, None if there is none of that name."""
    now = present()
    if now is not None and now.context is not None:
        try:
            return str(now.context.weights(folder_of(folder_name), filename))
        except NotFound:
            pass
    for path in get_folder_paths(folder_name):
        root = Path(path).resolve()
        file = (root / filename).resolve()
        if file.is_relative_to(root) and file.is_file():
            return str(file)
    return None


def get_full_path_or_raise(folder_name: str, filename: str) -> str:
    """Return where a file lies; FileNotFoundError if there is none of that name."""
    path = get_full_path(folder_name, filename)
    if path is None:
        raise FileNotFoundError(f"there is no {filename!r} in {folder_name!r}")
    return path


def annotated_filepath(name: str) -> tuple[str, str | None]:
    """Return the name of an upload and, from `name [output]` and the like, its folder."""
    for kind in KINDS:
        if name.endswith(f"[{kind}]"):
            return name[: -len(kind) - 2].rstrip(), get_directory_by_type(kind)
    return name, None


def get_annotated_filepath(name: str, default_dir: str | None = None) -> str:
    """Return where an upload was brought to."""
    now = present()
    if now is not None and now.context is not None:
        return bring(now, name)
    return str(_place(room().folder("input"), name))


def exists_annotated_filepath(name: str) -> bool:
    """Say whether there is such an upload; before the execution the house has looked already."""
    now = present()
    if now is None or now.context is None:
        return True
    try:
        bring(now, name)
    except NotFound:
        return False
    return True


def bring(now: Present, name: str) -> str:
    """Bring an upload to the node's folder, unless it is there; return where it lies."""
    path = _place(now.room.folder("input"), name)
    if now.context is not None and not path.exists():
        data = now.context.read_input(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(path)


def _place(folder: Path, name: str) -> Path:
    path = (folder / annotated_filepath(name)[0]).resolve()
    if not path.is_relative_to(folder):
        raise Refused("the name leads out of the uploads", received=name[:200])
    return path


def get_save_image_path(
    filename_prefix: str, output_dir: str, image_width: int = 0, image_height: int = 0
) -> tuple[str, str, int, str, str]:
    """Return the folder, the stem, a number, the subfolder and the prefix of a file to write.

    The number is the first that is free in the node's folder; the house gives the last name.
    """
    prefix = filename_prefix.replace("%width%", str(image_width))
    prefix = prefix.replace("%height%", str(image_height))
    told = PurePosixPath(prefix.replace("\\", "/"))
    root = Path(output_dir).resolve()
    folder = (root / told.parent).resolve()
    if not folder.is_relative_to(root):
        raise Refused("the prefix leads out of the folder", received=filename_prefix[:200])
    folder.mkdir(parents=True, exist_ok=True)
    subfolder = "" if str(told.parent) == "." else str(told.parent)
    number = 1 + sum(1 for file in folder.iterdir() if file.name.startswith(f"{told.name}_"))
    return str(folder), told.name, number, subfolder, prefix


def filter_files_extensions(files: Collection[str], extensions: Collection[str]) -> list[str]:
    """Return the files whose names end in one of those ways; all if none is said."""
    return [name for name in files if not extensions or Path(name).suffix.lower() in extensions]


def filter_files_content_types(files: list[str], content_types: list[str]) -> list[str]:
    """Return the files that are pictures, films, sounds or models, by their names."""
    return [name for name in files if _content_type(name) in content_types]


def _content_type(name: str) -> str:
    if Path(name).suffix.lower() in {".glb", ".gltf", ".obj", ".fbx", ".stl"}:
        return "model"
    kind = extension_mimetypes_cache.get(Path(name).suffix.lstrip(".").lower())
    return kind or (mimetypes.guess_type(name)[0] or "").partition("/")[0]


def recursive_search(
    directory: str, excluded_dir_names: list[str] | None = None
) -> tuple[list[str], dict[str, float]]:
    """Return all files below a folder, and when each folder changed."""
    files: list[str] = []
    times: dict[str, float] = {}
    for at, folders, names in os.walk(directory):
        folders[:] = [one for one in folders if one not in (excluded_dir_names or [])]
        times[at] = os.path.getmtime(at)
        files += [os.path.relpath(os.path.join(at, name), directory) for name in names]
    return files, times


def get_input_subfolders() -> list[str]:
    """Return the folders among the uploads: a node sees only what it names."""
    return []


@cache
def _inventory() -> dict[str, list[str]]:
    builtin = builtin_files(Path(cast("Any", weights.__file__)).with_name("demo"))
    found = ModelFolder(Path(models_dir), builtin).scan()
    return {folder: list(files) for folder, files in found.items()}
