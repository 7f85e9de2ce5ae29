"""Packed weights are the numbers that they stand for, in less memory."""

from __future__ import annotations

from collections.abc import Callable

import gguf
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from libs.diffusion.offload import size_bytes
from libs.diffusion.packed.blocks import FORMATS
from libs.diffusion.packed.narrow import SmallFloats, int8_rows, small_floats
from libs.diffusion.packed.tensor import PackedTensor
from tests.unit.libs.diffusion.quantised import BY_NAME, random_blocks

NAMES = [block.name for block in FORMATS.values()]


def packed_of(
    name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32
) -> PackedTensor:
    _, block = BY_NAME[name]
    octets = torch.from_numpy(random_blocks(block, rows * columns // block.numbers))
    return PackedTensor(block, (octets.flatten(),), (rows, columns), dtype)


@pytest.mark.covers("R112")
@pytest.mark.parametrize("name", NAMES)
def test_blocks_unpack_to_the_very_numbers_of_the_reference(name):
    kind, block = BY_NAME[name]
    assert (block.numbers, block.bytes) == gguf.GGML_QUANT_SIZES[kind]
    octets = random_blocks(block, 200)
    expected = gguf.quants.dequantize(octets, kind)
    found = block.unpack(torch.from_numpy(octets)).numpy()
    assert np.array_equal(found, expected)
    assert np.isfinite(found).all()


def test_large_weights_are_unpacked_some_blocks_at_a_time(monkeypatch):
    packed = packed_of("Q4_K", 64, 256)
    whole = packed.dequantised()
    monkeypatch.setattr("libs.diffusion.packed.blocks.UNPACKED_BYTES_MAX", 4 * 256 * 7)
    assert torch.equal(packed.dequantised(), whole)


def codecs() -> dict[str, PackedTensor]:
    torch.manual_seed(1)
    plain = torch.randn(32, 256)
    return {
        "Q8_0": packed_of("Q8_0", 32, 256),
        "Q5_K": packed_of("Q5_K", 32, 256),
        "int8": int8_rows(plain, torch.float32),
        "fp8": small_floats(plain, SmallFloats(torch.float8_e4m3fn), torch.float32),
        "scaled fp8": PackedTensor(
            SmallFloats(torch.float8_e4m3fn),
            (plain.to(torch.float8_e4m3fn), torch.tensor(0.5)),
            (32, 256),
            torch.float32,
        ),
    }


@pytest.mark.covers("R112")
@pytest.mark.parametrize("name", list(codecs()))
def test_a_layer_computes_with_packed_weights_as_with_plain_ones(name):
    packed = codecs()[name]
    layer = nn.Linear(256, 32, device="meta")
    layer.load_state_dict({"weight": packed, "bias": torch.ones(32)}, assign=True)
    layer.requires_grad_(requires_grad=False)
    x = torch.randn(5, 7, 256)
    expected = functional.linear(x, packed.dequantised(), torch.ones(32))
    assert torch.equal(layer(x), expected)
    with torch.inference_mode():
        assert torch.equal(layer(x), expected)
    assert isinstance(layer.weight, PackedTensor)
    assert size_bytes(layer) == packed.nbytes + 4 * 32
    assert packed.nbytes <= 32 * (256 * 1.07 + 4)


@pytest.mark.parametrize("name", list(codecs()))
def test_rows_stay_packed_and_everything_else_sees_the_numbers(name):
    packed = codecs()[name]
    plain = packed.dequantised()
    for piece, expected in zip(packed.chunk(2), plain.chunk(2), strict=True):
        assert isinstance(piece, PackedTensor)
        assert torch.equal(piece.dequantised(), expected)
    rows = packed[4:6]
    assert isinstance(rows, PackedTensor)
    assert torch.equal(rows.dequantised(), plain[4:6])
    assert torch.equal(packed[:, 3:5], plain[:, 3:5])
    assert torch.equal(packed.t(), plain.t())
    assert torch.equal(packed + 1, plain + 1)
    first, second = packed.chunk(2)
    assert torch.equal(torch.cat([second, first]) + 0, torch.cat(plain.chunk(2)[::-1]))
    places = torch.tensor([[3, 1], [0, 3]])
    assert torch.equal(functional.embedding(places, packed), plain[places])
    flat = packed.reshape(32, 16, 4, 4)
    assert torch.equal(flat + 0, plain.reshape(32, 16, 4, 4))


def test_joined_blocks_stay_packed():
    packed = packed_of("Q4_0", 4, 64)
    first, second = packed.chunk(2)
    joined = torch.cat([second, first])
    assert isinstance(joined, PackedTensor)
    assert joined.nbytes == packed.nbytes


def test_rows_that_share_a_block_are_unpacked():
    packed = PackedTensor(BY_NAME["Q4_0"][1], packed_of("Q4_0", 4, 64).parts, (16, 16), torch.half)
    assert not isinstance(packed[1:2], PackedTensor)
    assert torch.equal(packed[1:2], packed.dequantised()[1:2])


def test_moves_and_changes_of_number_stay_packed():
    layer = nn.Linear(256, 32, bias=False)
    layer.weight = nn.Parameter(packed_of("Q6_K", 32, 256), requires_grad=False)
    layer.to(torch.float16)
    assert isinstance(layer.weight, PackedTensor)
    assert layer.weight.dtype is torch.float16
    assert layer(torch.ones(1, 256, dtype=torch.float16)).dtype is torch.float16
    layer.to("meta")
    assert layer.weight.parts[0].is_meta
    copied = packed_of("Q6_K", 32, 256).clone()
    assert isinstance(copied, PackedTensor)


def test_a_packed_weight_cannot_be_changed_in_place():
    packed = packed_of("Q8_0", 2, 32)
    changes: tuple[Callable[[], object], ...] = (
        lambda: packed.mul_(2),
        lambda: packed.copy_(torch.zeros(2, 32)),
        lambda: torch.add(packed, 1, out=packed),
    )
    for change in changes:
        with pytest.raises(TypeError, match="in place"):
            change()
    plain = torch.zeros(2, 32)
    plain.copy_(packed)
    assert torch.equal(plain, packed.dequantised())


def test_integers_keep_each_row_within_half_a_step():
    torch.manual_seed(2)
    plain = torch.randn(16, 8, 3, 3) * torch.logspace(-3, 2, 16)[:, None, None, None]
    kept = int8_rows(plain, torch.float32)
    step = plain.flatten(1).abs().amax(1) / 127
    worst = (kept.dequantised() - plain).flatten(1).abs().amax(1)
    assert (worst <= step * 0.5001).all()
    assert torch.equal(int8_rows(torch.zeros(2, 4), torch.float32) + 0, torch.zeros(2, 4))


def test_small_floats_hold_what_is_too_large_at_their_limit():
    kept = small_floats(
        torch.tensor([[1e6, -1e6, 0.5]]), SmallFloats(torch.float8_e4m3fn), torch.float32
    )
    assert kept.dequantised().tolist() == [[448.0, -448.0, 0.5]]


def test_eight_bit_products_are_left_to_devices_that_have_them(monkeypatch):
    """On a CPU the weights are unpacked; the product itself is shown where torch has it."""
    torch.manual_seed(3)
    codec = SmallFloats(torch.float8_e4m3fn, multiplies=True)
    weight = small_floats(torch.randn(32, 64) / 8, codec, torch.bfloat16)
    x, bias = torch.randn(16, 64, dtype=torch.bfloat16), torch.zeros(32, dtype=torch.bfloat16)
    assert codec.linear(x, weight.parts, bias) is None
    exact = functional.linear(x, weight, bias)
    monkeypatch.setattr("libs.diffusion.packed.narrow.multiplies_in", lambda _device: True)
    fast = functional.linear(x, weight, bias)
    assert not torch.equal(fast, exact)
    assert torch.allclose(fast.float(), exact.float(), atol=0.35)
    assert codec.linear(x.float(), weight.parts, bias) is None
