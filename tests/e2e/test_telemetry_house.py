"""One prompt in a house of real processes: one trace, counted everywhere, and no word in a log."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.houses import House, house, wait_until
from tests.e2e.telemetry_collector import Collector, Seen, collecting, rendered

SERVICES = {
    "gateway",
    "validator",
    "moderation",
    "billing",
    "scheduler",
    "gpu_worker",
    "recorder",
}
MARK = "zanzibarquokka"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = CALLER.split("-")[1]
SECONDS_MAX = 60


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[House]:
    home = tmp_path_factory.mktemp("traced") / "home"
    settings = {
        "STUDIO_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "STUDIO_LOG_LEVEL": "debug",
    }
    with house(home, "--split", **settings) as running:
        yield running


def executed(
    client: httpx.Client, graph: dict[str, Any], headers: dict[str, str] | None = None
) -> str:
    """Hand a graph in and wait until its history shows how it ended."""
    answer = client.post("/prompt", json={"prompt": graph}, headers=headers or {})
    assert answer.status_code == 200, answer.text
    prompt_id = str(answer.json()["prompt_id"])
    wait_until(
        lambda: client.get(f"/history/{prompt_id}").json().get(prompt_id),
        SECONDS_MAX,
        "the prompt ends",
    )
    return prompt_id


def trace_of(collector: Collector, trace_id: str) -> list[Seen]:
    """Wait until the last spans of a trace have come."""

    def whole() -> list[Seen]:
        own = [span for span in collector.spans if span.trace_id == trace_id]
        names = {span.name for span in own}
        archives = sum(int(s.facts["studio.events"]) for s in own if s.name == "recorder archive")
        appended = sum(int(s.facts["studio.events"]) for s in own if s.name.startswith("append "))
        known = {span.span_id for span in own} | {"", CALLER.split("-")[2]}
        whole = names >= {"deliver", "execute", "billing RunEnded", "moderation NodeFinished"}
        parents = all(span.parent_id in known for span in own)
        return own if whole and parents and archives >= appended else []

    return list(wait_until(whole, SECONDS_MAX, "the whole trace arrives"))


@pytest.fixture(scope="module")
def spans(traced: House, collector: Collector, demo_graph_of_marks: dict[str, Any]) -> list[Seen]:
    with traced.client() as client:
        executed(client, demo_graph_of_marks, {"traceparent": CALLER})
    return trace_of(collector, TRACE)


@pytest.fixture(scope="module")
def demo_graph_of_marks() -> dict[str, Any]:
    """The demo graph, with words that must never be seen in its text and in its file's name."""
    path = Path(__file__).parents[2] / "libs" / "weights" / "demo" / "graph.json"
    graph: dict[str, Any] = json.loads(path.read_text())
    for node in graph.values():
        if node["class_type"] == "CLIPTextEncode":
            node["inputs"]["text"] = f"a red circle {MARK}"
        if node["class_type"] == "SaveImage":
            node["inputs"]["filename_prefix"] = f"{MARK}_file"
    return graph


def test_one_prompt_is_one_trace_of_every_service(spans):
    assert {span.service for span in spans} == SERVICES, rendered(spans)


def test_the_caller_s_trace_goes_on_and_every_span_has_a_parent_in_it(spans):
    known = {span.span_id for span in spans} | {CALLER.split("-")[2]}
    assert [span.name for span in spans if span.parent_id not in known] == []
    (top,) = [span for span in spans if span.parent_id == CALLER.split("-")[2]]
    assert (top.service, top.name) == ("gateway", "POST /prompt")


def test_each_step_hangs_below_what_caused_it(spans):
    by_id = {span.span_id: span for span in spans}

    def above(name: str) -> list[str]:
        (span,) = [one for one in spans if one.name == name]
        names = []
        while span.parent_id in by_id:
            span = by_id[span.parent_id]
            names.append(span.name)
        return names

    assert above("append PromptSubmitted") == ["POST /prompt"]
    assert above("validator PromptSubmitted")[0] == "append PromptSubmitted"
    for reaction in ("moderation PromptValidated", "billing PromptValidated"):
        assert above(reaction)[:2] == ["append PromptValidated", "validator PromptSubmitted"]
    assert above("scheduler GrantLease")[0] == "lease ask"
    assert above("execute")[:3] == ["append LeaseGranted", "scheduler GrantLease", "lease ask"]
    assert above("node KSampler")[0] == "execute"
    assert above("append ExecutionFinished")[0] == "execute"
    assert above("moderation NodeFinished")[0] == "append NodeFinished"
    assert above("deliver")[0] == "append RunEnded"
    assert above("billing RunEnded")[0] == "append RunEnded"
    assert "execute" in above("deliver")


def test_the_engine_tells_its_nodes_and_what_it_loads(spans):
    own = {span.name for span in spans if span.service == "gpu_worker"}
    assert {"plan", "node CheckpointLoaderSimple", "node VAEDecode", "store output"} <= own
    assert "load weights" in own


def test_spans_end_after_they_begin_and_children_within_the_trace(spans):
    assert all(span.began_ns <= span.ended_ns for span in spans)
    first = min(span.began_ns for span in spans)
    (top,) = [span for span in spans if span.name == "POST /prompt"]
    assert top.began_ns == first


def test_spans_hold_no_word_of_the_prompt(spans):
    assert [span for span in spans if MARK in json.dumps([span.name, span.facts])] == []


def test_a_prompt_without_a_caller_s_trace_begins_one_that_its_events_carry(traced, collector):
    blank = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
        },
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    with traced.client() as client:
        prompt_id = executed(client, blank)
    (trace_id,) = wait_until(
        lambda: {
            s.trace_id for s in collector.spans if s.facts.get("studio.prompt_id") == prompt_id
        },
        SECONDS_MAX,
        "the trace arrives",
    )
    story = traced.studio("story", prompt_id, "--json")
    assert story.returncode == 0, story.stderr
    own = trace_of(collector, trace_id)
    assert {span.service for span in own} == SERVICES
    assert [span.name for span in own if not span.parent_id] == ["POST /prompt"]


def test_every_process_serves_its_probes_and_counts_on_loopback(traced):
    probes = {**traced.told["health"], "gateway": traced.url}
    assert set(probes) == SERVICES
    for name, url in probes.items():
        assert url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{url}/readyz", timeout=30).json() == {"ready": True, "missing": []}, name
        assert "# TYPE studio_" in httpx.get(f"{url}/metrics", timeout=30).text
        port = int(url.rpartition(":")[2])
        # A listener on all addresses would answer on this one.
        with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            elsewhere.connect(("127.0.0.2", port))


def test_logs_are_json_and_hold_neither_words_nor_secrets(traced, spans):
    made = traced.studio("keys", "create", "--tenant", "acme", "--user", "ann", "--json")
    key = json.loads(made.stdout)["token"]
    with traced.client() as client:
        marked = {"Authorization": f"Bearer {key}", "Cookie": f"token={MARK}"}
        assert client.get("/queue", headers=marked).status_code == 200
        assert client.post("/prompt", content=f'{{"prompt": "{MARK}', headers=marked).is_error
        broken = {"1": {"class_type": MARK, "inputs": {"text": MARK}}}
        assert client.post("/prompt", json={"prompt": broken}, headers=marked).is_error
        client.get("/view", params={"filename": f"{MARK}.png"}, headers=marked)
        client.get(f"/userdata/{MARK}.json", headers=marked)
        client.post("/upload/image", files={"image": (f"{MARK}.png", b"no picture", "image/png")})
    home = traced.home
    texts = {
        path: path.read_text(errors="replace")
        for path in [home.parent / f"{home.name}.log", *sorted((home / "logs").glob("*.log"))]
    }
    forbidden = [MARK, key, (home / "master.key").read_text().strip()]
    for path, text in texts.items():
        for word in forbidden:
            assert word not in text, path
    own = texts[home.parent / f"{home.name}.log"].splitlines()
    lines = [json.loads(line) for line in own if line.startswith("{")]
    assert {"gateway", "scheduler", "gpu_worker", "recorder"} <= {line["service"] for line in lines}
    assert all(list(line)[:4] == ["time", "level", "service", "event"] for line in lines)
    assert any(line.get("trace_id") == TRACE and line.get("prompt_id") for line in lines)
    assert any(line.get("worker_id") for line in lines)
    assert [line for line in own if line and not line.startswith("{")] == []
