"""What the fast profile wins and costs: seconds and PSNR of its pictures against the exact ones."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figures
from tests.e2e.houses import ROOT

CHECKPOINT: Final = ROOT / "libs/weights/demo/hanzo-demo-64.safetensors"
TEXTS: Final = ("a red circle on a blue background", "a green square on a yellow background")
SAMPLERS: Final = ("euler", "dpmpp_2m", "euler_ancestral")
STEPS: Final = 24
ROUNDS: Final = 5
SECONDS_MAX: Final = 900


def measure(folder: Path) -> Figures:
    """Make the same pictures in a process of each profile, as a worker of that profile starts."""
    from services.gpu_worker.child import engine_environment
    from services.gpu_worker.settings import WorkerSettings

    told: dict[str, dict[str, Any]] = {}
    for profile in ("exact", "fast"):
        settings = WorkerSettings(profile=profile, threads=1, device="cpu")
        out = folder / f"{profile}.json"
        environment = {**os.environ, **engine_environment(settings)}
        command = [sys.executable, "-m", "tests.bench.profiles", profile, str(out)]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=SECONDS_MAX)
        told[profile] = json.loads(out.read_text(encoding="utf-8"))
    figures: Figures = {}
    for sampler in SAMPLERS:
        exact, fast = told["exact"][sampler], told["fast"][sampler]
        figures[f"{sampler}_exact_seconds"] = exact["seconds"]
        figures[f"{sampler}_fast_seconds"] = fast["seconds"]
        figures[f"{sampler}_psnr_db"] = _psnr(exact["pixels"], fast["pixels"])
    return figures


def _psnr(first: list[int], second: list[int]) -> float:
    """Return the likeness in dB; 99 where not one value differs."""
    errors = [(one - other) ** 2 for one, other in zip(first, second, strict=True)]
    mean = sum(errors) / len(errors)
    return 99.0 if mean == 0 else 10 * math.log10(255**2 / mean)


def _made(profile: str) -> dict[str, dict[str, Any]]:
    """Make the pictures of all samplers; the first course of a process is not timed."""
    import torch

    from libs.diffusion.determinism import pin_kernels
    from libs.diffusion.placement import Placement
    from libs.diffusion.residency import ModelCache
    from libs.diffusion.torch_loader import TorchLoader

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    pin_kernels(pinned=profile == "exact")
    loader = TorchLoader(Placement.cpu(), ModelCache(2**31)).as_profile(profile)
    model, clip, vae = loader.checkpoint(CHECKPOINT)

    def picture(sampler: str, text: str, steps: int) -> tuple[float, list[int]]:
        began = time.process_time()
        latent = model.sample(
            loader.blank_latent(width=64, height=64, count=1),
            positive=clip.encode(text),
            negative=clip.encode(""),
            seed=7,
            steps=steps,
            cfg=4.5,
            sampler=sampler,
            scheduler="normal",
            on_step=lambda *_: None,
        )
        seconds = time.process_time() - began
        pixels = (vae.decode(latent).pixels * 255).to(torch.uint8)
        return seconds, pixels.flatten().tolist()

    picture("euler", TEXTS[0], 2)
    made: dict[str, dict[str, Any]] = {}
    for sampler in SAMPLERS:
        rounds = [[picture(sampler, text, STEPS) for text in TEXTS] for _ in range(ROUNDS)]
        pictures = rounds[0]
        made[sampler] = {
            # Of this process alone, and the least of several: others use the machine as well.
            "seconds": min(sum(seconds for seconds, _ in one) for one in rounds),
            "pixels": [value for _, pixels in pictures for value in pixels],
        }
    return made


def main() -> None:
    """Write what one profile makes, or print all figures."""
    if len(sys.argv) > 1:
        Path(sys.argv[2]).write_text(json.dumps(_made(sys.argv[1])), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(measure(Path(folder)), indent=2) + "\n")


if __name__ == "__main__":
    main()
