"""An engine without torch that speaks the same frames; what it does stands in the document.

`{"do": [["save", "prefix"], ["step", 3], ["crash"], ...]}` is done in that order.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, TypeAlias

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from services.gpu_worker.frames import Frame, Link

Facts: TypeAlias = dict[str, Any]
Ending: TypeAlias = tuple[str, Facts] | None


class FakeEngine:
    """Does what it is told, one word after the other; several jobs at once if it may."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.jobs: queue.Queue[FakeJob] = queue.Queue()
        self.open: dict[str, FakeJob] = {}

    def hear(self) -> None:
        """Sort what the agent says."""
        while (frame := self.link.read()) is not None:
            if frame.kind == "job":
                job = FakeJob(self.link, frame.facts)
                self.open[job.name] = job
                self.jobs.put(job)
            elif frame.kind == "reply":
                name, _, _ = str(frame.facts["call"]).rpartition(":")
                self.open[name].replies.put(frame)
            elif (name := name_of(frame.facts)) in self.open:
                self.open[name].stopped.set()
        os._exit(0)

    def serve(self) -> None:
        """Work for ever."""
        hello: Facts = {"pid": os.getpid(), "backend": "fake", "device": "none", "memory_mib": 8192}
        self.link.send("hello", {**hello, "software": {"fake": "1"}, "free_mib": 4096})
        while True:
            threading.Thread(target=self.jobs.get().run, daemon=True).start()


class FakeJob:
    """One attempt."""

    def __init__(self, link: Link, facts: Facts) -> None:
        self.link = link
        self.name = name_of(facts)
        self.facts = facts
        self.replies: queue.Queue[Frame] = queue.Queue()
        self.stopped = threading.Event()
        self.calls = 0
        self.weights: Facts = facts["weights"]

    def run(self) -> None:
        """Do what stands in the document, and tell how it ended."""
        mark = {key: self.facts[key] for key in ("prompt_id", "attempt")}
        self.link.send("started", {**mark, "cached": []})
        self.link.send(*self.outcome(self.facts["document"]["do"], mark))

    def outcome(self, words: list[list[Any]], mark: Facts) -> tuple[str, Facts]:
        """Do everything and return how it ended."""
        executed: list[Any] = []
        for number, word in enumerate(words):
            node = {**mark, "node_id": str(9 + number), "node_type": "Fake"}
            self.link.send("progress", {**node, "state": "running", "announces": True})
            ending = getattr(self, word[0])(node, *word[1:])
            if ending is not None:
                return ending[0], {**mark, **ending[1], "executed": executed}
            executed.append(node["node_id"])
            self.link.send("progress", {**node, "state": "finished", "value": 1})
        return "finished", {
            **mark,
            "executed": executed,
            "compute_ms": 1,
            "fingerprint": {"f": "1"},
        }

    def save(self, node: Facts, prefix: str, data: str = "picture") -> Ending:
        """Keep a file and show it, with a word beside it."""
        self.calls += 1
        file = {"extension": "png", "mime": "image/png", "filename_prefix": prefix}
        size: Facts = {"folder": "output", "width": 1, "height": 2, "batch_number": 0}
        self.link.send(
            "save", {**node, **file, **size, "call": f"{self.name}:{self.calls}"}, data.encode()
        )
        answer: Any = self.replies.get().facts
        if "error" in answer:
            if answer["error"]["code"] == "interrupted":
                return "interrupted", {}
            detail = {"exception_message": answer["error"]["message"], "traceback": []}
            return "failed", {**node, "exception_type": "Refused", "detail": detail}
        shown = {"filename": answer["filename"], "subfolder": answer["subfolder"], "type": "output"}
        self.link.send("shown", {**node, "ui": {"images": [shown], "text": ["a secret word"]}})
        return None

    def step(self, node: Facts, steps: int, seconds: float = 0.02) -> Ending:
        """Take steps, and stop between two of them when told to."""
        for value in range(1, steps + 1):
            if self.stopped.is_set():
                return "interrupted", {"node_id": node["node_id"], "node_type": "Fake"}
            self.link.send("progress", {**node, "state": "running", "value": value, "total": steps})
            time.sleep(seconds)
        return None

    def computed(self, node: Facts) -> None:
        """Say that only files are still made."""
        self.link.send("computed", {key: node[key] for key in ("prompt_id", "attempt")})

    def pid(self, node: Facts) -> None:
        """Say which process this is."""
        (Path(os.environ["STUDIO_HOME"]) / "engine.pid").write_text(str(os.getpid()))

    def hang(self, node: Facts) -> None:
        """Hear nothing any more."""
        time.sleep(600)

    def crash(self, node: Facts) -> None:
        """Die as torch dies."""
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)

    def crash_once(self, node: Facts) -> None:
        """Die at the first attempt."""
        if node["attempt"] == 1:
            self.crash(node)

    def has(self, node: Facts, folder: str, name: str) -> Ending:
        """Fail unless the file is at hand."""
        return None if name in self.weights.get(folder, {}) else self.fail(node, "missing")

    def fail(self, node: Facts, message: str) -> Ending:
        """Raise in a node."""
        detail = {"exception_message": message, "traceback": ["x"], "current_inputs": {}}
        return "failed", {**node, "exception_type": "ValueError", "detail": detail}


def name_of(facts: Facts) -> str:
    """Return what tells an attempt from others."""
    return f"{facts['prompt_id']}/{facts['attempt']}"


if __name__ == "__main__":
    engine = FakeEngine(Link(socket.socket(fileno=int(sys.argv[1]))))
    threading.Thread(target=engine.hear, daemon=True).start()
    engine.serve()
