"""What only the worker reads."""

from __future__ import annotations

import platform
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.core.profiles import EXACT, Profile

Device = Literal["auto", "cpu", "cuda", "coreml", "directml"]
Engine = Literal["auto", "torch", "portable"]
Precision = Literal[
    "auto", "fp32", "fp16", "bf16", "fp8_e4m3fn", "fp8_e4m3fn_fast", "fp8_e5m2", "int8"
]


class WorkerSettings(BaseSettings):
    """From `STUDIO_WORKER_*`."""

    model_config = SettingsConfigDict(env_prefix="STUDIO_WORKER_", frozen=True, extra="ignore")

    slot: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_]{0,40}$",
        description="The worker's place; a newer process on it replaces the older one. "
        "Empty means the name of the machine.",
    )

    models: Path | None = Field(
        default=None, description="Folder of model files; empty means `models` in STUDIO_HOME."
    )
    node_packs: Path | None = Field(
        default=None,
        description="Folder of node packs written for ComfyUI; empty means `node_packs` in "
        "STUDIO_HOME. Their code runs with the worker's rights.",
    )
    node_pack_seconds: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="How long one node pack may take to be imported before the engine is started "
        "again without it.",
    )
    node_pack_mib: int = Field(
        default=4096,
        ge=0,
        le=4_000_000,
        description="Memory that one node pack may take to be imported (on Linux); 0 is no limit.",
    )
    engine: Engine = Field(
        default="auto",
        description="What computes: torch, or the portable engine on ONNX Runtime, which executes "
        "models exported with `studio models export`. auto is torch where it is installed.",
    )
    device: Device = Field(
        default="auto",
        description="Where to compute; coreml and directml are the portable engine's.",
    )
    precision: Precision = Field(
        default="auto",
        description="Numbers of diffusion networks: to compute in (fp32, fp16, bf16), or to keep "
        "weights in (fp8, int8), in less memory. auto is fp16 on a GPU and fp32 on a CPU; the "
        "engine does not start with one that its device lacks.",
    )
    profile: Profile = Field(
        default=EXACT,
        description="How to compute prompts that do not say it in `extra_data.profile`: exact "
        "repeats its bytes, fast approximates the same picture in less time.",
    )
    batch: int = Field(
        default=1,
        ge=1,
        le=16,
        description="How many runs of profile fast are executed at once, their networks asked "
        "together where they can be; 1 is one after the other. Exact runs are always executed "
        "alone, and so are all runs of the portable engine.",
    )
    batch_rows: int = Field(
        default=16,
        ge=2,
        le=256,
        description="Latents in one evaluation that several runs share; a picture under guidance "
        "counts twice.",
    )
    cuda_graphs: int = Field(
        default=0,
        ge=0,
        le=64,
        description="How many evaluations of diffusion networks are recorded as CUDA graphs and "
        "replayed by runs of profile fast, one for each shape of latents and texts; each takes "
        "memory, and the step cache is left out. 0 records none. Needs the torch engine on a GPU "
        "and `batch` 1.",
    )
    overlap: bool = Field(
        default=True,
        description="Begin with the next run while the files of the one before are still made, "
        "encoded and stored, under profile fast also while its pictures are decoded.",
    )
    threads: int = Field(
        default=0, ge=0, le=256, description="CPU threads of the engine; 0 takes all cores."
    )
    models_mib: int = Field(
        default=0,
        ge=0,
        le=4_000_000,
        description="Memory for loaded models; 0 takes seven tenths of what the device has.",
    )
    results_mib: int = Field(
        default=512, ge=0, le=1_000_000, description="Memory for results that are kept for reuse."
    )
    shared_results_mib: int = Field(
        default=64,
        ge=0,
        le=500,
        description="Largest result of a node that workers share through the blob storage, sealed "
        "and for a week, if it takes longer to make than to fetch; 0 shares none.",
    )
    scan_seconds: float = Field(
        default=1.0, ge=0.05, le=3600, description="How often the models folder is looked at."
    )
    stop_seconds: float = Field(
        default=8.0,
        ge=0.1,
        le=600,
        description="How long the engine may take to stop between two steps before it is killed.",
    )
    ask_seconds: float = Field(
        default=6.0, ge=0.1, le=60, description="How long to wait for the answer to an ask."
    )

    @model_validator(mode="after")
    def _graphs_can_be_replayed(self) -> Self:
        """Refuse CUDA graphs where none can be recorded at all."""
        if self.cuda_graphs:
            if self.batch > 1:
                raise ValueError(
                    "cuda_graphs replays one size of batch: set batch to 1, or it to 0"
                )
            if self.device not in ("auto", "cuda") or self.is_portable:
                raise ValueError("cuda_graphs needs the torch engine on device cuda; set it to 0")
        return self

    @property
    def is_portable(self) -> bool:
        """Say whether the worker computes without torch."""
        if self.engine == "auto":
            return find_spec("torch") is None
        return self.engine == "portable"

    @property
    def runs_at_once(self) -> int:
        """Return how many leases the worker may hold."""
        return 1 if self.is_portable else self.batch

    @property
    def place(self) -> str:
        """Return the slot, or what the machine is called in the letters of a slot."""
        return self.slot or re.sub(r"[^A-Za-z0-9_]", "_", platform.node())[:40] or "gpu0"
