"""The torch engine takes the device that there is."""

from __future__ import annotations

import pytest
import torch

from services.gpu_worker.backend import Backend, open_backend


@pytest.fixture
def device(monkeypatch):
    def opened(*, cuda: bool, wanted: str = "auto") -> Backend:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setenv("STUDIO_ENGINE_DEVICE", wanted)
        return open_backend()

    return opened


@pytest.mark.covers("R059")
def test_without_a_gpu_the_processor_computes_in_full_precision(device):
    backend = device(cuda=False)
    assert (backend.device, backend.hello()["backend"]) == ("cpu", "torch")
    assert backend.loader.placement.unet is torch.float32


def test_a_gpu_is_taken_where_there_is_one_unless_told_otherwise(device):
    assert device(cuda=True).on_cuda
    assert not device(cuda=True, wanted="cpu").on_cuda
