"""What is done before the first node: a graph is checked once more, and its plan is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from libs.core.errors import Refused
from libs.core.jsonvalue import Json, JsonObject
from libs.graph.check import Checked, check
from libs.graph.fingerprint import Fingerprints
from libs.graph.needs import WeightsNeed, inputs_named, needs
from libs.graph.parse import parse
from libs.graph.plan import Plan, plan
from libs.graph.reach import Reach
from libs.graph.refusal import GraphRefused
from libs.graph.schema import Catalogue
from libs.graph.value import Graph
from libs.nodes.judging import Hidden, NodeTypes, changes_of, judge_of
from services.gpu_worker.context import Job


class JudgedWrong(GraphRefused):
    """Node types found their own inputs wrong, in all outputs."""

    code = "custom_validation_failed"


@dataclass(frozen=True)
class Prepared:
    """A graph that can be executed here; `wrong` tells of outputs that node types refused."""

    graph: Graph
    catalogue: Catalogue
    outputs: tuple[str, ...]
    weights: tuple[WeightsNeed, ...]
    inputs: tuple[str, ...]
    wrong: JsonObject

    def plan(
        self, job: Job, types: NodeTypes, digest_of: Callable[[str], str], hidden: Hidden
    ) -> Plan:
        """Plan the execution; `digest_of` tells what changes with an uploaded file."""
        contents = {
            (folder, name): content
            for folder, files in job.weights.items()
            for name, (_, content) in files.items()
        }
        for name in self.inputs:
            contents["input", name] = digest_of(name)
        nodes = [
            self.graph.nodes[one] for one in plan(self.graph, self.catalogue, self.outputs).order
        ]
        changes = changes_of(nodes, types, hidden)
        made = plan(self.graph, self.catalogue, self.outputs, contents, changes)
        # Every prompt gets files of its own, so output nodes are never taken from memory.
        own = {
            node_id: f"{made.fingerprints.get(node_id, '')}/{job.prompt_id}/{job.attempt}"
            for node_id in made.outputs
        }
        return replace(made, fingerprints={**made.fingerprints, **own})

    def shared_names(self, made: Plan, digests: Mapping[str, str], ground: str) -> dict[str, str]:
        """Return what results are called among all workers, by node.

        `digests` are the sha256 of the weights by their paths, since times of change differ from
        machine to machine; `ground` is all else that the results' bytes rest on.
        """
        weights = {(need.folder, need.name): digests[need.path] for need in self.weights}
        contents = {**made.contents, **weights}
        named = Fingerprints(self.graph.nodes.__getitem__, self.catalogue, contents)
        named.add(made.order, made.changes)
        found = {node_id: named.of(node_id) for node_id in made.order}
        return {
            node_id: hashlib.sha256(f"{ground}\0{name}".encode()).hexdigest()
            for node_id, name in found.items()
            if name is not None and node_id not in made.outputs
        }


def prepared(job: Job, types: NodeTypes) -> Prepared:
    """Check a job's graph against what this worker has; raise Refused if it cannot be executed."""
    choices = {folder: tuple(files) for folder, files in job.weights.items()}
    catalogue = Catalogue({name: found.schema for name, found in types.items()}, choices)
    graph = parse(job.document)
    checked = check(graph, catalogue, job.outputs)
    if set(checked.outputs) != set(job.outputs):
        raise Refused("some outputs cannot be executed here", outputs=list(job.outputs))
    judged = _judged(graph, catalogue, job, types)
    reach = Reach.of(checked.graph, catalogue, judged.outputs if judged else checked.outputs)
    return Prepared(
        graph=checked.graph,
        catalogue=catalogue,
        outputs=reach.outputs,
        weights=needs(reach),
        inputs=inputs_named(reach),
        wrong=judged.node_errors if judged else {},
    )


def _judged(graph: Graph, catalogue: Catalogue, job: Job, types: NodeTypes) -> Checked | None:
    """Let node types judge their inputs; None if there is none that does."""
    used = {node.type for node in graph.nodes.values()}
    if not any(types[name].judge is not None for name in used):
        return None
    try:
        return check(graph, catalogue, job.outputs, judge=judge_of(types))
    except GraphRefused as refusal:
        raise JudgedWrong(refusal.error, refusal.node_errors) from None


def first_wrong(node_errors: Mapping[str, Json]) -> tuple[str, str, str]:
    """Return the first node that is wrong, its type, and what is wrong with it."""
    for node_id, entry in node_errors.items():
        if isinstance(entry, dict):
            return node_id, str(entry.get("class_type", "")), said_of(entry)
    return "", "", ""


def said_of(entry: JsonObject) -> str:
    """Return what is wrong with a node, in words."""
    errors = entry.get("errors")
    found = [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    return "\n".join(f"{one['message']}: {one['details']}" for one in found)
