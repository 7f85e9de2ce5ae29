"""Hypothesis strategies for JSON as it may come from outside and for graphs that may be right."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.unit.libs.graph.sample import CATALOGUE

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
)
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["nodes", "version", "class_type", "type", "inputs", "__value__", "_meta"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
ids = st.sampled_from([str(number) for number in range(8)] + ["12:3", "a.b", "[7]", "nodes"])
slots = st.integers(-2, 3) | st.sampled_from(["IMAGE", "image", "clip", "MODEL", "nonsense"])
links = st.tuples(ids, slots).map(list)
type_names = st.sampled_from(sorted(CATALOGUE.types))
values = links | json_values | st.integers(0, 40) | st.sampled_from(["euler", "karras", ""])


@st.composite
def wild_prompts(draw: st.DrawFn) -> Any:
    """Draw nodes of known types with inputs that are right, nearly right, or nonsense."""
    nodes: dict[str, Any] = {}
    for node_id in draw(st.lists(ids, min_size=1, max_size=8, unique=True)):
        node_type = draw(type_names)
        names = [spec.name for spec in CATALOGUE.types[node_type].inputs]
        keys = st.sampled_from(names) if names else st.just("extra")
        inputs = draw(st.dictionaries(keys | st.just("extra"), values, max_size=6))
        nodes[node_id] = {"class_type": node_type, "inputs": inputs}
    return nodes


@st.composite
def right_prompts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an acyclic graph of pictures that is right in every way, with several outputs."""
    count = draw(st.integers(1, 12))
    nodes: dict[str, Any] = {"n0": {"class_type": "Chain", "inputs": {}}}
    for place in range(1, count):
        source = f"n{draw(st.integers(0, place - 1))}"
        node_type = draw(st.sampled_from(["Chain", "Either", "Anything", "Show"]))
        if nodes[source]["class_type"] == "Show":
            source = "n0"
        name = "image" if node_type == "Chain" else "it"
        nodes[f"n{place}"] = {"class_type": node_type, "inputs": {name: [source, 0]}}
    nodes["out"] = {"class_type": "Show", "inputs": {"it": ["n0", 0]}}
    order = draw(st.permutations(sorted(nodes)))
    return {node_id: nodes[node_id] for node_id in order}
