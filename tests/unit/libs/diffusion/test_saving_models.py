"""What was merged is kept in files that load again to the bit, under the names of the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from libs.core.errors import Refused
from libs.diffusion.values import Latents
from libs.nodes.context import OUTPUT_BYTES_MAX, Loader
from libs.nodes.local import LocalContext
from libs.nodes.registry import load
from services.gpu_worker.frames import BLOB_BYTES_MAX
from tests.unit.libs.diffusion import layouts, tiny
from tests.unit.libs.diffusion.tiny_adapters import lora

ROOM = OUTPUT_BYTES_MAX


def sd3() -> dict[str, Tensor]:
    tensors = layouts.sd3_tensors(layouts.sd3(layouts.SD35_MEDIUM)) | layouts.vae16_tensors()
    return tensors | layouts.t5_tensors(layouts.t5(), "text_encoders.t5xxl.transformer.")


def flux() -> dict[str, Tensor]:
    tensors = layouts.flux_tensors(layouts.flux(), "model.diffusion_model.")
    tensors |= layouts.vae16_tensors()
    encoder = tiny.text_encoder(64, 2)
    return tensors | tiny.clip_tensors(encoder, "text_encoders.clip_l.transformer.")


KINDS: dict[str, Any] = {
    "sd1": tiny.sd1,
    "sd1 that predicts velocity": lambda: tiny.sd1("v_pred", "ztsnr"),
    "sdxl": tiny.sdxl,
    "refiner": tiny.refiner,
    "sd3.5": sd3,
    "flux": flux,
}


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def same(first: Tensor, second: Tensor) -> bool:
    # Of a mark without numbers only the name says anything.
    alike = first.dtype == second.dtype and torch.equal(first, second)
    return alike or not (first.numel() or second.numel())


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_written_as_it_was_read(tmp_path, kind):
    layouts.word_tokenizer().save(str(tmp_path / "tokenizer.json"))
    path = tiny.written(tmp_path / "model.safetensors", KINDS[kind]())
    made = tiny.loader()
    parts = made.checkpoint(path)
    again = put(tmp_path / "again.safetensors", made.model_file(*parts, {"prompt": "{}"}, ROOM))
    before, after = load_file(path), load_file(again)
    # Of training alone, and read by nobody.
    before = {name: tensor for name, tensor in before.items() if "logit_scale" not in name}
    assert before.keys() == after.keys()
    assert [name for name in before if not same(before[name], after[name])] == []
    with safe_open(again, "pt") as file:
        assert file.metadata()["prompt"] == "{}"


def test_what_loras_and_merges_changed_paints_the_same_to_the_bit_when_it_is_loaded_again(tmp_path):
    made = tiny.loader()
    model, clip, vae = made.checkpoint(tiny.written(tmp_path / "one.safetensors", tiny.sd1()))
    change = made.lora(tiny.written(tmp_path / "lora.safetensors", lora(3)))
    changed = *change.applied(model, clip, 0.7, 0.3), vae
    again = put(tmp_path / "two.safetensors", made.model_file(*changed, {}, ROOM))

    def painted(parts: Any) -> tuple[Tensor, Tensor]:
        text = parts[1].encode("a (red:1.2) house")
        end = parts[0].sample(
            Latents(torch.zeros(1, 4, 8, 8)), positive=text, negative=text, seed=5, steps=2,
            cfg=3.0, sampler="euler", scheduler="normal", on_step=tiny.no_step,
        )  # fmt: skip
        return end.samples, parts[2].decode(end).pixels

    first, second = painted(changed), painted(tiny.loader().checkpoint(again))
    assert all(same(*pair) for pair in zip(first, second, strict=True))
    plain = painted(tiny.loader().checkpoint(tmp_path / "one.safetensors"))
    assert not torch.equal(plain[0], first[0])


def test_an_encoder_and_a_vae_load_alone(tmp_path):
    made = tiny.loader()
    _, clip, vae = made.checkpoint(tiny.written(tmp_path / "one.safetensors", tiny.sd1()))
    files = made.encoder_files(clip, {}, ROOM)
    assert list(files) == ["clip_l"]
    alone = made.text_encoders(
        [put(tmp_path / "clip.safetensors", files["clip_l"])], "stable_diffusion"
    )
    encoded = [one.encode("a fox").entries[0].context for one in (clip, alone)]
    assert same(*encoded)
    loaded = made.vae(put(tmp_path / "vae.safetensors", made.vae_file(vae, {}, ROOM)))
    latent = Latents(torch.randn(1, 4, 4, 4))
    assert same(vae.decode(latent).pixels, loaded.decode(latent).pixels)


def test_sdxls_second_encoder_is_kept_alone_as_such_files_are_written(tmp_path):
    made = tiny.loader()
    _, clip, _ = made.checkpoint(tiny.written(tmp_path / "one.safetensors", tiny.sdxl()))
    files = made.encoder_files(clip, {}, ROOM)
    assert list(files) == ["clip_l", "clip_g"]
    second = load_file(put(tmp_path / "clip_g.safetensors", files["clip_g"]))
    assert second["text_projection.weight"].shape == (128, 128)
    assert "text_model.embeddings.token_embedding.weight" in second


def test_a_file_that_would_be_too_large_is_refused_with_the_limit(tmp_path):
    made = tiny.loader()
    parts = made.checkpoint(tiny.written(tmp_path / "one.safetensors", tiny.sd1()))
    with pytest.raises(Refused, match="larger than an output") as refused:
        made.model_file(*parts, {}, 100_000)
    assert refused.value.facts["limit_bytes"] == 100_000
    assert OUTPUT_BYTES_MAX == BLOB_BYTES_MAX


def test_the_nodes_keep_files_where_their_prefix_says(tmp_path):
    tiny.written(tmp_path / "models/checkpoints/one.safetensors", tiny.sd1())
    context = LocalContext(root=tmp_path, loader=cast("Loader", tiny.loader()), prompt={"1": {}})
    model, clip, vae = load()["CheckpointLoaderSimple"](context, ckpt_name="one.safetensors")
    shown = [
        load()["CheckpointSave"](context, model=model, clip=clip, vae=vae),
        load()["ModelSave"](context, model=model),
        load()["CLIPSave"](context, clip=clip),
        load()["VAESave"](context, vae=vae),
    ]
    kept = [entry for one in shown for entry in one.told()["models"]]
    names = [f"{entry['subfolder']}/{entry['filename']}" for entry in kept]
    assert names == [
        "checkpoints/ComfyUI_00001_.safetensors",
        "diffusion_models/ComfyUI_00001_.safetensors",
        "clip/ComfyUI_clip_l_00001_.safetensors",
        "vae/ComfyUI_vae_00001_.safetensors",
    ]
    with safe_open(tmp_path / "output" / names[0], "pt") as file:
        assert file.metadata() == {"modelspec.predict_key": "epsilon", "prompt": '{"1": {}}'}
