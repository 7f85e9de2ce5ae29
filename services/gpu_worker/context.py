"""The world of a node inside the engine: weights are files at hand, all else is the agent's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

from libs.core.errors import NotFound
from libs.core.jsonvalue import Json, JsonObject
from libs.core.profiles import EXACT
from libs.nodes.context import Loader, OutputFile, SavedFile
from libs.nodes.sockets import Preview
from libs.weights import tiny_vaes
from services.gpu_worker.calls import Calls

# With these the best that there is draws previews.
TINY_METHODS: Final = frozenset({"auto", "taesd"})


@dataclass(frozen=True)
class Job:
    """What the agent sends: a document, the outputs to make, and the weights at hand.

    `weights` maps folder and name to path and content; `scope` is whoever may share results.
    """

    prompt_id: str
    attempt: int
    document: Json
    dialect: str
    outputs: tuple[str, ...]
    extra_pnginfo: JsonObject
    weights: Mapping[str, Mapping[str, tuple[str, str]]]
    scope: str
    traced: bool = False
    previews: bool = False
    preview_method: str = ""
    profile: str = EXACT

    @classmethod
    def of(cls, facts: JsonObject) -> Job:
        """Read a job off the wire."""
        weights = cast("dict[str, dict[str, list[str]]]", facts["weights"])
        return cls(
            prompt_id=str(facts["prompt_id"]),
            attempt=cast("int", facts["attempt"]),
            document=facts["document"],
            dialect=str(facts["dialect"]),
            outputs=tuple(cast("list[str]", facts["outputs"])),
            extra_pnginfo=cast("JsonObject", facts["extra_pnginfo"]),
            weights={
                folder: {name: (path, content) for name, (path, content) in files.items()}
                for folder, files in weights.items()
            },
            scope=str(facts["scope"]),
            traced=bool(facts.get("traced")),
            previews=bool(facts.get("previews")),
            preview_method=str(facts.get("preview_method", "")),
            profile=str(facts.get("profile", EXACT)),
        )

    @property
    def sharing(self) -> str:
        """Return under what results are remembered: what one profile made no other one takes."""
        return f"{self.scope}/{self.profile}"

    def tiny_decoder(self, name: str) -> Path | None:
        """Return where the decoder of a tiny VAE lies."""
        known = tiny_vaes.decoder_of(self.weights.get(tiny_vaes.FOLDER, {}), name)
        return None if known is None else Path(known[0])

    @property
    def mark(self) -> JsonObject:
        """Return what tells the agent which job something is about."""
        return {"prompt_id": self.prompt_id, "attempt": self.attempt}


@dataclass(frozen=True, kw_only=True)
class EngineContext:
    """A `Context` whose far end is the agent."""

    job: Job
    node_id: str
    prompt: JsonObject
    loader: Loader
    calls: Calls
    on_step: Callable[[str, int, int], None]
    on_preview: Callable[[str, Callable[[], bytes]], None]
    lent: Callable[[], AbstractContextManager[None]] = nullcontext
    before_saving: Callable[[], None] = lambda: None

    @property
    def extra_pnginfo(self) -> JsonObject:
        """What the client wants inside its pictures."""
        return self.job.extra_pnginfo

    @property
    def hip_workflow(self) -> JsonObject | None:
        """The workflow as a HIP-35 client sent it."""
        document = self.job.document
        return document if self.job.dialect == "hip35" and isinstance(document, dict) else None

    def step(self, value: int, total: int, preview: Preview | None = None) -> None:
        """Report progress; raise Interrupted if the run was stopped.

        A preview is drawn if the client asked and may see pictures before moderation: through a
        tiny decoder where there is one for the model, unless the client wants none.
        """
        self.on_step(self.node_id, value, total)
        if preview is None or not self.job.previews:
            return
        if self.job.preview_method in TINY_METHODS:
            preview = partial(preview, self.job.tiny_decoder)
        self.on_preview(self.node_id, preview)

    def weights(self, folder: str, name: str) -> Path:
        """Return where the weights file lies."""
        known = self.job.weights.get(folder, {}).get(name)
        if known is None:
            raise NotFound("there is no such file", folder=folder, name=name)
        return Path(known[0])

    def read_input(self, name: str) -> bytes:
        """Return an uploaded file."""
        with self.lent():
            return self.calls.read_input(self.job.mark, name)

    def save(self, file: OutputFile) -> SavedFile:
        """Keep a file under the next free name."""
        self.before_saving()
        return self.calls.save(self.job.mark, self.node_id, file)
