"""How much room a device has, and how much a network needs beside its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import structlog
import torch
from torch import nn

from libs.diffusion import offload

log = structlog.get_logger(__name__)

# Until it is measured: the activations of a large picture.
RESERVE_BYTES = 1024 * 1024 * 1024


class Memory(Protocol):
    """The memory of the device that networks are put on."""

    @property
    def reserve_bytes(self) -> int:
        """What must stay free beside the weights."""

    def free_bytes(self) -> int:
        """Return what is free now."""

    def observe(self, network: nn.Module) -> None:
        """Measure what the network needs beside its weights whenever it computes."""


@dataclass
class CudaMemory:
    """A GPU's memory; the reserve is the most that any network was seen to need."""

    device: torch.device
    reserve_bytes: int = RESERVE_BYTES

    def free_bytes(self) -> int:
        """Return what the driver has left, and what torch holds without using it."""
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(torch.cuda.mem_get_info(self.device)[0]) + int(unused)

    def observe(self, network: nn.Module) -> None:
        """Look at the peak before and after each call: where it rose, the call made it."""
        before: list[tuple[int, int]] = []

        def begin(_module: nn.Module, _given: Any) -> None:
            peak = torch.cuda.max_memory_allocated(self.device)
            before.append((torch.cuda.memory_allocated(self.device), peak))

        def end(_module: nn.Module, _given: Any, _result: Any) -> None:
            used, peak = before.pop()
            risen = torch.cuda.max_memory_allocated(self.device)
            if risen > peak:
                self.reserve_bytes = max(self.reserve_bytes, risen - used)

        for module in (network, *network.children()):
            module.register_forward_pre_hook(begin)
            module.register_forward_hook(end, always_call=True)


@dataclass(frozen=True)
class Placed:
    """A network on its device, and how much of the device it takes."""

    network: nn.Module
    bytes_used: int


def place(
    network: nn.Module, device: torch.device, memory: Memory | None, bytes_max: int
) -> Placed:
    """Put a network on a device: all of it, or what there is room for.

    `bytes_max` bounds its weights there; without a `memory` to ask, all of it is put there.
    """
    whole = offload.size_bytes(network)
    if memory is None:
        return Placed(network.to(device), whole)
    if offload.is_lodged(network):
        return Placed(network, bytes_on(network, device))
    free = memory.free_bytes()
    room = min(free, bytes_max + memory.reserve_bytes)
    if whole + memory.reserve_bytes <= room:
        placed = Placed(network.to(device), whole)
    else:
        placed = Placed(network, _lodged(network, device, memory, room))
    memory.observe(network)
    return placed


def _lodged(network: nn.Module, device: torch.device, memory: Memory, room: int) -> int:
    """Put some of a network on its device, and return how much that takes."""
    moving = offload.pieces(network)
    sizes = {name: offload.size_bytes(piece) for name, piece in moving.items()}
    fixed = offload.size_bytes(network) - sum(sizes.values())
    offload.require_largest_fits(sizes, fixed, memory.free_bytes())
    stay = offload.staying(sizes, room - fixed, memory.reserve_bytes)
    offload.lodge(network, device, stay, moving)
    visitor = max((size for name, size in sizes.items() if name not in stay), default=0)
    log.info(
        "network_offloaded",
        network=type(network).__name__,
        pieces=len(sizes),
        staying=len(stay),
        staying_mib=sum(sizes[name] for name in stay) // offload.MIB,
        moving_mib=sum(sizes[name] for name in sizes if name not in stay) // offload.MIB,
    )
    return fixed + sum(sizes[name] for name in stay) + offload.VISITORS * visitor


def bytes_on(network: nn.Module, device: torch.device) -> int:
    """Return what of a network lies on a device."""
    found = {id(slot.tensor): slot.tensor for slot in offload.slots_of(network)}
    return sum(tensor.nbytes for tensor in found.values() if tensor.device.type == device.type)
