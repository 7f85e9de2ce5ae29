"""A weights file is read once for its digest, and again when it was replaced."""

from __future__ import annotations

import hashlib

import pytest

from services.gpu_worker.digests import Digests


def test_a_file_is_read_once_as_long_as_it_stays_the_same(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"one")
    digests = Digests()
    first = digests.of({"vae/x": (str(path), "3-1")})
    assert first == {"vae/x": hashlib.sha256(b"one").hexdigest()}
    path.write_bytes(b"two")
    assert digests.of({"vae/x": (str(path), "3-1")}) == first
    replaced = digests.of({"vae/x": (str(path), "3-2")})
    assert replaced == {"vae/x": hashlib.sha256(b"two").hexdigest()}


def test_a_file_that_went_away_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Digests().of({"vae/x": (str(tmp_path / "gone"), "1-1")})


def test_a_file_that_could_not_be_read_once_is_read_again(tmp_path):
    path, digests = tmp_path / "x.safetensors", Digests()
    with pytest.raises(FileNotFoundError):
        digests.of({"vae/x": (str(path), "3-1")})
    path.write_bytes(b"one")
    found = digests.of({"vae/x": (str(path), "3-1")})
    assert found == {"vae/x": hashlib.sha256(b"one").hexdigest()}


def test_a_model_of_several_files_changes_its_digest_with_any_of_them(tmp_path):
    root = tmp_path / "turbo"
    (root / "unet").mkdir(parents=True)
    (root / "model_index.json").write_bytes(b"{}")
    (root / "unet" / "x.safetensors").write_bytes(b"one")
    first = Digests().of({"checkpoints/turbo": (str(root), "1")})
    assert Digests().of({"checkpoints/turbo": (str(root), "1")}) == first
    (root / "unet" / "x.safetensors").write_bytes(b"two")
    second = Digests().of({"checkpoints/turbo": (str(root), "1")})
    (root / "unet" / "x.safetensors").rename(root / "unet" / "y.safetensors")
    third = Digests().of({"checkpoints/turbo": (str(root), "1")})
    assert len({first["checkpoints/turbo"], second["checkpoints/turbo"], *third.values()}) == 3


def test_both_halves_of_a_tiny_vae_count(tmp_path):
    decoder, encoder = (tmp_path / f"taesd_{half}.safetensors" for half in ("decoder", "encoder"))
    decoder.write_bytes(b"one")
    encoder.write_bytes(b"two")
    first = Digests().of({"vae/taesd": (str(decoder), "6-1")})
    encoder.write_bytes(b"owt")
    assert Digests().of({"vae/taesd": (str(decoder), "6-1")}) != first


def test_all_shards_of_a_model_count(tmp_path):
    first, second = (tmp_path / f"m-0000{at}-of-00002.safetensors" for at in (1, 2))
    (tmp_path / "m.safetensors.index.json").write_bytes(b"{}")
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    before = Digests().of({"unet/m": (str(first), "6-1")})
    second.write_bytes(b"owt")
    assert Digests().of({"unet/m": (str(first), "6-1")}) != before
