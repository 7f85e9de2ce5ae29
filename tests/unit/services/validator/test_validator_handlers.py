"""The validator on a bus that delivers everything twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from libs.artifacts.memory import MemoryArtifacts
from libs.bus.memory import MemoryBus
from libs.chassis.service import Service
from libs.events.prompt import PromptSubmitted
from libs.events.verdict import PromptRejected, PromptValidated
from libs.graph.schema import NodeSchema
from libs.nodes.registry import schemas
from libs.sealed.vault import MemoryVault
from services.validator.handlers import Validator, Weights
from tests.unit.house import append, running

PROMPT = "0199c6a0-0000-7000-8000-000000000001"
GOOD: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0},
    },
    "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
}


async def verdict_on(
    workflow: dict[str, Any], tier: str = "owner", asked: list[str] | None = None
) -> tuple[Any, Any]:
    """Submit `workflow`; return the one verdict and its words; `asked`: whose uploads were read."""
    bus = MemoryBus("validator", deliver_twice=True)
    vault = MemoryVault(MemoryArtifacts())

    async def weights() -> Weights:
        return {"checkpoints": ("sd.safetensors",)}, {"checkpoints/sd.safetensors": 2000}

    async def files(_tenant: str, user: str, names: Iterable[str]) -> frozenset[str]:
        if asked is not None:
            asked.append(user)
        return frozenset({"cat.png", "film.mp4 [output]"} & set(names))

    async def types() -> Mapping[str, NodeSchema]:
        return {**schemas(), "Theirs": replace(schemas()["ImageInvert"], type="Theirs")}

    hands = Validator(journal=bus.journal, vault=vault, types=types, weights=weights, files=files)
    service = Service(name="validator", reacts={PromptSubmitted: hands.on_prompt_submitted})
    async with running(bus, service):
        await append(
            bus,
            PromptSubmitted(
                prompt_id=PROMPT,
                user_id="ada",
                account="ada",
                tier=tier,
                dialect="comfyui",
                workflow=await vault.seal("acme", "ada", workflow),
                body_mac="m",
                keyed=False,
            ),
        )
        await bus.drain()
    (event,) = (e for e in bus.journal_events() if isinstance(e, PromptValidated | PromptRejected))
    sealed = event.detail if isinstance(event, PromptRejected) else event.node_errors
    return event, await vault.open("acme", sealed) if sealed else None


async def test_a_good_graph_is_valid_once_and_names_its_outputs():
    event, words = await verdict_on({"prompt": GOOD})
    assert isinstance(event, PromptValidated)
    assert event.outputs == ("2",)
    assert event.estimate.images == 1
    assert words is None


@pytest.mark.covers("R264")
async def test_the_weights_that_a_graph_names_are_told_with_their_memory():
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.safetensors"}}
    latent = {
        "class_type": "EmptyLatentImage",
        "inputs": {"width": 64, "height": 64, "batch_size": 1},
    }
    decode = {"class_type": "VAEDecode", "inputs": {"samples": ["l", 0], "vae": ["c", 2]}}
    show = {"class_type": "PreviewImage", "inputs": {"images": ["d", 0]}}
    graph = {"c": loader, "l": latent, "d": decode, "p": show}
    event, _ = await verdict_on({"prompt": graph})
    assert [(need.folder, need.name) for need in event.needs] == [("checkpoints", "sd.safetensors")]
    assert event.vram_mib == 2000


async def test_node_types_of_packs_are_named_so_that_the_run_goes_where_they_are():
    theirs = {"class_type": "Theirs", "inputs": {"image": ["1", 0]}}
    shown = {"class_type": "PreviewImage", "inputs": {"images": ["t", 0]}}
    event, _ = await verdict_on({"prompt": {"1": GOOD["1"], "t": theirs, "2": shown}})
    assert event.node_types == ("Theirs",)
    assert event.engines == ("torch",)
    plain, _ = await verdict_on({"prompt": GOOD})
    assert plain.node_types == ()


async def test_a_bad_graph_is_rejected_once_and_its_words_are_sealed():
    event, words = await verdict_on({"prompt": {"1": {"class_type": "Secret", "inputs": {}}}})
    assert isinstance(event, PromptRejected)
    assert (event.status, event.code) == (400, "missing_node_type")
    assert "Secret" not in event.model_dump_json()
    assert words["error"]["extra_info"]["class_type"] == "Secret"


async def test_only_the_wanted_targets_are_executed():
    two = GOOD | {"3": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}}
    event, _ = await verdict_on({"prompt": two, "targets": ["3"]})
    assert event.outputs == ("3",)


async def test_a_graph_that_is_right_in_part_tells_what_is_skipped():
    part = GOOD | {"3": {"class_type": "PreviewImage", "inputs": {}}}
    event, words = await verdict_on({"prompt": part})
    assert event.outputs == ("2",)
    assert "3" in words


@pytest.mark.covers("R351")
async def test_what_a_tier_does_not_allow_is_refused_by_the_name_of_its_limit():
    big = {**GOOD, "1": {**GOOD["1"], "inputs": {**GOOD["1"]["inputs"], "width": 2048}}}
    event, words = await verdict_on({"prompt": big}, tier="free")
    assert event.status == 403
    assert "1024" in str(words)


@pytest.mark.parametrize(("name", "valid"), [("cat.png", True), ("dog.png", False)])
async def test_a_picture_must_have_been_uploaded(name, valid):
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    event, _ = await verdict_on({"prompt": graph})
    assert isinstance(event, PromptValidated) is valid


async def test_uploads_are_read_only_for_a_graph_that_names_a_file():
    asked: list[str] = []
    await verdict_on({"prompt": GOOD}, asked=asked)
    assert asked == []
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    await verdict_on({"prompt": graph}, asked=asked)
    assert set(asked) == {"ada"}


@pytest.mark.parametrize(("name", "valid"), [("film.mp4", True), ("other.mp4", False)])
async def test_a_graph_may_open_what_an_earlier_prompt_made(name, valid):
    graph = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": f"{name} [output]"}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
    }
    event, _ = await verdict_on({"prompt": graph})
    assert isinstance(event, PromptValidated) is valid
