"""The two names that each module of a UNet has: diffusers' own, and that of single files."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

RESNET: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTER: Final = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def single_file_names(modules: Collection[str]) -> dict[str, str]:
    """Return the name in single files of each module of a UNet that has one there."""
    first = {module.split(".")[3] for module in modules if module.startswith("down_blocks.0.resn")}
    per_block = len(first) + 1
    attending = {
        module.split(".")[1] for module in modules if module.startswith("up_blocks.")
        and module.split(".")[2] == "attentions"
    }  # fmt: skip
    named = {}
    for module in modules:
        if ".motion_modules." in module:
            continue
        if module in OUTER:
            named[module] = OUTER[module]
        elif module.startswith("mid_block."):
            named[module] = _middle(*module.split(".")[1:])
        elif module.startswith(("down_blocks.", "up_blocks.")):
            _, block, *rest = module.split(".")
            up = module.startswith("up_")
            place = _place(up, int(block) * per_block, rest, per_block, block in attending)
            named[module] = ".".join(place)
    return named


def _middle(kind: str, number: str, *rest: str) -> str:
    if kind == "attentions":
        return ".".join(("middle_block.1", *rest))
    return f"middle_block.{2 * int(number)}.{_resnet(*rest)}"


def _place(
    up: bool, before: int, rest: list[str], per_block: int, attends: bool
) -> tuple[str, ...]:
    """Return the place of a module, `before` blocks being before its own."""
    kind, number, *inner = rest
    side, first = ("output_blocks", before) if up else ("input_blocks", before + 1)
    if kind == "resnets":
        return side, str(first + int(number)), "0", _resnet(*inner)
    if kind == "attentions":
        return side, str(first + int(number)), "1", *inner
    last = str(first + per_block - 1)
    if up:
        return side, last, "2" if attends else "1", "conv"
    return side, last, "0.op"


def _resnet(module: str, *rest: str) -> str:
    return ".".join((RESNET.get(module, module), *rest))
