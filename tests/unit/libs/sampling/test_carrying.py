"""What runs along wires becomes bytes and comes back equal, or stays where it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion import carrying
from libs.diffusion.values import Latents, Mask, Picture
from libs.portable import carrying as portable
from libs.portable import values as plain
from libs.sampling.carrying import Carrier, Stays
from libs.sampling.conditioning import Area, Conditioning, Entry, Hole, Painted, Share


def _texts() -> Conditioning:
    entry = Entry(
        torch.randn(1, 77, 8),
        pooled=torch.randn(1, 4),
        area=Area(1, 2, 3, 4),
        mask=Painted(torch.rand(1, 8, 8), 0.5, bounded=True),
        strength=0.25,
        start=0.1,
        end=0.9,
        extras={"sizes": {"height": 64}, "guidance": 3.5, "hole": Hole(torch.ones(1, 4, 2, 2))},
    )
    return Conditioning((entry, replace(entry, area=Share(0.5, 0.5, 0.0, 0.25), mask=None)))


def test_texts_come_back_with_all_that_was_said_of_them() -> None:
    texts = _texts()
    data = carrying.to_bytes((texts,))
    assert data is not None
    (again,) = carrying.from_bytes(data)
    assert isinstance(again, Conditioning)
    first, second = again.entries
    assert torch.equal(first.context, texts.entries[0].context)
    assert first.pooled is not None
    assert texts.entries[0].pooled is not None
    assert torch.equal(first.pooled, texts.entries[0].pooled)
    assert (first.area, first.strength, first.start, first.end) == (
        Area(1, 2, 3, 4),
        0.25,
        0.1,
        0.9,
    )
    assert first.mask is not None
    assert (first.mask.strength, first.mask.bounded) == (0.5, True)
    assert first.extras["sizes"] == {"height": 64}
    assert torch.equal(first.extras["hole"].around, torch.ones(1, 4, 2, 2))
    assert second.area == Share(0.5, 0.5, 0.0, 0.25)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_latents_and_pictures_come_back_to_the_bit(kind: torch.dtype) -> None:
    latents = Latents(torch.randn(2, 4, 3, 5).to(kind), Mask(torch.rand(1, 24, 40)), (3, 7))
    pictures = Picture(torch.rand(1, 8, 8, 4)[..., :3])
    data = carrying.to_bytes((latents, pictures, 7, "words", None))
    assert data is not None
    again, seen, *rest = carrying.from_bytes(data)
    assert isinstance(again, Latents)
    assert isinstance(seen, Picture)
    assert again.samples.dtype == kind
    assert torch.equal(again.samples, latents.samples)
    assert again.batch_index == (3, 7)
    assert torch.equal(seen.pixels, pictures.pixels)
    assert rest == [7, "words", None]


def test_the_portable_engine_has_the_same_way() -> None:
    latents = plain.Latents(np.random.default_rng(1).normal(size=(1, 4, 2, 2)).astype(np.float32))
    data = portable.to_bytes([latents, plain.Picture(np.ones((1, 8, 8, 3), np.float32))])
    assert data is not None
    again, picture = portable.from_bytes(data)
    assert isinstance(again, plain.Latents)
    assert np.array_equal(again.samples, latents.samples)
    assert isinstance(picture, plain.Picture)


def test_what_belongs_to_its_process_stays_there() -> None:
    texts = _texts()
    led = Conditioning((replace(texts.entries[0], extras={"model": torch.nn.Linear(1, 1)}),))
    assert carrying.to_bytes((led,)) is None
    assert carrying.to_bytes((torch.nn.Linear(1, 1),)) is None


def test_a_class_of_the_same_name_is_not_taken_for_ours() -> None:
    Area = type("Area", (), {"__dataclass_fields__": {}})  # noqa: N806  That name is the point.
    with pytest.raises(Stays):
        Carrier.of(np.ndarray).apart([Area()])


@pytest.mark.parametrize("data", [b"", b"no file", b"\xff" * 64])
def test_damaged_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        carrying.from_bytes(data)
    with pytest.raises(Refused):
        portable.from_bytes(data)


def test_a_kind_of_another_version_is_refused() -> None:
    with pytest.raises(Refused):
        Carrier.of(np.ndarray).together([{"kind": "Gone", "fields": {}}], {})
