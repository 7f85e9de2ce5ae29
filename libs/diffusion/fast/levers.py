"""Which levers a profile pulls on which device."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Self, TypeVar
from weakref import WeakSet

import structlog
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from libs.core.profiles import FAST
from libs.diffusion.fast.graphs import Graphs, obstacle
from libs.diffusion.fast.step_cache import BLOCK_LISTS, StepCache
from libs.diffusion.packed.tensor import PackedTensor
from libs.sampling.control import Call
from libs.sampling.turns import Turns

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=nn.Module)

# Relative change of the first block's output up to which the rest of a step is skipped: 36 to
# 50 dB away from the exact picture with the demo model (docs/engine.md).
STEP_CACHE_THRESHOLD: Final = 0.08
HOPPER: Final = (9, 0)
AMPERE: Final = (8, 0)
# A GPU on which a VAE decodes beside a network that samples.
ROOMY_GIB: Final = 20
# In the order in which they are tried; the first that takes the shapes computes.
PINNED_ATTENTION: Final = ("flash", "efficient", "math")
ATTENTION: Final = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}
# Not a mark on the network: a copy of a network is not compiled.
COMPILED: Final[WeakSet[nn.Module]] = WeakSet()


@dataclass(frozen=True)
class DeviceFacts:
    """What the choice depends on: the kind of device, its generation, if it can compile, its size."""

    kind: str
    capability: tuple[int, int] = (0, 0)
    compiler: bool = False
    memory_gib: int = 0

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """Look at a device."""
        if device.type != "cuda":
            return cls(device.type)
        # Triton builds its launcher with the C compiler of the machine.
        can_compile = find_spec("triton") is not None and _c_compiler() is not None
        memory_gib = torch.cuda.get_device_properties(device).total_memory // 2**30
        return cls("cuda", torch.cuda.get_device_capability(device), can_compile, memory_gib)


@dataclass(frozen=True)
class Levers:
    """What is done beside computing the network as it is; nothing of it by default."""

    channels_last: bool = False
    compiles: bool = False
    attention: tuple[str, ...] = ()
    step_cache: float = 0.0
    decodes_meanwhile: bool = False
    turns: Turns | None = field(default=None, compare=False)
    graphs: Graphs | None = field(default=None, compare=False)

    def replaying(self, graphs: Graphs) -> Levers:
        """Return what is done where evaluations are replayed.

        A step cache decides on the host in the middle of an evaluation, which no replay does.
        """
        return replace(self, graphs=graphs, step_cache=0.0)

    def beside(self, turns: Turns) -> Levers:
        """Return what is done where runs are computed beside each other.

        A step cache belongs to one course, and compiled blocks to one size of batch.
        """
        return replace(self, turns=turns, step_cache=0.0, compiles=False)

    @property
    def changes_network(self) -> bool:
        """Say whether networks are kept in another form, apart from the others."""
        return self.channels_last or self.compiles

    def prepared(self, network: M) -> M:
        """Return a network that was just read, in the form that it is computed in."""
        if self.channels_last:
            for module in network.modules():
                if isinstance(module, nn.Conv2d) and not isinstance(module.weight, PackedTensor):
                    weight = module.weight.data
                    module.weight.data = weight.contiguous(memory_format=torch.channels_last)
        return network

    @contextmanager
    def pulled(self, network: nn.Module) -> Iterator[None]:
        """Compute with a network, compiled and with the chosen attention."""
        if self.compiles:
            compile_blocks(network)
        if not self.attention:
            yield
            return
        with sdpa_kernel([ATTENTION[name] for name in self.attention], set_priority=True):
            yield

    def replayed(
        self,
        network: nn.Module,
        device: torch.device,
        patches: Sequence[object],
        answer: Callable[[Call], Tensor],
    ) -> Callable[[Call], Tensor]:
        """Return how a network is asked in one course: replayed, where that is possible."""
        if self.graphs is None:
            return answer
        why_not = obstacle(network, device, patches)
        if why_not:
            log.info("graphs_off", network=type(network).__name__, reason=why_not)
            return answer
        return self.graphs.lent(network, answer)

    @property
    def patches(self) -> tuple[StepCache, ...]:
        """What is changed of a network while it samples."""
        return (StepCache(self.step_cache),) if self.step_cache else ()

    def told(self) -> dict[str, str]:
        """Return the levers as a fingerprint says them."""
        facts = {"memory_format": "channels_last"} if self.channels_last else {}
        if self.attention:
            facts["attention"] = "sdpa:" + ">".join(self.attention)
        if self.compiles:
            facts["compiled"] = "regional"
        if self.graphs is not None:
            facts["cuda_graphs"] = f"up to {self.graphs.graphs_max}"
        if self.step_cache:
            facts["step_cache"] = f"{self.step_cache:g}"
        if self.decodes_meanwhile:
            facts["decode"] = "meanwhile"
        return facts


def choose(profile: str, device: DeviceFacts) -> Levers:
    """Return the levers of a profile on a device.

    On a CPU neither channels_last nor compiled blocks were seen to pay: the step cache does.
    """
    is_cuda = device.kind == "cuda"
    if profile != FAST:
        # The order is fixed, so that no heuristic of another release chooses another kernel.
        return Levers(attention=PINNED_ATTENTION if is_cuda else ())
    return Levers(
        channels_last=is_cuda,
        compiles=is_cuda and device.compiler and device.capability >= AMPERE,
        attention=_fastest(device.capability) if is_cuda else (),
        step_cache=STEP_CACHE_THRESHOLD,
        # Both need room beside their weights at once.
        decodes_meanwhile=not is_cuda or device.memory_gib >= ROOMY_GIB,
    )


def compile_blocks(network: nn.Module) -> None:
    """Compile the blocks of which a network has many, each kind once; what fails runs as it is."""
    if network in COMPILED:
        return
    # Imported here: it takes seconds, and is needed on a GPU alone.
    dynamo = import_module("torch._dynamo")
    dynamo.config.suppress_errors = True
    blocks = _repeated(network)
    for block in blocks:
        block.compile(dynamic=False)
    COMPILED.add(network)
    log.info("network_compiles", network=type(network).__name__, blocks=len(blocks))


def _repeated(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that diffusers names as repeated, or else those of its lists."""
    kinds = frozenset(getattr(network, "_repeated_blocks", None) or ())
    if kinds:
        return [module for module in network.modules() if type(module).__name__ in kinds]
    lists = (getattr(network, name, ()) for name in BLOCK_LISTS)
    return [block for blocks in lists for block in blocks]


def _fastest(capability: tuple[int, int]) -> tuple[str, ...]:
    if capability >= HOPPER:
        return ("cudnn", "flash", "efficient", "math")
    if capability >= AMPERE:
        return ("flash", "cudnn", "efficient", "math")
    return ("efficient", "math")


def _c_compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
