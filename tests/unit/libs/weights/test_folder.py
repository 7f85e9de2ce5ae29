"""A file put into the models folder appears by itself, when it is whole."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from libs.weights.folder import FILES_MAX, FOLDERS, ModelFolder, builtin_files

OLD = time.time() - 60


def put(path: Path, data: bytes = b"weights", *, settled: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    if settled:
        os.utime(path, (OLD, OLD))
    return path


def names(folder: ModelFolder) -> dict[str, list[str]]:
    return {name: list(files) for name, files in folder.scan().items()}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_are_made_so_that_a_person_sees_where_files_belong(tmp_path, folder):
    ModelFolder(tmp_path / "models").prepare()
    assert (tmp_path / "models" / folder).is_dir()


def test_files_are_listed_by_folder_with_their_size(tmp_path):
    put(tmp_path / "checkpoints/b.safetensors", b"12345")
    put(tmp_path / "checkpoints/a.ckpt")
    put(tmp_path / "loras/style/c.safetensors")
    found = ModelFolder(tmp_path).scan()
    assert list(found["checkpoints"]) == ["a.ckpt", "b.safetensors"]
    assert list(found["loras"]) == ["style/c.safetensors"]
    assert found["checkpoints"]["b.safetensors"].size_bytes == 5


@pytest.mark.parametrize("suffix", [".safetensors", ".gguf", ".onnx", ".pth", ".pt", ".ckpt"])
def test_the_usual_suffixes_are_models(tmp_path, suffix):
    put(tmp_path / f"vae/x{suffix}")
    assert names(ModelFolder(tmp_path)) == {"vae": [f"x{suffix}"]}


@pytest.mark.parametrize(
    "name", ["x.txt", "x.safetensors.part", ".hidden.safetensors", "safetensors", "a\nb.ckpt"]
)
def test_what_is_no_model_is_not_listed(tmp_path, name):
    put(tmp_path / "vae" / name)
    assert names(ModelFolder(tmp_path)) == {}


def test_a_file_is_listed_only_when_it_has_stopped_growing(tmp_path):
    folder = ModelFolder(tmp_path)
    path = put(tmp_path / "vae/x.pt", b"1", settled=False)
    assert names(folder) == {}
    put(path, b"12", settled=False)
    assert names(folder) == {}
    assert names(folder) == {"vae": ["x.pt"]}


def test_an_empty_file_is_no_model(tmp_path):
    put(tmp_path / "vae/x.pt", b"")
    assert names(ModelFolder(tmp_path)) == {}


def test_a_file_that_was_taken_away_is_not_listed_any_more(tmp_path):
    folder = ModelFolder(tmp_path)
    path = put(tmp_path / "vae/x.pt")
    assert names(folder) == {"vae": ["x.pt"]}
    path.unlink()
    assert names(folder) == {}


def test_a_file_replaced_under_its_name_has_another_content(tmp_path):
    folder = ModelFolder(tmp_path)
    path = put(tmp_path / "vae/x.pt", b"1")
    before = folder.scan()["vae"]["x.pt"].content
    put(path, b"12")
    folder.scan()
    assert folder.scan()["vae"]["x.pt"].content != before


def test_links_that_lead_out_of_the_folder_are_refused(tmp_path):
    outside = put(tmp_path / "secret/x.pt")
    models = tmp_path / "models"
    put(models / "vae/real.pt")
    (models / "vae/file.pt").symlink_to(outside)
    (models / "vae/folder").symlink_to(outside.parent)
    (models / "vae/broken.pt").symlink_to(models / "vae/nothing.pt")
    (models / "vae/loop").symlink_to(models / "vae")
    (models / "vae/again.pt").symlink_to(models / "vae/real.pt")
    found = names(ModelFolder(models))["vae"]
    assert {"real.pt", "again.pt"} <= set(found)
    assert not any("file.pt" in name or "folder/" in name or "broken" in name for name in found)


def test_a_whole_subfolder_may_be_a_link_to_another_disk(tmp_path):
    put(tmp_path / "disk/x.pt")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/vae").symlink_to(tmp_path / "disk")
    assert names(ModelFolder(tmp_path / "models")) == {"vae": ["x.pt"]}


def test_what_ships_with_the_house_is_there_and_the_users_file_wins(tmp_path):
    put(tmp_path / "demo/hanzo-demo-64.safetensors", b"ours")
    models = tmp_path / "models"
    folder = ModelFolder(models, builtin_files(tmp_path / "demo"))
    assert names(folder) == {"checkpoints": ["hanzo-demo-64.safetensors"]}
    own = put(models / "checkpoints/hanzo-demo-64.safetensors", b"theirs")
    assert folder.scan()["checkpoints"]["hanzo-demo-64.safetensors"].path == own


def test_the_list_has_a_bound(tmp_path):
    for number in range(FILES_MAX + 10):
        put(tmp_path / f"loras/{number:05}.pt")
    assert len(ModelFolder(tmp_path).scan()["loras"]) == FILES_MAX


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_lent_for_reading_is_read_as_it_is(tmp_path, monkeypatch, number):
    put(tmp_path / "loras/soft.safetensors")

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "mkdir", refuse)
    folder = ModelFolder(tmp_path)
    folder.prepare()
    assert names(folder) == {"loras": ["soft.safetensors"]}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert names(ModelFolder(tmp_path / "nothing")) == {}


def test_the_names_together_have_a_bound(tmp_path):
    for number in range(600):
        put(tmp_path / f"loras/{'x' * 190}{number:03}.pt")
    found = ModelFolder(tmp_path).scan()["loras"]
    assert 0 < sum(len(name) for name in found) <= 100_000


def test_a_diffusers_folder_is_one_model_whose_size_is_that_of_all_its_files(tmp_path):
    root = tmp_path / "checkpoints/sets/turbo"
    put(root / "model_index.json", b"{}")
    put(root / "unet/config.json", b"{}")
    put(root / "unet/diffusion_pytorch_model.safetensors", b"12345")
    put(root / "vae/diffusion_pytorch_model.safetensors", b"123")
    put(root / "readme.md", b"not read")
    put(tmp_path / "checkpoints/x.safetensors")
    found = ModelFolder(tmp_path).scan()["checkpoints"]
    assert list(found) == ["sets/turbo", "x.safetensors"]
    assert found["sets/turbo"].size_bytes == 2 + 2 + 5 + 3
    assert found["sets/turbo"].path == root


def test_a_diffusers_folder_with_a_part_elsewhere_is_not_listed(tmp_path):
    outside = put(tmp_path / "secret/model.safetensors")
    root = tmp_path / "models/checkpoints/turbo"
    put(root / "model_index.json", b"{}")
    (root / "unet").mkdir()
    (root / "unet/model.safetensors").symlink_to(outside)
    assert names(ModelFolder(tmp_path / "models")) == {}


def test_shards_are_one_model_named_by_the_first(tmp_path):
    for number in (1, 2, 3):
        put(tmp_path / f"unet/big-{number:05}-of-00003.safetensors", b"1234")
    put(tmp_path / "unet/big.safetensors.index.json", b"{}")
    put(tmp_path / "unet/alone-00002-of-00002.safetensors")
    found = ModelFolder(tmp_path).scan()["unet"]
    assert list(found) == ["alone-00002-of-00002.safetensors", "big-00001-of-00003.safetensors"]
    assert found["big-00001-of-00003.safetensors"].size_bytes == 3 * 4 + 2


@pytest.mark.parametrize(
    ("old", "folder"), [("clip", "text_encoders"), ("unet", "diffusion_models")]
)
def test_files_in_folders_of_the_old_names_are_offered_under_the_new_ones(tmp_path, old, folder):
    put(tmp_path / old / "a.safetensors", b"old")
    put(tmp_path / old / "b.safetensors", b"old")
    put(tmp_path / folder / "b.safetensors", b"newer")
    found = ModelFolder(tmp_path).scan()
    assert list(found[folder]) == ["a.safetensors", "b.safetensors"]
    assert found[folder]["b.safetensors"].size_bytes == 5
    assert list(found[old]) == ["a.safetensors", "b.safetensors"]


def test_a_tiny_vae_is_offered_by_its_short_name_when_both_halves_are_there(tmp_path):
    put(tmp_path / "vae_approx/taesd_decoder.safetensors", b"123")
    put(tmp_path / "vae_approx/taef1_decoder.safetensors", b"123")
    put(tmp_path / "vae_approx/taesdxl_encoder.safetensors")
    put(tmp_path / "vae/own.safetensors")
    folder = ModelFolder(tmp_path)
    assert names(folder)["vae"] == ["own.safetensors"]
    put(tmp_path / "vae_approx/taesd_encoder.safetensors", b"45")
    folder.scan()
    found = folder.scan()["vae"]
    assert list(found) == ["own.safetensors", "taesd"]
    assert found["taesd"].size_bytes == 5
