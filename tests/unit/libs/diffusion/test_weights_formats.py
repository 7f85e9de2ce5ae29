"""GGUF files, sharded files and diffusers folders are read like any other weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import gguf
import pytest
import torch
from safetensors.torch import save_file

from libs.core.errors import Refused
from libs.diffusion.loader import disk
from libs.diffusion.loader.file import WeightsFile
from libs.diffusion.loader.gguf_names import network_name
from libs.diffusion.offload import size_bytes
from libs.diffusion.packed.tensor import PackedTensor
from tests.unit.libs.diffusion import tiny
from tests.unit.libs.diffusion.quantised import BY_NAME, write_gguf

UNET = "model.diffusion_model."


def quantising(kind: str):
    """Quantise the large weights of the UNet; all else stays as it is."""
    _, block = BY_NAME[kind]

    def choose(name, tensor) -> str:
        large = name.startswith(UNET) and tensor.dim() > 1 and tensor.numel() % block.numbers == 0
        return kind if large else "F32"

    return choose


def sampled(path: Path):
    model, clip, _ = tiny.loader().checkpoint(path)
    texts = clip.encode("a fox"), clip.encode("")
    latent = tiny.loader().blank_latent(width=64, height=64, count=1)
    end = model.sample(
        latent,
        positive=texts[0],
        negative=texts[1],
        seed=1,
        steps=2,
        cfg=5.0,
        sampler="euler",
        scheduler="normal",
        on_step=tiny.no_step,
    )
    return end.samples, model


@pytest.mark.covers("R112")
@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_K", "Q6_K"])
def test_a_quantised_checkpoint_draws_what_its_dequantised_twin_draws(tmp_path, kind):
    tensors = tiny.sd1()
    twins = write_gguf(tmp_path / "tiny.gguf", tensors, quantising(kind))
    tiny.written(tmp_path / "twin.safetensors", twins, torch.float32)
    small, model = sampled(tmp_path / "tiny.gguf")
    plain, twin = sampled(tmp_path / "twin.safetensors")
    assert torch.isfinite(small).all()
    assert torch.equal(small, plain)
    network = model.network.get()
    large = twin.network.get()
    assert any(isinstance(weight, PackedTensor) for weight in network.parameters())
    assert size_bytes(network) < 0.4 * size_bytes(large)


def test_the_cache_counts_packed_bytes(tmp_path):
    write_gguf(tmp_path / "tiny.gguf", tiny.sd1(), quantising("Q4_0"))
    loader = tiny.loader()
    model = loader.checkpoint(tmp_path / "tiny.gguf")[0]
    network = model.network.get()
    assert loader.cache.bytes_used == size_bytes(network)


def test_a_gguf_file_tells_shapes_and_facts_before_it_is_read(tmp_path):
    tensors = {
        "a.weight": torch.randn(6, 64),
        "b.weight": torch.randn(8, 4, 3, 3),
        "c.bias": torch.randn(5),
        "d.weight": torch.randn(3, 4),
    }
    kinds = {"a.weight": "Q5_1", "b.weight": "Q4_1", "c.bias": "F32", "d.weight": "BF16"}
    twins = write_gguf(tmp_path / "x.gguf", tensors, lambda name, _: kinds[name], "flux")
    file = WeightsFile.open(tmp_path / "x.gguf")
    assert file.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert file.metadata["general.architecture"] == "flux"
    found = file.read(["d.weight", "b.weight", "a.weight", "c.bias"], torch.float32)
    assert list(found) == ["d.weight", "b.weight", "a.weight", "c.bias"]
    for name, tensor in found.items():
        assert torch.equal(tensor + 0, twins[name]), name
    assert file.under("a.") == {"weight": (6, 64)}


def test_damaged_gguf_files_are_refused(tmp_path):
    write_gguf(tmp_path / "x.gguf", {"a": torch.randn(4, 64)}, lambda *_: "Q8_0")
    whole = (tmp_path / "x.gguf").read_bytes()
    huge = whole[:8] + struct.pack("<Q", 2**60) + whole[16:]
    for cut in (b"", b"GGUF", whole[:40], whole[:-40], b"NONE" + whole[4:], huge):
        (tmp_path / "cut.gguf").write_bytes(cut)
        with pytest.raises(Refused, match="damaged"):
            WeightsFile.open(tmp_path / "cut.gguf")


def test_a_gguf_format_that_is_not_read_is_named(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "flux")
    kind = gguf.GGMLQuantizationType.IQ1_S
    octets = torch.zeros(1, gguf.GGML_QUANT_SIZES[kind][1], dtype=torch.uint8).numpy()
    writer.add_tensor("a.weight", octets, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(Refused, match="format") as refused:
        WeightsFile.open(tmp_path / "x.gguf")
    assert refused.value.facts["tensor"] == "a.weight"
    assert "Q4_K" in str(refused.value.facts["known"])


def test_text_networks_in_gguf_get_the_names_that_networks_use():
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
    ours = [
        "shared.weight",
        "encoder.final_layer_norm.weight",
        *(
            f"encoder.block.1.{part}.weight"
            for part in (
                "layer.0.SelfAttention.q",
                "layer.0.SelfAttention.o",
                "layer.0.SelfAttention.relative_attention_bias",
                "layer.0.layer_norm",
                "layer.1.DenseReluDense.wi_0",
                "layer.1.DenseReluDense.wi_1",
                "layer.1.DenseReluDense.wo",
                "layer.1.layer_norm",
            )
        ),
    ]
    for name in ours:
        written = names.get_name(name, try_suffixes=(".weight",))
        assert written is not None
        assert network_name(written, "t5encoder") == name
    assert network_name("enc.blk.0.attn_q.weight", "flux") == "enc.blk.0.attn_q.weight"


def shards(folder: Path, stem: str = "model", count: int = 2):
    torch.manual_seed(4)
    tensors = {f"layer{number}.weight": torch.randn(3, 4) for number in range(5)}
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    for shard in range(count):
        inside = {name: tensors[name] for name in sorted(tensors)[shard::count]}
        name = f"{stem}-{shard + 1:05}-of-{count:05}.safetensors"
        save_file(inside, folder / name)
        places |= dict.fromkeys(inside, name)
    index = folder / f"{stem}.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return index, tensors


def test_shards_are_one_file_whichever_of_them_is_named(tmp_path):
    index, tensors = shards(tmp_path)
    for path in (index, tmp_path / "model-00002-of-00002.safetensors"):
        file = WeightsFile.open(path)
        found = file.read(sorted(tensors), torch.float32)
        assert list(found) == sorted(tensors)
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert file.shapes["layer0.weight"] == (3, 4)


def test_an_index_that_leads_elsewhere_or_nowhere_is_refused(tmp_path):
    index, _ = shards(tmp_path)
    whole = json.loads(index.read_text())
    for shard in ("../other.safetensors", "gone.safetensors", "model.bin"):
        index.write_text(json.dumps({"weight_map": whole["weight_map"] | {"x": shard}}))
        with pytest.raises(Refused):
            WeightsFile.open(index)
    named = whole["weight_map"] | {"x": "model-00001-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": named}))
    with pytest.raises(Refused, match="does not hold"):
        WeightsFile.open(index)
    index.write_text("[]")
    with pytest.raises(Refused, match="damaged"):
        WeightsFile.open(index)


def folder_of(root: Path) -> Path:
    index: dict[str, object] = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet"],
    }
    index |= {"scheduler": ["diffusers", "DDIM"], "safety_checker": [None, None]}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"]}
    (root / "unet").mkdir(parents=True)
    (root / "scheduler").mkdir()
    (root / "model_index.json").write_text(json.dumps(index))
    (root / "scheduler" / "scheduler_config.json").write_text('{"steps": 1000}')
    (root / "unet" / "config.json").write_text('{"in_channels": 4}')
    save_file({"a.weight": torch.ones(2, 3)}, root / "unet/diffusion_pytorch_model.safetensors")
    shards(root / "text_encoder")
    return root


def test_a_diffusers_folder_is_read_part_by_part_with_its_own_settings(tmp_path):
    root = folder_of(tmp_path / "model")
    for path in (root, root / "model_index.json"):
        folder = WeightsFile.open(path)
        assert folder.configs == {"unet": {"in_channels": 4}, "scheduler": {"steps": 1000}}
        assert folder.metadata["text_encoder"] == "CLIPTextModel"
        assert folder.under("unet.") == {"a.weight": (2, 3)}
        assert len(folder.under("text_encoder.")) == 5
        mixed = folder.read(["text_encoder.layer3.weight", "unet.a.weight"], torch.float16)
        assert list(mixed) == ["text_encoder.layer3.weight", "unet.a.weight"]
        assert mixed["unet.a.weight"].dtype is torch.float16


def test_a_folder_changes_its_key_when_a_part_does(tmp_path):
    root = folder_of(tmp_path / "model")
    before = WeightsFile.open(root).key
    save_file({"a.weight": torch.ones(9, 3)}, root / "unet/diffusion_pytorch_model.safetensors")
    assert WeightsFile.open(root).key != before


@pytest.mark.covers("R111")
def test_folders_without_safetensors_are_refused(tmp_path):
    root = folder_of(tmp_path / "model")
    (root / "unet" / "diffusion_pytorch_model.safetensors").rename(root / "unet" / "model.bin")
    with pytest.raises(Refused, match="models import"):
        WeightsFile.open(root)
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused, match="not one that diffusers wrote"):
        WeightsFile.open(tmp_path / "empty")


def test_eight_bit_weights_stay_so_and_take_their_scale_along(tmp_path):
    torch.manual_seed(5)
    small = torch.randn(16, 32).to(torch.float8_e4m3fn)
    tensors = {
        "scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn),
        "a.weight": small,
        "a.scale_weight": torch.tensor(0.25),
        "a.scale_input": torch.tensor(1.0),
        "b.weight": small.clone(),
        "b.bias": torch.randn(16).to(torch.float8_e4m3fn),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    file = WeightsFile.open(tmp_path / "x.safetensors")
    assert set(file.shapes) == {"a.weight", "b.weight", "b.bias"}
    found = file.read(file.shapes, torch.float32)
    assert isinstance(found["a.weight"], PackedTensor)
    assert torch.equal(found["a.weight"] + 0, small.float() * 0.25)
    assert torch.equal(found["b.weight"] + 0, small.float())
    assert found["b.bias"].dtype is torch.float32
    assert found["a.weight"].nbytes == 16 * 32 + 4


@pytest.mark.covers("R110")
def test_what_is_fetched_from_the_disk_by_threads_is_what_is_mapped(tmp_path, monkeypatch):
    torch.manual_seed(6)
    tensors = {f"t{number}": torch.randn(33, 57) for number in range(20)}
    path = tiny.written(tmp_path / "x.safetensors", tensors, torch.float32)
    file = WeightsFile.open(path)
    mapped = file.read(tensors, torch.float32)
    fetched: list[int] = []
    whole = disk.MappedFile._fetch

    def counted(self, span) -> None:
        fetched.append(span.size)
        whole(self, span)

    monkeypatch.setattr(disk.MappedFile, "_is_slow", lambda *_: True)
    monkeypatch.setattr(disk.MappedFile, "_fetch", counted)
    for dtype in (torch.float32, torch.float16):
        read = file.read(tensors, dtype)
        assert list(read) == list(tensors)
        assert all(torch.equal(read[name], mapped[name].to(dtype)) for name in tensors)
    assert sum(fetched) == 2 * 20 * 33 * 57 * 4
    # Where the kernel cannot fill a mapping, the pages are read.
    monkeypatch.setattr(disk, "MADV_POPULATE_READ", 9999)
    read = file.read(tensors, torch.float32)
    assert all(torch.equal(read[name], mapped[name]) for name in tensors)


def test_only_much_that_is_not_in_memory_is_fetched(tmp_path, monkeypatch):
    path = tiny.written(tmp_path / "x.safetensors", {"t": torch.ones(1024, 64)}, torch.float32)
    mapped = disk.MappedFile(path)
    spans = {"t": disk.Span(100, 4 * 1024 * 64)}
    assert not mapped._is_slow(spans)
    monkeypatch.setattr(disk, "MUCH_BYTES", 1024)
    assert not mapped._is_slow(spans), "the file was just written: it is in memory"
    monkeypatch.setattr(disk.MappedFile, "_is_in_memory", lambda *_: False)
    assert mapped._is_slow(spans)
