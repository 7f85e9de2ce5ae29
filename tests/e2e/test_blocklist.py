"""Words on the blocklist: refused, kept as an event, never executed, never billed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.houses import House, house, wait_until
from tests.e2e.settling import archived

OWN_LIST = "policy: ours-1\n[garden]\ngnome*\n"


@pytest.fixture(scope="module")
def strict_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Run a house whose blocklist is our own."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "list.txt").write_text(OWN_LIST)
    listed = str(folder / "list.txt")
    with house(folder / "home", STUDIO_MODERATION_BLOCKLIST=listed) as running:
        yield running


def asking_for(graph: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a graph that asks for `text`."""
    copy: dict[str, Any] = json.loads(json.dumps(graph))
    copy["positive"]["inputs"]["text"] = text
    copy["sampler"]["inputs"]["steps"] = 1
    return copy


def types_of(running: House, prompt_id: str) -> list[str]:
    """Return the types of all events of a prompt."""
    return [kind for kind, _ in archived(running.home).get(prompt_id, [])]


@pytest.mark.covers("R344")
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "text",
    [
        "a gnome in the grass",
        "a GNOME in the grass",
        "gnomes",
        "a gn0m3 in the grass",
        "a g n o m e in the grass",
        "a g-n-o-m-e in the grass",
        "a g\u200bnom\u200de in the grass",
        "a g\u00f1\u00f3me in the grass",
        "a \uff47\uff4e\uff4f\uff4d\uff45 in the grass",
    ],
)
def test_a_listed_word_is_refused_evented_and_not_billed(
    strict_house: House, demo_graph: dict[str, Any], text: str
):
    with strict_house.client() as api:
        answer = api.post("/prompt", json={"prompt": asking_for(demo_graph, text)})
        assert answer.status_code == 403, answer.text
        assert "gnome" not in answer.text.lower()
        prompt_id = answer.json()["error"]["extra_info"]["prompt_id"]
        assert prompt_id not in api.get("/history").json()
    told = _until_settled(strict_house, prompt_id)
    assert "PromptBlocked" in told
    assert "RunRefused" in told
    for never in ("RunQueued", "LeaseGranted", "ExecutionStarted", "CreditsCaptured"):
        assert never not in told
    held = told.count("CreditsHeld")
    assert told.count("CreditsReleased") == held


@pytest.mark.covers("R344")
@pytest.mark.timeout(300)
def test_an_own_list_replaces_ours_and_leaves_other_words_alone(
    strict_house: House, demo_graph: dict[str, Any]
):
    with strict_house.client() as api:
        for text in ("a swastika on a wall", "genome, gnocchi and a garden"):
            answer = api.post("/prompt", json={"prompt": asking_for(demo_graph, text)})
            assert answer.status_code == 200, answer.text


@pytest.mark.timeout(300)
def test_what_a_picture_shall_not_show_may_be_named(
    strict_house: House, demo_graph: dict[str, Any]
):
    graph = asking_for(demo_graph, "a garden")
    graph["negative"]["inputs"]["text"] = "gnome"
    with strict_house.client() as api:
        assert api.post("/prompt", json={"prompt": graph}).status_code == 200


def _until_settled(running: House, prompt_id: str) -> list[str]:
    """Return the story once every hold of it is closed."""

    def settled() -> list[str]:
        told = types_of(running, prompt_id)
        held = "CreditsHeld" in told
        closed = not held or "CreditsReleased" in told
        over = "RunRefused" in told
        return told if over and closed else []

    return list(wait_until(settled, 60, "every hold is closed", pause=0.2))
