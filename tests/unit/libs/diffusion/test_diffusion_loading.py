"""A checkpoint is read by what it holds, never by its name, and can run no code."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint

from libs.core.errors import Refused
from libs.diffusion.architectures import detect
from libs.diffusion.architectures.base import NetworkWeights
from libs.diffusion.architectures.stable_diffusion import SD1, SDXL, SDXL_REFINER, StableDiffusion
from libs.diffusion.loader.clip_tower import from_open_clip
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.unet import UnetShape, norm_groups
from libs.diffusion.loader.vae import vae_config
from libs.sampling.levels import sigma_max
from tests.unit.libs.diffusion import tiny


def shapes_of(tensors) -> Any:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def unet_shape(tensors) -> Any:
    return UnetShape.of(NetworkWeights.of(shapes_of(tensors)).shapes)


def detected(tensors) -> StableDiffusion:
    found = detect(NetworkWeights.of(shapes_of(tensors)))
    assert isinstance(found, StableDiffusion)
    return found


@pytest.mark.parametrize(
    ("tensors", "config"),
    [
        (tiny.sd1, tiny.SD1_UNET),
        (tiny.sdxl, tiny.SDXL_UNET),
        (tiny.refiner, tiny.REFINER_UNET),
    ],
    ids=["sd1", "sdxl", "refiner"],
)
def test_a_unets_shape_is_read_off_its_tensors(tensors, config):
    derived = unet_shape(tensors()).config()
    levels = len(config["block_out_channels"])
    given = {"transformer_layers_per_block": (1,) * levels, "use_linear_projection": False}
    assert derived == given | dict(config)


def test_full_width_networks_are_normalised_in_32_groups():
    assert norm_groups((320, 640, 1280, 1280)) == 32
    assert norm_groups((128, 256, 512, 512)) == 32
    assert norm_groups((64, 128)) == 16


def test_a_vaes_shape_is_read_off_its_tensors():
    derived = vae_config(shapes_of(tiny.vae_tensors("")))
    assert derived == dict(tiny.VAE) | {"use_quant_conv": True, "use_post_quant_conv": True}


@pytest.mark.covers("R116", "R120")
def test_a_family_is_told_by_its_tensors():
    assert detected(tiny.sd1()).family is SD1
    assert detected(tiny.sdxl()).family is SDXL
    assert detected(tiny.refiner()).family is SDXL_REFINER
    assert SD1.native_pixels == 512
    assert SDXL.native_pixels == 1024


@pytest.mark.parametrize(
    ("markers", "prediction", "ends_in_noise"),
    [((), "eps", False), (("v_pred",), "v", False), (("v_pred", "ztsnr"), "v", True)],
)
def test_marker_keys_say_what_a_network_predicts(markers, prediction, ends_in_noise):
    levels = detected(tiny.sd1(*markers)).levels
    assert levels.prediction == prediction
    assert levels.zero_terminal_snr is ends_in_noise
    assert (sigma_max(levels) > 1000) is ends_in_noise


@pytest.mark.covers("R100", "R109")
def test_a_checkpoint_loads_in_three_parts(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    model, clip, vae = tiny.loader().checkpoint(path)
    assert next(model.network.get().parameters()).dtype is torch.float32
    assert clip.encode("a fox").entries[0].context.shape == (1, 77, 64)
    assert vae.network.get().config["latent_channels"] == 4


def test_a_vae_loads_from_a_file_of_its_own_and_from_a_checkpoint(tmp_path):
    alone = tiny.written(tmp_path / "vae.safetensors", tiny.vae_tensors(""))
    inside = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1())
    for path in (alone, inside):
        assert tiny.loader().vae(path).network.get().config["latent_channels"] == 4


def test_a_vae_in_another_layout_is_refused(tmp_path):
    tensors = {"decoder.conv_in.weight": torch.zeros(1), "decoder.up_blocks.0.x": torch.zeros(1)}
    with pytest.raises(Refused, match="no VAE"):
        tiny.loader().vae(tiny.written(tmp_path / "vae.safetensors", tensors)).network.get()


def test_open_clips_names_become_those_that_diffusers_gives_them():
    tensors, prefix = tiny.sdxl(), "conditioner.embedders.1.model."
    theirs = convert_open_clip_checkpoint(tiny.text_encoder(128, 4), tensors, prefix)
    bare = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    projection = bare.pop("text_projection")
    ours = from_open_clip(bare)
    assert torch.equal(theirs.pop("text_projection.weight"), projection.T)
    for name, tensor in theirs.items():
        assert torch.equal(ours[name.removeprefix("text_model.")], tensor), name
    assert len(theirs) == len(ours) - len({"logit_scale"})


def test_what_files_carry_besides_the_networks_is_ignored(tmp_path):
    extras = {
        "alphas_cumprod": torch.zeros(1000),
        "model_ema.decay": torch.zeros(1),
        "first_stage_model.loss.logvar": torch.zeros(1),
        "denoiser.sigmas": torch.zeros(1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None],
    }
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.sd1() | extras)
    model, clip, vae = tiny.loader().checkpoint(path)
    for network in (model.network, clip.towers[0].network, vae.network):
        assert not any(tensor.is_meta for tensor in network.get().state_dict().values())


def test_other_files_are_refused_with_the_reason(tmp_path):
    other = {"strange_blocks.0.weight": torch.zeros(4, 4)}
    no_vae = {n: t for n, t in tiny.sd1().items() if not n.startswith("first_stage")}
    narrow = tiny.sd1()
    del narrow["model.diffusion_model.out.0.bias"]
    with pytest.raises(Refused, match="of a known kind"):
        tiny.loader().checkpoint(tiny.written(tmp_path / "other.safetensors", other))
    vae = tiny.loader().checkpoint(tiny.written(tmp_path / "novae.safetensors", no_vae))[2]
    with pytest.raises(Refused, match="no VAE"):
        vae.network.get()
    model = tiny.loader().checkpoint(tiny.written(tmp_path / "cut.safetensors", narrow))[0]
    with pytest.raises(Refused, match="do not fit"):
        model.network.get()


def test_a_damaged_file_is_refused(tmp_path):
    path = tiny.written(tmp_path / "tiny.safetensors", tiny.vae_tensors(""))
    whole = path.read_bytes()
    for cut in (whole[: len(whole) // 2], whole[:4], b"", b"\xff" * 64):
        path.write_bytes(cut)
        with pytest.raises(Refused, match="damaged"):
            WeightsFile.open(path)


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('code from a weights file was executed')",))


@pytest.mark.covers("R111")
@pytest.mark.parametrize("name", ["bomb.safetensors", "bomb.ckpt", "bomb.pt", "bomb.pth"])
def test_a_pickle_is_never_opened(tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb()))

    def opened(*_args, **_kwargs) -> Any:
        raise AssertionError("a pickle loader was called")

    for module in (pickle, torch):
        monkeypatch.setattr(module, "load", opened)
    with pytest.raises(Refused):
        tiny.loader().checkpoint(path)


RSS = """
import resource, sys
from pathlib import Path
import torch
from libs.diffusion.loader.file import WeightsFile
def mib():
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize() // 2**20
before = mib()
tensors = WeightsFile.open(Path(sys.argv[1])).read_under('', torch.float32)
after_reading = mib()
total = sum(float(tensor.sum()) for tensor in tensors.values())
print(after_reading - before, mib() - before, total)
"""


@pytest.mark.covers("R110")
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_mapped_and_not_read_until_used(tmp_path):
    big = {f"part{number}": torch.ones(4, 2**20) for number in range(6)}
    path = tiny.written(tmp_path / "big.safetensors", big, torch.float32)
    told = subprocess.run(
        [sys.executable, "-c", RSS, str(path)], capture_output=True, text=True, check=True
    )
    after_reading, after_use, total = told.stdout.split()
    assert float(total) == 6 * 4 * 2**20
    assert int(after_reading) < 16, "96 MiB of weights were copied by reading"
    assert int(after_use) >= 90
