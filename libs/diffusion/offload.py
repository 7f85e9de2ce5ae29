"""Networks larger than the room on their device: some layers stay there, the rest visit it.

`staying` decides and moves nothing; `lodge` moves and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn

from libs.core.errors import Refused
from libs.diffusion.packed.tensor import PackedTensor

MIB = 1024 * 1024
PIECE_BYTES_MAX = 256 * MIB
# The piece that computes, and the next one, which is on its way meanwhile.
VISITORS = 2
ITINERARY = "offload_itinerary"
# It reads the weights of its children instead of calling them.
WHOLE = (nn.MultiheadAttention,)


def staying(sizes: Mapping[str, int], free_bytes: int, reserve_bytes: int) -> frozenset[str]:
    """Return which pieces of a network stay on a device with so much free memory.

    `reserve_bytes` are needed beside the weights. As many bytes as can stay do, since all
    others are moved in every step; two of these must fit beside what stays.
    """
    room = free_bytes - reserve_bytes
    if sum(sizes.values()) <= room:
        return frozenset(sizes)
    best: frozenset[str] = frozenset()
    for largest_visitor in set(sizes.values()):
        kept = _kept(sizes, room - VISITORS * largest_visitor, largest_visitor)
        if sum(sizes[name] for name in kept) > sum(sizes[name] for name in best):
            best = kept
    return best


def _kept(sizes: Mapping[str, int], room: int, largest_visitor: int) -> frozenset[str]:
    """Return what stays if nothing larger than `largest_visitor` is to move; none if it cannot."""
    kept: list[str] = []
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        if sizes[name] <= room:
            kept.append(name)
            room -= sizes[name]
        elif sizes[name] > largest_visitor:
            return frozenset()
    return frozenset(kept)


def pieces(network: nn.Module, bytes_max: int = PIECE_BYTES_MAX) -> dict[str, nn.Module]:
    """Return the modules that move as one, by name: the largest that are not over `bytes_max`.

    The network itself is none, since not all that it does begins with a call of it.
    """
    found: dict[str, nn.Module] = {}
    for name, child in network.named_children():
        size = size_bytes(child)
        if not size:
            continue
        callable_itself = not isinstance(child, nn.ModuleList | nn.ModuleDict)
        is_small = size <= bytes_max or isinstance(child, WHOLE)
        if callable_itself and (is_small or not any(True for _ in child.children())):
            found[name] = child
        else:
            inner = pieces(child, bytes_max)
            found |= {f"{name}.{deeper}": piece for deeper, piece in inner.items()}
    return found


def size_bytes(network: nn.Module) -> int:
    """Return what a network's parameters and buffers take, shared ones counted once."""
    tensors = {id(slot.tensor): slot.tensor for slot in slots_of(network)}
    return sum(tensor.nbytes for tensor in tensors.values() if not tensor.is_meta)


@dataclass(frozen=True)
class Slot:
    """A place in a module where a parameter or a buffer is kept."""

    held: dict[str, Any]
    name: str

    @property
    def tensor(self) -> Tensor:
        """What is there now."""
        found: Tensor = self.held[self.name]
        return found

    def put(self, tensor: Tensor) -> None:
        """Put a tensor there, as what was there before: a parameter or a buffer."""
        if isinstance(self.tensor, nn.Parameter) and not isinstance(tensor, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=False)
        self.held[self.name] = tensor


def slots_of(network: nn.Module) -> Iterator[Slot]:
    """Yield every slot of a network; two may hold the same tensor."""
    for module in network.modules():
        # Assignment to the attributes would insist on the device that was there before.
        for held in (module._parameters, module._buffers):  # noqa: SLF001
            for name, tensor in held.items():
                if tensor is not None:
                    yield Slot(held, name)


def lodge(
    network: nn.Module,
    device: torch.device,
    stay: frozenset[str],
    moving: Mapping[str, nn.Module],
) -> Itinerary:
    """Put what stays on the device, and let every other piece visit it while it computes.

    `moving` are the network's pieces, those that stay among them.
    """
    visiting = {name: piece for name, piece in moving.items() if name not in stay}
    at_home = {id(slot.tensor) for piece in visiting.values() for slot in slots_of(piece)}
    put: dict[int, Tensor] = {}
    originals = [(slot, slot.tensor) for slot in slots_of(network)]
    for slot, tensor in originals:
        key = id(tensor)
        if key not in put:
            put[key] = _pinned_for(device, tensor) if key in at_home else tensor.to(device)
        if put[key] is not tensor:
            slot.put(put[key])
    itinerary = Itinerary(device, frozenset(visiting))
    setattr(network, ITINERARY, itinerary)
    for name, piece in visiting.items():
        piece.register_forward_pre_hook(itinerary.arrival(name))
        piece.register_forward_hook(itinerary.departure(name), always_call=True)
    return itinerary


def is_lodged(network: nn.Module) -> bool:
    """Say whether pieces of the network visit its device, or it was copied from one like that."""
    return hasattr(network, ITINERARY)


@dataclass(frozen=True)
class Visit:
    """A slot with the tensor that belongs there, and its copy on the device."""

    slot: Slot
    home: Tensor
    copy: Tensor


@dataclass(frozen=True)
class Stop:
    """A piece on the device, or on its way there."""

    piece: nn.Module
    visits: tuple[Visit, ...]

    @property
    def is_fresh(self) -> bool:
        """Say whether the piece still has the weights that were copied."""
        return all(visit.slot.tensor is visit.home for visit in self.visits)


@dataclass
class Itinerary:
    """The visits of a network's pieces; their order is learnt in the first pass.

    A copy of the network, as is made to change some of its weights, goes by the same one.
    `moved_bytes` counts what has been brought to the device so far.
    """

    device: torch.device
    visiting: frozenset[str]
    moved_bytes: int = 0
    _following: dict[str, str] = field(default_factory=dict)
    _seen: dict[str, ref[nn.Module]] = field(default_factory=dict)
    _stops: dict[str, Stop] = field(default_factory=dict)
    _inside: list[str] = field(default_factory=list)
    _last: str = ""
    _side: Any = None

    def __deepcopy__(self, _memory: object) -> Itinerary:
        """Return itself: the device is the same one."""
        return self

    @property
    def present(self) -> frozenset[str]:
        """Which pieces are on the device now, or on their way."""
        return frozenset(self._stops)

    def arrival(self, name: str) -> Callable[[nn.Module, Any], None]:
        """Return what is done before a piece computes."""

        def arrive(piece: nn.Module, _given: Any) -> None:
            self._inside.append(name)
            if self._inside.count(name) > 1:
                return
            if self._last:
                self._following[self._last] = name
            self._last = name
            self._seen[name] = ref(piece)
            self._drop_others(name)
            self._bring(name, piece)
            self._settle(name)
            following = self._following.get(name, name)
            upcoming = self._seen[following]()
            if upcoming is not None and following != name:
                self._bring(following, upcoming)

        return arrive

    def departure(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """Return what is done after a piece has computed, or failed to."""

        def depart(_piece: nn.Module, _given: Any, _result: Any) -> None:
            if name in self._inside:
                self._inside.remove(name)
            if name not in self._inside and name in self._stops:
                for visit in self._stops.pop(name).visits:
                    visit.slot.put(visit.home)

        return depart

    def _drop_others(self, name: str) -> None:
        """Let go of what was brought for a next step that went another way."""
        for other in self._stops.keys() - {name, *self._inside}:
            del self._stops[other]

    def _bring(self, name: str, piece: nn.Module) -> None:
        """Begin to copy a piece, unless it is there and still the same."""
        known = self._stops.get(name)
        if known is not None and known.piece is piece and known.is_fresh:
            return
        copies: dict[int, Tensor] = {}
        visits = []
        with self._beside():
            for slot in slots_of(piece):
                home = slot.tensor
                if id(home) not in copies:
                    copies[id(home)] = _copy(home, self.device)
                    self.moved_bytes += home.nbytes
                visits.append(Visit(slot, home, copies[id(home)]))
        self._stops[name] = Stop(piece, tuple(visits))

    def _settle(self, name: str) -> None:
        """Let the piece compute with its copies as soon as they are there."""
        visits = self._stops[name].visits
        if self._side is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_stream(self._side)
            for visit in visits:
                _hold_for(visit.copy, stream)
        for visit in visits:
            visit.slot.put(visit.copy)

    def _beside(self) -> AbstractContextManager[Any]:
        """Copy beside the computation where the device can do both at once."""
        if self.device.type != "cuda":
            return nullcontext()
        if self._side is None:
            self._side = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._side)


def require_largest_fits(sizes: Mapping[str, int], fixed: int, free_bytes: int) -> None:
    """Raise Refused if not even one piece at a time fits beside what cannot move."""
    largest = fixed + max(sizes.values(), default=0)
    if largest > free_bytes:
        raise Refused(
            "the device has no room for this network, not even for one layer at a time",
            largest_mib=largest // MIB,
            free_mib=max(0, free_bytes) // MIB,
        )


def _copy(home: Tensor, device: torch.device) -> nn.Parameter:
    # A parameter that is made inside of inference mode could be used nowhere else.
    with torch.inference_mode(mode=False):
        copied = home.detach().to(device, non_blocking=True, copy=True)
        return nn.Parameter(copied, requires_grad=False)


def _pinned_for(device: torch.device, tensor: Tensor) -> Tensor:
    """Return the tensor in memory that a GPU can read while it computes."""
    return tensor.cpu().pin_memory() if device.type == "cuda" else tensor


def _hold_for(copy: Tensor, stream: Any) -> None:
    """Keep the memory of a copy until the work that now waits in the stream is done."""
    for part in copy.parts if isinstance(copy, PackedTensor) else (copy,):
        part.record_stream(stream)
