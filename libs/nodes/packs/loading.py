"""Loads node packs from a folder and from packages; one that fails is told of, and the rest goes on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import structlog

from libs.core.errors import Refused
from libs.nodes.declare import NodeType
from libs.nodes.packs.adapter import node_type
from libs.nodes.packs.border import Exchange
from libs.nodes.packs.finder import Finder, Offered
from libs.nodes.packs.inputs import NotUnderstood
from libs.nodes.packs.pages import bundled, folder_of
from libs.nodes.packs.present import calling, shared_room
from libs.nodes.packs.second import as_first, classes_of, is_second, schema_of
from libs.nodes.packs.shims import names
from libs.nodes.packs.surroundings import kept

log = structlog.get_logger(__name__)

GROUP: Final = "hanzo_studio.node_packs"
CLASSES: Final = "NODE_CLASS_MAPPINGS"
TITLES: Final = "NODE_DISPLAY_NAME_MAPPINGS"
PAGE: Final = "WEB_DIRECTORY"
ENTRY: Final = "comfy_entrypoint"
# Modules of the program that packs were written for; what of them is offered is found before.
NOT_OFFERED: Final = frozenset(
    [
        "comfy",
        "comfy_api",
        "comfy_api_nodes",
        "comfy_execution",
        "comfy_extras",
        "custom_nodes",
        "execution",
        "latent_preview",
    ]
)
LEFT_ALONE: Final = (".", "_")
ERROR_CHARACTERS_MAX: Final = 2_000
Types = Mapping[str, NodeType[..., Any]]
Load = Callable[[], ModuleType]


@dataclass
class Pack:
    """One pack: its node types, what of it did not load, in words, and its page as one blob."""

    name: str
    page: bytes = b""
    types: dict[str, NodeType[..., Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def error(self) -> str:
        """Return all faults as one text."""
        return "; ".join(self.faults)[:ERROR_CHARACTERS_MAX]


def _unwatched(_name: str) -> None:
    """Import without telling anybody."""


@dataclass(frozen=True)
class Watch:
    """What goes on round the imports: who is told of each, what is put back, which are left out."""

    begins: Callable[[str], None] = _unwatched
    keeping: Callable[[str], AbstractContextManager[None]] = kept
    left_out: Mapping[str, str] = field(default_factory=dict)


def are_there(folder: Path | None) -> bool:
    """Say whether there is any pack; quick where there is none."""
    return bool(_in_folder(folder)) or bool(entry_points(group=GROUP))


def load_packs(
    folder: Path | None,
    offered: Offered,
    exchange: Exchange,
    own: Types,
    watch: Watch = Watch(),
) -> tuple[Pack, ...]:
    """Load every pack in the order of their names; none replaces a type that is there already."""
    Finder(offered).begin()
    known = set(own)
    packs: list[Pack] = []
    for name, load in _found(folder):
        pack = Pack(name)
        if name in watch.left_out:
            pack.faults.append(watch.left_out[name])
        else:
            _import(pack, load, exchange, known, watch)
        known.update(pack.types)
        packs.append(pack)
        if pack.faults:
            log.warning("node_pack_has_faults", pack=name, error=pack.error, types=len(pack.types))
        else:
            log.info("node_pack_loaded", pack=name, types=len(pack.types))
    return tuple(packs)


def _import(pack: Pack, load: Load, exchange: Exchange, known: set[str], watch: Watch) -> None:
    """Import a pack; whatever it raises, and be it a wish to end the program, is its fault alone."""
    watch.begins(pack.name)
    try:
        with watch.keeping(pack.name), calling(shared_room()):
            _read(pack, load(), exchange, known)
    except BaseException as error:
        pack.faults.append(_told(error))


def _found(folder: Path | None) -> Iterator[tuple[str, Load]]:
    for path in _in_folder(folder):
        yield path.stem if path.is_file() else path.name, partial(_module, path)
    for plugged in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        yield plugged.name, plugged.load


def _in_folder(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(LEFT_ALONE) and not path.name.endswith(".disabled")
        if (path.is_dir() and (path / "__init__.py").is_file()) or path.suffix == ".py"
    ]


def _module(path: Path) -> ModuleType:
    """Import a pack under a name of its own, so that its relative imports find its files."""
    name = f"node_pack_{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}"
    is_folder = path.is_dir()
    spec = spec_from_file_location(
        name,
        path / "__init__.py" if is_folder else path,
        submodule_search_locations=[str(path)] if is_folder else None,
    )
    if spec is None or spec.loader is None:
        raise NotUnderstood("it is no Python module")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _read(pack: Pack, module: ModuleType, exchange: Exchange, known: set[str]) -> None:
    for name, kind in _classes(pack, module).items():
        if name in known:
            pack.faults.append(f"{name}: there is a node type of that name already, which stays")
            continue
        try:
            title, first = _first(module, name, kind)
            found = node_type(name, first, title, exchange)
        except Exception as error:
            pack.faults.append(f"{name}: {_said(error)}")
            continue
        pack.types[name] = found
        names.NODE_CLASS_MAPPINGS[name] = kind
    try:
        pack.page = _page(module)
    except Refused as error:
        pack.faults.append(str(error))


def _classes(pack: Pack, module: ModuleType) -> Mapping[str, Any]:
    """Return the classes of a pack by their names; those of the older protocol come first."""
    classes = getattr(module, CLASSES, None)
    if isinstance(classes, Mapping) and (classes or not hasattr(module, ENTRY)):
        return {str(name): kind for name, kind in classes.items()}
    if not hasattr(module, ENTRY):
        raise NotUnderstood(f"it has no {CLASSES} and no {ENTRY}")
    found: dict[str, Any] = {}
    for kind in classes_of(getattr(module, ENTRY)):
        try:
            found[schema_of(kind).node_id] = kind
        except Exception as error:
            pack.faults.append(f"{kind.__name__}: {_said(error)}")
    return found


def _first(module: ModuleType, name: str, kind: Any) -> tuple[str, Any]:
    """Return the title of a class, and the class as the older protocol has it."""
    titles = getattr(module, TITLES, None)
    title = titles.get(name) if isinstance(titles, Mapping) else None
    if not is_second(kind):
        return str(title or name), kind
    schema = schema_of(kind)
    return str(title or schema.display_name or name), as_first(kind, schema)


def _page(module: ModuleType) -> bytes:
    """Return what the pack adds to the editor's page; Refused if that cannot be served."""
    base = Path(str(module.__file__)).parent
    root = folder_of(getattr(module, PAGE, None), base)
    if root is None:
        return b""
    if root == base.resolve() and not hasattr(module, "__path__"):
        raise Refused("WEB_DIRECTORY of a single file is the folder of all packs")
    return bundled(root)


def _told(error: BaseException) -> str:
    """Say in plain words why a pack did not load."""
    if isinstance(error, NotUnderstood):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        if error.name.partition(".")[0] in NOT_OFFERED:
            return f"it needs the module {error.name}, which this engine does not offer"
        return f"it needs the Python package {error.name}, which is not installed"
    if isinstance(error, SystemExit):
        return "it ended the program while it was imported"
    return _said(error)


def _said(error: BaseException) -> str:
    return str(error) if isinstance(error, NotUnderstood) else f"{type(error).__name__}: {error}"
