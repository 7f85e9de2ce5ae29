"""A pickled file is only ever turned into tensors, and only if it holds nothing else."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from typer.testing import CliRunner

from libs.core.errors import Refused
from libs.diffusion.importing import import_pickle
from libs.weights.pickles import UNKNOWN, scan
from services.cli import app


class Bomb:
    """Runs a program when it is unpickled."""

    def __init__(self, mark: Any) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def good() -> dict[str, Any]:
    torch.manual_seed(1)
    shared = torch.randn(4, 4)
    weights = {"a": shared.half(), "b": nn.Parameter(torch.ones(2)), "c": shared, "d": shared[:2]}
    return {"state_dict": weights, "epoch": 3, "order": collections.OrderedDict(x=1)}


@pytest.mark.covers("R372")
@pytest.mark.parametrize("protocol", range(5))
def test_a_pickle_that_starts_a_program_is_found_and_never_run(tmp_path, protocol):
    mark, path = tmp_path / "mark", tmp_path / "bomb.ckpt"
    bombs = {
        "bare": pickle.dumps(Bomb(mark), protocol),
        "deep": pickle.dumps({"state_dict": [1, {"x": Bomb(mark)}]}, protocol),
        "cut": pickle.dumps(Bomb(mark), protocol)[:-1],
    }
    for data in bombs.values():
        path.write_bytes(data)
        assert scan(path).forbidden == ("posix.system",)
        with pytest.raises(Refused, match="stays closed") as refused:
            import_pickle(path, tmp_path / "out.safetensors")
        assert refused.value.facts["calls"] == ["posix.system"]
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.covers("R372")
@pytest.mark.parametrize("new", [True, False])
def test_files_of_torch_old_and_new_are_scanned(tmp_path, new):
    for name, extra in (("good", {}), ("bad", {"x": Bomb(tmp_path / "mark")})):
        torch.save(good() | extra, tmp_path / f"{name}.pth", _use_new_zipfile_serialization=new)
    assert scan(tmp_path / "good.pth").clean
    assert scan(tmp_path / "bad.pth").forbidden == ("posix.system",)


def test_names_that_are_put_together_while_it_runs_are_not_trusted(tmp_path):
    path = tmp_path / "x.pt"
    # The module comes from below a value that was taken away again.
    path.write_bytes(b"\x80\x04\x8c\x02osN0\x8c\x06system\x93.")
    assert scan(path).forbidden == (UNKNOWN,)
    path.write_bytes(b"\x80\x02\x82\x01.")
    assert scan(path).forbidden == (UNKNOWN,)
    # A name out of the memory of the pickle is followed.
    path.write_bytes(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93.")
    assert scan(path).forbidden == ("os.system",)


def test_archives_that_hide_a_second_program_are_refused(tmp_path):
    stream = io.BytesIO()
    torch.save(good(), stream)
    path = tmp_path / "x.pt"
    path.write_bytes(stream.getvalue())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/other.pkl", pickle.dumps(Bomb(tmp_path / "mark")))
    with pytest.raises(Refused, match="exactly one"):
        scan(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(Refused, match="compressed"):
        scan(path)
    path.write_bytes(b"not a pickle")
    with pytest.raises(Refused, match="damaged"):
        scan(path)


@pytest.mark.parametrize("new", [True, False])
def test_a_clean_file_becomes_safetensors_with_the_same_numbers(tmp_path, new):
    torch.save(good(), tmp_path / "x.ckpt", _use_new_zipfile_serialization=new)
    out = tmp_path / "x.safetensors"
    assert import_pickle(tmp_path / "x.ckpt", out) == 4
    found, expected = load_file(out), good()["state_dict"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    with pytest.raises(Refused, match="already"):
        import_pickle(tmp_path / "x.ckpt", out)
    assert list(tmp_path.glob(".*")) == []


def test_upscalers_and_embeddings_are_unwrapped(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    vectors = {"string_to_param": {"*": torch.ones(2, 8)}, "name": "style"}
    held = {"params_ema": {"w": torch.ones(1)}, "params": {"w": torch.zeros(1)}}
    for number, (inside, name) in enumerate(((vectors, "emb_params"), (held, "w"))):
        torch.save(inside, tmp_path / "x.pt")
        import_pickle(tmp_path / "x.pt", out / f"{number}.safetensors")
        found = load_file(out / f"{number}.safetensors")
        assert list(found) == [name]
        assert found[name].sum() > 0
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(Refused, match="no tensors"):
        import_pickle(tmp_path / "none.pt", out / "none.safetensors")
    with pytest.raises(Refused, match="only pickled"):
        import_pickle(out / "0.safetensors", out / "again.safetensors")


def test_a_person_imports_by_a_command_that_tells_what_it_found(tmp_path):
    torch.save(good(), tmp_path / "x.pth")
    torch.save({"x": Bomb(tmp_path / "mark")}, tmp_path / "bad.pth")
    done = CliRunner().invoke(app, ["models", "import", str(tmp_path / "x.pth")])
    assert done.exit_code == 0, done.output
    assert "4 tensors" in " ".join(done.output.split())
    assert (tmp_path / "x.safetensors").exists()
    refused = CliRunner().invoke(app, ["models", "import", str(tmp_path / "bad.pth")])
    assert refused.exit_code == 1
    assert "posix.system" in refused.output
    assert not (tmp_path / "mark").exists()
