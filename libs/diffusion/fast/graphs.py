"""CUDA graphs: an evaluation that was recorded once is replayed, without asking for each kernel anew.

A graph reads its inputs from fixed places and writes what it makes to one that its next replay
overwrites. So inputs are copied in, and what comes out is copied before anybody holds it.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, cast

import structlog
import torch
from torch import Tensor, nn

from libs.diffusion.offload import is_lodged, slots_of
from libs.diffusion.packed.tensor import PackedTensor
from libs.diffusion.pending import ASIDE
from libs.sampling.control import Call

log = structlog.get_logger(__name__)

Answer = Callable[[Call], Tensor]
# Whose hooks only measure; a replay leaves them out and nothing is missed.
MEASURES: Final = frozenset({"libs.diffusion.memory"})


@dataclass(frozen=True)
class Recording:
    """Work that was recorded: `replay` does it again, and `output` is where it then lies."""

    replay: Callable[[], object]
    output: Tensor


class Recorder(Protocol):
    """Records work on fixed tensors."""

    def record(self, work: Callable[[], Tensor]) -> Recording:
        """Do the work once or more, and return it recorded; raise what stands in the way."""


@dataclass
class CudaRecorder:
    """Records what is asked of a GPU; all graphs share memory, since one is replayed at a time."""

    device: torch.device
    _pool: Any = None

    def record(self, work: Callable[[], Tensor]) -> Recording:
        """Record on a stream of its own, after the work was done there once.

        Nothing may be decoded beside it: whoever synchronizes breaks a recording off.
        """
        with ASIDE, torch.cuda.device(self.device):
            stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(stream):
                work()
            torch.cuda.current_stream(self.device).wait_stream(stream)
            if self._pool is None:
                self._pool = torch.cuda.graph_pool_handle()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(
                graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
            ):
                output = work()
        return Recording(graph.replay, output)


@dataclass
class Entry:
    """One kind of evaluation: asked once before it is recorded, and never again where that failed."""

    inputs: Call | None = None
    recording: Recording | None = None
    fails: bool = False


class Graphs:
    """Recorded evaluations of all networks, at most `graphs_max`; the longest unused goes first.

    One evaluation goes on at a time.
    """

    def __init__(self, graphs_max: int, recorder: Recorder) -> None:
        self.graphs_max = graphs_max
        self._recorder = recorder
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._known: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        with self._lock:
            return sum(entry.recording is not None for entry in self._entries.values())

    def free(self) -> None:
        """Let go of all recordings; what is asked for again is recorded anew."""
        with self._lock:
            self._entries.clear()

    def lent(self, network: nn.Module, answer: Answer) -> Answer:
        """Return `answer` to one network, replayed where the same was asked before.

        The network must not be changed before the last evaluation.
        """
        layout = hash(tuple(slot.tensor.data_ptr() for slot in slots_of(network)))
        with self._lock:
            if network not in self._known:
                self._known.add(network)
                weakref.finalize(network, self._forget, id(network))

        def evaluate(call: Call) -> Tensor:
            return self._evaluated((id(network), layout, kind_of(call)), call, answer)

        return evaluate

    def _evaluated(self, key: Hashable, call: Call, answer: Answer) -> Tensor:
        entry = self._entry(key)
        if entry is None:
            # Asked for the first time it may have to be compiled, or measured; perhaps there is no
            # second time.
            return answer(call)
        if entry.recording is None and not entry.fails:
            self._record(entry, call, answer)
        if entry.recording is None or entry.inputs is None:
            return answer(call)
        for place, tensor in zip(tensors_of(entry.inputs), tensors_of(call), strict=True):
            place.copy_(tensor)
        entry.recording.replay()
        return entry.recording.output.clone()

    def _entry(self, key: Hashable) -> Entry | None:
        """Return what is known of a kind of evaluation; None, and know it from now on."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
                return entry
            self._entries[key] = Entry()
            while len(self._entries) > self.graphs_max:
                self._entries.popitem(last=False)
            return None

    def _record(self, entry: Entry, call: Call, answer: Answer) -> None:
        inputs = copied(call)
        try:
            entry.recording = self._recorder.record(lambda: answer(inputs))
        except (RuntimeError, NotImplementedError) as error:
            entry.fails = True
            log.warning("graph_not_recorded", error=str(error).partition("\n")[0])
            return
        entry.inputs = inputs

    def _forget(self, network_id: int) -> None:
        """Let go of what was recorded of a network that is gone."""
        with self._lock:
            gone = [key for key in self._entries if cast("tuple[int, ...]", key)[0] == network_id]
            for key in gone:
                del self._entries[key]


def obstacle(network: nn.Module, device: torch.device, patches: Sequence[object]) -> str:
    """Return why evaluations of a network cannot be replayed; nothing if they can."""
    if device.type != "cuda":
        return "the device is no GPU"
    if is_lodged(network):
        return "layers of the network visit the device in turn"
    if any(isinstance(slot.tensor, PackedTensor) for slot in slots_of(network)):
        return "weights of the network are unpacked whenever they are used"
    if patches:
        return f"the network is patched by {type(patches[0]).__name__}"
    for module in network.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):  # noqa: SLF001
            for hook in hooks.values():
                if getattr(hook, "__module__", "") not in MEASURES:
                    return f"a hook of {type(module).__name__} works on the host"
    return ""


def kind_of(call: Call) -> Hashable:
    """Return what calls have in common that one recording can answer."""
    extras = tuple((name, _form(tensor)) for name, tensor in sorted(call.extras.items()))
    control = tuple(
        (kind, tuple(None if place is None else _form(place) for place in places))
        for kind, places in sorted(call.control.items())
    )
    parts = (_form(call.x), _form(call.timestep), _form(call.context))
    return (parts, call.positive, extras, control)


def tensors_of(call: Call) -> list[Tensor]:
    """Return all tensors of a call that a network reads, in the order of their names."""
    extras = [tensor for _, tensor in sorted(call.extras.items())]
    places = [place for _, places in sorted(call.control.items()) for place in places]
    control = [place for place in places if place is not None]
    return [call.x, call.timestep, call.context, *extras, *control]


def copied(call: Call) -> Call:
    """Return a call with tensors of its own. What no network reads is left out."""
    return replace(
        call,
        x=call.x.clone(),
        timestep=call.timestep.clone(),
        context=call.context.clone(),
        extras={name: tensor.clone() for name, tensor in call.extras.items()},
        latents=None,
        control={
            kind: [None if place is None else place.clone() for place in places]
            for kind, places in call.control.items()
        },
    )


def _form(tensor: Tensor) -> Hashable:
    return (tuple(tensor.shape), tensor.stride(), str(tensor.dtype), str(tensor.device))
