"""Where a worker says that it is."""

from __future__ import annotations

import platform

import pytest
from pydantic import ValidationError

from libs.settings import Settings
from services.gpu_worker.child import engine_environment, inherited
from services.gpu_worker.company import profile_of
from services.gpu_worker.settings import WorkerSettings


def test_the_slot_is_the_name_of_the_machine_unless_it_is_given(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "gpu-7.example.org")
    assert WorkerSettings(slot="").place == "gpu_7_example_org"
    assert WorkerSettings(slot="gpu1").place == "gpu1"
    monkeypatch.setattr(platform, "node", lambda: "")
    assert WorkerSettings(slot="").place == "gpu0"


@pytest.mark.parametrize("slot", ["gpu-1", "gpu.1", "a b", "x" * 41])
def test_a_slot_is_a_word_that_worker_ids_can_begin_with(slot):
    with pytest.raises(ValidationError):
        WorkerSettings(slot=slot)


def test_the_engine_asks_no_hub_and_computes_with_a_fixed_number_of_threads():
    environment = engine_environment(WorkerSettings(threads=3))
    assert environment["HF_HUB_OFFLINE"] == environment["ORT_DISABLE_TELEMETRY"] == "1"
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    assert int(engine_environment(WorkerSettings(threads=0))["OMP_NUM_THREADS"]) >= 1


def test_the_engine_inherits_neither_servers_nor_keys():
    secrets = [
        str(choice)
        for field in ("nats_url", "nats_password", "database_url", "s3_access_key", "s3_secret_key")
        for choice in getattr(Settings.model_fields[field].validation_alias, "choices", ())
    ]
    secrets += ["HANZO_API_KEY", "STUDIO_MASTER_KEY", "NATS_PASSWORD_HOUSE"]
    kept = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "STUDIO_LOG": "json"}
    assert inherited({**dict.fromkeys(secrets, "x"), **kept}) == kept


def test_a_fast_worker_lets_its_libraries_use_every_instruction():
    exact = engine_environment(WorkerSettings(profile="exact"))
    fast = engine_environment(WorkerSettings(profile="fast"))
    assert exact.keys() - fast.keys() == {
        "ATEN_CPU_CAPABILITY",
        "ONEDNN_MAX_CPU_ISA",
        "MKL_CBWR",
    }
    assert exact["CUBLAS_WORKSPACE_CONFIG"] == fast["CUBLAS_WORKSPACE_CONFIG"]


@pytest.mark.parametrize(
    ("wish", "profile"), [("fast", "fast"), ("exact", "exact"), (None, "fast"), (7, "fast")]
)
def test_a_prompt_says_its_profile_and_the_worker_fills_in(wish, profile):
    assert profile_of({"profile": wish}, "fast") == profile
    assert profile_of(None, "fast") == "fast"


def test_runs_are_executed_one_after_the_other_unless_a_worker_of_torch_is_told_otherwise():
    assert WorkerSettings(engine="torch").runs_at_once == 1
    assert WorkerSettings(engine="torch", batch=4).runs_at_once == 4
    assert WorkerSettings(engine="portable", batch=4).runs_at_once == 1
    assert engine_environment(WorkerSettings(engine="torch", batch=4))["STUDIO_ENGINE_BATCH"] == "4"


@pytest.mark.parametrize(
    ("name", "value"), [("batch", 0), ("batch", 17), ("batch_rows", 1), ("batch_rows", 257)]
)
def test_how_many_runs_and_latents_are_computed_at_once_is_bounded(name, value):
    with pytest.raises(ValidationError):
        WorkerSettings(**{name: value})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"device": "cpu"}, "needs the torch engine on device cuda"),
        ({"engine": "portable"}, "needs the torch engine on device cuda"),
        ({"batch": 2}, "set batch to 1"),
        ({"cuda_graphs": 65}, "less than or equal to 64"),
    ],
)
def test_graphs_that_could_never_be_recorded_are_refused(changed, said):
    WorkerSettings.model_validate({"engine": "torch", "cuda_graphs": 8})
    with pytest.raises(ValidationError, match=said):
        WorkerSettings.model_validate({"engine": "torch", "cuda_graphs": 8, **changed})
