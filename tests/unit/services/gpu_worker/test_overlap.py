"""The files of one run are made while the next one computes: the engine, in this process, on torch."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from libs.diffusion.vae import Vae
from libs.sampling.turns import Turns
from services.gpu_worker.backend import Backend
from services.gpu_worker.calls import Calls
from services.gpu_worker.engine import Engine
from services.gpu_worker.frames import Frame, Link
from tests.unit.libs.diffusion import tiny

PATIENCE_SECONDS = 60


@dataclass
class Talk:
    """The agent's end: gives names to files, keeps what is said, and waits for words."""

    link: Link
    frames: list[Frame] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def hear(self) -> None:
        """Hear the engine until the test is over."""
        with contextlib.suppress(OSError, ValueError):
            while (frame := self.link.read()) is not None:
                if frame.kind == "save":
                    name = str(frame.facts["filename_prefix"])
                    self.files[name] = frame.blobs[0]
                    answer = {"call": frame.facts["call"], "filename": name, "subfolder": ""}
                    self.link.send("reply", cast("Any", answer))
                self.said(frame)

    def said(self, frame: Frame) -> None:
        """Take down what was said."""
        with self.changed:
            self.frames.append(frame)
            self.names.append(_name(frame))
            self.changed.notify_all()

    def note(self, name: str) -> None:
        """Take down something that the test did."""
        with self.changed:
            self.names.append(name)
            self.changed.notify_all()

    def await_(self, name: str) -> None:
        """Wait until something was said."""
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.names, PATIENCE_SECONDS), self.names


def _name(frame: Frame) -> str:
    prompt_id = frame.facts.get("prompt_id", "")
    if frame.kind == "progress" and frame.facts.get("value") and frame.facts.get("total"):
        return f"{prompt_id} step {frame.facts['value']}"
    return f"{prompt_id} {frame.kind}"


@pytest.fixture
def talk(monkeypatch: pytest.MonkeyPatch, request: Any) -> Iterator[Talk]:
    """Give an engine of this process; `runs` of them may be computed beside each other."""
    runs = getattr(request, "param", 1)
    monkeypatch.setattr(os, "_exit", lambda _code: None)
    ours, theirs = socket.socketpair()
    engine = Engine(Link(theirs))
    backend = Backend(torch, "cpu", 64, turns=Turns(runs) if runs > 1 else None)
    talking = Talk(Link(ours))
    hearing = threading.Thread(target=engine.hear, daemon=True)
    hearing.start()
    for work in (talking.hear, lambda: engine.serve(backend, 64, 0)):
        threading.Thread(target=work, daemon=True).start()
    talking.await_(" hello")
    yield talking
    ours.shutdown(socket.SHUT_RDWR)
    # It would end the process, if it heard of this when the test is over.
    hearing.join(PATIENCE_SECONDS)


def job(root: Path, name: str, profile: str, seed: int, steps: int = 2) -> Frame:
    def node(kind: str, **inputs: Any) -> dict[str, Any]:
        return {"class_type": kind, "inputs": inputs}

    path = root / "m.safetensors"
    if not path.exists():
        tiny.written(path, tiny.sd1())
    text, model = ["text", 0], ["model", 0]
    document = {
        "model": node("CheckpointLoaderSimple", ckpt_name="m.safetensors"),
        "text": node("CLIPTextEncode", clip=["model", 1], text="a fox"),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node(
            "KSampler", model=model, positive=text, negative=text, latent_image=["empty", 0],
            seed=seed, steps=steps, cfg=2.0, sampler_name="euler", scheduler="normal", denoise=1.0,
        ),
        "decoded": node("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
        "saved": node("SaveImage", images=["decoded", 0], filename_prefix=name),
    }  # fmt: skip
    facts = {
        "prompt_id": name, "attempt": 1, "document": document, "dialect": "comfyui",
        "outputs": ["saved"], "extra_pnginfo": {}, "scope": "t/u", "profile": profile,
        "weights": {"checkpoints": {"m.safetensors": [str(path), "x"]}},
    }  # fmt: skip
    return Frame("job", cast("Any", facts))


def send(talk: Talk, frame: Frame) -> None:
    talk.link.send(frame.kind, frame.facts)


def decoding(talk: Talk, monkeypatch: pytest.MonkeyPatch, until: str) -> None:
    """Let the first decoding go on only when something was said."""
    decoded, begun = Vae.decoded, threading.Event()

    def waiting(self: Vae, samples: torch.Tensor) -> torch.Tensor:
        first = not begun.is_set()
        begun.set()
        if first:
            talk.note("decoding begins")
            talk.await_(until)
        made = decoded(self, samples)
        if first:
            talk.note("decoding ends")
        return made

    monkeypatch.setattr(Vae, "decoded", waiting)


def in_order(talk: Talk, *names: str) -> bool:
    places = [talk.names.index(name) for name in names]
    return places == sorted(places)


def pictures_alone(talk: Talk, root: Path, profile: str, names: dict[str, int]) -> dict[str, bytes]:
    """Make the pictures once more under another owner, one after the other."""
    for name, seed in names.items():
        again = job(root, name, profile, seed)
        again.facts.update({"prompt_id": f"{name} again", "scope": "t/other"})
        send(talk, again)
        talk.await_(f"{name} again finished")
    return dict(talk.files)


def test_a_fast_run_is_decoded_while_the_next_one_takes_its_steps(talk, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        decoding(talk, patched, "two step 2")
        send(talk, job(tmp_path, "one", "fast", 1))
        talk.await_("one computed")
        send(talk, job(tmp_path, "two", "fast", 2))
        for name in ("one", "two"):
            talk.await_(f"{name} finished")
    assert in_order(talk, "decoding begins", "two step 1", "two step 2", "decoding ends")
    # Files are numbered as if each run had waited for the one before.
    assert in_order(talk, "decoding ends", "one save", "one finished", "two save", "two finished")
    together = dict(talk.files)
    assert pictures_alone(talk, tmp_path, "fast", {"one": 1, "two": 2}) == together


def test_an_exact_run_is_saved_while_the_next_one_takes_its_steps(talk, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        encode, begun = Calls.save, threading.Event()

        def saving(self: Any, mark: Any, node_id: str, file: Any) -> Any:
            if not begun.is_set():
                begun.set()
                talk.note("saving begins")
                talk.await_("two step 2")
                talk.note("saving ends")
            return encode(self, mark, node_id, file)

        patched.setattr(Calls, "save", saving)
        send(talk, job(tmp_path, "one", "exact", 1))
        talk.await_("one computed")
        send(talk, job(tmp_path, "two", "exact", 2))
        for name in ("one", "two"):
            talk.await_(f"{name} finished")
    assert in_order(talk, "saving begins", "two step 1", "two step 2", "saving ends")
    facts = {_name(frame): frame.facts for frame in talk.frames}
    one, two = (facts[f"{name} finished"]["fingerprint"] for name in ("one", "two"))
    assert one == two
    assert one["deterministic"] == "true"
    together = dict(talk.files)
    assert pictures_alone(talk, tmp_path, "exact", {"one": 1, "two": 2}) == together


def test_an_exact_run_waits_for_the_decoding_of_a_fast_one_and_its_facts_are_its_own(
    talk, tmp_path, monkeypatch
):
    decoding(talk, monkeypatch, "an order that comes")
    send(talk, job(tmp_path, "one", "fast", 1))
    talk.await_("one computed")
    send(talk, job(tmp_path, "two", "exact", 2))
    assert "two started" not in talk.names
    talk.note("an order that comes")
    for name in ("one", "two"):
        talk.await_(f"{name} finished")
    assert in_order(talk, "decoding ends", "one finished", "two started")
    facts = {_name(frame): frame.facts for frame in talk.frames}
    told = [facts[f"{name} finished"]["fingerprint"]["deterministic"] for name in ("one", "two")]
    assert told == ["false", "true"]


@pytest.mark.parametrize("talk", [2], indirect=True)
def test_a_run_beside_others_is_decoded_while_they_take_their_steps(talk, tmp_path, monkeypatch):
    decoding(talk, monkeypatch, "two step 9")
    send(talk, job(tmp_path, "one", "fast", 1))
    send(talk, job(tmp_path, "two", "fast", 2, steps=40))
    for name in ("one", "two"):
        talk.await_(f"{name} finished")
    assert in_order(talk, "decoding begins", "two step 9", "decoding ends", "two finished")


def test_the_same_run_again_takes_what_is_still_being_made(talk, tmp_path, monkeypatch):
    decoding(talk, monkeypatch, "an order that comes")
    send(talk, job(tmp_path, "one", "fast", 1))
    talk.await_("one computed")
    again = job(tmp_path, "one", "fast", 1)
    again.facts["prompt_id"] = "again"
    send(talk, again)
    talk.note("an order that comes")
    for name in ("one", "again"):
        talk.await_(f"{name} finished")
    (started,) = (frame for frame in talk.frames if _name(frame) == "again started")
    assert "decoded" in cast("list[str]", started.facts["cached"])


def test_a_run_that_is_cancelled_while_it_is_decoded_saves_nothing_and_harms_nobody(
    talk, tmp_path, monkeypatch
):
    decoding(talk, monkeypatch, "two step 1")
    send(talk, job(tmp_path, "one", "fast", 1))
    talk.await_("one computed")
    talk.link.send("stop", {"prompt_id": "one", "attempt": 1})
    send(talk, job(tmp_path, "two", "fast", 2))
    talk.await_("one interrupted")
    talk.await_("two finished")
    assert "one save" not in talk.names
    assert "two save" in talk.names
