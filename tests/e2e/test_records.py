"""What is kept: history at once, the story, nothing in the clear, everything after a restart."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from tests.e2e.houses import House, house, wait_until
from tests.e2e.watching import Watcher, submit, tiny_graph

ROUNDS = int(os.environ.get("STUDIO_TEST_ROUNDS", "200"))
IN_FLIGHT = 20


@pytest.mark.timeout(600)
def test_whoever_hears_the_end_finds_the_history_row_at_once(shared_house: House, api):
    misses = 0
    with Watcher(shared_house) as watcher:
        waiting: set[str] = set()
        sent = seen = 0
        while seen < ROUNDS:
            while sent < ROUNDS and len(waiting) < IN_FLIGHT:
                waiting.add(submit(api, tiny_graph(sent % 0xFFFFFF), watcher.client_id))
                sent += 1
            frame = watcher.read()
            data = frame.get("data", {})
            if frame["type"] == "executing" and data.get("node") is None:
                seen += 1
                prompt_id = data["prompt_id"]
                waiting.discard(prompt_id)
                row = api.get(f"/history/{prompt_id}").json()
                misses += prompt_id not in row or not row[prompt_id]["status"]["completed"]
    assert misses == 0


def test_the_story_of_a_prompt_reads_like_its_walk(shared_house: House, api):
    with Watcher(shared_house) as watcher:
        prompt_id = submit(api, tiny_graph(7), watcher.client_id)
        watcher.until_end(prompt_id)

    def told() -> list[str]:
        story = shared_house.studio("story", prompt_id, "--json")
        assert story.returncode == 0, story.stderr
        types = [event["type"].rpartition(".")[2] for event in json.loads(story.stdout)]
        return types if "CreditsCaptured" in types else []

    types = wait_until(told, 60, "billing captures")
    assert types[:2] == ["PromptSubmitted", "PromptValidated"]
    assert set(types[2:4]) <= {"PromptCleared", "CreditsHeld", "CreditsGranted"}
    rest = [kind for kind in types if kind not in {"PromptCleared", "CreditsHeld"}]
    assert rest[-8:] == [
        "RunQueued",
        "LeaseGranted",
        "ExecutionStarted",
        "NodeFinished",
        *sorted(rest[-4:-2]),
        "RunEnded",
        "CreditsCaptured",
    ]
    assert sorted(rest[-4:-2]) == ["ExecutionFinished", "OutputReleased"]
    lines = shared_house.studio("story", prompt_id).stdout
    assert "scheduler" in lines
    assert "RunQueued" in lines


def test_a_prompt_that_nobody_sent_has_no_story(shared_house: House):
    told = shared_house.studio("story", "0199c6a0-0000-7000-8000-000000000000")
    assert told.returncode == 1
    assert "Traceback" not in told.stderr


@pytest.mark.covers("R041")
def test_a_rare_word_is_nowhere_in_the_clear_but_in_its_picture(
    shared_house: House, api, demo_graph
):
    word = f"zyx{secrets.token_hex(6)}quu"
    demo_graph["positive"]["inputs"]["text"] = f"a red circle, {word}"
    demo_graph["sampler"]["inputs"]["steps"] = 1
    with Watcher(shared_house) as watcher:
        prompt_id = submit(api, demo_graph, watcher.client_id)
        watcher.until_end(prompt_id)
        demo_graph["sampler"]["inputs"]["cfg"] = "wrong"
        demo_graph["positive"]["inputs"]["text"] = word
        assert api.post("/prompt", json={"prompt": demo_graph}).status_code == 400
    image = api.get(f"/history/{prompt_id}").json()[prompt_id]["outputs"]["picture"]["images"][0]
    assert word.encode() in api.get("/view", params=image).content
    found = {
        path: _places(path, word.encode())
        for path in shared_house.home.rglob("*")
        if path.is_file() and "s3" not in path.relative_to(shared_house.home).parts
    }
    assert {path: places for path, places in found.items() if places} == {}
    for path in (shared_house.home / "s3").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            for place in _places(path, word.encode()):
                before = data[max(0, place - 4096) : place]
                assert b"tEXtprompt" in before, f"{path} holds the word outside of a PNG"


def _places(path: Path, word: bytes) -> list[int]:
    data = path.read_bytes()
    places, start = [], data.find(word)
    while start >= 0:
        places.append(start)
        start = data.find(word, start + 1)
    return places


@pytest.mark.covers("R255")
@pytest.mark.timeout(300)
def test_a_house_that_was_stopped_comes_back_with_its_history(tmp_path: Path):
    home = tmp_path / "home"
    with house(home) as first, first.client() as api, Watcher(first) as watcher:
        prompt_id = submit(api, tiny_graph(3), watcher.client_id)
        watcher.until_end(prompt_id)
        before = api.get(f"/history/{prompt_id}").json()
        pids = dict(first.told["pids"])
    assert first.process.returncode == 0
    assert not [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()]
    with house(home) as second, second.client() as api:
        assert api.get(f"/history/{prompt_id}").json() == before
        with Watcher(second) as watcher:
            watcher.until_end(submit(api, tiny_graph(4), watcher.client_id))
