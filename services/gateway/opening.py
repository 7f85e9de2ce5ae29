"""A prompt that was handed in, or a workflow that is kept, drawn as the editor opens it."""

from __future__ import annotations

import asyncio

from libs.core.errors import NotFound, Refused
from libs.core.ids import is_canonical_uuid
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.drawing import AFTER_A_RUN, drawn
from libs.graph.limits import NODES_MAX
from libs.graph.parse import parse
from services.gateway.auth import Principal
from services.gateway.gateway import Gateway
from services.gateway.workflows import Workflow, opened

# Whoever opens a picture's workflow wants that picture, and not another seed after each run.
KEPT = "fixed"


async def opened_prompt(gateway: Gateway, who: Principal, prompt_id: str) -> JsonObject:
    """Return a prompt of the caller's as it was laid out, else as we draw it; NotFound without."""
    workflow = await _workflow_of(gateway, who, prompt_id)
    layout = _object(workflow.extra_data.get("extra_pnginfo")).get("workflow")
    if isinstance(layout, dict) and _is_document(layout):
        return layout
    document = await _drawn(gateway, who, workflow.prompt)
    nodes = document.get("nodes")
    for node in nodes if isinstance(nodes, list) else ():
        _keep_seeds(_object(node))
    return document


async def opened_workflow(gateway: Gateway, who: Principal, workflow_id: str) -> JsonObject:
    """Return a kept workflow as the editor opens it, else a prompt by that id."""
    try:
        workflow = (await gateway.saved.read(who, workflow_id)).workflow
    except NotFound:
        return await opened_prompt(gateway, who, workflow_id)
    return workflow if _is_document(workflow) else await _drawn(gateway, who, workflow)


async def _drawn(gateway: Gateway, who: Principal, prompt: Json) -> JsonObject:
    types = (await gateway.catalogues.of(who.owner)).types
    try:
        graph = parse(prompt)
    except Refused as error:
        raise _missing() from error
    if any(node.type not in types for node in graph.nodes.values()):
        raise NotFound("It has node types that are not here any more", field="workflow")
    if len(graph.nodes) > NODES_MAX:
        words = f"It has more than {NODES_MAX} nodes, too many to be laid out"
        raise NotFound(words, field="workflow", limit=NODES_MAX)
    return await asyncio.to_thread(drawn, graph, types)


def _is_document(workflow: JsonObject) -> bool:
    return isinstance(workflow.get("nodes"), list)


async def _workflow_of(gateway: Gateway, who: Principal, prompt_id: str) -> Workflow:
    if not is_canonical_uuid(prompt_id):
        raise _missing()
    story = gateway.live.queue.get(who.tenant, prompt_id)
    if story is not None and story.owner == who.owner and story.queued is not None:
        sealed = story.submitted.workflow
    else:
        found = await gateway.archive.history(who.owner, max_items=1, prompt_id=prompt_id)
        if not found:
            raise _missing()
        sealed = found[0].row.workflow
    return (await opened(gateway.vault, who.tenant, [sealed]))[0]


def _keep_seeds(node: JsonObject) -> None:
    values = node.get("widgets_values")
    if isinstance(values, list):
        node["widgets_values"] = [KEPT if value == AFTER_A_RUN else value for value in values]


def _missing() -> NotFound:
    return NotFound("There is no such prompt or workflow", field="workflow")


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
