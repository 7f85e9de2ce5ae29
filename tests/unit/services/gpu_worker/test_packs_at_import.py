"""What packs do while they are imported: it is put back, served to nobody, or not done at all."""

from __future__ import annotations

import json

import pytest

from services.gpu_worker.importing import LEFT_OUT
from services.gpu_worker.packed import packed
from tests.unit.services.gpu_worker.test_packed import RUDE, facts_of

torch = pytest.importorskip("torch")

SERVING = """
from server import PromptServer
app, routes = PromptServer.instance.app, PromptServer.instance.routes

@routes.post("/serving/do")
async def do(request):
    return None

app.router.add_get("/serving/get", do)
app.router.add_static("/serving/files", "/tmp")
app.add_routes([])
app.middlewares.append(do)
assert not [one for one in routes] and not len(app.router.routes())
PromptServer.instance.send_sync("serving", {})
"""


def test_a_pack_that_hangs_routes_on_a_server_loads(tmp_path):
    (tmp_path / "serving.py").write_text(SERVING + RUDE)
    assert facts_of(packed(tmp_path))["serving"]["error"] == ""


MEDDLING = """
import torch
torch.nn.functional.relu = torch.nn.Module.__call__ = torch.Tensor.add = lambda *_: None
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.manual_seed(1)
torch.meddling_pack_s_own = 1
raise KeyboardInterrupt
"""


def test_torch_computes_after_a_pack_s_import_as_before(tmp_path):
    (tmp_path / "meddling.py").write_text(MEDDLING)
    relu, state = torch.nn.functional.relu, torch.get_rng_state()
    facts = facts_of(packed(tmp_path))
    assert "KeyboardInterrupt" in str(facts["meddling"]["error"])
    assert torch.nn.functional.relu is relu
    assert torch.nn.ReLU()(torch.tensor([-1.0])).add(1.0).tolist() == [1.0]
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.meddling_pack_s_own == 1
    del torch.meddling_pack_s_own


def test_a_pack_that_the_worker_leaves_out_is_not_imported_and_is_told_of(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text("while True:\n    pass\n")
    (tmp_path / "good.py").write_text(RUDE)
    monkeypatch.setenv(LEFT_OUT, json.dumps({"endless": "it never ended"}))
    begun: list[str] = []
    facts = facts_of(packed(tmp_path, begun.append))
    assert facts["endless"] == {"name": "endless", "types": [], "error": "it never ended"}
    assert facts["good"]["error"] == ""
    assert begun == ["good"]
