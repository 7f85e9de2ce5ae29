"""ComfyUI's editor, where its package is installed; we neither ship nor change it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

DISTRIBUTION: Final = "comfyui-frontend-package"
PACKAGE: Final = "comfyui_frontend_package"
INDEX: Final = "index.html"
# What machines say about suffixes differs; a script of the wrong type is not executed at all.
MIMES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
# Each piece of a file is read by a thread of its own; the largest file of the editor has 11 MB.
CHUNK_BYTES: Final = 1 << 20
# Its files carry a digest of their content in their names.
LASTING_FOLDER: Final = "assets"
LASTING: Final = "public, max-age=31536000, immutable"
CHECKED: Final = "no-cache"
NEVER_KEPT: Final = "no-store"
# The editor compiles expressions and draws from memory, but nothing of it comes from another host.
POLICY: Final = (
    "default-src 'self' blob: data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss: blob: data:; "
    "frame-ancestors 'self'; base-uri 'self'; object-src 'none'"
)


@dataclass(frozen=True)
class Editor:
    """An installed editor."""

    root: Path
    version: str

    @property
    def source(self) -> str:
        """Return where the source of this very version is published."""
        return f"https://github.com/Comfy-Org/ComfyUI_frontend/tree/v{self.version}"

    @property
    def folders(self) -> list[str]:
        """Return the folders that it is served from."""
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    @property
    def files(self) -> list[str]:
        """Return the single files beside them; its page is served at `/`."""
        return sorted(
            path.name for path in self.root.iterdir() if path.is_file() and path.name != INDEX
        )

    def index(self) -> Response:
        """Return its page."""
        headers = {"Cache-Control": NEVER_KEPT, "Content-Security-Policy": POLICY}
        return _file(self.root / INDEX, headers)

    def file(self, name: str) -> Response:
        """Return one of its single files."""
        return _file(self.root / name, {"Cache-Control": CHECKED})


class EditorFiles(StaticFiles):
    """A folder of the editor; what is not in it is not found, whoever asks."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._lasting = folder.name == LASTING_FOLDER

    def file_response(
        self,
        full_path: PathLike,
        stat_result: os.stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Return a file with its type, and how long it may be kept; 304 to whoever has it."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        if isinstance(response, FileResponse):
            response.chunk_size = CHUNK_BYTES
        if mime := MIMES.get(Path(full_path).suffix):
            response.headers["Content-Type"] = mime
        response.headers["Cache-Control"] = LASTING if self._lasting else CHECKED
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


@cache
def installed() -> Editor | None:
    """Return the editor of this environment, if there is one."""
    try:
        version = metadata.version(DISTRIBUTION)
        root = Path(str(resources.files(PACKAGE))) / "static"
    except (metadata.PackageNotFoundError, ModuleNotFoundError):
        return None
    return Editor(root, version) if (root / INDEX).is_file() else None


def _file(path: Path, headers: dict[str, str]) -> Response:
    mime = MIMES.get(path.suffix, "application/octet-stream")
    return FileResponse(
        path, media_type=mime, headers={**headers, "X-Content-Type-Options": "nosniff"}
    )
