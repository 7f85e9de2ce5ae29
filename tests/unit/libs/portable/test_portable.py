"""The portable engine makes the torch engine's pictures, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from libs.core.errors import Refused
from libs.diffusion.export import export
from libs.diffusion.values import Latents as TorchLatents
from libs.diffusion.values import Mask as TorchMask
from libs.diffusion.values import Picture as TorchPicture
from libs.portable import bundle
from libs.portable.loader import PortableLoader
from libs.portable.session import Sessions, provider_of
from libs.portable.values import Latents, Mask, Picture
from libs.sampling.mixing import rescaled
from libs.sampling.noise import Seeded
from libs.sampling.samplers import SAMPLERS
from libs.sampling.schedules import SCHEDULES
from libs.sampling.sigmas import Row
from tests.unit.libs.diffusion import tiny

KINDS = {"sd1": tiny.sd1, "sdxl": tiny.sdxl, "refiner": tiny.refiner}


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory) -> Any:
    """Give the parts of one checkpoint on both engines."""
    folder = tmp_path_factory.mktemp(request.param)
    path = tiny.written(folder / "tiny.safetensors", KINDS[request.param]())
    manifest = export(path, folder / "onnx/tiny.safetensors")
    portable = PortableLoader(Sessions(1 << 30)).checkpoint(manifest)
    return tiny.loader().checkpoint(path), portable


def sampled(parts, latent, text="a (red:1.3) fox", **changed) -> Any:
    given = {"seed": 7, "steps": 2, "cfg": 5.0, "sampler": "euler", "scheduler": "karras"}
    return parts[0].sample(
        latent,
        positive=parts[1].encode(text),
        negative=parts[1].encode(""),
        on_step=tiny.no_step,
        **(given | changed),
    )


def near(ours, theirs, tolerance=2e-3) -> bool:
    theirs = theirs.numpy()
    return bool(np.abs(ours - theirs).max() <= tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.covers("R057", "R062", "R114", "R396")
@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m"])
def test_the_same_graph_gives_the_same_picture_on_both(both, sampler):
    torch_parts, portable = both
    theirs = sampled(torch_parts, TorchLatents(torch.zeros(2, 4, 8, 16)), sampler=sampler)
    ours = sampled(portable, Latents(np.zeros((2, 4, 8, 16), np.float32)), sampler=sampler)
    assert near(ours.samples, theirs.samples)
    pictures = portable[2].decode(ours), torch_parts[2].decode(theirs)
    levels = [np.stack(picture.frames()).astype(int) for picture in pictures]
    assert np.abs(levels[0] - levels[1]).max() <= 2


def test_long_texts_and_earlier_layers_are_encoded_alike(both):
    torch_parts, portable = both
    long = ", ".join(["a fox in the (snow:0.5)"] * 30)
    for layer in (-1, -2):
        ours = portable[1].stopping_at(layer).encode(long).entries[0]
        theirs = torch_parts[1].stopping_at(layer).encode(long).entries[0]
        assert ours.context.shape == tuple(theirs.context.shape)
        assert near(ours.context, theirs.context)
        assert (ours.pooled is None) == (theirs.pooled is None)


def test_a_picture_is_encoded_and_repainted_inside_a_mask_alike(both):
    torch_parts, portable = both
    pixels = np.random.default_rng(0).random((1, 67, 128, 3), np.float32)
    theirs = torch_parts[2].encode(TorchPicture(torch.from_numpy(pixels)))
    ours = portable[2].encode(Picture(pixels))
    assert near(ours.samples, theirs.samples)
    hole = np.zeros((1, 64, 64), np.float32)
    hole[:, 10:50, :30] = 1.0
    theirs = sampled(torch_parts, theirs.masked(TorchMask(torch.from_numpy(hole))), denoise=0.6)
    ours = sampled(portable, ours.masked(Mask(hole)), denoise=0.6)
    assert near(ours.samples, theirs.samples)


@pytest.mark.covers("R057", "R060")
def test_no_torch_is_imported(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    manifest = export(path, tmp_path / "onnx/tiny.safetensors")
    program = f"""
import sys
import numpy as np
from pathlib import Path
from libs.portable.loader import PortableLoader
from libs.portable.session import Sessions
model, clip, vae = PortableLoader(Sessions(1 << 30)).checkpoint(Path({str(manifest)!r}))
latent = PortableLoader(Sessions(1)).blank_latent(width=64, height=64, count=1)
end = model.sample(latent, positive=clip.encode("a fox"), negative=clip.encode(""), seed=1,
                   steps=2, cfg=5.0, sampler="lms", scheduler="beta",
                   on_step=lambda value, total, preview=None: None)
print(vae.decode(end).frames()[0].shape)
for name in ("torch", "diffusers", "transformers"):
    assert name not in sys.modules, name
"""
    root = Path(__file__).parents[4]
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.strip() == "(64, 64, 3)"


def test_a_custom_walk_is_the_same_on_both(both):
    ends = []
    for parts, empty in (
        (both[0], TorchLatents(torch.zeros(1, 4, 8, 8))),
        (both[1], Latents(np.zeros((1, 4, 8, 8), np.float32))),
    ):
        model, clip = parts[0].with_mix(rescaled(0.7)), parts[1]
        positive, negative = clip.encode("a fox"), clip.encode("")
        guider = model.dual_guider(positive, negative, negative, 4.0, 2.0, nested=True)
        row = Row.of(SCHEDULES["karras"](model.levels, 2))
        ends.append(
            guider.sample(
                model.noised(empty, Seeded(1), row),
                noise=Seeded(5),
                sampler=SAMPLERS["euler"],
                sigmas=row,
                on_step=tiny.no_step,
            )
        )
    for theirs, ours in zip(*ends, strict=True):
        assert near(ours.samples, theirs.samples)


def test_what_it_cannot_do_is_refused_by_name(both):
    with pytest.raises(Refused, match="torch engine"):
        PortableLoader(Sessions(1)).upscale_model(Path("x"))
    with pytest.raises(Refused, match="inside of a network"):
        both[1][0].freed(1.0, 1.0, 1.0, 1.0, mapped=False)
    with pytest.raises(Refused, match="Brownian"):
        sampled(both[1], Latents(np.zeros((1, 4, 8, 8), np.float32)), sampler="dpmpp_sde")


@pytest.mark.covers("R058", "R115")
def test_a_device_is_chosen_by_name_and_a_missing_one_is_said():
    assert provider_of("cpu") == "CPUExecutionProvider"
    for device in ("coreml", "directml"):
        with pytest.raises(Refused, match="cannot compute there"):
            provider_of(device)
    with pytest.raises(Refused, match="no such device"):
        provider_of("abacus")


def test_a_manifest_that_leads_out_or_lacks_something_is_refused(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    manifest = export(path, tmp_path / "onnx/tiny.safetensors")
    facts = json.loads(manifest.read_text())
    for change in ({"denoiser": "../tiny.onnx"}, {"denoiser": "none.onnx"}, {"format": 2}):
        manifest.write_text(json.dumps(facts | change))
        with pytest.raises(Refused):
            bundle.read(manifest)
    with pytest.raises(Refused, match="studio models export"):
        bundle.read(tmp_path / "nothing.json")


def test_a_damaged_network_is_refused(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    manifest = export(path, tmp_path / "onnx/tiny.safetensors")
    manifest.with_name("text_0.onnx").write_bytes(b"no network")
    with pytest.raises(Refused, match="cannot be read"):
        PortableLoader(Sessions(1 << 30)).checkpoint(manifest)[1].encode("a fox")
