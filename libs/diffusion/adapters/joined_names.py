"""Names of modules in single files of transformers, where several of ours are joined in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from libs.diffusion.architectures import flux_names, sd3_names

# Modules of ours in the order in which their rows lie in the published one.
Homes = Sequence[str]
Rows = Mapping[str, int]
QKV: Final = "img_attn.qkv"


def joined_names(rows: Rows) -> Iterator[tuple[str, Homes]]:
    """Return the published modules of SD3 or Flux, each with those of ours that are in it."""
    if any(module.startswith("single_transformer_blocks.") for module in rows):
        published = _flux(rows)
    elif "context_embedder" in rows:
        published = _sd3(rows)
    else:
        return
    for name, homes in published:
        if all(home in rows for home in homes):
            yield name, homes


def swapped_names(rows: Rows) -> Iterator[tuple[str, str]]:
    """Return the published norms that shift first and then scale, with ours, which scale first."""
    if "norm_out.linear" in rows:
        yield "final_layer.adaLN_modulation.1", "norm_out.linear"
    if "context_embedder" in rows:
        last = _count(rows, "transformer_blocks.") - 1
        home = f"transformer_blocks.{last}.norm1_context.linear"
        if rows.get(home) == rows.get("norm_out.linear", 0):
            yield f"joint_blocks.{last}.context_block.adaLN_modulation.1", home


def partly_joined_names(rows: Rows) -> Iterator[tuple[str, Homes]]:
    """Return the modules that adapters alone know, each with those of ours that are in it."""
    for number in range(_count(rows, "single_transformer_blocks.")):
        home = f"single_transformer_blocks.{number}."
        parts = [home + part for part in flux_names.JOINED[QKV]]
        if all(part in rows for part in parts):
            yield f"single_blocks.{number}.linear1_qkv", parts


def _flux(rows: Rows) -> Iterator[tuple[str, Homes]]:
    yield from ((name, (home,)) for name, home in flux_names.TOP.items())
    for kind, folder in flux_names.HOMES.items():
        for number in range(_count(rows, f"{folder}.")):
            before, home = f"{kind}_blocks.{number}.", f"{folder}.{number}."
            for name, inner in flux_names.INNER[kind].items():
                yield before + name, (home + inner,)
            for name, parts in flux_names.JOINED.items():
                if (name == flux_names.JOINED_IN_SINGLE) == (kind == "single"):
                    yield before + name, [home + part for part in parts]


def _sd3(rows: Rows) -> Iterator[tuple[str, Homes]]:
    yield from ((name, (home,)) for name, home in sd3_names.TOP.items())
    for number in range(_count(rows, "transformer_blocks.")):
        home = f"transformer_blocks.{number}."
        for side, table in (
            ("x_block", sd3_names.IN_PICTURE),
            ("context_block", sd3_names.IN_TEXT),
        ):
            for name, inner in table.items():
                yield f"joint_blocks.{number}.{side}.{name}", (home + inner,)
        for (side, name), parts in sd3_names.JOINED.items():
            yield f"joint_blocks.{number}.{side}.{name}", [home + part for part in parts]


def _count(rows: Rows, start: str) -> int:
    return len(
        {module.removeprefix(start).split(".")[0] for module in rows if module.startswith(start)}
    )
