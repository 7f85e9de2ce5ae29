"""Files of a caller: released outputs and sealed uploads."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from libs.artifacts.base import Artifacts
from libs.artifacts.keys import input_key
from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import JsonObject
from libs.graph.uploads import FileKind
from libs.sealed.base import Vault
from libs.store.readmodels.uploads import Folder, UploadRow
from services.gateway.archive import Archive
from services.gateway.auth import Principal
from services.gateway.catalogue import Catalogues
from services.gateway.domain.names import numbered
from services.gateway.pictures import mime_of
from services.gateway.settings import GatewaySettings

SEALED_MIME = "application/octet-stream"
# What is larger is hashed beside the event loop.
AT_ONCE_BYTES = 65_536


@dataclass(frozen=True)
class File:
    """Bytes that may be served, and what they are."""

    data: bytes
    mime: str
    name: str


@dataclass(frozen=True)
class Upload:
    """A picture to be kept."""

    data: bytes
    name: str
    folder: Folder
    subfolder: str
    overwrite: bool


@dataclass(frozen=True)
class Files:
    """Every dependency is a field."""

    artifacts: Artifacts
    vault: Vault
    archive: Archive
    catalogues: Catalogues
    settings: GatewaySettings
    now: Callable[[], datetime]

    async def read(self, who: Principal, kind: FileKind, subfolder: str, name: str) -> File:
        """Return a file of the caller; NotFound when there is none that it may see."""
        if kind != "input":
            output = await self.archive.output(who.owner, kind, subfolder, name)
            if output is not None and output.artifact:
                return File(await self.artifacts.get(output.artifact), output.mime, name)
        if kind != "output":
            upload = await self.archive.upload(who.owner, kind, subfolder, name)
            if upload is not None:
                return File(await self._opened(who, upload), upload.mime, name)
        raise NotFound("There is no such file", field="filename")

    async def keep(self, who: Principal, upload: Upload) -> JsonObject:
        """Seal and keep a picture; return under which name.

        The same bytes under the same name are kept once; another picture of that name gets a
        number, unless it is to be overwritten.
        """
        if len(upload.data) > self.settings.upload_bytes_max:
            raise Refused(
                f"The image has more than {self.settings.upload_bytes_max} bytes",
                kind="too_large",
                status=413,
                field="image",
                limit=self.settings.upload_bytes_max,
            )
        pixels_max = self.settings.upload_pixels_max
        mime = await asyncio.to_thread(mime_of, upload.data, pixels_max)
        digest = await self.vault.mac(who.tenant, who.user_id, upload.data)
        name = await self._kept_already(who, upload, digest)
        if name is None:
            name = await self._keep_new(who, upload, digest, mime)
        self.catalogues.forget(who.owner)
        return {"name": name, "subfolder": upload.subfolder, "type": upload.folder}

    async def _kept_already(self, who: Principal, upload: Upload, digest: str) -> str | None:
        for name in numbered(upload.name):
            row = await self.archive.upload(who.owner, upload.folder, upload.subfolder, name)
            if row is None:
                return None
            if row.digest == digest:
                return name
            if upload.overwrite:
                return None
        raise _no_name_left(upload)

    async def _keep_new(self, who: Principal, upload: Upload, digest: str, mime: str) -> str:
        kid, ciphertext = await self.vault.seal_bytes(who.tenant, who.user_id, upload.data)
        # By the ciphertext: a digest of the clear bytes would tell what somebody uploaded.
        key = input_key(who.tenant, who.user_id, await sha256_of(ciphertext))
        await self.artifacts.put(key, ciphertext, SEALED_MIME)
        for name in numbered(upload.name):
            row = UploadRow(
                tenant=who.tenant,
                user_id=who.user_id,
                folder=upload.folder,
                subfolder=upload.subfolder,
                name=name,
                artifact=key,
                kid=kid,
                digest=digest,
                mime=mime,
                size_bytes=len(upload.data),
                created=self.now(),
            )
            if await self.archive.add_upload(row, overwrite=upload.overwrite):
                return name
        raise _no_name_left(upload)

    async def _opened(self, who: Principal, upload: UploadRow) -> bytes:
        ciphertext = await self.artifacts.get(upload.artifact)
        return await self.vault.open_bytes(who.tenant, upload.kid, ciphertext)


async def sha256_of(data: bytes) -> str:
    """Return the digest of some bytes, while others have their turn."""
    if len(data) <= AT_ONCE_BYTES:
        return hashlib.sha256(data).hexdigest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())


def _no_name_left(upload: Upload) -> Refused:
    return Refused(
        "Too many images have this name", kind="too_many_copies", status=409, received=upload.name
    )
