"""Building a network around tensors that exist already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from libs.core.errors import Refused

M = TypeVar("M", bound=nn.Module)

NAMES_SHOWN = 4
# Counts 0, 1, 2 ...: old files carry it, networks make it themselves.
POSITION_IDS = "position_ids"


def build(make: Callable[[], M], tensors: Mapping[str, Tensor]) -> M:
    """Return the network with `tensors` as its weights; raise Refused if they do not fit.

    It is made without memory of its own and takes the tensors over, mapped ones as they are.
    """
    with torch.device("meta"):
        network = make()
    fitting = {name: value for name, value in tensors.items() if POSITION_IDS not in name}
    try:
        missing, unexpected = network.load_state_dict(fitting, strict=False, assign=True)
    except RuntimeError as error:
        raise Refused("the weights do not fit their own layout", reason=str(error)) from error
    missing = [name for name in missing if POSITION_IDS not in name]
    if missing or unexpected:
        raise Refused(
            "the weights do not fit their own layout",
            network=type(network).__name__,
            missing=missing[:NAMES_SHOWN],
            unexpected=unexpected[:NAMES_SHOWN],
        )
    _count_positions(network)
    return network.eval().requires_grad_(False)


def _count_positions(network: nn.Module) -> None:
    for module in network.modules():
        ids = dict(module.named_buffers(recurse=False)).get(POSITION_IDS)
        if ids is not None and ids.is_meta:
            counted = torch.arange(ids.shape[-1])[None]
            module.register_buffer(POSITION_IDS, counted, persistent=False)
