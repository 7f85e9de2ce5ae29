"""Under the fast profile a picture is decoded while the next one is sampled."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from libs.core.profiles import FAST
from libs.diffusion.pending import PendingPicture
from libs.diffusion.vae import Vae
from libs.graph.parse import parse
from libs.graph.plan import plan
from libs.graph.schema import Catalogue
from libs.nodes.context import Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load, schemas
from services.gpu_worker.executor import Executor
from services.gpu_worker.failing import NodeFailed
from services.gpu_worker.results import ResultMemory
from tests.unit.libs.diffusion import tiny

PATIENCE_SECONDS = 60


class Heard:
    """Writes down what begins and ends, and rings when a node takes its first step."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str]] = []
        self.stepped: dict[str, threading.Event] = {"second": threading.Event()}

    def cached(self, node_ids: tuple[str, ...]) -> None: ...

    def started(self, node_id: str) -> None:
        self.news.append(("started", node_id))

    def finished(self, node_id: str, ui: Any) -> None:
        assert ui is None or ui
        self.news.append(("finished", node_id))

    grown = blocked = check = lambda *_: None


def two_pictures() -> dict[str, Any]:
    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    graph = {
        "model": node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
        "text": node("CLIPTextEncode", clip=["model", 1], text="a fox"),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    }
    for name, latent in (("first", "empty"), ("second", "first")):
        graph[name] = node(
            "KSampler", model=["model", 0], positive=["text", 0], negative=["text", 0],
            latent_image=[latent, 0], seed=len(name), steps=2, cfg=2.0, sampler_name="euler",
            scheduler="normal", denoise=1.0,
        )  # fmt: skip
        graph[f"{name} decoded"] = node("VAEDecode", samples=[name, 0], vae=["model", 2])
        graph[f"{name} saved"] = node(
            "SaveImage", images=[f"{name} decoded", 0], filename_prefix=name
        )
    return graph


def executed(root: Path, profile: str, memory: ResultMemory | None = None) -> tuple[Any, Heard]:
    tiny.written(root / "models/checkpoints/m.safetensors", tiny.sd1())
    graph, heard = two_pictures(), Heard()
    parsed = parse(graph)
    loader = cast("Loader", replace(tiny.loader(), profile=profile))

    def context_of(node_id: str) -> LocalContext:
        def on_step(value: int, total: int, preview: Any = None) -> None:
            if node_id in heard.stepped:
                heard.stepped[node_id].set()

        return LocalContext(root=root, loader=loader, node_id=node_id, on_step=on_step)

    HEARD[:] = [heard]
    made = plan(parsed, Catalogue(schemas()), ["first saved", "second saved"])
    runs = Executor(load(), memory or ResultMemory(2**26))
    return runs.execute(parsed, made, context_of, cast("Any", heard)), heard


HEARD: list[Heard] = []


def test_the_first_picture_is_decoded_while_the_second_is_sampled(tmp_path, monkeypatch):
    """Its decoding waits for a step of the second sampler, which comes only if they overlap."""
    decoded, names = Vae.decoded, []

    def waiting(self: Vae, samples: torch.Tensor) -> torch.Tensor:
        names.append(threading.current_thread().name.partition("_")[0])
        assert HEARD[0].stepped["second"].wait(PATIENCE_SECONDS)
        return decoded(self, samples)

    monkeypatch.setattr(Vae, "decoded", waiting)
    _, heard = executed(tmp_path, FAST)
    assert names == ["show", "show"]
    began = [node_id for what, node_id in heard.news if what == "started"]
    ended = [node_id for what, node_id in heard.news if what == "finished"]
    assert began.index("first saved") < began.index("second decoded")
    pictures = [name for name in ended if "decoded" in name or "saved" in name]
    assert pictures == ["first decoded", "first saved", "second decoded", "second saved"]


def test_the_pictures_are_those_that_are_decoded_one_after_the_other(tmp_path, monkeypatch):
    for folder in ("meanwhile", "after"):
        executed(tmp_path / folder, FAST)
        monkeypatch.setattr(Vae, "decoding", lambda vae, latent: (vae.decode(latent), None))
    for name in ("first", "second"):
        one, other = (
            (tmp_path / folder / "output" / f"{name}_00001_.png").read_bytes()
            for folder in ("meanwhile", "after")
        )
        assert one == other


def test_a_decoding_that_fails_fails_its_own_node_and_is_not_remembered(tmp_path, monkeypatch):
    def failing(self: Vae, samples: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("out of memory")

    memory = ResultMemory(2**26)
    with monkeypatch.context() as patched:
        patched.setattr(Vae, "decoded", failing)
        with pytest.raises(NodeFailed) as failed:
            executed(tmp_path, FAST, memory)
    assert (failed.value.node_id, failed.value.node_type) == ("first decoded", "VAEDecode")
    assert failed.value.exception_message == "out of memory"
    assert executed(tmp_path, FAST, memory)[0].ui.keys() == {"first saved", "second saved"}


def test_an_exact_run_decodes_where_it_samples(tmp_path, monkeypatch):
    decoded, names = Vae.decoded, []

    def noted(self: Vae, samples: torch.Tensor) -> torch.Tensor:
        names.append(threading.current_thread().name.partition("_")[0])
        return decoded(self, samples)

    monkeypatch.setattr(Vae, "decoded", noted)
    executed(tmp_path, "exact")
    assert "show" not in names


def test_a_pending_picture_is_made_once_by_whoever_wants_it_first():
    made = []

    def make() -> torch.Tensor:
        made.append(threading.current_thread().name)
        return torch.full((1, 2, 2, 3), 0.5)

    picture = PendingPicture(make)
    assert made == []
    others = [threading.Thread(target=picture.settle) for _ in range(4)]
    for other in others:
        other.start()
    assert picture.scaled("bilinear", 4, 4, "disabled").pixels.shape == (1, 4, 4, 3)
    for other in others:
        other.join()
    assert len(made) == 1
    assert picture.count == 1


def test_a_pending_picture_that_cannot_be_made_fails_for_all_in_the_same_way():
    def make() -> torch.Tensor:
        raise ValueError("no such latent")

    picture = PendingPicture(make)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such latent"):
            picture.settle()
