"""What the engine takes beyond the bare networks: time of the same evaluations, memory of the weights.

`python -m tests.bench.engine FOLDER` measures in a process of its own and prints figures as JSON.
The network has Stable Diffusion's four levels at full width with a block each, with random weights.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.figures import Figures
from tests.e2e.houses import ROOT

ROUNDS = 7
STEPS = 3
SIDE_CELLS = 16
ROOM_BYTES = 2**33  # for all networks at once: neither side reads weights while it is timed
TIMEOUT_SECONDS = 900
UNET: Mapping[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 1,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 64,
    "attention_head_dim": 8,
    "norm_num_groups": 32,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}


def measure(folder: Path) -> Figures:
    """Measure in a process that has loaded nothing else."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.bench.engine", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=True,
    )
    figures: Figures = json.loads(told.stdout.splitlines()[-1])
    return figures


def _measured(folder: Path) -> Figures:
    import torch

    from libs.diffusion.offload import size_bytes
    from tests.unit.libs.diffusion import tiny

    torch.set_num_threads(1)
    _warm(folder)
    path = _checkpoint(folder)
    before = _resident_bytes()
    parts = tiny.loader(ROOM_BYTES).checkpoint(path)
    ours = _ours(parts)
    ours()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    model, clip, vae = parts
    networks = (model.network.get(), vae.network.get(), clip.towers[0].network.get())
    weights = sum(size_bytes(network) for network in networks)
    bare = _bare(networks[0], networks[1], clip)
    bare()
    pairs = [(_seconds(ours), _seconds(bare)) for _ in range(ROUNDS)]
    return {
        "engine_seconds": round(statistics.median(mine for mine, _ in pairs), 3),
        "bare_seconds": round(statistics.median(theirs for _, theirs in pairs), 3),
        "engine_over_bare": round(statistics.median(mine / theirs for mine, theirs in pairs), 4),
        "weights_mib": round(weights / 2**20, 1),
        "memory_over_weights": round(peak / weights, 3),
    }


def _warm(folder: Path) -> None:
    """Import all that the engine needs, with a model that takes no memory to speak of."""
    from tests.unit.libs.diffusion import tiny

    path = tiny.written(folder / "tiny.safetensors", tiny.sd1())
    _ours(tiny.loader().checkpoint(path))()


def _ours(parts: Any) -> Callable[[], None]:
    import torch

    from libs.diffusion.values import Latents
    from tests.unit.libs.diffusion import tiny

    model, clip, vae = parts
    positive, negative = clip.encode("a fox"), clip.encode("")
    latent = Latents(torch.zeros(1, 4, SIDE_CELLS, SIDE_CELLS))

    def ours() -> None:
        end = model.sample(
            latent,
            positive=positive,
            negative=negative,
            seed=1,
            steps=STEPS,
            cfg=7.0,
            sampler="euler",
            scheduler="normal",
            on_step=tiny.no_step,
        )
        vae.decode(end)

    return ours


def _bare(unet: Any, vae: Any, clip: Any) -> Callable[[], None]:
    """Return the same evaluations with nothing around them."""
    import torch

    x = torch.randn(2, 4, SIDE_CELLS, SIDE_CELLS)
    context = torch.cat([clip.encode(text).entries[0].context for text in ("", "a fox")])

    @torch.inference_mode()
    def bare() -> None:
        for step in range(STEPS):
            unet(x, torch.full((2,), 999.0 - step), encoder_hidden_states=context)
        vae.decode(x[:1], return_dict=False)

    return bare


def _checkpoint(folder: Path) -> Path:
    """Write the checkpoint in a process of its own, whose memory shall not be counted."""
    path = folder / "wide.safetensors"
    program = (
        "import sys, torch; from pathlib import Path; from tests.bench.engine import UNET; "
        "from tests.unit.libs.diffusion import tiny; torch.manual_seed(1); "
        "tensors = tiny.unet_tensors(UNET) | tiny.vae_tensors(); "
        "tensors |= tiny.clip_tensors(tiny.text_encoder(64, 3), 'cond_stage_model.transformer.'); "
        "tiny.written(Path(sys.argv[1]), tensors, torch.float32)"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, check=True)
    return path


def _seconds(work: Callable[[], None]) -> float:
    # The time of this thread alone: others on the machine shall not count.
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measured(Path(sys.argv[1]))) + "\n")
