"""A folder as diffusers writes it is the same model as the single file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from libs.core.errors import Refused
from libs.diffusion.values import Latents
from tests.fidelity.ldm_names import unet_name, vae_name, vae_tensor
from tests.unit.libs.diffusion import layouts, tiny


def put(folder: Path, parts: dict[str, Any], schedule: dict[str, Any]) -> Path:
    """Write a folder with these networks, in half precision."""
    classes = {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
    for name, part in parts.items():
        part.half().save_pretrained(folder / name)
        part.float()
    (folder / "scheduler").mkdir(parents=True)
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(schedule))
    classes["scheduler"] = ["diffusers", "DDIMScheduler"]
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Any", **classes}))
    return folder / "model_index.json"


def sample(parts: Any, channels: int) -> Any:
    model, clip, _ = parts
    return model.sample(
        Latents(torch.zeros(1, channels, 8, 8)), positive=clip.encode("red fox"),
        negative=clip.encode(""), seed=1, steps=2, cfg=3.0, sampler="euler", scheduler="simple",
        on_step=tiny.no_step,
    ).samples  # fmt: skip


def stable_diffusion(config: Any, encoders: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parts of a model, and its tensors as a single file has them."""
    unet, vae = UNet2DConditionModel(**config), AutoencoderKL(**tiny.VAE)
    parts: dict[str, Any] = {"unet": unet, "vae": vae, "text_encoder": encoders[0]}
    tensors = {
        f"model.diffusion_model.{unet_name(name, config)}": tensor
        for name, tensor in unet.state_dict().items()
    } | {
        f"first_stage_model.{vae_name(name, 4)}": vae_tensor(name, tensor)
        for name, tensor in vae.state_dict().items()
    }
    return parts, tensors


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_stable_diffusion_in_a_folder_paints_what_its_single_file_does(tmp_path, prediction):
    torch.manual_seed(21)
    encoder = tiny.text_encoder(64, 2)
    parts, tensors = stable_diffusion(tiny.SD1_UNET, [encoder])
    tensors |= tiny.clip_tensors(encoder, "cond_stage_model.transformer.")
    if prediction == "v_prediction":
        tensors["v_pred"] = torch.tensor([])
    single: Any = tiny.loader().checkpoint(tiny.written(tmp_path / "a.safetensors", tensors))
    index = put(tmp_path / "folder", parts, {"prediction_type": prediction})
    folder: Any = tiny.loader().checkpoint(index)
    assert folder[0].architecture.name == "sd1"
    assert folder[0].levels.prediction == single[0].levels.prediction
    ends = [sample(parts, 4) for parts in (single, folder)]
    assert torch.allclose(ends[0], ends[1], atol=1e-4)
    pictures = [parts[2].decode(Latents(ends[0])).pixels for parts in (single, folder)]
    assert torch.allclose(pictures[0], pictures[1], atol=1e-4)


def test_sdxl_in_a_folder_has_both_encoders(tmp_path):
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(22)
    parts, _ = stable_diffusion(tiny.SDXL_UNET, [tiny.text_encoder(64, 2)])
    config = tiny.text_encoder(128, 3, "gelu").config
    config.projection_dim = 128
    parts["text_encoder_2"] = CLIPTextModelWithProjection(config)
    model, clip, vae = tiny.loader().checkpoint(put(tmp_path / "folder", parts, {}))
    assert model.architecture.name == "sdxl"
    assert [tower.name for tower in clip.towers] == ["l", "g"]
    entry = clip.encode("red fox").entries[0]
    assert entry.context.shape == (1, 77, 192)
    wanted = parts["text_encoder_2"].text_projection.weight.half().float()
    network: Any = clip.towers[1].network.get()
    assert torch.equal(network.projection.weight, wanted)
    assert sample((model, clip, vae), 4).isfinite().all()


def test_flux_in_a_folder_paints_what_its_single_file_does(tmp_path):
    torch.manual_seed(23)
    network, encoder, t5 = layouts.flux(), tiny.text_encoder(64, 2), layouts.t5()
    parts = {
        "transformer": network,
        "vae": AutoencoderKL(**layouts.VAE16),
        "text_encoder": encoder,
        "text_encoder_2": t5,
    }
    index = put(tmp_path / "folder", parts, {})
    (tmp_path / "folder/tokenizer_2").mkdir()
    (tmp_path / "folder/tokenizer_2/tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    folder = tiny.loader().checkpoint(index)
    assert folder[0].architecture.name == "flux_dev"
    assert [tower.name for tower in folder[1].towers] == ["l", "t5xxl"]
    assert folder[1].towers[1].network.get().tokenizer.size == 40
    tensors = layouts.flux_tensors(network, layouts.PREFIX)
    tensors |= tiny.clip_tensors(encoder, "text_encoders.clip_l.transformer.")
    tensors |= layouts.t5_tensors(t5, "text_encoders.t5xxl.transformer.")
    path = tiny.written(tmp_path / "single" / "a.safetensors", tensors)
    (path.parent / "tokenizer.json").write_text(layouts.word_tokenizer().to_str())
    single = tiny.loader().checkpoint(path)
    ends = [sample(parts, 16) for parts in (single, folder)]
    assert torch.allclose(ends[0], ends[1], atol=1e-3)
    assert folder[2].network.get().config["latent_channels"] == 16


def test_stable_diffusion_3_in_a_folder_is_told_by_its_settings(tmp_path):
    network = layouts.sd3(layouts.SD35_MEDIUM)
    index = put(tmp_path / "folder", {"transformer": network}, {})
    model = tiny.loader().checkpoint(index)[0]
    assert model.architecture.name == "sd3"
    ours = model.network.get().state_dict()
    assert all(torch.allclose(ours[n], t) for n, t in network.state_dict().items())


def test_a_vae_that_diffusers_named_is_read_alone(tmp_path):
    torch.manual_seed(24)
    vae = AutoencoderKL(**layouts.VAE16)
    path = tiny.written(tmp_path / "vae.safetensors", vae.state_dict())
    found = tiny.loader().vae(path)
    theirs = found.network.get().state_dict()
    assert all(torch.equal(theirs[name], t.half().float()) for name, t in vae.state_dict().items())


def test_a_folder_of_another_kind_is_refused(tmp_path):
    class Other(AutoencoderKL):  # type: ignore[misc]
        pass

    index = put(tmp_path / "folder", {"transformer": Other(**tiny.VAE)}, {})
    with pytest.raises(Refused, match="no diffusion network"):
        tiny.loader().checkpoint(index)
