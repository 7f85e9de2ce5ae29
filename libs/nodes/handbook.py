"""The page about node types, printed from their schemas: `python -m libs.nodes.handbook`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from libs.graph.schema import COMBO, MISSING, InputSpec, NodeSchema
from libs.nodes.registry import schemas

LISTED_MAX = 9
HEAD = """\
# Node types

Every node type is one typed Python function in `libs/nodes`, and everything on this page is read off
its signature (`python -m libs.nodes.handbook > docs/nodes.md`; a test keeps the page in step).

## How to add one

Write a function in the family it belongs to, or a new family module named in `libs/nodes/registry.py`:

```python
@node("ImageInvert", title="Invert Image", category="image")
def invert_image(*, image: Image) -> Image:
    \"\"\"Turn pictures into their negatives.\"\"\"
    return image.inverted()
```

- All inputs are keyword-only; their order is the order in the editor. A first parameter named `context` receives the
  `Context` of the execution: progress, weights, uploads, saving.
- The annotation is the socket or widget type: `Model`, `Image` ... from `libs/nodes/sockets.py`, or `int`, `float`, `str`, `bool`;
  `object` takes anything, `Image | Mask` takes either.
- `Annotated[int, Widget(min=1, max=9), "Tooltip."]` holds bounds and hints; `Literal["a", "b"]` is a list to choose from;
  `Annotated[str, Choices("loras")]` a list of files. `| None` makes an input optional; a default is a default.
- A NamedTuple as return type is several named outputs; any other type is one, named after its type. An output node
  returns `Shown(value, ui)`.
- Importing a family must not import torch: tensors are worked on by the values' own methods (`libs/diffusion`).
- A package of your own adds node types without a change here: it names a module of them under the entry point group
  `hanzo_studio.nodes`. A new kind of diffusion network comes the same way: a module with `detect(weights)`, as those
  in `libs/diffusion/architectures`, under `hanzo_studio.architectures`. Installed is enough.

## What else a node may do

- Lists: `list[X]` as an output puts several values on one wire. A node is executed for each value of its longest list,
  with the last value of shorter ones; one that `takes_lists` is executed once and gets a list for each input.
- Lazy inputs: what feeds a `Widget(lazy=True)` is executed only if the function under `wants=` names that input. It gets
  what is there, None for what is not, and is asked again until it names nothing new.
- Waiting: an `async def` lets other nodes of the prompt be executed while it waits.
- Holding up: `Blocked()` for a value keeps everything that needs it from being executed; `Blocked("why")` also tells the
  client, and the run goes on.
- Expanding: with `expands=True` a node may return `Expanded`, nodes to be executed in its place, built by `Subgraph`
  (`libs/nodes/expansion.py`). They may expand again, which makes loops, up to 10,000 nodes in a run. What they make is
  remembered like everything else, and they are shown at the node that they stand for.
- Knowing itself: `hidden={"me": "UNIQUE_ID"}` fills the parameter `me` in; there are PROMPT, EXTRA_PNGINFO, UNIQUE_ID
  and DYNPROMPT, the graph as it is by then (`libs/graph/growing.py`).
- Judging: the function under `judge=` returns True or says what is wrong with the literals that it takes, whose bounds
  are then not looked at; with `**inputs` it takes all. A parameter `input_types` gets the types of what is wired.
- Changing by itself: while what the function under `changes=` returns for the literals stays equal, the result is
  remembered; NaN is never equal.

## The types
"""


def page(types: Mapping[str, NodeSchema]) -> str:
    """Return the whole page as Markdown."""
    return HEAD + "\n" + "\n".join(section(schema) for schema in types.values())


def section(schema: NodeSchema) -> str:
    """Return what the page says of one node type."""
    lines = [f"### {schema.type}", "", f"{schema.description} Category `{schema.category}`.", ""]
    if schema.inputs:
        lines += ["| input | type | default | bounds | |", "| --- | --- | --- | --- | --- |"]
        lines += [_row(spec) for spec in schema.inputs]
        lines += [""]
    outputs = ", ".join(f"`{output.name}` ({output.type})" for output in schema.outputs)
    lines += [f"Outputs: {outputs or 'none'}.", ""]
    return "\n".join(lines)


def help_page(schema: NodeSchema) -> str:
    """Return what a narrow panel beside the graph says of one node type."""
    lines = [f"# {schema.display_name}", "", schema.description, ""]
    if schema.inputs:
        lines += ["## Inputs", "", *map(_item, schema.inputs), ""]
    if schema.outputs:
        lines += ["## Outputs", ""]
        lines += [f"- **{out.name}** ({out.type}) {out.tooltip}".rstrip() for out in schema.outputs]
    return "\n".join([*lines, "", f"`{schema.type}`, in `{schema.category}`.", ""])


def _item(spec: InputSpec) -> str:
    count = len(spec.options or ())
    bounds = _bounds(spec) if count <= LISTED_MAX else f"one of {count}"
    facts = [spec.type if spec.required else f"{spec.type}, optional", bounds]
    if spec.default is not MISSING and spec.default not in (None, ""):
        facts.append(f"usually `{spec.default}`")
    told = "; ".join(fact for fact in facts if fact)
    return f"- **{spec.name}** ({told}) {spec.tooltip}".rstrip()


def _row(spec: InputSpec) -> str:
    default = "" if spec.default is MISSING or spec.default is None else f"`{spec.default!r}`"
    kind = spec.type if spec.required else f"{spec.type}, optional"
    return f"| `{spec.name}` | {kind} | {default} | {_bounds(spec)} | {spec.tooltip} |"


def _bounds(spec: InputSpec) -> str:
    if spec.type == COMBO:
        listed = ", ".join(spec.options or ())
        return listed or f"files in `{spec.choices}`"
    if spec.min is None:
        return ""
    step = f", step {spec.step}" if spec.step is not None else ""
    return f"{spec.min} to {spec.max}{step}"


if __name__ == "__main__":
    sys.stdout.write(page(schemas()))
