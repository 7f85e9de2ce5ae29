"""Assets of Comfy API v2: uploads by the hash of their bytes, and the files that prompts made.

An upload lies where LoadImage finds it. Beside it a sealed note is kept under an id that only the
owner's key makes out of the hash, so that the same bytes have the same id and nobody else can
ask whether they are here.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from blake3 import blake3

from libs.core.errors import NotFound, Refused
from libs.core.jsonvalue import JsonObject
from libs.events.envelope import rfc3339
from libs.graph.uploads import FileKind, upload_key
from libs.store.readmodels.uploads import UploadRow
from services.gateway.archive import Archive
from services.gateway.auth import Principal
from services.gateway.documents import Documents
from services.gateway.domain.jobs import HASH, OutputId, output_id
from services.gateway.domain.names import folder_of, upload_name
from services.gateway.files import File, Files, Upload
from services.gateway.jobs import LINKS_HOLD, content_url

SHELF: Final = "asset"


@dataclass(frozen=True)
class Asset:
    """A file of the caller, and where it lies; `hash` and `job_id` are of uploads and outputs."""

    id: str
    folder: FileKind
    subfolder: str
    name: str
    mime: str
    size_bytes: int
    created: datetime
    hash: str | None = None
    job_id: str | None = None

    @property
    def path(self) -> str:
        """Return the name as the caller gave it, with its folders."""
        return f"{self.subfolder}/{self.name}" if self.subfolder else self.name

    @property
    def in_graphs(self) -> str:
        """Return the name as node inputs have it."""
        return upload_key(f"{self.path} [{self.folder}]")

    def shown(self, base_url: str) -> JsonObject:
        """Return it as the contract has it."""
        return {
            "id": self.id,
            "hash": self.hash,
            "size_bytes": self.size_bytes,
            "content_type": self.mime,
            "file_path": self.path,
            "created_at": rfc3339(self.created),
            "url": content_url(self.id, base_url),
            "url_expires_at": LINKS_HOLD,
            "expires_at": None,
            "job_id": self.job_id,
        }


@dataclass(frozen=True)
class Assets:
    """Every dependency is a field; a caller only reaches assets of its own."""

    archive: Archive
    documents: Documents
    files: Files

    async def keep(
        self, who: Principal, data: bytes, path: str, expected: str
    ) -> tuple[Asset, bool]:
        """Keep a file, and say whether its bytes are new; refuse another hash than expected."""
        digest = f"blake3:{await asyncio.to_thread(_blake3, data)}"
        if expected and expected != digest:
            raise Refused(
                "The bytes have another hash",
                kind="hash_mismatch",
                status=409,
                field="expected_hash",
            )
        if (known := await self.by_hash(who, digest)) is not None:
            return known, False
        subfolder, _, name = path.rpartition("/")
        upload = Upload(data, upload_name(name), "input", folder_of(subfolder), overwrite=False)
        kept = await self.files.keep(who, upload)
        place = {"subfolder": str(kept["subfolder"]), "name": str(kept["name"])}
        row = await self.archive.upload(who.owner, "input", **place)
        note = {**place, "hash": digest, "digest": row.digest if row else ""}
        asset_id = await self._id_of(who, digest)
        text = json.dumps(note).encode()
        await self.documents.save(who, asset_id, text, overwrite=True, shelf=SHELF)
        return await self.find(who, asset_id), True

    async def by_hash(self, who: Principal, digest: str) -> Asset | None:
        """Return the caller's asset with those bytes."""
        if not HASH.match(digest):
            return None
        try:
            return await self.find(who, await self._id_of(who, digest))
        except NotFound:
            return None

    async def find(self, who: Principal, asset_id: str) -> Asset:
        """Return an asset; NotFound when the caller has none of that id."""
        made = output_id(asset_id)
        if made is not None:
            return await self._of_output(who, made)
        note = await self._note(who, asset_id)
        upload = await self.archive.upload(who.owner, "input", note["subfolder"], note["name"])
        if upload is None or upload.digest != note["digest"]:
            # Another file has this name now.
            raise _unknown()
        return _of_upload(asset_id, upload, note["hash"])

    async def read(self, who: Principal, asset_id: str) -> File:
        """Return the bytes of an asset."""
        asset = await self.find(who, asset_id)
        return await self.files.read(who, asset.folder, asset.subfolder, asset.name)

    async def forget(self, who: Principal, asset_id: str) -> None:
        """Take the record of an upload away; the file stays where LoadImage finds it."""
        if output_id(asset_id) is not None:
            await self.find(who, asset_id)
            raise Refused("A job made this asset", kind="asset_in_use", status=409, field="id")
        await self._note(who, asset_id)
        await self.documents.remove(who, asset_id, shelf=SHELF)

    async def _of_output(self, who: Principal, made: OutputId) -> Asset:
        rows = await self.archive.outputs_of(who.owner, made.prompt_id)
        prompt = await self.archive.prompt(who.owner, made.prompt_id)
        if made.place >= len(rows) or rows[made.place].state != "released" or prompt is None:
            raise _unknown()
        row, created = rows[made.place], prompt.ended_at or prompt.submitted_at
        folder: FileKind = "temp" if row.folder == "temp" else "output"
        where = (folder, row.subfolder, row.filename)
        return Asset(str(made), *where, row.mime, row.size_bytes, created, job_id=row.prompt_id)

    async def _note(self, who: Principal, asset_id: str) -> dict[str, str]:
        if "\0" in asset_id:
            raise _unknown()
        try:
            note: dict[str, str] = json.loads(await self.documents.read(who, asset_id, SHELF))
        except NotFound:
            raise _unknown() from None
        return note

    async def _id_of(self, who: Principal, digest: str) -> str:
        mac = await self.documents.vault.mac(who.tenant, who.user_id, f"asset\n{digest}".encode())
        return str(uuid.UUID(hex=mac[:32], version=5))


def _blake3(data: bytes) -> str:
    return blake3(data).hexdigest()


def _of_upload(asset_id: str, row: UploadRow, digest: str) -> Asset:
    where = (row.folder, row.subfolder, row.name)
    return Asset(asset_id, *where, row.mime, row.size_bytes, row.created, hash=digest)


def _unknown() -> NotFound:
    return NotFound("There is no such asset", field="id")
