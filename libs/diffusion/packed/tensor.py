"""A tensor that is kept packed and looks like any other to the networks that use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_map

from libs.diffusion.packed.codec import Codec, Parts

aten = torch.ops.aten
Handler = Callable[..., Any]


class PackedTensor(Tensor):
    """Numbers kept packed; `dtype` is what they become when a calculation wants them.

    Moves between devices, changes of `dtype`, rows and joins of rows stay packed. Every other
    operation sees the unpacked numbers, which live only as long as it does. None can write.
    """

    codec: Codec
    parts: Parts

    def __new__(cls, codec: Codec, parts: Parts, shape: Sequence[int], dtype: torch.dtype) -> Self:
        """Make a tensor of numbers that have no memory beside their parts."""
        made = Tensor._make_wrapper_subclass(  # noqa: SLF001
            cls, torch.Size(shape), dtype=dtype, device=parts[0].device, requires_grad=False
        )
        made.codec, made.parts = codec, parts
        return made

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is functional.linear:
            product = _linear(*args, **given)
            if product is not None:
                return product
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001
            return func(*args, **given)

    def dequantised(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return the numbers as a plain tensor: what a change of the weight starts from."""
        return self.codec.unpacked(self.parts, self.shape, dtype or self.dtype)

    @property
    def nbytes(self) -> int:  # type: ignore[override]
        """What the packed numbers take."""
        return sum(part.nbytes for part in self.parts)

    def with_parts(
        self, parts: Parts, shape: Sequence[int] | None = None, dtype: torch.dtype | None = None
    ) -> PackedTensor:
        """Return a tensor packed in the same way."""
        size = self.shape if shape is None else shape
        return PackedTensor(self.codec, parts, size, dtype or self.dtype)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"PackedTensor({self.codec.name}, {tuple(self.shape)}, {self.dtype}, {self.device})"

    def __tensor_flatten__(self) -> tuple[list[str], tuple[Codec, int, torch.dtype]]:
        for number, part in enumerate(self.parts):
            setattr(self, f"part{number}", part)
        names = [f"part{number}" for number in range(len(self.parts))]
        return names, (self.codec, len(self.parts), self.dtype)

    @staticmethod
    def __tensor_unflatten__(
        inner: Mapping[str, Tensor],
        context: tuple[Codec, int, torch.dtype],
        shape: Sequence[int],
        _stride: Sequence[int],
    ) -> PackedTensor:
        codec, count, dtype = context
        parts = tuple(inner[f"part{number}"] for number in range(count))
        return PackedTensor(codec, parts, shape, dtype)

    HANDLERS: ClassVar[dict[Any, Handler]] = {}

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Any,
        _types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        handler = cls.HANDLERS.get(func)
        if handler is not None:
            result = handler(*args, **given)
            if result is not None:
                return result
        _require_unwritten(func, args, given)
        return func(*tree_map(plain, args), **tree_map(plain, given))


def _linear(
    input: Tensor,  # noqa: A002  As torch names it.
    weight: Tensor,
    bias: Tensor | None = None,
) -> Tensor | None:
    if not isinstance(weight, PackedTensor) or isinstance(input, PackedTensor):
        return None
    plain_bias = bias.dequantised() if isinstance(bias, PackedTensor) else bias
    return weight.codec.linear(input, weight.parts, plain_bias)


def plain(value: Any) -> Any:
    """Return packed numbers unpacked, and everything else as it is."""
    return value.dequantised() if isinstance(value, PackedTensor) else value


def _require_unwritten(func: Any, args: tuple[Any, ...], given: Mapping[str, Any]) -> None:
    """Raise TypeError if `func` would write into an unpacked copy, where it would be lost."""
    schema = func._schema  # noqa: SLF001  Operations have no other description.
    if not schema.is_mutable:
        return
    for place, argument in enumerate(schema.arguments):
        written = argument.alias_info is not None and argument.alias_info.is_write
        value = args[place] if place < len(args) else given.get(argument.name)
        if written and isinstance(value, PackedTensor):
            raise TypeError("a packed weight cannot be changed in place")


def _handles(*operations: Any) -> Callable[[Handler], Handler]:
    def note(handler: Handler) -> Handler:
        PackedTensor.HANDLERS.update(dict.fromkeys(operations, handler))
        return handler

    return note


@_handles(aten.detach.default, aten.alias.default, aten.lift_fresh.default)
def _same(packed: PackedTensor) -> PackedTensor:
    return packed.with_parts(packed.parts)


@_handles(aten.clone.default)
def _clone(packed: PackedTensor, **_options: Any) -> PackedTensor:
    return packed.with_parts(tuple(part.clone() for part in packed.parts))


@_handles(aten._to_copy.default)  # noqa: SLF001
def _to_copy(packed: PackedTensor, **options: Any) -> PackedTensor | None:
    dtype = options.get("dtype") or packed.dtype
    if not dtype.is_floating_point:
        return None
    device, waits = options.get("device"), not options.get("non_blocking", False)
    parts = packed.parts
    if device is not None:
        parts = tuple(part.to(device, non_blocking=not waits) for part in parts)
    return packed.with_parts(parts, dtype=dtype)


@_handles(aten.is_pinned.default)
def _is_pinned(packed: PackedTensor, *_device: Any) -> bool:
    return all(part.is_pinned() for part in packed.parts)


@_handles(aten._pin_memory.default)  # noqa: SLF001
def _pin_memory(packed: PackedTensor, *_device: Any) -> PackedTensor:
    return packed.with_parts(tuple(part.pin_memory() for part in packed.parts))


@_handles(aten.slice.Tensor)
def _slice(
    packed: PackedTensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> PackedTensor | None:
    if dim not in {0, -packed.dim()} or step != 1:
        return None
    first, last, _ = slice(start, end).indices(packed.shape[0])
    return _rows(packed, slice(first, max(first, last)), max(0, last - first))


@_handles(aten.split.Tensor)
def _split(packed: PackedTensor, size: int, dim: int = 0) -> list[PackedTensor] | None:
    count = packed.shape[dim]
    sizes = [min(size, count - start) for start in range(0, count, size)]
    found: list[PackedTensor] | None = _split_with_sizes(packed, sizes, dim)
    return found


@_handles(aten.split_with_sizes.default)
def _split_with_sizes(
    packed: PackedTensor, sizes: Sequence[int], dim: int = 0
) -> list[PackedTensor] | None:
    if dim not in {0, -packed.dim()}:
        return None
    found, start = [], 0
    for size in sizes:
        piece = _rows(packed, slice(start, start + size), size)
        if piece is None:
            return None
        found.append(piece)
        start += size
    return found


@_handles(aten.cat.default)
def _cat(tensors: Sequence[Tensor], dim: int = 0) -> PackedTensor | None:
    first = tensors[0]
    if dim not in {0, -first.dim()} or not isinstance(first, PackedTensor):
        return None
    parts = []
    for tensor in tensors:
        if not isinstance(tensor, PackedTensor) or tensor.codec != first.codec:
            return None
        parts.append(tensor.parts)
    joined = first.codec.joined(parts)
    if joined is None:
        return None
    count = sum(tensor.shape[0] for tensor in tensors)
    return first.with_parts(joined, (count, *first.shape[1:]))


@_handles(aten.view.default, aten.reshape.default)
def _view(packed: PackedTensor, shape: Sequence[int]) -> PackedTensor | None:
    known = torch.empty(packed.shape, device="meta").view(list(shape)).shape
    parts = packed.codec.reshaped(packed.parts, packed.shape, known)
    return None if parts is None else packed.with_parts(parts, known)


@_handles(aten.embedding.default)
def _embedding(packed: Tensor, places: Tensor, *_options: Any) -> Tensor | None:
    """Unpack only the rows that are looked up."""
    if not isinstance(packed, PackedTensor) or isinstance(places, PackedTensor):
        return None
    flat = places.reshape(-1)
    rows = _rows(packed, flat, flat.numel())
    if rows is None:
        return None
    return rows.dequantised().reshape(*places.shape, *packed.shape[1:])


def _rows(packed: PackedTensor, index: slice | Tensor, count: int) -> PackedTensor | None:
    parts = packed.codec.rows(packed.parts, packed.shape, index)
    return None if parts is None else packed.with_parts(parts, (count, *packed.shape[1:]))
