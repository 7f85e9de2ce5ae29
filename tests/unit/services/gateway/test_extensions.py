"""Pages of node packs: gathered on a worker, carried as one blob, served to the editor."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest

from libs.artifacts.keys import pages_key
from libs.artifacts.memory import MemoryArtifacts
from libs.core.errors import NotFound, Refused, Unavailable
from libs.nodes.packs import pages
from libs.nodes.packs.pages import bundled, folder_of, opened
from libs.store.readmodels.workers import KnownPack, WorkerRow
from services.gateway.extensions import Extensions

PAGED = Path(__file__).resolve().parents[3] / "data/paged_packs/paged_pack"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeArchive:
    """Workers as the test says."""

    rows: list[WorkerRow] = field(default_factory=list)
    down: bool = False

    async def fleet(self) -> list[WorkerRow]:
        """Return them, or fail."""
        if self.down:
            raise Unavailable("no database")
        return self.rows


@dataclass
class Bench:
    """Workers with packs, and a gateway that looks anew whenever it is asked."""

    archive: FakeArchive = field(default_factory=FakeArchive)
    artifacts: MemoryArtifacts = field(default_factory=MemoryArtifacts)
    ticks: int = 0

    def extensions(self, **more: Any) -> Extensions:
        """Return the gateway's part."""
        return Extensions(self.archive, self.artifacts, clock=self._tick, **more)  # type: ignore[arg-type]

    async def worker(
        self, slot: str, name: str, blob: bytes, state: Literal["up", "stopped"] = "up"
    ) -> None:
        """Let a worker come with a pack."""
        await self.artifacts.put(pages_key(blob), blob, "application/zip")
        self.archive.rows.append(
            WorkerRow(
                tenant="_system",
                slot=slot,
                worker_id=slot,
                device="cpu",
                backend="torch",
                vram_mib=1,
                state=state,
                registered_at=NOW + timedelta(seconds=len(self.archive.rows)),
                seen_at=NOW,
                last_seq=1,
                packs=(KnownPack(name=name, page=pages_key(blob)),),
            )
        )

    def _tick(self) -> float:
        self.ticks += 1
        return float(self.ticks)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def zipped(*names: str, how: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", how) as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)
    return made.getvalue()


def test_a_page_s_files_are_carried_without_the_worker_s_code():
    root = folder_of("./js", PAGED)
    assert root is not None
    blob = bundled(root)
    assert sorted(opened(blob)) == ["lib/words.mjs", "paged.js"]
    assert opened(blob)["paged.js"] == (PAGED / "js/paged.js").read_bytes()
    assert bundled(root) == blob, "the same files are the same blob"


def test_links_and_hidden_files_do_not_leave_the_folder(tmp_path):
    page = tmp_path / "pack/web"
    page.mkdir(parents=True)
    (tmp_path / "secret.json").write_text("{}")
    (page / "out.json").symlink_to(tmp_path / "secret.json")
    (page / ".env.json").write_text("{}")
    (page / "in.js").write_text("1")
    assert list(opened(bundled(page))) == ["in.js"]
    for declared in ("..", "../../", "/etc", "web/../../pack2"):
        with pytest.raises(Refused, match="WEB_DIRECTORY"):
            folder_of(declared, tmp_path / "pack")
    assert folder_of("web/no_such", tmp_path / "pack") is None
    (tmp_path / "pack/pyproject.toml").write_text('[tool.comfy]\nweb = "web"\n')
    assert folder_of(None, tmp_path / "pack") == page


@pytest.mark.parametrize("name", ["FILES_MAX", "FILE_BYTES_MAX", "PACK_BYTES_MAX"])
def test_a_page_that_is_too_large_is_refused(monkeypatch, name):
    monkeypatch.setattr(pages, name, 1)
    with pytest.raises(Refused, match="too many or too large"):
        bundled(PAGED / "js")


@pytest.mark.parametrize(
    "blob",
    [
        b"no archive",
        zipped("../up.js"),
        zipped("/etc/a.js"),
        zipped("code.py"),
        zipped("a.js", how=zipfile.ZIP_DEFLATED),
        zipped("a.js")[:-30],
    ],
)
def test_a_blob_that_no_worker_makes_is_refused(blob):
    with pytest.raises(Refused, match="no page of a node pack"):
        opened(blob)


async def test_the_editor_is_told_of_scripts_of_workers_that_are_up(bench: Bench):
    await bench.worker("a", "their pack", zipped("x.js", "sub/y.js", "z.mjs", "w.css"))
    await bench.worker("b", "gone", zipped("gone.js"), "stopped")
    found = bench.extensions()
    assert await found.scripts() == [
        "/extensions/their%20pack/x.js",
        "/extensions/their%20pack/sub/y.js",
    ]
    data, _ = await found.file("their pack", "w.css")
    assert data == b"x" * 100
    for pack, path in (("their pack", "../x.js"), ("their pack", ""), ("gone", "gone.js")):
        with pytest.raises(NotFound):
            await found.file(pack, path)
    assert await bench.extensions(serves=False).scripts() == []


async def test_the_newest_worker_s_page_counts_and_a_bad_one_leaves_the_others(bench: Bench):
    await bench.worker("a", "same", zipped("old.js"))
    await bench.worker("b", "bad", b"no archive")
    found = bench.extensions()
    assert await found.scripts() == ["/extensions/same/old.js"]
    await bench.worker("c", "same", zipped("new.js"))
    assert await found.scripts() == ["/extensions/same/new.js"]
    bench.archive.down = True
    assert await found.scripts() == ["/extensions/same/new.js"]


async def test_while_the_storage_does_not_answer_what_was_read_last_is_served(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    await bench.worker("a", "same", zipped("old.js"))
    found = bench.extensions()
    assert await found.scripts() == ["/extensions/same/old.js"]
    await bench.worker("b", "same", zipped("new.js"))

    async def down(_key: str) -> bytes:
        raise Unavailable("no storage")

    with monkeypatch.context() as patched:
        patched.setattr(bench.artifacts, "get", down)
        assert await found.scripts() == ["/extensions/same/old.js"]
        assert (await found.file("same", "old.js"))[0] == b"x" * 100
    assert await found.scripts() == ["/extensions/same/new.js"]
