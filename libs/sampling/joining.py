"""Evaluations of one network joined to one, along the latents, and its output parted again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from array_api_compat import array_namespace

from libs.sampling.control import Call
from libs.sampling.levels import Array


def likeness(call: Call) -> Hashable | None:
    """Return what calls of one network must have in common to be joined; None if this cannot be.

    Only the count of latents may differ. What is added inside the network is one call's own.
    """
    parts = {"x": call.x, "timestep": call.timestep, "context": call.context, **call.extras}
    if any(call.control.values()) or any(len(part) != len(call.x) for part in parts.values()):
        return None
    found = sorted(parts.items())
    return tuple((name, tuple(part.shape[1:]), str(part.dtype)) for name, part in found)


def rows_of(call: Call) -> int:
    """Return how many latents the network is asked about."""
    return len(call.x)


def joined(calls: Sequence[Call]) -> Call:
    """Return one call that asks all of them."""
    first = calls[0]

    def beside(part: Callable[[Call], Array]) -> Array:
        return array_namespace(first.x).concat([part(call) for call in calls], axis=0)

    def extra(name: str) -> Array:
        return beside(lambda call: call.extras[name])

    return replace(
        first,
        x=beside(lambda call: call.x),
        timestep=beside(lambda call: call.timestep),
        context=beside(lambda call: call.context),
        extras={name: extra(name) for name in first.extras},
        latents=None,
        positive=tuple(side for call in calls for side in call.positive),
    )


def split(output: Array, calls: Sequence[Call]) -> list[Array]:
    """Return what of the output of joined calls belongs to each."""
    parts, at = [], 0
    for call in calls:
        parts.append(output[at : at + rows_of(call)])
        at += rows_of(call)
    return parts
