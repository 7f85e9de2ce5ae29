"""Runs a case through the nodes and measures how far its picture is from ComfyUI's.

`make fidelity` runs every case, shows how it goes, and writes `docs/fidelity.md`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, cast

import numpy as np
from PIL import Image
from safetensors.numpy import load as load_tensors

from libs.core.jsonvalue import Json
from libs.diffusion.placement import Placement
from libs.diffusion.residency import ModelCache
from libs.diffusion.torch_loader import TorchLoader
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.results import ResultMemory
from tests.fidelity.adapters import make_adapters
from tests.fidelity.cases import CHECKPOINT, PICTURE, Workflow, cases
from tests.unit.silent import Silent

REFERENCE = Path(__file__).parent / "reference"
ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hanzo-studio/fidelity"
OUTPUTS = ("slat", "simg")
# Normal numbers are drawn with the vector instructions that the checkpoint was made with.
MAKERS_ENVIRONMENT = {"ATEN_CPU_CAPABILITY": "avx2"}


# A picture is ComfyUI's own from here.
PSNR_DB_MIN = 60.0
LEVELS_MAX = 2


class NoCheckpoint(Exception):
    """The checkpoint of the references could not be made on this machine."""


@dataclass(frozen=True)
class Measured:
    """How far a case is from its reference; `psnr_db` is the worst of its pictures.

    The peak of the latent's is the span of the reference.
    """

    name: str
    psnr_db: float
    latent_psnr_db: float
    levels_max: int
    latent_difference_max: float
    latent_max: float

    @property
    def is_comfyuis(self) -> bool:
        """Say whether it is near enough to be called the same picture."""
        nearest = min(self.psnr_db, self.latent_psnr_db)
        return nearest >= PSNR_DB_MIN and self.levels_max <= LEVELS_MAX


class Bench:
    """Executes cases in a folder of its own; the checkpoint stays in memory between them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder, source in (
            ("models/checkpoints", checkpoint()),
            ("input", REFERENCE / PICTURE),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / source.name).symlink_to(source)
        make_adapters(checkpoint(), root / "models")
        self.loader = cast("Loader", TorchLoader(Placement.cpu(), ModelCache(8 * 2**30)))
        self.executor = Executor(load(), ResultMemory(64 * 2**20))
        self.catalogue = Catalogue(schemas())

    def run(self, name: str, workflow: Workflow) -> Measured:
        """Execute a case and compare it with its reference."""
        graph = parse(cast("Json", workflow))
        executed = self.executor.execute(
            graph,
            plan(graph, self.catalogue, OUTPUTS),
            lambda node_id: LocalContext(root=self.root, loader=self.loader, node_id=node_id),
            Silent(),
        )
        latent = load_tensors(self._files(executed.ui["slat"]["latents"])[0].read_bytes())
        pictures = self._files(executed.ui["simg"]["images"])
        return _compare(name, latent["latent_tensor"], pictures)

    def _files(self, saved: Any) -> list[Path]:
        return [self.root / one["type"] / one["subfolder"] / one["filename"] for one in saved]


def checkpoint() -> Path:
    """Return the checkpoint of the references, made here if need be; raise NoCheckpoint."""
    wanted = (REFERENCE / "SHA256SUMS").read_text().split()[0]
    kept = CACHE / CHECKPOINT
    if kept.exists() and _sha256(kept) == wanted:
        return kept
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        made = Path(folder) / CHECKPOINT
        subprocess.run(
            [sys.executable, "-m", "tests.fidelity.checkpoint", str(made)],
            check=True,
            cwd=ROOT,
            env={**os.environ, **MAKERS_ENVIRONMENT},
        )
        found = _sha256(made)
        if found != wanted:
            raise NoCheckpoint(
                f"the checkpoint made on this machine is {found[:12]}, the references belong to "
                f"{wanted[:12]}: another kind of CPU or another torch draws other weights, so they "
                "do not apply"
            )
        shutil.move(made, kept)
    return kept


def _compare(name: str, latent: np.ndarray, pictures: list[Path]) -> Measured:
    wanted = np.load(REFERENCE / f"{name}.latent.npy")
    assert latent.shape == wanted.shape
    assert len(pictures) == len(list(REFERENCE.glob(f"{name}.[0-9].png")))
    pairs = [
        (_pixels(picture), _pixels(REFERENCE / f"{name}.{number}.png"))
        for number, picture in enumerate(pictures)
    ]
    return Measured(
        name=name,
        psnr_db=min(_psnr_db(made, known, 255.0) for made, known in pairs),
        latent_psnr_db=_psnr_db(latent, wanted, float(np.ptp(wanted))),
        levels_max=max(int(np.abs(made - known).max()) for made, known in pairs),
        latent_difference_max=float(np.abs(latent - wanted).max()),
        latent_max=float(np.abs(wanted).max()),
    )


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(np.int32)


def _psnr_db(made: np.ndarray, known: np.ndarray, peak: float) -> float:
    error = float(np.mean((made - known).astype(np.float64) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(peak**2 / error))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _table(rows: list[Measured]) -> str:
    lines = [
        f"| {row.name} | {row.psnr_db:.1f} | {row.levels_max} | {row.latent_psnr_db:.1f} | "
        f"{row.latent_difference_max:.1e} of {row.latent_max:.0f} |"
        for row in rows
    ]
    head = "| case | PSNR dB | largest pixel difference | latent PSNR dB | largest difference |"
    return "\n".join([head, "| --- | --- | --- | --- | --- |", *lines])


def _summary(rows: list[Measured]) -> str:
    pictures = [row.psnr_db for row in rows]
    latents = [row.latent_psnr_db for row in rows]
    same = sum(row.is_comfyuis for row in rows)
    return (
        f"{same} of {len(rows)} cases are within the bar. Pictures: {min(pictures):.1f} to "
        f"{max(pictures):.1f} dB, median {median(pictures):.1f}, largest pixel difference "
        f"{max(row.levels_max for row in rows)}. Latents: {min(latents):.1f} to "
        f"{max(latents):.1f} dB, median {median(latents):.1f}."
    )


def _measured() -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for number, (name, workflow) in enumerate(cases().items(), 1):
            began = perf_counter()
            row = bench.run(name, workflow)
            took = perf_counter() - began
            print(
                f"{number:3} of {len(cases())}  {name:26} {row.psnr_db:6.1f} dB  "
                f"latent {row.latent_psnr_db:6.1f} dB  pixel {row.levels_max}  "
                f"{took:5.1f} s{'' if row.is_comfyuis else '  BELOW THE BAR'}",
                flush=True,
            )
            yield row


def main() -> None:
    """Measure every case and write the page; exit with 1 if one is below the bar."""
    page = ROOT / "docs" / "fidelity.md"
    text = page.read_text(encoding="utf-8")
    rows = list(_measured())
    marker = "<!-- figures -->\n"
    figures = f"{_summary(rows)}\n\n{_table(rows)}\n"
    page.write_text(text.partition(marker)[0] + marker + figures, encoding="utf-8")
    print(_summary(rows))
    sys.exit(0 if all(row.is_comfyuis for row in rows) else 1)


if __name__ == "__main__":
    main()
