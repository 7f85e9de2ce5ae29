"""What a node in the engine is lent: previews are drawn as the client wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from services.gpu_worker.context import EngineContext, Job

FILES = {
    "vae_approx": {
        "taesd_encoder.safetensors": ["/m/taesd_encoder.safetensors", "1-1"],
        "taesd_decoder.safetensors": ["/m/taesd_decoder.safetensors", "1-1"],
        "taef1_decoder.pth": ["/m/taef1_decoder.pth", "1-1"],
    }
}


def finder_of(method: str, *, previews: bool = True) -> Any:
    """Return what a preview is given at a step; None where it is not drawn, () for nothing."""
    job = Job.of(
        {
            "prompt_id": "p",
            "attempt": 1,
            "document": {},
            "dialect": "comfyui",
            "outputs": [],
            "extra_pnginfo": {},
            "weights": cast("Any", FILES),
            "scope": "s",
            "previews": previews,
            "preview_method": method,
        }
    )
    given: list[Any] = []

    def preview(*args: Any) -> bytes:
        given.append(args)
        return b"jpeg"

    context = EngineContext(
        job=job,
        node_id="1",
        prompt={},
        loader=cast("Any", None),
        calls=cast("Any", None),
        on_step=lambda *_: None,
        on_preview=lambda _node, draw: given.append(draw()),
    )
    context.step(1, 2, preview)
    return given[0] if given else None


@pytest.mark.parametrize("method", ["auto", "taesd"])
def test_the_best_preview_is_drawn_through_the_tiny_decoder_that_is_there(method):
    (find,) = finder_of(method)
    assert find("taesd") == Path("/m/taesd_decoder.safetensors")
    assert find("taesdxl") is None
    assert find("taef1") is None


def test_a_client_that_wants_the_plain_preview_gets_it():
    assert finder_of("latent2rgb") == ()


def test_no_preview_is_drawn_for_who_may_not_see_it():
    assert finder_of("taesd", previews=False) is None
