"""Several runs of different prompts beside each other, against the same runs one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figures
from tests.e2e.houses import ROOT

CHECKPOINT: Final = ROOT / "libs/weights/demo/hanzo-demo-64.safetensors"
COLORS: Final = ("red", "green", "blue", "yellow")
SIDE_PIXELS: Final = 64
# Fewer steps of larger pictures.
STEPS: Final = {64: 16, 128: 8, 256: 4}
ROUNDS: Final = 3
SECONDS_MAX: Final = 300


def measure(folder: Path, side: int = SIDE_PIXELS) -> Figures:
    """Make the same pictures in all ways, in turns, in a process as a fast worker starts it."""
    from services.gpu_worker.child import engine_environment
    from services.gpu_worker.settings import WorkerSettings

    out = folder / "beside.json"
    settings = WorkerSettings(profile="fast", threads=1, device="cpu", batch=len(COLORS))
    environment = {**os.environ, **engine_environment(settings)}
    command = [sys.executable, "-m", "tests.bench.beside", str(side), str(out)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=SECONDS_MAX)
    figures: Figures = json.loads(out.read_text(encoding="utf-8"))
    return figures


class Ways:
    """The ways in which the same pictures are made, in one process and of one model."""

    def __init__(self, side: int) -> None:
        from libs.diffusion.placement import Placement
        from libs.diffusion.residency import ModelCache
        from libs.diffusion.torch_loader import TorchLoader
        from libs.sampling.turns import Share, Turns

        self.side = side
        self.turns = Turns(len(COLORS))
        self.shares: list[Share] = []
        cached = TorchLoader(Placement.cpu(), ModelCache(2**31), profile="fast")
        in_turns = replace(cached, turns=self.turns)
        self.loaders = {"with_step_cache": cached, "one_by_one": in_turns, "beside": in_turns}

    def seconds(self, way: str, steps: int) -> tuple[float, list[Any]]:
        """Make all pictures in one way; return what that took of the processor, and them."""
        works = [partial(self._sampled, self.loaders[way], at, steps) for at in range(len(COLORS))]
        began = time.process_time()
        made = _together(works) if way == "beside" else [one() for one in works]
        return time.process_time() - began, made

    def _sampled(self, loader: Any, at: int, steps: int) -> Any:
        with self.turns.joined() as share, self.turns.taken():
            self.shares.append(share)
            model, clip, _ = loader.checkpoint(CHECKPOINT)
            return model.sample(
                loader.blank_latent(width=self.side, height=self.side, count=1),
                positive=clip.encode(f"a {COLORS[at]} circle on a white background"),
                negative=clip.encode(""),
                seed=at,
                steps=steps,
                cfg=4.5,
                sampler="euler",
                scheduler="normal",
                on_step=lambda *_: None,
            ).samples


def _made(side: int) -> Figures:
    import torch

    from libs.diffusion.determinism import pin_kernels

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    pin_kernels(pinned=False)
    ways = Ways(side)
    for way in ways.loaders:
        ways.seconds(way, 2)
    ways.shares.clear()
    rounds = [{way: ways.seconds(way, STEPS[side]) for way in ways.loaders} for _ in range(ROUNDS)]
    # Of this process alone, and the least of several: others use the machine as well.
    least = {way: min(one[way][0] for one in rounds) for way in ways.loaders}
    pairs = zip(rounds[0]["one_by_one"][1], rounds[0]["beside"][1], strict=True)
    joined = [share for share in ways.shares if share.together]
    return {
        "runs": len(COLORS),
        **{f"{way}_seconds": value for way, value in least.items()},
        "times_as_fast": least["one_by_one"] / least["beside"],
        "times_as_fast_as_step_cache": least["with_step_cache"] / least["beside"],
        "evaluations_shared": sum(s.together for s in joined) / sum(s.asked for s in joined),
        "largest_difference": max(float((one - two).abs().max()) for one, two in pairs),
    }


def _together(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all at once, each in a thread, and return what they made."""
    made: list[Any] = [None] * len(works)

    def one(at: int) -> None:
        made[at] = works[at]()

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def main() -> None:
    """Print the figures of pictures of one size, 64 if none is given; or write them to a file."""
    side, *out = sys.argv[1:] or [str(SIDE_PIXELS)]
    if out:
        Path(out[0]).write_text(json.dumps(_made(int(side))), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(json.dumps(measure(Path(folder), int(side)), indent=2) + "\n")


if __name__ == "__main__":
    main()
